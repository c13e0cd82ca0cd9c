"""How well one label image agrees with another: objects matched by IoU, scores, and kinds of errors.

The two label images are read once, into a sparse table of overlapping pairs, so that cost and memory follow the
number of pixels and of touching pairs, never (objects × objects). This module knows arrays only: no files, no
tables, no models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ImageError, UsageError

IOU_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds of our reports: "mean AP .5–.9" is the mean over these five."""
DSB_IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Thresholds of the Data Science Bowl 2018 score."""

_PIXELS_PER_PASS = 1 << 22
"""Bounds the working memory of the overlap table: about 100 MB, whatever the image's size."""
_LARGEST_LABEL = (1 << 32) - 1
"""Two labels up to this fit one 64-bit key."""


@dataclass(frozen=True)
class Score:
    """Counts at one IoU threshold, and what follows from them.

    A ratio is 0 when nothing matched, as in ``stardist.matching``. Where neither image has an object there is
    nothing to score and every ratio is NaN (stardist says 0, which reads as a failure); such an image adds nothing
    to a pooled score.
    """

    iou_threshold: float
    true_positives: int
    """Matched pairs."""
    false_positives: int
    """Predicted objects without a match."""
    false_negatives: int
    """True objects without a match."""
    iou_sum: float
    """Sum of the IoU of the matched pairs."""

    def _ratio(self, numerator: float, denominator: float) -> float:
        if self.true_positives + self.false_positives + self.false_negatives == 0:
            return float("nan")
        return numerator / denominator if self.true_positives else 0.0

    @property
    def precision(self) -> float:
        """TP / (TP + FP)."""
        return self._ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """TP / (TP + FN)."""
        return self._ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """2·TP / (2·TP + FP + FN)."""
        errors = self.false_positives + self.false_negatives
        return self._ratio(2 * self.true_positives, 2 * self.true_positives + errors)

    @property
    def average_precision(self) -> float:
        """AP as in the Data Science Bowl 2018: TP / (TP + FP + FN); stardist calls it accuracy."""
        return self._ratio(self.true_positives, self.true_positives + self.false_positives + self.false_negatives)

    @property
    def mean_matched_iou(self) -> float:
        """Mean IoU of the matched pairs."""
        return self._ratio(self.iou_sum, self.true_positives)

    @property
    def panoptic_quality(self) -> float:
        """Sum of matched IoU / (TP + FP/2 + FN/2): Kirillov et al., CVPR 2019, equation 1."""
        return self._ratio(self.iou_sum, self.true_positives + self.false_positives / 2 + self.false_negatives / 2)


@dataclass(frozen=True)
class ErrorCounts:
    """What went wrong, by DeepCell's classes; independent of the IoU threshold except `deformed`.

    A true and a predicted object are *linked* when their intersection is more than half of either of them. Every
    group of objects joined by links is one case, and every object is in exactly one group:

    ================  =============  =======================================================================
    true objects      predicted      the group is
    ================  =============  =======================================================================
    1                 1              right, or `deformed` where their IoU is below 0.5
    1                 2 or more      one of `splits`
    2 or more         1              one of `merges`
    2 or more         2 or more      one of `catastrophes`
    1                 0              one of `missed`
    0                 1              one of `gained`
    ================  =============  =======================================================================

    DeepCell (Caicedo et al. 2019's classes in ``deepcell_toolbox.metrics``) groups the objects that its assignment
    left over by IoU > 0.1; a share of the objects themselves is used here because a small nucleus swallowed by a
    large one has an IoU below any such cut, and is merged all the same.
    """

    splits: int = 0
    merges: int = 0
    catastrophes: int = 0
    missed: int = 0
    gained: int = 0
    deformed: int = 0

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        return ErrorCounts(
            self.splits + other.splits,
            self.merges + other.merges,
            self.catastrophes + other.catastrophes,
            self.missed + other.missed,
            self.gained + other.gained,
            self.deformed + other.deformed,
        )


@dataclass(frozen=True)
class Match:
    """Agreement of a prediction with the truth: of one image, or pooled over several."""

    n_pred: int
    n_truth: int
    scores: tuple[Score, ...]
    """One per IoU threshold, in the order asked for."""
    errors: ErrorCounts

    @property
    def mean_average_precision(self) -> float:
        """Mean over the thresholds of AP = TP / (TP + FP + FN)."""
        return float(np.mean([score.average_precision for score in self.scores]))

    def at(self, iou_threshold: float) -> Score:
        """Return the score at one of the thresholds that were asked for."""
        return next(score for score in self.scores if score.iou_threshold == iou_threshold)


