"""The bundled `detector` by name: what its package says, real images, blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from cellfleet.cli import main
from cellfleet.evaluation.files import read_labels
from cellfleet.evaluation.matching import match, pool
from cellfleet.images.read import image_from_array
from cellfleet.models import load_model, read_manifest
from cellfleet.models.check import check_package
from cellfleet.models.load import BUNDLED
from cellfleet.models.source import open_source
from cellfleet.results.labelled import all_columns, read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.segment import SegmentSpec

pytestmark = pytest.mark.slow
VALIDATION = Path(__file__).parents[2] / "data" / "nuclear" / "val"


def montage(rows: int, columns: int, side: int) -> NDArray[np.uint16]:
    """Corners of validation images side by side: seams, other scales and contrasts among them."""
    canvas = np.zeros((rows * side, columns * side), np.uint16)
    for number, path in enumerate(sorted((VALIDATION / "images").iterdir())[: rows * columns]):
        y, x = number // columns * side, number % columns * side
        pixels = tifffile.imread(path)[:side, :side]
        canvas[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return canvas


def segmented(pixels: NDArray[np.uint16], diameter: float | None, block: int, threads: int) -> Segmented:
    model = load_model("detector", device="cpu")
    with Pools(threads, model) as pools:
        spec = SegmentSpec(model="detector", diameter_px=diameter)
        found = segment_image(image_from_array(pixels), spec, model, How(pools, block=block))
    assert isinstance(found, Segmented)
    return found


def test_the_package_is_small_and_says_what_it_does() -> None:
    package = check_package(open_source(str(BUNDLED / "detector"))).package
    assert package.has_test and package.cover and package.manifest.detection
    assert sum(path.stat().st_size for path in (BUNDLED / "detector").iterdir()) <= 3_000_000


@pytest.mark.parametrize("diameter", [None, 45, 9])
def test_blocks_of_every_size_give_the_same_labels_and_tables(diameter: float | None) -> None:
    pixels = montage(3, 4, 256)[:750, :1001]
    whole = segmented(pixels, diameter, 1 << 30, 1)
    expected, columns = read_all(whole.labels), all_columns(whole.rows)
    assert expected.max() > 100
    for block, threads in ((150, 2), (500, 1)):
        found = segmented(pixels, diameter, block, threads)
        np.testing.assert_array_equal(read_all(found.labels), expected)
        for name, values in all_columns(found.rows).items():
            np.testing.assert_array_equal(values, columns[name], err_msg=name)
        assert found.redone == 0


def test_the_command_finds_nuclei_nearly_as_well_as_the_card_says(tmp_path: Path) -> None:
    images = sorted((VALIDATION / "images").iterdir())[::6]
    assert main(["segment", *map(str, images), "-m", "detector", "-o", str(tmp_path), "--progress", "none"]) == 0
    pairs = [
        (
            tifffile.imread(tmp_path / f"{image.stem}_labels.tif"),
            read_labels(next((VALIDATION / "labels").glob(f"{image.stem}.*"))),
        )
        for image in images
    ]
    f1 = pool([match(found, truth) for found, truth in pairs]).at(0.5).f1
    assert f1 > read_manifest("detector").scores["validation"]["f1"] - 0.1
