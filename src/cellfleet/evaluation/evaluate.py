"""`cellfleet.evaluate`: arrays, files or folders compared with their truth. Writes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import CellfleetError, UsageError
from cellfleet.evaluation.files import FilePair, pair_files, read_labels
from cellfleet.evaluation.matching import IOU_THRESHOLDS, Match, Score, check_iou_thresholds, match, pool
from cellfleet.spec.model import Compartment

Labels: TypeAlias = NDArray[Any] | str | PathLike[str]
"""A label image, or where it stands."""


@dataclass(frozen=True)
class Evaluation:
    """Agreement of a set of predictions with their truth."""

    iou_thresholds: tuple[float, ...]
    images: dict[str, Match]
    """By name, in order; only images that could be compared."""
    failures: tuple[CellfleetError, ...] = ()
    """Pairs that could not be compared."""
    truth_only: tuple[str, ...] = ()
    """True label images without a prediction. They are in no score."""
    pred_only: tuple[str, ...] = ()
    """Predictions without a true label image. They are in no score."""

    @cached_property
    def pooled(self) -> Match:
        """Counts of all images added up, so that every object weighs the same."""
        return pool(self.images.values())

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values; a score that does not exist is None."""
        return {
            "format_version": 1,
            "iou_thresholds": list(self.iou_thresholds),
            "pooled": _match_dict(self.pooled),
            "images": [{"image": name, **_match_dict(one)} for name, one in self.images.items()],
            "failures": [
                {"image": error.where, "what": error.what, "action": error.action, "code": error.code}
                for error in self.failures
            ],
            "truth_only": list(self.truth_only),
            "pred_only": list(self.pred_only),
        }


def evaluate(
    pred: Labels | Sequence[Labels],
    truth: Labels | Sequence[Labels],
    *,
    iou_thresholds: Sequence[float] = IOU_THRESHOLDS,
    compartment: Compartment | None = None,
) -> Evaluation:
    """Compare predicted label images with the truth.

    Args:
        pred: A label image (integers, 0 = background), a file, a folder, or a list of label images and files.
        truth: The same kind of thing; lists are compared item by item, folders by name.
        iou_thresholds: Each in 0.5…1.
        compartment: Of folders: whether the cells or the nuclei of a model that finds both are meant, and of a data set
            ``cells/`` or ``nuclei/``.

    Raises:
        CellfleetError: Nothing could be compared; in lists and single images: something could not.
    """
    check_iou_thresholds(iou_thresholds)
    thresholds = tuple(iou_thresholds)
    if isinstance(pred, (str, PathLike)) and isinstance(truth, (str, PathLike)):
        return _evaluate_files(Path(pred), Path(truth), thresholds, compartment)
    preds, truths = _as_list(pred), _as_list(truth)
    if len(preds) != len(truths) or not preds:
        raise UsageError(
            "E708",
            f"{len(preds)} predictions and {len(truths)} true label images",
            action="Give one true label image for each prediction, in the same order",
        )
    pairs = zip(preds, truths, strict=True)
    return Evaluation(
        thresholds, {str(number): match(_array(a), _array(b), thresholds) for number, (a, b) in enumerate(pairs)}
    )


def _evaluate_files(
    pred: Path, truth: Path, thresholds: tuple[float, ...], compartment: Compartment | None
) -> Evaluation:
    found = pair_files(pred, truth, compartment)
    images: dict[str, Match] = {}
    failures: list[CellfleetError] = []
    for pair in found.pairs:
        try:
            images[pair.name] = _match_pair(pair, thresholds)
        except CellfleetError as error:
            failures.append(error)
    if not images:
        raise failures[0]
    return Evaluation(
        thresholds, images, tuple(failures), tuple(map(str, found.truth_only)), tuple(map(str, found.pred_only))
    )


def _match_pair(pair: FilePair, thresholds: tuple[float, ...]) -> Match:
    try:
        return match(read_labels(pair.pred), read_labels(pair.truth), thresholds)
    except CellfleetError as error:
        error.where = error.where or str(pair.pred)
        raise


def _as_list(labels: Labels | Sequence[Labels]) -> list[Labels]:
    return [labels] if isinstance(labels, (np.ndarray, str, PathLike)) else list(labels)


def _array(labels: Labels) -> NDArray[Any]:
    return labels if isinstance(labels, np.ndarray) else read_labels(Path(labels))


def _match_dict(one: Match) -> dict[str, Any]:
    return {
        "n_truth": one.n_truth,
        "n_pred": one.n_pred,
        "mean_average_precision": _number(one.mean_average_precision),
        "errors": asdict(one.errors),
        "scores": [_score_dict(score) for score in one.scores],
    }


def _score_dict(score: Score) -> dict[str, Any]:
    return {
        "iou_threshold": score.iou_threshold,
        "true_positives": score.true_positives,
        "false_positives": score.false_positives,
        "false_negatives": score.false_negatives,
        "precision": _number(score.precision),
        "recall": _number(score.recall),
        "f1": _number(score.f1),
        "average_precision": _number(score.average_precision),
        "mean_matched_iou": _number(score.mean_matched_iou),
        "panoptic_quality": _number(score.panoptic_quality),
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
