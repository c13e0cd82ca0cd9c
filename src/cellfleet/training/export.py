"""A trained network → a model package: ONNX graph, test tensors, bioimage.io ``rdf.yaml``, model card.

The graph takes raw pixels and contrast and returns quantised heads, so that every runtime does the same arithmetic
from the first number to the last. Knows no training data.
"""

from __future__ import annotations

import hashlib
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from cellfleet.inference.detections import MASK_PX
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.training.loop import CLASS_WEIGHTS

EXPORTED_HEADS = ("outer_distance", "inner_distance", "foreground", "border")
"""Of one compartment, in order; see `exported_heads`."""

_METHOD = "Bannon et al., DeepCell Kiosk, Nature Methods 18 (2021): the method's origin"
_UNSTATED: dict[str, Any] = {
    "authors": [{"name": "Not stated"}],
    "cite": [{"text": _METHOD, "doi": "10.1038/s41592-020-01023-0"}],
}
"""Whose a model is, and what it may be used for, only whoever trains it can say; the licence may be left out."""


def exported_heads(compartments: int) -> tuple[str, ...]:
    """Return the names of all heads; those of a second compartment, the nuclei of cells, begin with ``nuclei_``."""
    return EXPORTED_HEADS + tuple(f"nuclei_{head}" for head in EXPORTED_HEADS) * (compartments - 1)


class Packaged(nn.Module):
    """The network between contrast and quantisation: what is exported."""

    def __init__(self, network: nn.Module, compartments: int = 1) -> None:
        super().__init__()
        self.network = network
        self.compartments = compartments
        self.counted = torch.tensor(CLASS_WEIGHTS[1:]).view(1, 2, 1, 1)

    def forward(self, pixels: Tensor, contrast: Tensor) -> Tensor:
        """Map raw (N, R, Y, X) and (N, R, 2) to uint8 (N, 4 K, Y, X), see `exported_heads`."""
        low, high = contrast[..., 0, None, None], contrast[..., 1, None, None]
        maps = self.network(((pixels - low) / (high - low)).clamp(-1, 5))
        if self.compartments == 1:
            heads = self._probable(maps)
        else:
            heads = torch.cat([self._probable(five) for five in maps.chunk(self.compartments, 1)], 1)
        return (heads.clamp(0, 1) * 255).round().to(torch.uint8)

    def _probable(self, maps: Tensor) -> Tensor:
        """Turn the five maps of a compartment into its four heads, about 0…1."""
        # Softmax of the three classes, spelled out: over this axis ONNX Runtime's own takes a sixth of the whole graph.
        # The loss counts border pixels more than once; the odds take that back, so that one half means one half.
        odds = (maps[:, 3:] - maps[:, 2:3]).clamp(-40, 40).exp() / self.counted.to(maps)
        foreground = odds.sum(1, keepdim=True)
        return torch.cat([maps[:, :2], torch.cat([foreground, odds[:, 1:]], 1) / (1 + foreground)], 1)


