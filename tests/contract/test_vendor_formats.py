"""ND2, CZI and LIF files: every position, scene and series is an image, and any region of it comes back equal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pylibCZIrw import czi
from tests.contract.input_images import pixels, whole
from tests.contract.vendor_files import write_lif, write_nd2

from cellfleet.errors import CellfleetError, InputError
from cellfleet.images.assemble import assemble
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.czi_file import list_czi_images, read_czi_header
from cellfleet.images.image import Image
from cellfleet.images.lif_file import list_lif_images, read_lif_header
from cellfleet.images.nd2_file import list_nd2_images, read_nd2_header
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored

SHAPE = (2, 3, 2, 30, 40)
"""Of the sample image: T, Z, C, Y, X."""


def write_czi(path: Path, stored: NDArray[Any], *, corner: tuple[int, int] = (-70, -9), tile: int = 16) -> None:
    """`stored`: T, Z, C, Y, X and perhaps S (red, green, blue); cut into tiles, the first at `corner` (x, y)."""
    with czi.create_czi(str(path), exist_ok=True) as file:
        write_scene(file, stored, corner, tile)
        file.write_metadata("a", channel_names={0: "DAPI", 1: "GFP"}, scale_x=5e-7, scale_y=5e-7)


def write_scene(file: Any, stored: NDArray[Any], corner: tuple[int, int], tile: int, **more: Any) -> None:
    for t, z, c in np.ndindex(stored.shape[:3]):
        plane = np.atleast_3d(stored[t, z, c])[..., ::-1]  # the library wants blue, green, red
        for y in range(0, plane.shape[0], tile):
            for x in range(0, plane.shape[1], tile):
                part = np.ascontiguousarray(plane[y : y + tile, x : x + tile])
                file.write(part, location=(corner[0] + x, corner[1] + y), plane={"T": t, "Z": z, "C": c}, **more)


def write_sample_lif(path: Path, stored: NDArray[Any]) -> None:
    dye = "<ChannelProperty><Key>DyeName</Key><Value>DAPI</Value></ChannelProperty>"
    write_lif(path, [(stored, "TZCYX", dye)])


@dataclass(frozen=True)
class Format:
    write: Callable[[Path, NDArray[Any]], None]
    list_images: Callable[[str], list[str]]
    read_header: Callable[[Source, str], Stored]
    names: tuple[str, str]
    library: str


FORMATS = {
    "nd2": Format(
        lambda path, stored: write_nd2(path, stored, "TZ", ["DAPI", "GFP"]),
        list_nd2_images,
        lambda source, name: read_nd2_header(source, name, ChunkCache()),
        ("DAPI", "GFP"),
        "nd2",
    ),
    "czi": Format(write_czi, list_czi_images, read_czi_header, ("DAPI", "GFP"), "pylibCZIrw.czi"),
    "lif": Format(write_sample_lif, list_lif_images, read_lif_header, ("DAPI", "DAPI"), "liffile"),
}
every_format = pytest.mark.parametrize("ending", FORMATS)


def sample(folder: Path, ending: str) -> tuple[Path, NDArray[Any]]:
    path, stored = folder / f"a.{ending}", pixels(SHAPE)
    if not path.exists():
        FORMATS[ending].write(path, stored)
    return path, stored


def header(path: Path, inside: str = "") -> Stored:
    return FORMATS[path.suffix[1:]].read_header(Source(str(path), "image", inside), "image")


def image(path: Path, inside: str = "") -> Image:
    return assemble(header(path, inside), "image", None)


def images(path: Path) -> list[str]:
    return FORMATS[path.suffix[1:]].list_images(str(path))


@every_format
def test_pixels_axes_names_and_size_are_those_of_the_file(tmp_path: Path, ending: str) -> None:
    path, stored = sample(tmp_path, ending)

    read = image(path)

    assert images(path) == [""]
    assert (read.axes, read.dtype) == ("TCZYX", np.dtype("uint16"))
    assert (read.channel_names, read.notices) == (FORMATS[ending].names, ())
    assert (read.microns_per_pixel, read.microns_per_pixel_source) == (pytest.approx(0.5), ending)
    np.testing.assert_array_equal(whole(read), stored.reshape(6, *SHAPE[2:]))


@st.composite
def selections(draw: st.DrawFn, axes: str) -> Mapping[int, int | slice]:
    """For some dimensions an index, for others a range; y and x always a range, as images ask for it."""
    lengths = dict(zip("TZCYX", SHAPE, strict=True))
    fixed: dict[int, int | slice] = {}
    for i, axis in enumerate(axes):
        start = draw(st.integers(0, lengths[axis] - 1))
        kind = "range" if axis in "YX" else draw(st.sampled_from(["index", "range", "whole"]))
        if kind != "whole":
            fixed[i] = start if kind == "index" else slice(start, draw(st.integers(start + 1, lengths[axis])))
    return fixed


@every_format
@settings(max_examples=30)
@given(data=st.data())
def test_any_region_is_what_the_file_holds_there(
    tmp_path_factory: pytest.TempPathFactory, ending: str, data: st.DataObject
) -> None:
    path, stored = sample(tmp_path_factory.getbasetemp(), ending)
    found = header(path)
    order = ["TZCYX".index(axis) for axis in found.axes]
    fixed = data.draw(selections(found.axes))

    read = found.read(fixed)

    expected = stored.transpose(order)[tuple(fixed.get(i, slice(None)) for i in range(len(order)))]
    np.testing.assert_array_equal(read, expected)


@every_format
def test_many_threads_may_read_one_image(tmp_path: Path, ending: str) -> None:
    path, stored = sample(tmp_path, ending)
    read = image(path)

    with ThreadPoolExecutor(8) as pool:
        planes = list(pool.map(lambda i: read.read_plane(i % 2, i % 3), range(48)))

    for i, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, stored[i % 2, i % 3])


def test_every_stage_position_of_an_nd2_file_is_an_image(tmp_path: Path) -> None:
    stored = pixels((2, 3, 2, 1, 8, 9))
    write_nd2(tmp_path / "a.nd2", stored, "TPZ", ["DAPI"])

    assert images(tmp_path / "a.nd2") == ["0", "1", "2"]
    for position in range(3):
        read = image(tmp_path / "a.nd2", str(position))
        assert (read.axes, read.shape) == ("TZYX", (2, 2, 8, 9))
        np.testing.assert_array_equal(whole(read)[:, 0], stored[:, position, :, 0].reshape(4, 8, 9))


def test_every_scene_of_a_czi_file_is_an_image(tmp_path: Path) -> None:
    scenes = [pixels((1, 1, 1, 20, 30), seed=0), pixels((1, 1, 1, 10, 40), seed=1)]
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        write_scene(file, scenes[0], (-100, -200), 16, scene=0)
        write_scene(file, scenes[1], (-90, -195), 16, scene=1)  # scenes may overlap
        file.write_metadata("a")

    assert images(tmp_path / "a.czi") == ["0", "1"]
    for number, scene in enumerate(scenes):
        np.testing.assert_array_equal(image(tmp_path / "a.czi", str(number)).read_plane()[0], scene[0, 0, 0])


def test_every_series_of_a_lif_file_is_an_image_and_so_is_every_tile_of_a_mosaic(tmp_path: Path) -> None:
    series = [pixels((8, 9)), pixels((3, 2, 8, 9)), pixels((4, 8, 9))]
    write_lif(tmp_path / "a.lif", [(series[0], "YX", ""), (series[1], "MCYX", ""), (series[2], "ZYX", "")])

    assert images(tmp_path / "a.lif") == ["0", "1/0", "1/1", "1/2", "2"]
    np.testing.assert_array_equal(image(tmp_path / "a.lif", "0").read_plane()[0], series[0])
    for tile in range(3):
        np.testing.assert_array_equal(image(tmp_path / "a.lif", f"1/{tile}").read_plane(), series[1][tile])
    assert image(tmp_path / "a.lif", "2").axes == "ZYX"


def test_pixels_of_one_lif_image_are_never_taken_from_the_next(tmp_path: Path) -> None:
    write_lif(tmp_path / "a.lif", [(pixels((8, 9)), "YX", ""), (pixels((8, 9)), "YX", "")])
    data = (tmp_path / "a.lif").read_bytes()
    eight, nine = (f'NumberOfElements="{length}"'.encode("utf-16-le") for length in (8, 9))
    (tmp_path / "a.lif").write_bytes(data.replace(eight, nine, 1))

    with pytest.raises(InputError, match="beyond their place") as caught:
        header(tmp_path / "a.lif", "0")
    assert caught.value.code == "E106"


@every_format
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_are_red_green_and_blue(tmp_path: Path, ending: str, dtype: str) -> None:
    stored, path = pixels((20, 30, 3), dtype), tmp_path / f"a.{ending}"
    if ending == "nd2":
        write_nd2(path, stored[np.newaxis], "", ["Brightfield"])
    elif ending == "czi":
        write_czi(path, stored[np.newaxis, np.newaxis, np.newaxis])
    else:
        write_lif(path, [(stored[..., ::-1], "YXS", "")])

    read = image(path)

    assert read.channel_names[-1].endswith("blue") and read.channels == 3
    np.testing.assert_array_equal(read.read_plane(), np.moveaxis(stored, -1, 0))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("row_padding", [0, 6])
def test_nd2_frames_are_read_however_they_are_laid_out(tmp_path: Path, compressed: bool, row_padding: int) -> None:
    stored = pixels((3, 2, 20, 30))
    write_nd2(tmp_path / "a.nd2", stored, "Z", ["a", "b"], compressed=compressed, row_padding=row_padding)

    np.testing.assert_array_equal(whole(image(tmp_path / "a.nd2")), stored)
    assert header(tmp_path / "a.nd2").region_bytes == (stored[0].nbytes if compressed else 0)


def test_a_pixel_size_that_nobody_measured_is_unknown(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", pixels((1, 8, 9)), "", ["DAPI"], microns=None)
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        write_scene(file, pixels((1, 1, 1, 8, 9)), (0, 0), 16)
        file.write_metadata("a")

    for ending in ("nd2", "czi"):
        read = image(tmp_path / f"a.{ending}")
        assert (read.microns_per_pixel, read.notices) == (None, ())


@pytest.mark.parametrize("compression", ["uncompressed:", "zstd0:ExplicitLevel=2", "zstd1:ExplicitLevel=2"])
def test_czi_tiles_are_read_however_they_are_packed(tmp_path: Path, compression: str) -> None:
    stored = pixels((1, 1, 1, 40, 50))
    with czi.create_czi(str(tmp_path / "a.czi"), compression_options=compression) as file:
        write_scene(file, stored, (-3, -4), 16)
        file.write_metadata("a")
    read = image(tmp_path / "a.czi")

    for _ in range(2):  # the second time from what was kept
        np.testing.assert_array_equal(read.read(y=slice(9, 33), x=slice(5, 45))[0], stored[0, 0, 0, 9:33, 5:45])


def test_places_of_a_czi_mosaic_without_a_tile_are_black(tmp_path: Path) -> None:
    tile = pixels((1, 1, 1, 8, 8)) + 1
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        write_scene(file, tile, (-20, -20), 8)
        write_scene(file, tile, (-4, -12), 8)
        file.write_metadata("a")

    plane = image(tmp_path / "a.czi").read_plane()[0]

    assert plane.shape == (16, 24)
    np.testing.assert_array_equal(plane[:8, :8], tile[0, 0, 0])
    np.testing.assert_array_equal(plane[8:, 16:], tile[0, 0, 0])
    assert plane.astype(int).sum() == 2 * tile.astype(int).sum()


def test_the_frames_that_a_stopped_acquisition_did_not_reach_are_told(tmp_path: Path) -> None:
    stored = pixels((4, 1, 8, 9)) + 1
    write_nd2(tmp_path / "a.nd2", stored, "T", ["a"], missing=1)

    read = image(tmp_path / "a.nd2")

    assert [notice.code for notice in read.notices] == ["W141"]
    np.testing.assert_array_equal(whole(read)[:3], stored[:3])
    assert not read.read_plane(3).any()


def test_an_nd2_file_whose_channels_do_not_fit_its_pixels_is_refused(tmp_path: Path) -> None:
    write_nd2(tmp_path / "a.nd2", pixels((1, 8, 9)), "", ["a", "b"])

    with pytest.raises(InputError, match="do not make 2 channels") as caught:
        header(tmp_path / "a.nd2")
    assert caught.value.code == "E106"


def test_nd2_metadata_that_the_library_cannot_make_out_cost_names_and_size_only(tmp_path: Path) -> None:
    stored = pixels((2, 8, 9))
    write_nd2(tmp_path / "a.nd2", stored, "", ["a", "b"])
    data = (tmp_path / "a.nd2").read_bytes()
    (tmp_path / "a.nd2").write_bytes(
        data.replace("pFluorescentProbe".encode("utf-16-le"), "pSomethingUnknown".encode("utf-16-le"))
    )

    read = image(tmp_path / "a.nd2")

    assert [notice.code for notice in read.notices] == ["W140"]
    np.testing.assert_array_equal(read.read_plane(), stored)


@every_format
def test_a_missing_library_is_named_with_the_way_to_install_it(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = sample(tmp_path, ending)
    monkeypatch.setitem(sys.modules, FORMATS[ending].library, None)

    for call in (images, header):
        with pytest.raises(InputError, match=r"cellfleet\[readers\]") as caught:
            call(path)
        assert caught.value.code == "E140"


@every_format
@pytest.mark.parametrize("inside", ["7", "-1"])
def test_an_image_that_is_not_there_is_an_error(tmp_path: Path, ending: str, inside: str) -> None:
    path, _ = sample(tmp_path, ending)

    with pytest.raises(InputError) as caught:
        header(path, inside)
    assert caught.value.code == "E144"


@every_format
def test_files_behind_addresses_are_refused(ending: str) -> None:
    with pytest.raises(InputError, match="local") as caught:
        FORMATS[ending].list_images(f"https://example.org/a.{ending}")
    assert caught.value.code == "E143"


@every_format
@pytest.mark.parametrize("content", [b"", b"nothing of the kind" * 9])
def test_files_of_another_kind_are_refused(tmp_path: Path, ending: str, content: bytes) -> None:
    (tmp_path / f"a.{ending}").write_bytes(content)

    for call in (images, header):
        with pytest.raises(InputError, match="damaged") as caught:
            call(tmp_path / f"a.{ending}")
        assert caught.value.code == "E106"


@every_format
def test_a_file_that_is_gone_is_told_by_name(tmp_path: Path, ending: str) -> None:
    with pytest.raises(InputError) as caught:
        header(tmp_path / f"gone.{ending}")
    assert (caught.value.code, caught.value.where) == ("E104", "image")


def test_a_czi_list_of_tiles_that_would_crash_the_library_is_refused(tmp_path: Path) -> None:
    path, _ = sample(tmp_path, "czi")
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"ZISRAWDIRECTORY") + 160
    data[entry + 28] = 233  # dimensions of the first tile; the library has room for 40
    path.write_bytes(data)

    for call in (images, header):
        with pytest.raises(InputError, match="list of tiles") as caught:
            call(path)
        assert caught.value.code == "E106"


def test_a_czi_file_that_claims_endless_channels_is_refused(tmp_path: Path) -> None:
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for channel in (0, 2000):
            file.write(np.zeros((8, 8, 1), np.uint8), plane={"C": channel})
        file.write_metadata("a")

    with pytest.raises(InputError, match="channels") as caught:
        header(tmp_path / "a.czi")
    assert caught.value.code == "E106"


@every_format
def test_random_damage_gives_an_image_or_an_error_of_ours(tmp_path: Path, ending: str) -> None:
    path, _ = sample(tmp_path, ending)
    sound = path.read_bytes()
    random = np.random.default_rng(2)
    outcomes = set()
    for _ in range(80):
        data = bytearray(sound)
        for place in random.integers(0, len(data), random.integers(0, 30)):
            data[place] = random.integers(256)
        path.write_bytes(data[: random.integers(1, 3 * len(data))])
        try:
            for inside in images(path):
                image(path, inside).read_plane()
            outcomes.add("image")
        except CellfleetError as error:
            outcomes.add(error.code)

    assert {"image", "E106"} <= outcomes
