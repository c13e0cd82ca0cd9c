"""A picture for people: what goes in, what is predicted, and what is found, beside the true stain. Knows no scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import cellfleet
from benchmarks.brightfield.package import COVER, SPEC
from cellfleet.pipeline.preprocess import contrast
from cellfleet.results.picture import outlined

_LONGEST_PX = 1024
_GAP_PX = 6
_COVER, _COVER_LEFT = (448, 224), 400
"""Width and height of a cover, px, and where it begins."""


def draw(stack: np.ndarray, stain: np.ndarray, workflows: Sequence[Path], out: Path) -> None:
    """Write a picture of the middle plane, the prediction, what each workflow outlines in it, and the true stain.

    Also the covers of all packages: a part of the prediction, without and with outlines.

    Args:
        stack: Planes (Z, Y, X).
        stain: The true stain (Y, X), with outlines of the silver labels.
        workflows: Their packages, beside that of the translation model.
        out: PNG, or JPEG.
    """
    found = [cellfleet.segment(stack, axes="ZYX", model=workflow, device="cpu") for workflow in workflows]
    silver = cellfleet.segment(stain, model="nuclei", device="cpu")
    predicted = found[0].predicted
    assert predicted is not None, "a workflow predicts"
    plane, nothing = stack[len(stack) // 2], np.zeros(stain.shape, np.uint32)
    rows = [
        _drawn(plane, nothing),
        _drawn(predicted, nothing),
        *(_drawn(predicted, cells.labels) for cells in found),
        _drawn(stain, silver.labels),
    ]
    gap = np.full((_GAP_PX, rows[0].shape[1], 3), 255, np.uint8)
    joined = np.concatenate([part for row in rows for part in (row, gap)][:-1])
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(joined).save(out, optimize=True)
    packages = (workflows[0].parent / SPEC.name, *workflows)
    for folder, row in zip(packages, rows[1:-1], strict=True):
        Image.fromarray(row[: _COVER[1], _COVER_LEFT : _COVER_LEFT + _COVER[0]]).save(folder / COVER, quality=85)


def _drawn(pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return outlined(pixels, contrast(pixels[None]), labels, longest=_LONGEST_PX)
