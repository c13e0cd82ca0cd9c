"""Matching two label images gives stardist's counts on any pair, and names the kinds of errors."""

from __future__ import annotations

import importlib.util
import math
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cellfleet.errors import ImageError, UsageError
from cellfleet.evaluation.matching import DSB_IOU_THRESHOLDS, IOU_THRESHOLDS, ErrorCounts, match, overlaps, pool


@pytest.fixture(scope="module")
def stardist_matching() -> Any:
    """The real file of stardist, without its package (compiled parts, matplotlib) and with numba's jit left out."""
    plain_numba: Any = ModuleType("numba")
    plain_numba.jit = lambda **_: lambda function: function
    spec = importlib.util.find_spec("stardist")
    assert spec is not None and spec.submodule_search_locations is not None
    path = f"{spec.submodule_search_locations[0]}/matching.py"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "numba", plain_numba)
        file_spec = importlib.util.spec_from_file_location("stardist_matching_file", path)
        assert file_spec is not None and file_spec.loader is not None
        module = importlib.util.module_from_spec(file_spec)
        file_spec.loader.exec_module(module)
    return module


def _blobs(random: np.random.Generator, n: int, size: int = 24) -> NDArray[np.uint32]:
    """Rectangles drawn over each other, with unordered labels and gaps."""
    labels = np.zeros((size, size), np.uint32)
    for label in random.permutation(3 * n)[:n] + 1:
        y, x = random.integers(0, size, 2)
        height, width = random.integers(1, 9, 2)
        labels[y : y + height, x : x + width] = label
    return labels


