"""Samples → the package of a detector: optimise, export, choose the post-processing, score.

As `run` does for networks that predict maps: the exported package is what is scored, through the pipeline that users
run.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from cellfleet.evaluation.matching import Match, match, pool
from cellfleet.inference.detections import Detections, detections
from cellfleet.models import LoadedModel, load_model
from cellfleet.pipeline.detection import labels_of
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import resampled, scaled_shape
from cellfleet.pipeline.survey import survey
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.postprocess import Detection
from cellfleet.spec.segment import SegmentSpec
from cellfleet.tiling.box import Box
from cellfleet.training.card import write_card
from cellfleet.training.dataset import Sample
from cellfleet.training.detector import MASK_MARGIN, TILE, RetinaMask
from cellfleet.training.detector_export import OVERLAP, PackagedDetector, export_detector
from cellfleet.training.detector_loss import LabelBatches, loss
from cellfleet.training.export import smallest_input, write_rdf
from cellfleet.training.loop import LOG, Lesson, Tell, optimise
from cellfleet.training.outcome import example_of, manifest_of, scores_of
from cellfleet.training.pace import Pace
from cellfleet.training.spec import Detector, TrainSpec

_START = Detection(method="detection", overlap_threshold=OVERLAP, mask_margin=MASK_MARGIN, small_objects_threshold=10)
"""Post-processing during training, and the centre of the search at the end."""
_SEARCH: tuple[list[dict[str, Any]], ...] = (
    [{"score_threshold": score} for score in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)],
    [{"overlap_threshold": overlap} for overlap in (0.3, 0.4, 0.5)],
    [{"mask_threshold": threshold} for threshold in (0.4, 0.45, 0.5, 0.55)],
    [{"visible_share": share} for share in (0.3, 0.5, 0.7)],
)
"""Groups of changes that are tried one group after the other."""


def train_detector(
    samples: list[Sample],
    held_out: list[Sample],
    out: Path,
    spec: TrainSpec,
    *,
    device: str,
    tell: Tell,
    pace: Pace,
) -> ModelManifest:
    """Train on samples, and score on those that are `held_out`; `device` as PyTorch calls it. The rest as `run.train`.

    Of cells with nuclei it learns the cells.
    """
    network = spec.network
    assert isinstance(network, Detector), "the caller looked"
    build = functools.partial(RetinaMask, network, len(samples[0].pixels))

    def validate(trained: nn.Module) -> dict[str, float]:
        assert isinstance(trained, RetinaMask), "the lesson built it"
        packaged = PackagedDetector(trained).eval()
        return scores_of(_matches(((_asked(packaged, sample, device), 1.0) for sample in held_out), held_out, _START))

    lesson = Lesson(build, LabelBatches, loss)
    state = optimise(spec, samples, out, device=device, validate=validate, tell=tell, pace=pace, lesson=lesson)
    manifest = manifest_of(spec, samples, held_out, state, device, tile=TILE, heads=(), postprocess=_START)
    trained = state.average.cpu().eval()
    assert isinstance(trained, RetinaMask), "the lesson built it"
    example = example_of(held_out, smallest_input(TILE))
    export_detector(trained, manifest, out, example=example, contrast=np.array([[0, 1]] * len(example), np.float32))
    chosen, scores = choose_detection(out, held_out)
    scored = manifest.model_copy(update={"postprocess": chosen, "scores": {"validation": scores}})
    write_rdf(scored, out)
    write_card(scored, out, [json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()])
    return scored


def choose_detection(package: Path, samples: list[Sample]) -> tuple[Detection, dict[str, float]]:
    """Choose the parameters on the validation images, one group after the other, twice round; scale estimated.

    Returns:
        The parameters, and the scores with them.
    """
    model = load_model(package, device="cpu")
    found = [_predicted(sample, model) for sample in samples]
    chosen, best = _START, scores_of(_matches(found, samples, _START))
    for change in itertools.chain.from_iterable(_SEARCH * 2):
        candidate = chosen.model_copy(update=change)
        scores = scores_of(_matches(found, samples, candidate))
        if scores["f1"] + scores["mean_ap"] > best["f1"] + best["mean_ap"]:
            chosen, best = candidate, scores
    return chosen, best


def _matches(
    found: Iterator[tuple[Detections, float]] | list[tuple[Detections, float]], samples: list[Sample], spec: Detection
) -> Match:
    """Match what was found in each sample, in px of the image that was enlarged by a zoom for the model."""
    matches = []
    for (objects, zoom), sample in zip(found, samples, strict=True):
        shape = sample.labels.shape[0], sample.labels.shape[1]
        whole = Box.whole(shape)
        matches.append(match(labels_of(objects, spec, zoom, shape, whole, whole).labels, sample.labels))
    return pool(matches)


def _asked(packaged: PackagedDetector, sample: Sample, device: str) -> Detections:
    """Return what a network finds in a sample at its own scale."""
    missing = [(0, 0), *((0, -length % TILE.multiple) for length in sample.labels.shape)]
    pixels = torch.from_numpy(np.pad(sample.pixels, missing))[None].to(device)
    contrast = torch.tensor([[[0.0, 1.0]] * pixels.shape[1]], device=device)
    with torch.no_grad():
        boxes, scores, masks = (answer[0].cpu().numpy() for answer in packaged(pixels, contrast))
    return detections(boxes, scores, masks)


def _predicted(sample: Sample, model: LoadedModel) -> tuple[Detections, float]:
    """Return what a package finds in a sample, in px of the image, and the zoom that the survey finds."""
    found = survey(Plane.of_array(sample.pixels), SegmentSpec(), None, model.manifest, model.predictor)
    zoom, shape = found.scale.zoom, (sample.labels.shape[0], sample.labels.shape[1])
    scaled = scaled_shape(shape, zoom)
    pixels = sample.pixels if zoom == 1 else resampled(sample.pixels, scaled)
    objects: Detections = model.predictor.predict(pixels, found.contrast)
    objects["box"] *= np.tile(np.array(shape) / np.array(scaled), 2)
    return objects, zoom
