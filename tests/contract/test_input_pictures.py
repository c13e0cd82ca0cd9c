"""PNG and JPEG files and colour stacks: the pixels that come out are those put in, and grey is grey however stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from tests.contract.input_images import pixels, whole

from cellfleet.images.read import open_image


def save_png(path: Path, image: PillowImage.Image, **options: Any) -> None:
    image.save(path, "PNG", **options)


def test_grey_png_of_8_and_16_bit(tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16"):
        stored = pixels((20, 30), dtype) * (500 if dtype == "uint16" else 1)
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored.astype(dtype)))
        image = open_image(tmp_path / "a.png", name="a.png")
        assert (image.axes, image.dtype, image.microns_per_pixel) == ("YX", np.dtype(dtype), None)
        np.testing.assert_array_equal(whole(image)[0, 0], stored)


def test_one_bit_png_is_black_and_white(tmp_path: Path) -> None:
    stored = pixels((20, 30), "bool")
    save_png(tmp_path / "a.png", PillowImage.fromarray(stored))
    np.testing.assert_array_equal(open_image(tmp_path / "a.png", name="a").read_plane()[0], stored * np.uint8(255))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_stored_as_colour_just_works(tmp_path: Path, mode: str) -> None:
    stored = pixels((20, 30), "uint8")
    save_png(tmp_path / "a.png", PillowImage.fromarray(stored).convert("P" if mode == "P" else mode))
    image = open_image(tmp_path / "a.png", name="a")
    assert (image.axes, image.channels) == ("YX", 1)
    assert [notice.code for notice in image.notices] == ["W110" if mode == "LA" else "W111"]
    np.testing.assert_array_equal(image.read_plane()[0], stored)
    np.testing.assert_array_equal(image.read_plane()[0], stored)  # again, when the kept pixels are gone


@pytest.mark.parametrize("bits", [8, 16])
def test_real_colours_are_three_named_channels(tmp_path: Path, bits: int) -> None:
    stored = pixels((20, 30, 4), "uint8").astype(f"uint{bits}") * (1 if bits == 8 else 257)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored))
    image = open_image(tmp_path / "a.png", name="a")
    assert (image.axes, image.channel_names, image.dtype.itemsize) == ("CYX", ("red", "green", "blue"), bits // 8)
    assert [notice.code for notice in image.notices] == ["W110"]
    np.testing.assert_array_equal(image.read_plane(), stored[..., :3].transpose(2, 0, 1))


def test_png_with_transparent_palette_entry(tmp_path: Path) -> None:
    stored = pixels((20, 30), "uint8") // 30
    save_png(tmp_path / "a.png", PillowImage.fromarray(stored).convert("P"), transparency=1)
    image = open_image(tmp_path / "a.png", name="a")
    np.testing.assert_array_equal(image.read_plane()[0], stored)


def test_faulty_colour_profile_in_png_is_not_heard_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save_png(tmp_path / "a.png", PillowImage.fromarray(pixels((9, 9), "uint8")), icc_profile=b"nonsense")
    open_image(tmp_path / "a.png", name="a").read_plane()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("colour", [False, True])
def test_jpeg_of_grey_values(tmp_path: Path, colour: bool) -> None:
    y, x = np.mgrid[:64, :96]
    stored = ((np.sin(y / 9) * np.cos(x / 7) + 1) * 100).astype("u1")
    picture = PillowImage.fromarray(stored)
    (picture.convert("RGB") if colour else picture).save(tmp_path / "a.jpg", quality=90)
    image = open_image(tmp_path / "a.jpg", name="a.jpg")
    assert image.axes == "YX"
    assert np.abs(image.read_plane()[0].astype(int) - stored).max() < 12


def test_jpeg_with_fill_bytes_and_long_segments_before_its_size(tmp_path: Path) -> None:
    data = imagecodecs.jpeg_encode(pixels((16, 24), "uint8"))
    comment = b"\xff\xfe\x40\x00" + bytes(0x3FFE)
    (tmp_path / "a.jpg").write_bytes(data[:2] + b"\xff\xff\xff" + comment[1:] + comment + data[2:])
    image = open_image(tmp_path / "a.jpg", name="a")
    np.testing.assert_array_equal(image.read_plane()[0], imagecodecs.jpeg_decode(data))


def test_suffix_does_not_matter_for_what_a_file_is(tmp_path: Path) -> None:
    stored = pixels((20, 30), "uint8")
    (tmp_path / "really_png.tif").write_bytes(imagecodecs.png_encode(stored))
    np.testing.assert_array_equal(open_image(tmp_path / "really_png.tif", name="a").read_plane()[0], stored)


@pytest.mark.parametrize("grey", [False, True])
def test_planes_of_a_colour_stack_in_any_order(tmp_path: Path, grey: bool) -> None:
    stored = np.repeat(pixels((4, 20, 30, 1), "uint8"), 3, axis=3) if grey else pixels((4, 20, 30, 3), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", metadata={"axes": "ZYXS"})
    image = open_image(tmp_path / "a.tif", name="a")
    expected = np.moveaxis(stored, 3, 1)[:, : 1 if grey else 3]
    for z in (2, 0, 0, 3, 1):
        np.testing.assert_array_equal(image.read_plane(0, z), expected[z])
    np.testing.assert_array_equal(whole(image), expected)
