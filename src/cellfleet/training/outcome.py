"""What is told of a trained network: its manifest, an example, its scores. Knows no network and no package."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cellfleet import __version__
from cellfleet.evaluation.matching import Match
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.training.dataset import Sample
from cellfleet.training.loop import State
from cellfleet.training.spec import TrainSpec


def manifest_of(
    spec: TrainSpec,
    samples: list[Sample],
    held_out: list[Sample],
    state: State,
    device: str,
    *,
    tile: Tile,
    **finds: Any,
) -> ModelManifest:
    """Return the manifest of a run that ended in a state; `finds`: its fields that depend on the kind of network."""
    median, log_sigma = spec.augmentation.diameter_px
    return ModelManifest(
        name=spec.name,
        version="1.0.0",
        roles=spec.roles,
        frames=spec.frames,
        compartment="whole-cell" if samples[0].whole_cells else "nuclear",
        microns_per_pixel=spec.microns_per_pixel,
        diameter_px=median,
        # The sizes that training saw most, so that little is gained by resampling (docs/decisions/0003-scale.md).
        diameter_range_px=(round(median * np.exp(-1.1 * log_sigma), 1), round(median * np.exp(1.1 * log_sigma), 1)),
        tile=tile,
        **finds,
        training={
            "spec": spec.model_dump(mode="json"),
            "train_images": len(samples),
            "train_objects": int(sum(len(np.unique(s.labels)) - 1 for s in samples)),
            **_nuclei_seen(samples),
            "validation_images": len(held_out),
            "steps": state.step,
            "minutes": round(state.seconds / 60, 1),
            "device": device,
            "processor": platform.processor() or platform.machine(),
            "parameters": sum(p.numel() for p in state.network.parameters()),
            "cellfleet": __version__,
            "torch": torch.__version__,
        },
    )


def _nuclei_seen(samples: list[Sample]) -> dict[str, int]:
    nuclei = [len(np.unique(s.nuclei)) - 1 for s in samples if s.nuclei is not None]
    return {"train_nuclei": sum(nuclei)} if nuclei else {}


def example_of(held_out: list[Sample], side: int) -> NDArray[np.float32]:
    """Return (R, side, side) px of the sample with the most objects, mirrored where it is smaller."""
    pixels = max(held_out, key=lambda sample: int(sample.labels.max())).pixels
    missing = [(0, 0), *((0, max(0, side - length)) for length in pixels.shape[1:])]
    return np.pad(pixels, missing, mode="reflect")[:, :side, :side]


def scores_of(pooled: Match) -> dict[str, float]:
    """Return F1 and AP at IoU 0.5, and AP averaged over 0.5…0.9."""
    return {
        "f1": round(pooled.at(0.5).f1, 4),
        "ap": round(pooled.at(0.5).average_precision, 4),
        "mean_ap": round(pooled.mean_average_precision, 4),
    }
