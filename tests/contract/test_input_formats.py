"""Whatever layout, type, axes and compression a file has, the pixels and facts that come out are those put in."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.input_images import pixels, whole

from cellfleet.errors import ImageError
from cellfleet.images.read import image_from_array, open_image

DTYPES = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float16", "float32", "float64")
LAYOUTS: dict[str, dict[str, Any]] = {
    "strip": {},
    "rows": {"rowsperstrip": 5},
    "tiled": {"tile": (16, 32)},
    "zlib": {"compression": "zlib"},
    "zlib with predictor": {"compression": "zlib", "predictor": True},
    "lzw tiled": {"compression": "lzw", "tile": (16, 16)},
    "zstd": {"compression": "zstd"},
    "packbits": {"compression": "packbits"},
    "big": {"bigtiff": True},
    "big endian": {"byteorder": ">"},
}


@pytest.mark.parametrize("dtype", [*DTYPES, "bool"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_plane_comes_back_equal_in_every_layout_and_type(tmp_path: Path, layout: str, dtype: str) -> None:
    if dtype == "bool" and layout in ("zlib with predictor", "lzw tiled", "tiled"):
        layout = "rows"  # bits have no predictor, and tifffile tiles no bits
    stored = pixels((40, 50), dtype)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", **LAYOUTS[layout])

    image = open_image(tmp_path / "a.tif", name="a.tif")

    assert (image.axes, image.shape, image.dtype) == ("YX", (40, 50), np.dtype(dtype))
    np.testing.assert_array_equal(whole(image)[0, 0], stored)
    assert image.notices == ()


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("axes", ["CYX", "ZYX", "TYX", "ZCYX", "TZCYX", "TCYX"])
def test_declared_axes_are_used_and_ordered(tmp_path: Path, kind: str, axes: str) -> None:
    lengths = {"T": 3, "Z": 6, "C": 2, "Y": 20, "X": 30}
    stored = pixels(tuple(lengths[letter] for letter in axes))
    tifffile.imwrite(tmp_path / "a.tif", stored, **{kind: True}, photometric="minisblack", metadata={"axes": axes})

    image = open_image(tmp_path / "a.tif", name="a.tif")

    ordered = "".join(letter for letter in "TCZYX" if letter in axes)
    assert (image.axes, image.notices) == (ordered, ())
    assert image.shape == tuple(lengths[letter] for letter in ordered)
    full = stored.reshape([lengths[letter] if letter in axes else 1 for letter in axes])
    for t, z in image.planes():
        index = tuple({"T": t, "Z": z}.get(letter, slice(None)) for letter in axes)
        np.testing.assert_array_equal(image.read_plane(t, z), full[index].reshape(-1, 20, 30))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_any_axes_layout_and_codec_round_trip(data: st.DataObject) -> None:
    axes = data.draw(st.permutations("TZC").map("".join)) + "YX"
    lengths = {letter: data.draw(st.integers(1, 3), label=letter) for letter in "TZC"}
    lengths |= {letter: data.draw(st.integers(1, 40), label=letter) for letter in "YX"}
    options = data.draw(st.sampled_from(list(LAYOUTS.values())))
    dtype = data.draw(st.sampled_from(DTYPES))
    stored = pixels(tuple(lengths[letter] for letter in axes), dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        tifffile.imwrite(path, stored, photometric="minisblack", metadata={"axes": axes}, **options)
        image = open_image(path, name="a.tif", axes=axes)
        read = whole(image)
    expected = np.einsum(stored.astype("f8"), [axes.index(a) for a in axes], [axes.index(a) for a in "TZCYX"])
    np.testing.assert_array_equal(read.astype("f8"), expected.reshape(read.shape))
    assert image.axes == "".join(a for a in "TCZYX" if a in "YX" or lengths[a] > 1)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_an_array_and_its_file_are_the_same_image(data: st.DataObject) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=1))) + (7, 9)
    stored = pixels(shape, data.draw(st.sampled_from(DTYPES)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        tifffile.imwrite(path, stored, photometric="minisblack", metadata=None)
        from_file, from_array = open_image(path, name="a"), image_from_array(stored, name="a")
        np.testing.assert_array_equal(whole(from_file), whole(from_array))
    assert (from_file.axes, from_file.shape, from_file.dtype) == (from_array.axes, from_array.shape, from_array.dtype)


def test_only_the_pages_of_the_plane_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    stored = pixels((6, 32, 32))
    tifffile.imwrite(path, stored, photometric="minisblack", metadata={"axes": "ZYX"}, compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[4].dataoffsets[0], tif.pages[4].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)  # page 4 cannot be decoded any more
    path.write_bytes(data)

    image = open_image(path, name="a.tif")

    np.testing.assert_array_equal(image.read_plane(0, 3)[0], stored[3])
    with pytest.raises(Exception, match="E106"):
        image.read_plane(0, 4)


def test_planes_may_be_read_from_several_threads(tmp_path: Path) -> None:
    stored = pixels((60, 32, 32))
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", metadata={"axes": "ZYX"}, compression="zlib")
    image = open_image(tmp_path / "a.tif", name="a")
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda plane: image.read_plane(*plane)[0], image.planes() * 5))
    np.testing.assert_array_equal(np.stack(read), np.concatenate([stored] * 5))


def test_hyperstack_with_one_page_for_all_planes(tmp_path: Path) -> None:
    """ImageJ writes files above 4 GB so; tifffile does with ``truncate``."""
    stored = pixels((7, 2, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, metadata={"axes": "ZCYX"}, truncate=True)
    image = open_image(tmp_path / "a.tif", name="a.tif")
    assert image.axes == "CZYX"
    np.testing.assert_array_equal(whole(image), stored)


def test_pyramid_is_read_at_full_size(tmp_path: Path) -> None:
    stored = pixels((2, 64, 96))
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        options: dict[str, Any] = {"tile": (32, 32), "photometric": "minisblack"}
        writer.write(stored, subifds=1, metadata={"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}, **options)
        writer.write(stored[:, ::2, ::2], subfiletype=1, **options)
    image = open_image(tmp_path / "a.ome.tif", name="a")
    assert (image.axes, image.shape, image.microns_per_pixel) == ("CYX", (2, 64, 96), 0.5)
    np.testing.assert_array_equal(whole(image)[0], stored)


def test_colour_pyramid_is_judged_by_its_smallest_level(tmp_path: Path) -> None:
    stored = pixels((64, 96, 3), "uint8")
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as writer:
        writer.write(stored, subifds=1, tile=(32, 32), photometric="rgb", metadata={"axes": "YXS"})
        writer.write(stored[::2, ::2], subfiletype=1, tile=(32, 32), photometric="rgb")
    image = open_image(tmp_path / "a.ome.tif", name="a")
    assert image.channel_names == ("red", "green", "blue")
    np.testing.assert_array_equal(image.read_plane(), stored.transpose(2, 0, 1))


def test_volumetric_tiles(tmp_path: Path) -> None:
    stored = pixels((16, 32, 48), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, volumetric=True, tile=(16, 16, 16), photometric="minisblack")
    image = open_image(tmp_path / "a.tif", name="a", axes="ZYX")
    np.testing.assert_array_equal(whole(image)[:, 0], stored)


def test_channel_last_samples_without_colour_are_channels(tmp_path: Path) -> None:
    stored = pixels((20, 30, 2))
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", planarconfig="contig", metadata=None)
    image = open_image(tmp_path / "a.tif", name="a")
    assert (image.axes, image.channel_names) == ("CYX", ("", ""))
    np.testing.assert_array_equal(image.read_plane(), stored.transpose(2, 0, 1))


def test_transparency_of_a_grey_tiff_is_dropped(tmp_path: Path) -> None:
    stored = pixels((20, 30, 2), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", extrasamples=["unassalpha"])
    image = open_image(tmp_path / "a.tif", name="a")
    assert (image.axes, [notice.code for notice in image.notices]) == ("YX", ["W110"])
    np.testing.assert_array_equal(image.read_plane()[0], stored[..., 0])


def test_white_as_zero_is_turned_into_light(tmp_path: Path) -> None:
    stored = pixels((20, 30), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="miniswhite")
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif", name="a").read_plane()[0], 255 - stored)


def test_palette_tiff_is_looked_up_but_an_imagej_colour_table_is_not(tmp_path: Path) -> None:
    indices = pixels((20, 30), "uint8")
    grey = (np.arange(256, dtype="u2") // 2 * 257)[np.newaxis].repeat(3, axis=0)
    tifffile.imwrite(tmp_path / "palette.tif", indices, photometric="palette", colormap=grey)
    tifffile.imwrite(tmp_path / "imagej.tif", indices, imagej=True, colormap=grey)

    palette, imagej = (open_image(tmp_path / f"{name}.tif", name=name) for name in ("palette", "imagej"))

    np.testing.assert_array_equal(palette.read_plane()[0], indices // 2)
    assert [notice.code for notice in palette.notices] == ["W111"]
    np.testing.assert_array_equal(imagej.read_plane()[0], indices)
    assert imagej.notices == ()


def ome_xml(tiff_data: str, *, frames: int) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000000-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels DimensionOrder="XYCTZ" '
        f'ID="Pixels:0" SizeC="2" SizeT="{frames}" SizeX="30" SizeY="20" SizeZ="1" Type="uint16" PhysicalSizeX="0.2" '
        'PhysicalSizeY="0.2"><Channel ID="C:0" Name="DAPI"/><Channel ID="C:1" Name="GFP"/>'
        f"{tiff_data}</Pixels></Image></OME>"
    )


def test_file_of_an_ome_set_gives_its_own_pages(tmp_path: Path) -> None:
    stored = pixels((2, 20, 30))
    tiff_data = "".join(
        f'<TiffData FirstC="{c}" FirstT="{t}" FirstZ="0" IFD="{c}" PlaneCount="1"><UUID FileName="{t}.ome.tif">'
        f"urn:uuid:00000000-0000-0000-0000-00000000000{t}</UUID></TiffData>"
        for t in range(3)
        for c in range(2)
    )
    for number in range(2):
        description = ome_xml(tiff_data, frames=3)
        tifffile.imwrite(
            tmp_path / f"{number}.ome.tif", stored, photometric="minisblack", description=description, metadata=None
        )

    image = open_image(tmp_path / "0.ome.tif", name="0.ome.tif")

    assert (image.axes, image.channel_names, image.microns_per_pixel) == ("CYX", ("", ""), 0.2)
    assert [notice.code for notice in image.notices] == ["W113", "W103"]
    np.testing.assert_array_equal(image.read_plane(), stored)


def test_stopped_acquisition_gives_the_planes_that_are_there(tmp_path: Path) -> None:
    stored = pixels((4, 20, 30))
    description = ome_xml('<TiffData IFD="0" PlaneCount="4"/>', frames=3)
    tifffile.imwrite(tmp_path / "a.ome.tif", stored, photometric="minisblack", description=description, metadata=None)
    image = open_image(tmp_path / "a.ome.tif", name="a")
    assert (image.axes, image.channel_names) == ("TCYX", ("DAPI", "GFP"))
    assert [str(notice) for notice in image.notices] == [
        "Its metadata announce 6 planes but 4 are there; those are read [W114]"
    ]
    np.testing.assert_array_equal(whole(image), stored.reshape(2, 2, 20, 30))


def test_planes_missing_in_the_middle_are_an_error(tmp_path: Path) -> None:
    description = ome_xml('<TiffData IFD="0" PlaneCount="3"/>', frames=3)
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels((3, 20, 30)), photometric="minisblack", description=description, metadata=None
    )
    with pytest.raises(ImageError) as caught:
        open_image(tmp_path / "a.ome.tif", name="a")
    assert str(caught.value) == (
        "a: holds only 3 of the 6 planes that its metadata announce, with gaps."
        " Export the whole image into one file. [E206]"
    )


def test_further_images_of_a_file_are_told(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for size in (20, 10, 5):
            writer.write(pixels((size, 30)))
    image = open_image(tmp_path / "a.tif", name="a")
    assert image.shape == (20, 30)
    assert [str(notice) for notice in image.notices] == [
        "Holds 3 images; only the first (20 × 30) is read, not 10 × 30, 5 × 30."
        " Save the others as files of their own if they are wanted [W101]"
    ]


# Names and pixel sizes


def test_ome_names_and_size(tmp_path: Path) -> None:
    metadata = {
        "axes": "CYX",
        "Channel": {"Name": ["DAPI", "µ-tubulin"]},
        "PhysicalSizeX": 325.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 325.0,
        "PhysicalSizeYUnit": "nm",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels((2, 20, 30)), photometric="minisblack", metadata=metadata)
    image = open_image(tmp_path / "a.ome.tif", name="a")
    assert image.channel_names == ("DAPI", "µ-tubulin")
    assert image.microns_per_pixel == pytest.approx(0.325)
    assert image.microns_per_pixel_source == "ome"


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m", "@m"])
def test_imagej_unit_and_resolution(tmp_path: Path, unit: str) -> None:
    metadata = {"axes": "CYX", "unit": unit, "Labels": ["nuclei", "actin"]}
    tifffile.imwrite(tmp_path / "a.tif", pixels((2, 20, 30)), imagej=True, resolution=(4, 4), metadata=metadata)
    # ImageJ itself writes µ as one byte of Latin-1, which tifffile cannot write.
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes().replace(b"@m", b"\xb5m"))
    image = open_image(tmp_path / "a.tif", name="a")
    assert (image.microns_per_pixel, image.microns_per_pixel_source) == (0.25, "imagej")
    assert image.channel_names == ("nuclei", "actin")


@pytest.mark.parametrize("labels", [["same", "same"], ["only one"], ["ok", "x" * 61], ["", "b"]])
def test_slice_labels_that_are_no_names(tmp_path: Path, labels: list[str]) -> None:
    metadata = {"axes": "CYX", "Labels": labels}
    tifffile.imwrite(tmp_path / "a.tif", pixels((2, 20, 30)), imagej=True, metadata=metadata)
    assert open_image(tmp_path / "a.tif", name="a").channel_names == ("", "")


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((20_000, 20_000), "CENTIMETER", 0.5),
        ((25_400, 25_400), "INCH", 1.0),
        ((72, 72), "INCH", None),
        ((300, 300), "INCH", None),
        ((1, 1), "CENTIMETER", None),
        ((20_000, 20_000), "NONE", None),
    ],
)
def test_resolution_tags_count_only_in_the_range_of_microscopes(
    tmp_path: Path, resolution: tuple[int, int], unit: str, expected: float | None
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels((20, 30)), resolution=resolution, resolutionunit=unit)
    image = open_image(tmp_path / "a.tif", name="a")
    assert image.microns_per_pixel == (None if expected is None else pytest.approx(expected))
    assert image.microns_per_pixel_source == ("tiff" if expected else "")
    assert image.notices == ()


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    metadata = {"axes": "YX", "PhysicalSizeX": 0.2, "PhysicalSizeY": 0.3}
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels((20, 30)), metadata=metadata)
    image = open_image(tmp_path / "a.ome.tif", name="a")
    assert image.microns_per_pixel == pytest.approx(0.25)
    assert [str(notice) for notice in image.notices] == [
        "Pixels are not square: 0.3 µm high, 0.2 µm wide. The mean, 0.25 µm, is used [W106]"
    ]


# The user's axes, and arrays


def test_the_users_axes_win_over_the_files(tmp_path: Path) -> None:
    stored = pixels((3, 20, 30))
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, metadata={"axes": "CYX", "Labels": ["a", "b", "c"]})
    image = open_image(tmp_path / "a.tif", name="a", axes="zyx")
    assert (image.axes, image.channel_names) == ("ZYX", ("",))
    np.testing.assert_array_equal(whole(image)[:, 0], stored)


def test_colours_as_stains_by_axes(tmp_path: Path) -> None:
    stored = np.repeat(pixels((20, 30, 1), "uint8"), 3, axis=2)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb")
    image = open_image(tmp_path / "a.tif", name="a", axes="YXC")
    assert (image.axes, image.notices) == ("CYX", ())
    np.testing.assert_array_equal(image.read_plane(), stored.transpose(2, 0, 1))


def test_array_channels_last_need_to_be_said() -> None:
    array = pixels((20, 30, 3), "uint8")
    with pytest.raises(ImageError) as caught:
        image_from_array(array)
    assert caught.value.code == "E203"
    np.testing.assert_array_equal(image_from_array(array, axes="YXC").read_plane(), array.transpose(2, 0, 1))


def test_wide_integers_become_float64() -> None:
    image = image_from_array([[1, 2], [3, 2**40]])
    assert image.dtype == np.float64
    assert image.read_plane().tolist() == [[[1.0, 2.0], [3.0, 2.0**40]]]


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ">u2", ">i4"])
def test_arrays_of_the_other_byte_order(dtype: str) -> None:
    array = np.arange(12, dtype=dtype).reshape(3, 4)
    read = image_from_array(array).read_plane()
    assert read.dtype.isnative and read[0].tolist() == array.tolist()


def test_odd_values_are_read_as_they_are(tmp_path: Path) -> None:
    stored = np.array([[np.nan, np.inf], [-np.inf, 0.0]], np.float32)
    tifffile.imwrite(tmp_path / "a.tif", stored)
    np.testing.assert_array_equal(open_image(tmp_path / "a.tif", name="a").read_plane()[0], stored)


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 1, 1)])
def test_an_axis_of_one_pixel_is_legal(tmp_path: Path, shape: tuple[int, ...]) -> None:
    stored = pixels(shape)
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="minisblack", metadata=None)
    for image in (open_image(tmp_path / "a.tif", name="a"), image_from_array(stored)):
        np.testing.assert_array_equal(whole(image)[0], stored.reshape(-1, *shape[-2:]))


def test_plane_beyond_the_image() -> None:
    with pytest.raises(IndexError, match="no plane t=0, z=1"):
        image_from_array(pixels((4, 5))).read_plane(0, 1)
