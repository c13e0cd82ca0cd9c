"""A data set folder → a model package: load, optimise, choose the post-processing, export, score.

The exported package is what is scored, through the same pipeline that users run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cellfleet.errors import DeviceError, TrainingError
from cellfleet.evaluation.matching import Match, match, pool
from cellfleet.models import LoadedModel, load_model
from cellfleet.pipeline.block import at_image_scale
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.pipeline.preprocess import resampled, scaled_shape
from cellfleet.pipeline.survey import survey
from cellfleet.spec.choices import Device
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.atomic import output_error
from cellfleet.tiling.box import Box
from cellfleet.tiling.pad import padded
from cellfleet.training.card import write_card
from cellfleet.training.dataset import Sample, load_dataset
from cellfleet.training.detector_run import train_detector
from cellfleet.training.export import (
    EXPORTED_HEADS,
    Packaged,
    export_package,
    exported_heads,
    smallest_input,
    write_rdf,
)
from cellfleet.training.loop import LOG, Tell, maps_lesson, optimise
from cellfleet.training.networks import tile_of
from cellfleet.training.outcome import example_of, manifest_of, scores_of
from cellfleet.training.pace import EVERY_EPOCH, Pace
from cellfleet.training.spec import Detector, TrainSpec
from cellfleet.training.stacks import plane_of
from cellfleet.training.start import begun_with, find_start, gentler, name_of, save_weights

_START = DeepWatershed(
    maxima_head="outer_distance",
    interior_head="foreground",
    radius=1,
    maxima_threshold=0.1,
    maxima_smooth=1,
    interior_threshold=0.5,
    interior_smooth=0,
    small_objects_threshold=10,
    fill_holes_threshold=50,
)
"""Post-processing during training, and the centre of the search at the end."""
# Beyond these values small gains on validation images were paid for at other magnifications (decision 0004).
_SEARCH: tuple[list[dict[str, Any]], ...] = (
    [
        {"maxima_head": head, "maxima_threshold": prominence}
        for head in ("outer_distance", "inner_distance")
        for prominence in (0.1, 0.2, 0.3)
    ],
    [{"maxima_smooth": sigma} for sigma in (0.5, 1.0, 1.5, 2.0)],
    [{"interior_threshold": threshold} for threshold in (0.45, 0.5, 0.55, 0.6)],
    [{"interior_smooth": sigma} for sigma in (0.0, 0.5)],
)
"""Groups of changes that are tried one group after the other."""


def train(
    dataset: str | Path,
    out: str | Path,
    spec: TrainSpec | None = None,
    *,
    device: Device = "auto",
    tell: Tell = lambda entry: None,
    pace: Pace = EVERY_EPOCH,
    start: str | Path | None = None,
) -> ModelManifest:
    """Train a model and write its package; go on where an interrupted run stopped.

    Args:
        dataset: Folder as `load_dataset` reads it.
        out: Package folder, is made; also holds checkpoint and log. Use it as a model: ``segment(..., model=out)``.
        spec: Network, recipe and budget; None: our network for 20 minutes.
        device: ``cuda`` is an error where there is none.
        tell: Called with each log entry.
        pace: How often to validate, and when to stop.
        start: A model by its name, or the folder of a finished run, whose weights this one begins with, at half the
            rate; None: fresh ones.

    Returns:
        The manifest of the package, with its validation scores.

    Raises:
        TrainingError: E6xx, the data or an earlier run in `out` do not fit.
        ModelError: E401, there is no model `start`.
        DeviceError: E503, the device is not there.
        OutputError: E302, E303, E307, `out` cannot be made.
        StoppedError: `pace` says so; the same call goes on from there.
    """
    spec = spec or TrainSpec(name=Path(out).name, minutes=20)
    require_device(device)
    begin = None if start is None else find_start(start)
    samples, held_out = load_dataset(Path(dataset), spec.seed, spec.channels, spec.frames)
    spec = spec if begin is None else gentler(spec)
    return train_on(samples, held_out, Path(out), spec, device=device, tell=tell, pace=pace, start=begin)


def train_on(
    samples: list[Sample],
    held_out: list[Sample],
    out: Path,
    spec: TrainSpec,
    *,
    device: Device,
    tell: Tell,
    pace: Pace,
    start: Path | None = None,
) -> ModelManifest:
    """Train on samples, and score on those that are `held_out`. The rest, and what is raised, as `train`."""
    where = require_device(device)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(error, out) from error
    if isinstance(spec.network, Detector):
        if start is not None:
            raise TrainingError(
                "E613", "a detector begins with fresh weights", where=str(start), action="Leave it out, or train a unet"
            )
        return train_detector(samples, held_out, out, spec, device=where, tell=tell, pace=pace)
    tile = tile_of(spec.network)
    # Asked now: at the end a run of hours would fail of it.
    started_from = {} if start is None else {"started_from": name_of(start)}

    def validate(network: nn.Module) -> dict[str, float]:
        matches = zip(*_matches(_heads(network, held_out, tile.multiple, where), held_out), strict=True)
        return _entry([scores_of(pool(of_compartment)) for of_compartment in matches])

    lesson = maps_lesson(spec, samples)
    if start is not None:
        lesson = replace(lesson, build=begun_with(lesson.build, start))
    state = optimise(spec, samples, out, device=where, validate=validate, tell=tell, pace=pace, lesson=lesson)
    network = state.average.cpu().eval()
    compartments = len(samples[0].compartments)
    finds = {"heads": exported_heads(compartments), "postprocess": _START}
    finds |= {"nuclei": _of_compartment(_START, 1)} if compartments > 1 else {}
    manifest = manifest_of(spec, samples, held_out, state, where, tile=tile, **finds)
    example = example_of(held_out, smallest_input(tile))
    export_package(network, manifest, out, example=example, contrast=np.array([[0, 1]] * len(example), np.float32))
    save_weights(network, out)
    manifest = manifest.model_copy(update={"training": manifest.training | started_from})
    scored = _finished(manifest, choose_postprocess(out, held_out))
    write_rdf(scored, out)
    write_card(scored, out, [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()])
    return scored


def require_device(asked: Device) -> str:
    """Return what PyTorch calls the device. Raises `DeviceError` E503 where it is not there."""
    if asked == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "E503", "cuda was asked for, but PyTorch finds no such device", where="--device", action="Use --device cpu"
        )
    return "cuda" if asked != "cpu" and torch.cuda.is_available() else "cpu"


def _heads(network: nn.Module, samples: list[Sample], multiple: int, device: str) -> Iterator[NDArray[np.uint8]]:
    """Yield the quantised heads (4 K, Y, X) of each sample, in the image's own pixels."""
    packaged = Packaged(network, len(samples[0].compartments)).eval()
    for sample in samples:
        pixels = torch.from_numpy(padded(sample.pixels, multiple))[None].to(device)
        contrast = torch.tensor([[[0.0, 1.0]] * pixels.shape[1]], device=device)
        with torch.no_grad():
            heads = packaged(pixels, contrast)[0].cpu().numpy()
        yield heads[:, : sample.labels.shape[0], : sample.labels.shape[1]]