def export_package(
    network: nn.Module,
    manifest: ModelManifest,
    out: Path,
    *,
    example: NDArray[np.float32],
    contrast: NDArray[np.float32],
) -> None:
    """Write a model package.

    Args:
        network: Trained network, on the CPU.
        manifest: What the package declares.
        out: Folder, exists.
        example: (R, Y, X) raw pixels for the test tensors, Y and X multiples of the tile's.
        contrast: (R, 2) of the example.
    """
    packaged = Packaged(network, len(manifest.heads) // len(EXPORTED_HEADS)).eval()
    tensors = (torch.from_numpy(example)[None], torch.from_numpy(contrast)[None])
    weights = out / f"{manifest.name}.onnx"
    _export_graph(packaged, tensors, weights)
    with torch.no_grad():
        heads = packaged(*tensors).numpy()
    for name, array in (("pixels", tensors[0].numpy()), ("contrast", tensors[1].numpy()), ("heads", heads)):
        np.save(out / f"test_{name}.npy", array)
    write_rdf(manifest, out)


def smallest_input(tile: Tile) -> int:
    """Return the least height and width, px, that leave something when the halo is cut off."""
    return (2 * tile.halo // tile.multiple + 1) * tile.multiple


def _export_graph(packaged: nn.Module, tensors: tuple[Tensor, Tensor], weights: Path) -> None:
    with warnings.catch_warnings():
        # The exporter that PyTorch prefers since 2.9 needs onnxscript, and fixes height and width of this graph.
        warnings.simplefilter("ignore", DeprecationWarning)
        # What it cannot fold, ONNX Runtime folds when it loads the graph.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            packaged,
            tensors,
            str(weights),
            input_names=["pixels", "contrast"],
            output_names=["heads"],
            dynamic_axes={name: {0: "n", 2: "y", 3: "x"} for name in ("pixels", "heads")} | {"contrast": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )


def write_rdf(manifest: ModelManifest, out: Path) -> None:
    """Write ``rdf.yaml`` (bioimage.io model description 0.5) around the files of `export_package`.

    Licence, authors and citations that somebody has written into the one that is there are kept.
    """
    (out / "rdf.yaml").write_text(
        yaml.safe_dump(_description(manifest, out), sort_keys=False, allow_unicode=True, width=110), encoding="utf-8"
    )


def _what_it_finds(manifest: ModelManifest) -> str:
    if manifest.nuclei is None:
        return f"Segments {manifest.compartment} objects in microscopy images."
    return "Segments whole cells and their nuclei in microscopy images, in one pass."


def _description(manifest: ModelManifest, out: Path) -> dict[str, Any]:
    compartments = [manifest.compartment, *(["nuclear"] if manifest.nuclei else [])]
    return {
        "format_version": "0.5.4",
        "type": "model",
        "name": f"cellfleet {manifest.name}",
        "description": _what_it_finds(manifest),
        "version": manifest.version,
        **_stated(out / "rdf.yaml"),
        "tags": ["segmentation", *compartments, "2d" if manifest.frames == 1 else "stack", "fluorescence"],
        "documentation": "README.md",
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [_pixels(manifest, out), _contrast(manifest, out)],
        "outputs": _found(out) if manifest.detection else [_heads(manifest, out)],
        "weights": {
            "onnx": {
                "source": f"{manifest.name}.onnx",
                "sha256": _sha256(out / f"{manifest.name}.onnx"),
                "opset_version": 17,
            }
        },
        "config": {"cellfleet": manifest.model_dump(mode="json")},
    }


def _stated(rdf: Path) -> dict[str, Any]:
    """Return licence, authors and citations as they stand in a description, if there is one."""
    before = yaml.safe_load(rdf.read_text(encoding="utf-8")) if rdf.exists() else {}
    return _UNSTATED | {name: before[name] for name in ("license", *_UNSTATED) if name in before}


def _tensor(out: Path, name: str, description: str, axes: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
    file = out / f"test_{name}.npy"
    return {
        "id": name,
        "description": description,
        "axes": [{"type": "batch"}, *axes],
        "test_tensor": {"source": file.name, "sha256": _sha256(file)},
        "data": {"type": dtype},
    }


def _channel_names(manifest: ModelManifest) -> list[str]:
    """Return ``nuclear``, or of several frames ``nuclear-1``, ``nuclear+0``, ``nuclear+1``."""
    reach = manifest.frames // 2
    if not reach:
        return list(manifest.roles)
    return [f"{role}{place:+d}" for role in manifest.roles for place in range(-reach, reach + 1)]


def _pixels(manifest: ModelManifest, out: Path) -> dict[str, Any]:
    size = {"min": smallest_input(manifest.tile), "step": manifest.tile.multiple}
    channels = {"type": "channel", "channel_names": _channel_names(manifest)}
    space = [{"type": "space", "id": axis, "size": size} for axis in "yx"]
    return _tensor(out, "pixels", "Raw pixel values", [channels, *space], "float32")


def _contrast(manifest: ModelManifest, out: Path) -> dict[str, Any]:
    axes: list[dict[str, Any]] = [
        {"type": "channel", "channel_names": _channel_names(manifest)},
        {"type": "index", "id": "bound", "size": 2},
    ]
    return _tensor(out, "contrast", "Raw values that become 0 and 1, per channel", axes, "float32")


def _heads(manifest: ModelManifest, out: Path) -> dict[str, Any]:
    channels = {"type": "channel", "channel_names": list(manifest.heads)}
    space = [
        {"type": "space", "id": axis, "size": {"tensor_id": "pixels", "axis_id": axis}, "halo": manifest.tile.halo}
        for axis in "yx"
    ]
    return _tensor(out, "heads", "255 × head", [channels, *space], "uint8")


def _found(out: Path) -> list[dict[str, Any]]:
    """Describe what a detector returns of one tile: tables with a row per object."""
    index = {"type": "index", "size": {"min": 0}}
    side = {"type": "space", "size": MASK_PX}
    corners = {"type": "channel", "channel_names": ["y0", "x0", "y1", "x1"]}
    return [
        _tensor(out, "boxes", "Boxes of objects, px", [index, corners], "float32"),
        _tensor(out, "scores", "How certain each is, 0…1", [index], "float32"),
        _tensor(
            out, "masks", "255 × mask of each, over its box", [index, side | {"id": "y"}, side | {"id": "x"}], "uint8"
        ),
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
