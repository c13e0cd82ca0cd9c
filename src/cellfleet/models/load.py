"""A name or a path → a verified, loaded model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from cellfleet.errors import DeviceError, ModelError
from cellfleet.inference.onnx import OnnxPredictor
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.inference.predictor import Predictor
from cellfleet.spec.choices import Device
from cellfleet.spec.model import ModelManifest

_BUNDLED = Path(__file__).parent / "bundled"
_LARGEST_RDF_BYTES = 1 << 20


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to predict."""

    manifest: ModelManifest
    sha256: str
    """Hash of the weights and of everything in the manifest that changes a result."""
    predictor: Predictor
    device: str
    """``cpu`` or ``cuda``: what the runtime really uses."""


def bundled_names() -> list[str]:
    """Names of the models inside the package."""
    return sorted(p.parent.name for p in _BUNDLED.glob("*/rdf.yaml"))


def load_model(model: str | Path, *, device: Device = "auto") -> LoadedModel:
    """Load a model and move it to a device.

    Args:
        model: Bundled name, or path of a package folder.
        device: ``auto``, ``cpu`` or ``cuda``; never falls back silently.

    Raises:
        ModelError: E401 unknown name, E402 broken package, E403 weights differ from their hash, E404 not loadable.
        DeviceError: E501 the device is not there.
    """
    folder = _find(str(model))
    manifest, weights = _read(folder)
    if weights is None:
        if device == "cuda":
            raise DeviceError(
                "E502", f"{manifest.name} runs on the CPU only", where="--device", action="Use --device auto or cpu"
            )
        return LoadedModel(manifest, _digest(manifest, None), OtsuPredictor(), "cpu")
    path, expected = weights
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != expected:
        raise ModelError(
            "E403",
            "the weights are not those that rdf.yaml describes (SHA-256 differs)",
            where=str(path),
            action="Copy the package again",
        )
    predictor = OnnxPredictor(content, str(path), manifest.tile.multiple, device=device)
    declared = (len(manifest.roles), len(manifest.heads))
    if any(isinstance(found, int) and found != said for found, said in zip(predictor.channels, declared, strict=True)):
        found = " roles and ".join(map(str, predictor.channels))
        raise _broken(
            folder / "rdf.yaml", f"it declares {declared[0]} roles and {declared[1]} heads, the graph has {found}"
        )
    return LoadedModel(manifest, _digest(manifest, expected), predictor, predictor.device)


def read_manifest(model: str | Path) -> ModelManifest:
    """Read what a model declares, without loading it."""
    return _read(_find(str(model)))[0]


def _find(model: str) -> Path:
    if model in bundled_names():
        return _BUNDLED / model
    folder = Path(model)
    if (folder / "rdf.yaml").is_file():
        return folder
    raise ModelError(
        "E401",
        "is neither a bundled model nor a folder with an rdf.yaml",
        where=model,
        action=f"Choose {', '.join(bundled_names())}, or give the path of a model package",
    )


def _read(folder: Path) -> tuple[ModelManifest, tuple[Path, str] | None]:
    """Return the manifest, and path and SHA-256 of the weights where the model has any."""
    rdf = folder / "rdf.yaml"
    try:
        if rdf.stat().st_size > _LARGEST_RDF_BYTES:
            raise _broken(rdf, "it is larger than 1 MiB")
        content: Any = yaml.safe_load(rdf.read_text(encoding="utf-8"))
        manifest = ModelManifest.model_validate(content["config"]["cellfleet"])
        if manifest.predictor == "otsu":
            return manifest, None
        entry = content["weights"]["onnx"]
        source, sha256 = str(entry["source"]), str(entry["sha256"])
    except (KeyError, TypeError) as error:
        raise _broken(rdf, f"{error} is missing") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise _broken(rdf, f"{'.'.join(str(p) for p in first['loc'])}: {first['msg']}") from error
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        # ValueError: bytes that are no UTF-8, and dates that do not exist.
        raise _broken(rdf, str(error)) from error
    weights = folder / source
    if Path(source).name != source or not weights.is_file():
        raise _broken(rdf, f"weights {source!r} are not a file beside it")
    return manifest, (weights, sha256)


def _broken(rdf: Path, why: str) -> ModelError:
    reason = " ".join(why.split())
    return ModelError("E402", f"is not a cellfleet model package: {reason}", where=str(rdf), action="Export it again")


def _digest(manifest: ModelManifest, weights_sha256: str | None) -> str:
    described = manifest.model_dump_json(exclude={"training", "scores"})
    return hashlib.sha256((described + str(weights_sha256)).encode()).hexdigest()