def _matches(heads: Iterator[NDArray[np.uint8]], samples: list[Sample]) -> Iterator[list[Match]]:
    """Yield a match per compartment of every sample, at its own scale and with the starting parameters.

    So scores are comparable from epoch to epoch.
    """
    maxima, interior = EXPORTED_HEADS.index(_START.maxima_head), EXPORTED_HEADS.index(_START.interior_head)
    for maps, sample in zip(heads, samples, strict=True):
        found = maps.reshape(-1, len(EXPORTED_HEADS), *maps.shape[1:])
        yield [
            match(deep_watershed(four[maxima], four[interior], _START), truth)
            for four, truth in zip(found, sample.compartments, strict=True)
        ]


def _entry(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return scores per compartment as one line of the log: those of nuclei in cells have names of their own."""
    first, *second = scores
    return first | {f"nuclei_{name}": value for of_nuclei in second for name, value in of_nuclei.items()}


Chosen = tuple[DeepWatershed, dict[str, float]]
"""Parameters of the watershed of one compartment, and the scores with them."""


def choose_postprocess(package: Path, samples: list[Sample]) -> list[Chosen]:
    """Choose the parameters of the watershed on the validation images, one group after the other, twice round.

    The images go through the pipeline that users run, scale estimated: what is scored is what they get.

    Returns:
        For each compartment, in order.
    """
    model = load_model(package, device="cpu")
    predicted = [_predicted(sample, model) for sample in samples]
    zooms = [zoom for _, zoom in predicted]
    chosen = []
    for number in range(len(samples[0].compartments)):
        four = slice(number * len(EXPORTED_HEADS), (number + 1) * len(EXPORTED_HEADS))
        truths = [sample.compartments[number] for sample in samples]
        found = _search([fields[four] for fields, _ in predicted], zooms, truths)
        chosen.append((_of_compartment(found[0], number), found[1]))
    return chosen


def _search(fields: list[NDArray[Any]], zooms: list[float], truths: list[NDArray[np.int32]]) -> Chosen:
    """Search the parameters for one compartment: `fields` are its four heads, in the images' own pixels."""

    def scored(spec: DeepWatershed) -> dict[str, float]:
        maxima, interior = EXPORTED_HEADS.index(spec.maxima_head), EXPORTED_HEADS.index(spec.interior_head)
        return scores_of(
            pool(
                [
                    match(deep_watershed(four[maxima], four[interior], spec.scaled(1 / zoom)), truth)
                    for four, zoom, truth in zip(fields, zooms, truths, strict=True)
                ]
            )
        )

    chosen, best = _START, scored(_START)
    for change in itertools.chain.from_iterable(_SEARCH * 2):
        candidate = chosen.model_copy(update=change)
        scores = scored(candidate)
        if scores["f1"] + scores["mean_ap"] > best["f1"] + best["mean_ap"]:
            chosen, best = candidate, scores
    return chosen, best


def _predicted(sample: Sample, model: LoadedModel) -> tuple[NDArray[Any], float]:
    """Return the heads of a sample in the image's own pixels, and the zoom that the survey finds."""
    frames = model.manifest.frames
    # The images have the pixel size that the run was told, which is now the model's own.
    size = model.manifest.microns_per_pixel
    found = survey(plane_of(sample.pixels, frames), SegmentSpec(), size, model.manifest, model.predictor)
    zoom, shape = found.scale.zoom, _size(sample)
    pixels = sample.pixels if zoom == 1 else resampled(sample.pixels, scaled_shape(shape, zoom))
    heads = model.predictor.predict(pixels, np.repeat(found.contrast, frames, axis=0))
    scaled = (heads.shape[1], heads.shape[2])
    return at_image_scale(heads, Box.whole(scaled), scaled, shape, Box.whole(shape)), zoom


def _of_compartment(spec: DeepWatershed, number: int) -> DeepWatershed:
    """Return the parameters with the names that the heads of a compartment have in the package."""
    maxima, interior = EXPORTED_HEADS.index(spec.maxima_head), EXPORTED_HEADS.index(spec.interior_head)
    names = exported_heads(number + 1)[-len(EXPORTED_HEADS) :]
    return spec.model_copy(update={"maxima_head": names[maxima], "interior_head": names[interior]})


def _finished(manifest: ModelManifest, chosen: list[Chosen]) -> ModelManifest:
    """Return the manifest with what was chosen for each compartment, and its scores."""
    (cells, scores), *nuclei = chosen
    change: dict[str, Any] = {"postprocess": cells, "scores": {"validation": scores}}
    for spec, of_nuclei in nuclei:
        change |= {"nuclei": spec, "scores": {"validation, whole cells": scores, "validation, nuclei": of_nuclei}}
    return manifest.model_copy(update=change)


def _size(sample: Sample) -> tuple[int, int]:
    return sample.labels.shape[0], sample.labels.shape[1]
