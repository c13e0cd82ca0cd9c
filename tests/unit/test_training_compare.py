"""Two models on the same labelled images: equal ones score equally, and what cannot be compared is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.packages import write_package, write_tissue
from tests.trainings import write_dataset
from tests.workflows import write_chain

from cellfleet.errors import TrainingError
from cellfleet.models import load_model
from cellfleet.training.compare import compare
from cellfleet.training.dataset import Sample, load_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return load_dataset(write_dataset(tmp_path_factory.mktemp("data"), 4))[0]


def test_a_model_is_as_good_as_itself_on_every_image_and_over_all(samples: list[Sample]) -> None:
    otsu = load_model("otsu")
    (found,) = compare(samples, otsu, otsu, ["nuclear"])
    assert found.compartment == "nuclear" and found.new == found.present
    assert found.new.f1 is not None and found.new.f1 > 0.9
    assert [image.image for image in found.images] == [sample.name for sample in samples]
    assert [image.objects for image in found.images] == [int(sample.labels.max()) for sample in samples]
    assert all(image.new == image.present for image in found.images)


def test_an_image_without_objects_has_no_score(samples: list[Sample]) -> None:
    otsu, empty = load_model("otsu"), replace(samples[0], labels=np.zeros_like(samples[0].labels))
    silent = replace(empty, pixels=np.zeros_like(empty.pixels))
    (found,) = compare([silent], otsu, otsu, ["nuclear"])
    assert (found.images[0].objects, found.images[0].new.f1, found.new.ap) == (0, None, None)


def test_of_a_stack_the_plane_that_is_labelled_is_compared(samples: list[Sample]) -> None:
    otsu = load_model("otsu")
    stacks = [replace(one, pixels=np.concatenate([0 * one.pixels, one.pixels, 0 * one.pixels])) for one in samples]
    assert compare(stacks, otsu, otsu, ["nuclear"]) == compare(samples, otsu, otsu, ["nuclear"])


def test_what_needs_another_channel_or_finds_other_objects_is_not_compared(
    samples: list[Sample], tmp_path: Path
) -> None:
    small, tissue = load_model(write_package(tmp_path / "a")), load_model(write_tissue(tmp_path / "b"))
    with pytest.raises(TrainingError, match=r"shows membrane.*E635"):
        compare(samples, small, tissue, ["nuclear"])
    with pytest.raises(TrainingError, match=r"chain:1\.0: it is a workflow.*E635"):
        compare(samples, small, load_model(write_chain(tmp_path / "c")), ["nuclear"])
    cells = [replace(sample, whole_cells=True) for sample in samples]
    with pytest.raises(TrainingError, match=r"label whole-cell objects.*E635"):
        compare(cells, small, tissue, ["nuclear", "membrane"])
