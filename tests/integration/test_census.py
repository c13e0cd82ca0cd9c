"""Images and pixels are counted from lists and headers: exactly where there are few, else by a sample."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.servers import S3

from cellfleet.errors import InputError
from cellfleet.jobs.census import count_images


def image(path: Path, *shape: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.zeros(shape, np.uint8), photometric="minisblack")
    return path


def test_a_folder_of_known_images_is_counted_exactly(tmp_path: Path) -> None:
    files = [image(tmp_path / "a.tif", 30, 40), image(tmp_path / "deep" / "b.tif", 50, 60)]
    (tmp_path / "notes.txt").write_text("no image")
    found = count_images([str(tmp_path)])
    assert (found.images, found.pixels, found.looked_at, found.unreadable) == (2, 30 * 40 + 50 * 60, 2, 0)
    assert found.bytes == sum(file.stat().st_size for file in files)


def test_planes_count_and_channels_do_not(tmp_path: Path) -> None:
    file = image(tmp_path / "stack.tif", 3, 20, 30)
    assert count_images([str(file)], axes="ZYX").pixels == 3 * 20 * 30
    assert count_images([str(file)], axes="CYX").pixels == 20 * 30


def test_archives_are_looked_into(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", 30, 40)
    with zipfile.ZipFile(tmp_path / "plate.zip", "w") as archive:
        for name in ("1.tif", "2.tif"):
            archive.write(tmp_path / "a.tif", name)
    found = count_images([str(tmp_path / "plate.zip")])
    assert (found.images, found.pixels) == (2, 2400) and found.bytes == 2 * (tmp_path / "a.tif").stat().st_size


def test_no_pixel_is_read(tmp_path: Path) -> None:
    file = tmp_path / "damaged.tif"
    tifffile.imwrite(file, np.zeros((300, 200), np.uint8), compression="zlib")
    with tifffile.TiffFile(file) as opened:
        start, length = opened.pages[0].dataoffsets[0], opened.pages[0].databytecounts[0]  # type: ignore[union-attr]
    content = bytearray(file.read_bytes())
    content[start : start + length] = b"\xff" * length
    file.write_bytes(content)
    assert count_images([str(tmp_path)]).pixels == 300 * 200


def test_of_many_images_a_sample_is_opened_and_it_says_so(tmp_path: Path) -> None:
    small, large = image(tmp_path / "small.tif", 16, 16), image(tmp_path / "large.tif", 64, 64)
    images = tmp_path / "images"
    images.mkdir()
    for number in range(300):
        source = large if number % 3 == 0 else small
        (images / f"{number:03}.tif").write_bytes(source.read_bytes())
    found = count_images([str(images)], most_headers=60)
    exact = 100 * 64 * 64 + 200 * 16 * 16
    assert (found.images, found.looked_at) == (300, 60)
    assert found.pixels == pytest.approx(exact, rel=0.15) and found.pixels != exact
    assert found == count_images([str(images)], most_headers=60), "the same each time"


def test_what_cannot_be_read_is_told_and_counts_no_pixels(tmp_path: Path) -> None:
    image(tmp_path / "a.tif", 30, 40)
    (tmp_path / "broken.tif").write_bytes(b"II*\0junk")
    found = count_images([str(tmp_path)])
    assert (found.images, found.pixels, found.unreadable) == (2, 1200, 1)


def test_nothing_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E101"):
        count_images([str(tmp_path)])


def test_a_bucket_is_counted_by_its_listing_and_headers(tmp_path: Path, moto: S3, bucket: str) -> None:
    file = image(tmp_path / "a.tif", 30, 40)
    for name in ("plates/1/a.tif", "plates/2/b.tif", "plates/readme.txt"):
        moto.client.put_object(Bucket=bucket.removeprefix("s3://").split("/")[0], Key=name, Body=file.read_bytes())
    found = count_images([f"{bucket}/plates"])
    assert (found.images, found.pixels, found.bytes) == (2, 2400, 2 * file.stat().st_size)
