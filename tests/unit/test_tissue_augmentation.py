"""Crops of tissue: labels, maps and pixels stay those of the same cells, whatever is done to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cellfleet.training.augment import Batches
from cellfleet.training.crop import Crop
from cellfleet.training.dataset import Sample, with_targets
from cellfleet.training.spec import Augmentation, Tissue
from cellfleet.training.tissue import restain

SIDE, CELL = 96, 16
_NEVER = {"thinned_share": 0.0, "cytoplasm_share": 0.0, "bleeding_share": 0.0, "lost_share": 0.0}


def sample() -> Sample:
    """Return a sheet of square cells with a rim, and a nucleus in the middle of all but one in four."""
    numbers = np.arange(1, (SIDE // CELL) ** 2 + 1, dtype=np.int32).reshape(SIDE // CELL, -1)
    cells = np.kron(numbers, np.ones((CELL, CELL), np.int32))
    y, x = np.mgrid[:SIDE, :SIDE] % CELL
    nuclei = np.where((abs(y - 8) < 4) & (abs(x - 8) < 4) & (cells % 4 > 0), cells, 0).astype(np.int32)
    rims = (np.minimum(y, x) < 1) | (np.maximum(y, x) > CELL - 2)
    pixels = np.stack([nuclei > 0, rims]).astype(np.float32)
    return Sample("sheet", pixels, cells, float(CELL), whole_cells=True, nuclei=nuclei)


def crop() -> Crop:
    """Return all of it as a crop."""
    its = with_targets(sample())
    labels = np.stack(its.sample.compartments)
    return Crop(its.sample.pixels.copy(), labels.copy(), its.outer.copy(), its.inner.copy())


@pytest.mark.parametrize("seed", range(5))
def test_cells_that_are_taken_away_leave_neither_labels_nor_maps_nor_signal(seed: int) -> None:
    thinned, before = crop(), crop()
    restain(thinned, Tissue(**{**_NEVER, "thinned_share": 1.0}), np.random.default_rng(seed))
    kept = set(np.unique(thinned.labels[0])) - {0}
    assert 0 < len(kept) < (SIDE // CELL) ** 2
    assert set(np.unique(thinned.labels[1])) <= kept | {0}
    gone = thinned.labels[0] == 0
    assert not thinned.outer[:, gone].any() and not thinned.inner[:, gone].any()
    np.testing.assert_array_equal(thinned.labels[:, ~gone], before.labels[:, ~gone])
    in_the_middle_of_gone = gone & (before.outer[0] > 0.5)
    assert thinned.pixels[:, in_the_middle_of_gone].max() <= 0.1


@pytest.mark.parametrize("seed", range(5))
def test_a_stain_of_the_cytoplasm_fills_cells_and_changes_no_label(seed: int) -> None:
    stained, before = crop(), crop()
    restain(stained, Tissue(**{**_NEVER, "cytoplasm_share": 1.0}), np.random.default_rng(seed))
    np.testing.assert_array_equal(stained.labels, before.labels)
    np.testing.assert_array_equal(stained.pixels[0], before.pixels[0])
    between_rim_and_nucleus = (before.pixels[1] == 0) & (before.labels[1] == 0)
    assert stained.pixels[1, between_rim_and_nucleus].mean() > 0.05


def test_a_lost_membrane_shows_nothing_but_nuclei() -> None:
    lost = crop()
    restain(lost, Tissue(**{**_NEVER, "lost_share": 1.0}), np.random.default_rng(0))
    assert not lost.pixels[1][lost.labels[1] == 0].any()


def test_maps_and_classes_of_a_batch_fit_each_other_for_both_compartments() -> None:
    spec = Augmentation(diameter_px=(16.0, 0.3), touching_share=0.5, tissue=Tissue())
    batches = Batches([with_targets(sample())], spec, crop_px=64, batch=6, seed=3)
    pixels, distances, kinds = batches[7]
    assert pixels.shape == (6, 2, 64, 64) and distances.shape == (6, 2, 2, 64, 64) and kinds.shape == (6, 2, 64, 64)
    assert torch.equal(distances[:, :, 1] > 0, kinds > 0), "the inner distance is above 0 in objects, and only there"
    # Cells hold their nuclei.
    assert not (kinds[:, 1] > 0)[kinds[:, 0] == 0].any()
    again = batches[7]
    assert all(torch.equal(one, other) for one, other in zip((pixels, distances, kinds), again, strict=True))


def test_channels_are_photographed_apart() -> None:
    """Blur, noise and exposure of one stain say nothing of the other's."""
    same = sample()
    twice = Sample("twice", np.repeat(same.pixels[:1], 2, 0), same.labels, same.diameter_px, True, same.nuclei)
    batches = Batches([with_targets(twice)], Augmentation(empty_share=0), crop_px=64, batch=4, seed=0)
    pixels = batches[0][0]
    assert not torch.equal(pixels[:, 0], pixels[:, 1])