def _variant(random: np.random.Generator, truth: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The truth moved, partly split in halves and partly merged: near matches, and IoU of exactly one half."""
    pred = np.roll(truth, random.integers(-1, 2, 2), (0, 1))
    for label in np.unique(pred)[1:]:
        inside = np.flatnonzero(pred == label)
        if random.random() < 0.3:
            pred.flat[inside[len(inside) // 2 :]] = random.integers(1, 400)
    return pred


@pytest.mark.parametrize("seed", range(60))
def test_scores_equal_those_of_stardist(seed: int, stardist_matching: Any) -> None:
    random = np.random.default_rng(seed)
    truth = _blobs(random, int(random.integers(0, 25)))
    pred = _variant(random, truth) if seed % 2 else _blobs(random, int(random.integers(1, 25)))
    ours = match(pred, truth, DSB_IOU_THRESHOLDS)
    theirs = stardist_matching.matching(truth, pred, thresh=DSB_IOU_THRESHOLDS)
    if truth.any() or pred.any():
        _assert_equal(ours, theirs)


def test_pooled_scores_equal_those_of_stardist(stardist_matching: Any) -> None:
    random = np.random.default_rng(7)
    truths = [_blobs(random, n) for n in (0, 3, 12, 20)]
    preds = [_variant(random, truth) for truth in truths]
    ours = pool(match(pred, truth) for pred, truth in zip(preds, truths, strict=True))
    theirs = stardist_matching.matching_dataset(truths, preds, thresh=IOU_THRESHOLDS, show_progress=False)
    _assert_equal(ours, theirs)


def _assert_equal(ours: Any, theirs: Any) -> None:
    for score, other in zip(ours.scores, theirs, strict=True):
        assert (score.true_positives, score.false_positives, score.false_negatives) == (other.tp, other.fp, other.fn)
        assert (ours.n_truth, ours.n_pred) == (other.n_true, other.n_pred)
        assert score.precision == pytest.approx(other.precision)
        assert score.recall == pytest.approx(other.recall)
        assert score.f1 == pytest.approx(other.f1)
        assert score.average_precision == pytest.approx(other.accuracy)
        assert score.mean_matched_iou == pytest.approx(other.mean_matched_score, abs=1e-6)
        assert score.panoptic_quality == pytest.approx(other.panoptic_quality, abs=1e-6)


@given(
    st.lists(st.integers(0, 5), min_size=0, max_size=40).flatmap(
        lambda truth: st.tuples(st.just(truth), st.lists(st.integers(0, 5), min_size=len(truth), max_size=len(truth)))
    )
)
@settings(max_examples=200)
def test_overlaps_equal_counting_by_hand(pair: tuple[list[int], list[int]]) -> None:
    truth, pred = (np.array(side, np.uint16) for side in pair)
    table = overlaps(pred, truth)
    truth_labels = [label for label in np.unique(truth) if label]
    pred_labels = [label for label in np.unique(pred) if label]
    assert table.truth_area.tolist() == [np.count_nonzero(truth == label) for label in truth_labels]
    assert table.pred_area.tolist() == [np.count_nonzero(pred == label) for label in pred_labels]
    shared = {
        (i, j): np.count_nonzero((truth == a) & (pred == b))
        for i, a in enumerate(truth_labels)
        for j, b in enumerate(pred_labels)
    }
    found = dict(zip(zip(table.truth.tolist(), table.pred.tolist(), strict=True), table.intersection, strict=True))
    assert found == {key: n for key, n in shared.items() if n}


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=60))
@settings(max_examples=200)
def test_splits_seen_from_the_other_side_are_merges(pixels: list[tuple[int, int]]) -> None:
    truth, pred = np.array(pixels, np.uint32).T
    errors = match(pred, truth).errors
    swapped = match(truth, pred).errors
    assert (errors.splits, errors.missed) == (swapped.merges, swapped.gained)
    assert (errors.catastrophes, errors.deformed) == (swapped.catastrophes, swapped.deformed)


@pytest.mark.parametrize(
    ("pred", "truth", "expected"),
    [
        ("aaaabbbb", "aaaaaaaa", ErrorCounts(splits=1)),
        ("aaaaaaaa", "aaaabbbb", ErrorCounts(merges=1)),
        ("aaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaab", ErrorCounts(merges=1)),
        ("aaabbbbbbb", "aaaaaaabbb", ErrorCounts(catastrophes=1)),
        ("....aaaa", "aaaa....", ErrorCounts(missed=1, gained=1)),
        ("aaa.....", "aaaaaaaa", ErrorCounts(deformed=1)),
        ("aaaa....", "aaaaaaaa", ErrorCounts()),
        ("aa..bb..", "bb..aa..", ErrorCounts()),
        ("", "", ErrorCounts()),
    ],
)
def test_errors_are_named(pred: str, truth: str, expected: ErrorCounts) -> None:
    assert match(_line(pred), _line(truth)).errors == expected


def _line(text: str) -> NDArray[np.uint8]:
    return np.array([0 if letter == "." else ord(letter) for letter in text], np.uint8)


def test_one_of_two_exact_halves_matches() -> None:
    score = match(_line("aabb"), _line("aaaa")).at(0.5)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 1, 0)
    score = match(_line("aaaa"), _line("aabb")).at(0.5)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (1, 0, 1)


def test_without_objects_there_is_no_score_and_nothing_is_added() -> None:
    empty = match(_line("...."), _line("...."))
    assert math.isnan(empty.at(0.5).f1) and math.isnan(empty.mean_average_precision)
    full = match(_line("aabb"), _line("aaaa"))
    assert pool([empty, full]) == full
    assert match(_line("...."), _line("aaaa")).at(0.5).f1 == 0


@pytest.mark.parametrize("largest", [2**32 - 1, 2**40])
def test_huge_labels_are_matched(largest: int) -> None:
    truth = np.array([largest, largest, 0, 3], np.uint64)
    score = match(truth, truth).at(0.9)
    assert (score.true_positives, score.false_positives, score.false_negatives) == (2, 0, 0)


def test_an_image_without_background_keeps_its_first_object() -> None:
    assert match(_line("aabb"), _line("aabb")).n_truth == 2


def test_tables_of_parts_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    truth = _blobs(random, 20)
    whole = match(_variant(np.random.default_rng(4), truth), truth)
    monkeypatch.setattr("cellfleet.evaluation.matching._PIXELS_PER_PASS", 7)
    assert match(_variant(np.random.default_rng(4), truth), truth) == whole


@pytest.mark.parametrize(
    ("pred", "truth", "code"),
    [
        (np.zeros((3, 4), int), np.zeros((4, 3), int), "E701"),
        (np.zeros((3, 4)), np.zeros((3, 4), int), "E702"),
        (np.zeros((3, 4), int), np.full((3, 4), -1), "E702"),
        (np.zeros((3, 4), bool), np.zeros((3, 4), int), "E702"),
    ],
)
def test_what_is_no_pair_of_label_images_is_refused(pred: Any, truth: Any, code: str) -> None:
    with pytest.raises(ImageError) as caught:
        match(pred, truth)
    assert caught.value.code == code


@pytest.mark.parametrize("thresholds", [(), (0.4,), (0.5, 1.1)])
def test_thresholds_without_a_unique_match_are_refused(thresholds: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="E703"):
        match(_line("a"), _line("a"), thresholds)