@dataclass(frozen=True)
class Overlaps:
    """Sparse contingency table of two label images; objects are counted from 0 in ascending label order."""

    truth_area: NDArray[np.int64]
    """Pixels of each true object."""
    pred_area: NDArray[np.int64]
    """Pixels of each predicted object."""
    truth: NDArray[np.int64]
    """True object of each overlapping pair; pairs are sorted by (truth, pred)."""
    pred: NDArray[np.int64]
    """Predicted object of each overlapping pair."""
    intersection: NDArray[np.int64]
    """Pixels that the two objects of the pair share, ≥ 1."""

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each pair, in (0, 1]."""
        union = self.truth_area[self.truth] + self.pred_area[self.pred] - self.intersection
        return self.intersection / union


def match(pred: NDArray[Any], truth: NDArray[Any], iou_thresholds: Sequence[float] = IOU_THRESHOLDS) -> Match:
    """Compare one predicted label image with the true one.

    A pair matches when its IoU ≥ the threshold (stardist's rule). From 0.5 on each object has at most one partner,
    except at an IoU of exactly 0.5, where one object may consist of two halves: then one of the halves matches.
    The result equals that of ``stardist.matching``, which solves a linear assignment.

    Args:
        pred: Predicted label image, integers ≥ 0 of any shape, 0 = background; labels need not be consecutive.
        truth: True label image of the same shape.
        iou_thresholds: Each in 0.5…1.

    Raises:
        ImageError: Shapes differ (E701), or values are not labels (E702).
        UsageError: A threshold is outside 0.5…1 (E703).
    """
    check_iou_thresholds(iou_thresholds)
    table = overlaps(pred, truth)
    iou = table.iou
    return Match(
        n_pred=len(table.pred_area),
        n_truth=len(table.truth_area),
        scores=tuple(_score(table, iou, threshold) for threshold in iou_thresholds),
        errors=_count_errors(table, iou),
    )


def pool(matches: Iterable[Match]) -> Match:
    """Add up the counts of several images, so that every object weighs the same.

    All matches must have been made with the same thresholds; at least one is needed.
    """
    every = list(matches)
    per_threshold = zip(*(one.scores for one in every), strict=True)
    return Match(
        n_pred=sum(one.n_pred for one in every),
        n_truth=sum(one.n_truth for one in every),
        scores=tuple(_add_scores(scores) for scores in per_threshold),
        errors=sum((one.errors for one in every), ErrorCounts()),
    )


def check_iou_thresholds(iou_thresholds: Sequence[float]) -> None:
    """Refuse thresholds at which a match would not be unique, and an empty list.

    Raises:
        UsageError: E703.
    """
    if not iou_thresholds or not all(0.5 <= threshold <= 1 for threshold in iou_thresholds):
        raise UsageError(
            "E703",
            f"IoU thresholds {list(iou_thresholds)} are not between 0.5 and 1",
            action="Below 0.5 one object could match two; choose for example 0.5",
        )


def overlaps(pred: NDArray[Any], truth: NDArray[Any]) -> Overlaps:
    """Count the pixels of every object and of every pair of objects that overlap.

    Args:
        pred: Label image, integers ≥ 0 of any shape.
        truth: Label image of the same shape.

    Raises:
        ImageError: Shapes differ (E701), or values are not labels (E702).
    """
    if pred.shape != truth.shape:
        raise ImageError(
            "E701",
            f"the prediction measures {_size(pred)} and the truth {_size(truth)}",
            action="Compare label images of the same size and axes",
        )
    flat_pred, flat_truth = _labels(pred, "prediction"), _labels(truth, "truth")
    keys, pixels = _count_pairs(flat_pred, flat_truth)
    truth_labels, truth_index = np.unique(keys >> np.uint64(32), return_inverse=True)
    pred_labels, pred_index = np.unique(keys & np.uint64(_LARGEST_LABEL), return_inverse=True)
    # Background, where there is any, is the first label of either image: objects start behind it.
    skip_truth = int(truth_labels.size > 0 and truth_labels[0] == 0)
    skip_pred = int(pred_labels.size > 0 and pred_labels[0] == 0)
    both = (truth_index >= skip_truth) & (pred_index >= skip_pred)
    return Overlaps(
        truth_area=_sum_by(truth_index, pixels, len(truth_labels))[skip_truth:],
        pred_area=_sum_by(pred_index, pixels, len(pred_labels))[skip_pred:],
        truth=truth_index[both] - skip_truth,
        pred=pred_index[both] - skip_pred,
        intersection=pixels[both],
    )


def _labels(image: NDArray[Any], which: str) -> NDArray[Any]:
    """Return the flat labels as integers that fit 32 bits."""
    if image.dtype.kind not in "ui" or (image.size and image.min() < 0):
        raise ImageError(
            "E702",
            f"the {which} holds {image.dtype} values that are no labels",
            action="A label image holds whole numbers: 0 is background, each object has its own number",
        )
    flat = image.reshape(-1)
    if flat.size and int(flat.max()) > _LARGEST_LABEL:
        labels, index = np.unique(flat, return_inverse=True)
        return index.astype(np.uint32) + np.uint32(labels[0] != 0)
    return flat


def _count_pairs(pred: NDArray[Any], truth: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return every occurring (truth << 32 | pred), ascending, and its number of pixels.

    Rows of an image are runs of equal pairs; only the runs are sorted, about a tenth of the pixels.
    """
    run_keys: list[NDArray[np.uint64]] = []
    run_pixels: list[NDArray[np.int64]] = []
    for start in range(0, pred.size, _PIXELS_PER_PASS):
        part = slice(start, start + _PIXELS_PER_PASS)
        keys = (truth[part].astype(np.uint64) << np.uint64(32)) | pred[part].astype(np.uint64)
        starts = np.concatenate(([0], np.flatnonzero(keys[1:] != keys[:-1]) + 1))
        run_keys.append(keys[starts])
        run_pixels.append(np.diff(starts, append=keys.size))
    if not run_keys:
        return np.empty(0, np.uint64), np.empty(0, np.int64)
    keys, run_index = np.unique(np.concatenate(run_keys), return_inverse=True)
    return keys, _sum_by(run_index, np.concatenate(run_pixels), len(keys))


def _score(table: Overlaps, iou: NDArray[np.float64], iou_threshold: float) -> Score:
    candidates = np.flatnonzero(iou >= iou_threshold)
    # Only an object that is two exact halves (IoU 0.5 each) appears twice: one half is the match.
    _, first = np.unique(table.truth[candidates], return_index=True)
    candidates = candidates[first]
    _, first = np.unique(table.pred[candidates], return_index=True)
    matched = candidates[first]
    return Score(
        iou_threshold=iou_threshold,
        true_positives=len(matched),
        false_positives=len(table.pred_area) - len(matched),
        false_negatives=len(table.truth_area) - len(matched),
        iou_sum=float(iou[matched].sum()),
    )


def _add_scores(scores: Sequence[Score]) -> Score:
    return Score(
        iou_threshold=scores[0].iou_threshold,
        true_positives=sum(score.true_positives for score in scores),
        false_positives=sum(score.false_positives for score in scores),
        false_negatives=sum(score.false_negatives for score in scores),
        iou_sum=sum(score.iou_sum for score in scores),
    )


def _count_errors(table: Overlaps, iou: NDArray[np.float64]) -> ErrorCounts:
    n_truth, n_pred = len(table.truth_area), len(table.pred_area)
    group = _groups(table)
    trues = np.bincount(group[:n_truth], minlength=n_truth + n_pred)
    preds = np.bincount(group[n_truth:], minlength=n_truth + n_pred)
    right = np.zeros(n_truth + n_pred, bool)
    right[group[table.truth[iou >= 0.5]]] = True
    return ErrorCounts(
        splits=int(np.count_nonzero((trues == 1) & (preds > 1))),
        merges=int(np.count_nonzero((trues > 1) & (preds == 1))),
        catastrophes=int(np.count_nonzero((trues > 1) & (preds > 1))),
        missed=int(np.count_nonzero((trues == 1) & (preds == 0))),
        gained=int(np.count_nonzero((trues == 0) & (preds == 1))),
        deformed=int(np.count_nonzero((trues == 1) & (preds == 1) & ~right)),
    )


def _groups(table: Overlaps) -> NDArray[np.int64]:
    """Return a group number per object, true objects first, then predicted ones.

    Each object points at the one object, if any, that has more than half of it; where two have each other, only
    the predicted one points. Then objects grow along every chain a → b → c, because b's larger part lies in c:
    |a|/2 < |a ∩ b| ≤ |b| - |b ∩ c| < |b|/2. So there are no cycles, and the last object names the group.
    """
    n_truth = len(table.truth_area)
    points_at = np.arange(n_truth + len(table.pred_area))
    pred_in_truth = 2 * table.intersection > table.pred_area[table.pred]
    points_at[n_truth + table.pred[pred_in_truth]] = table.truth[pred_in_truth]
    truth_in_pred = (2 * table.intersection > table.truth_area[table.truth]) & ~pred_in_truth
    points_at[table.truth[truth_in_pred]] = n_truth + table.pred[truth_in_pred]
    while True:
        further = points_at[points_at]
        if np.array_equal(further, points_at):
            return points_at
        points_at = further


def _sum_by(index: NDArray[np.int64], values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    sums = np.zeros(n, np.int64)
    np.add.at(sums, index, values)
    return sums


def _size(image: NDArray[Any]) -> str:
    return " × ".join(str(n) for n in image.shape) or "one value"
