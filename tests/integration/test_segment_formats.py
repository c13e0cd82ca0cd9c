"""The command on the formats that hold several images: each is found, named, opened and segmented."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pylibCZIrw import czi
from tests.contract.ome_zarr_stores import write_group, write_image
from tests.contract.vendor_files import write_lif, write_nd2
from tests.support import discs, rows, segment

from cellfleet.images.find import find_images
from cellfleet.images.read import open_image


def write_plate(path: Path, pixels: NDArray[np.uint16]) -> None:
    """Two wells of two fields."""
    wells = [{"path": "A/1", "rowIndex": 0, "columnIndex": 0}, {"path": "B/2", "rowIndex": 1, "columnIndex": 1}]
    names = {"rows": [{"name": "A"}, {"name": "B"}], "columns": [{"name": "1"}, {"name": "2"}]}
    write_group(path, {"plate": names | {"wells": wells}})
    for number, well in enumerate(("A/1", "B/2")):
        write_group(path / well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}})
        for field in range(2):
            write_image(path / well / str(field), pixels[2 * number + field], "yx")


def write_scenes(path: Path, pixels: NDArray[np.uint16]) -> None:
    with czi.create_czi(str(path)) as file:
        for scene, plane in enumerate(pixels):
            file.write(plane[..., np.newaxis], location=(-50, 100 * scene), scene=scene)
        file.write_metadata("a")


WRITERS: dict[str, tuple[Callable[[Path, NDArray[np.uint16]], None], tuple[str, ...]]] = {
    "a.zarr": (write_plate, ("A/1/0", "A/1/1", "B/2/0", "B/2/1")),
    "a.nd2": (lambda path, pixels: write_nd2(path, pixels[:, np.newaxis], "P", ["DAPI"]), ("0", "1", "2", "3")),
    "a.czi": (write_scenes, ("0", "1", "2", "3")),
    "a.lif": (lambda path, pixels: write_lif(path, [(plane, "YX", "") for plane in pixels]), ("0", "1", "2", "3")),
}


@pytest.mark.parametrize("file", WRITERS)
def test_every_image_of_a_file_is_found_and_opened_by_its_name(tmp_path: Path, file: str) -> None:
    write, inside = WRITERS[file]
    pixels = np.stack([discs(), discs()[::-1], discs()[:, ::-1], discs()[::-1, ::-1]])
    write(tmp_path / file, pixels)

    sources = find_images([tmp_path])

    assert [source.name for source in sources] == [f"{file}/{each}" for each in inside]
    for source, plane in zip(sources, pixels, strict=True):
        np.testing.assert_array_equal(open_image(source).read(y=slice(5, 60), x=slice(7, 70))[0], plane[5:60, 7:70])


def test_images_of_all_formats_are_segmented_alike_in_one_run(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for file, (write, _) in WRITERS.items():
        write(tmp_path / "images" / file, np.stack([discs()] * 4))

    assert segment(tmp_path / "images", "-o", tmp_path / "out") == 0

    tables = {path: rows(path) for path in (tmp_path / "out").rglob("*_cells.csv")}
    assert len(tables) == 16
    assert {len(table) for table in tables.values()} == {4}
