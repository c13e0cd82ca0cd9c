"""A data set of stacks and stains → the package of a model that predicts the stain: load, train, export, score."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellfleet import __version__
from cellfleet.spec.model import TranslatorManifest
from cellfleet.training.export import smallest_input
from cellfleet.training.loop import State
from cellfleet.training.translation import Tell, Translator, mean_pearson, optimise_translation
from cellfleet.training.translation_data import Pair, load_pairs
from cellfleet.training.translation_export import PackagedTranslator, export_translator
from cellfleet.training.translation_networks import translation_tile
from cellfleet.training.translation_spec import TranslationSpec

_BRIGHTEST_PERCENTILE = 99.8
_GREY, _BLACK = 1000, 10_000
"""Raw values of the test tensors: contrast 0 is the second, and contrast 1 the first above it."""


def train_translation(
    dataset: str | Path,
    out: str | Path,
    spec: TranslationSpec,
    *,
    description: dict[str, Any],
    tell: Tell = lambda entry: None,
) -> TranslatorManifest:
    """Train a model that predicts a stain and write its package; go on where an interrupted run stopped.

    Args:
        dataset: Folder as `load_pairs` reads it.
        out: Package folder, is made; also holds checkpoint and log.
        spec: Network, recipe and budget.
        description: More fields of the package's ``rdf.yaml``: description, license, authors, cite, tags.
        tell: Called with each log entry.

    Returns:
        The manifest, with Pearson's correlation of predicted and true log intensities on the validation pairs.

    Raises:
        TrainingError: E411, E605, the data or an earlier run in `out` do not fit.
    """
    out = Path(out)
    pairs, held_out = load_pairs(Path(dataset))
    out.mkdir(parents=True, exist_ok=True)
    state = optimise_translation(spec, pairs, held_out, out, tell=tell)
    average = state.average.eval()
    assert isinstance(average, Translator), "what `optimise_translation` makes"
    manifest = _manifest(spec, pairs, held_out, state)
    scores = {"validation": {"pearson_log": round(mean_pearson(average, held_out), 4)}}
    manifest = manifest.model_copy(update={"scores": scores})
    brightest = float(np.percentile(np.concatenate([pair.log_target.ravel() for pair in pairs]), _BRIGHTEST_PERCENTILE))
    export_translator(
        PackagedTranslator(average, brightest),
        manifest,
        out,
        example=_example(pairs[0], smallest_input(manifest.tile)),
        contrast=np.array([[_BLACK, _BLACK + _GREY]] * manifest.planes, np.float32),
        description=description,
    )
    return manifest


def _manifest(spec: TranslationSpec, pairs: list[Pair], held_out: list[Pair], state: State) -> TranslatorManifest:
    planes = len(pairs[0].planes)
    return TranslatorManifest(
        task="translation",
        name=spec.name,
        version="1.0.0",
        planes=planes,
        fewest_planes=min(spec.fewest_planes, planes),
        outputs=(spec.output,),
        diameter_px=spec.diameter_px,
        tile=translation_tile(spec.network),
        training={
            "spec": spec.model_dump(mode="json"),
            "train_pixels": sum(pair.log_target.size for pair in pairs),
            "validation_pixels": sum(pair.log_target.size for pair in held_out),
            "steps": state.step,
            "cpu_minutes": round(state.seconds / 60, 1),
            "processor": platform.processor() or platform.machine(),
            "parameters": sum(parameter.numel() for parameter in state.network.parameters()),
            "cellfleet": __version__,
            "torch": torch.__version__,
        },
    )


def _example(pair: Pair, side: int) -> NDArray[np.uint16]:
    """Return a square of the planes around the brightest place, as whole numbers; small planes are mirrored."""
    y, x = np.unravel_index(int(pair.log_target.argmax()), pair.log_target.shape)
    top, left = (
        int(np.clip(at - side // 2, 0, max(0, length - side)))
        for at, length in zip((y, x), pair.log_target.shape, strict=True)
    )
    missing = [(0, 0), *((0, max(0, side - length)) for length in pair.log_target.shape)]
    planes = np.pad(pair.planes, missing, mode="symmetric")[:, top : top + side, left : left + side]
    return np.clip(np.rint(_GREY * planes + _BLACK), 0, np.iinfo(np.uint16).max).astype(np.uint16)
