"""Any region of any file is the same pixels as that part of the whole plane, and costs only the pieces it touches."""

from __future__ import annotations

import io
import tempfile
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.contract.input_images import pixels

from cellfleet.errors import ImageError, InputError
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array, open_image

HEIGHT, WIDTH = 70, 90
COLOURS = pixels((HEIGHT, WIDTH, 3), "uint8")
GREY = {"photometric": "minisblack"}


def tiff(stored: NDArray[Any], **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, stored, **options)
    return file.getvalue()


def sparse() -> bytes:
    """Every third tile is missing."""

    def tiles() -> Iterator[NDArray[Any] | None]:
        for i in range(30):
            yield None if i % 3 == 1 else pixels((16, 16), seed=i)

    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(tiles(), shape=(HEIGHT, WIDTH), dtype="uint16", tile=(16, 16), compression="zlib")
    return file.getvalue()


def hyperstack(axes: str, **options: Any) -> bytes:
    sizes = {"T": 2, "Z": 3, "C": 2, "Y": HEIGHT, "X": WIDTH}
    return tiff(pixels(tuple(sizes[axis] for axis in axes)), metadata={"axes": axes}, **GREY, **options)


PALETTE = np.random.default_rng(5).integers(0, 2**16, (3, 256)).astype("u2")
FILES: dict[str, bytes] = {
    "strip": tiff(pixels((HEIGHT, WIDTH))),
    "big endian": tiff(pixels((HEIGHT, WIDTH)), byteorder=">", bigtiff=True),
    "rows": tiff(pixels((HEIGHT, WIDTH)), rowsperstrip=7, compression="zlib", predictor=True),
    "one compressed strip": tiff(pixels((HEIGHT, WIDTH), "float32"), rowsperstrip=HEIGHT, compression="zstd"),
    "bits": tiff(pixels((HEIGHT, WIDTH), "bool"), rowsperstrip=9, **GREY),
    "packed": tiff(pixels((HEIGHT, WIDTH)), bitspersample=12, rowsperstrip=10),
    "tiles": tiff(pixels((HEIGHT, WIDTH)), tile=(32, 16)),
    "packed tiles": tiff(pixels((HEIGHT, WIDTH), "float16"), tile=(16, 48), compression="lzw"),
    "sparse tiles": sparse(),
    "white is zero": tiff(pixels((HEIGHT, WIDTH), "uint8"), photometric="miniswhite", tile=(16, 16)),
    "palette": tiff(pixels((HEIGHT, WIDTH), "uint8"), photometric="palette", colormap=PALETTE, tile=(16, 16)),
    "colours": tiff(COLOURS, photometric="rgb", tile=(32, 32), compression="zlib"),
    "colours in rows": tiff(COLOURS, photometric="rgb"),
    "colours in planes": tiff(COLOURS.transpose(2, 0, 1), photometric="rgb", planarconfig="separate", tile=(16, 32)),
    "colours as jpeg": tiff(COLOURS, photometric="rgb", compression="jpeg", tile=(32, 32)),
    "samples": tiff(pixels((HEIGHT, WIDTH, 5)), **GREY, planarconfig="contig", rowsperstrip=8, compression="zlib"),
    "volume": tiff(pixels((20, HEIGHT, WIDTH)), **GREY, volumetric=True, tile=(16, 16, 16), metadata={"axes": "ZYX"}),
    "ome": hyperstack("TZCYX", ome=True, tile=(32, 32), compression="zlib"),
    "ome in another order": hyperstack("CTZYX", ome=True, rowsperstrip=11),
    "imagej": hyperstack("TZCYX", imagej=True),
    "imagej in one run": hyperstack("TZCYX", imagej=True, truncate=True),
    "png": imagecodecs.png_encode(pixels((HEIGHT, WIDTH))),
    "colour png": imagecodecs.png_encode(COLOURS),
    "jpeg": imagecodecs.jpeg_encode(COLOURS),
}


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    folder = tmp_path_factory.mktemp("regions")
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return {name: open_image(folder / name, axes="YXC" if name == "samples" else None) for name in FILES}


@pytest.fixture(scope="module")
def references(opened: dict[str, Image]) -> dict[str, NDArray[Any]]:
    return {name: reference(name, image) for name, image in opened.items()}


def reference(name: str, image: Image) -> NDArray[Any]:
    """What tifffile or imagecodecs make of the whole file, (T, Z, C, Y, X)."""
    data = io.BytesIO(FILES[name])
    if name.endswith("png"):
        whole = imagecodecs.png_decode(FILES[name])
    elif name == "jpeg":
        whole = imagecodecs.jpeg_decode(FILES[name])
    else:
        whole = tifffile.imread(data)
    if name == "white is zero":
        whole = 255 - whole
    if name == "palette":
        whole = PALETTE.T[whole]
    if name == "ome in another order":
        whole = whole.transpose(1, 2, 0, 3, 4)
    if whole.shape[:2] == (HEIGHT, WIDTH) and whole.ndim == 3:
        whole = whole.transpose(2, 0, 1)
    return whole.reshape(image.length("T"), image.length("Z"), image.channels, HEIGHT, WIDTH)


def parts(length: int) -> st.SearchStrategy[slice]:
    return st.tuples(st.integers(0, length - 1), st.integers(1, length)).map(lambda ends: slice(min(ends), max(ends)))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_region_is_that_part_of_the_plane(
    opened: dict[str, Image], references: dict[str, NDArray[Any]], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(FILES)))
    image = opened[name]
    t, z = data.draw(st.sampled_from(image.planes()))
    channels = data.draw(st.none() | st.lists(st.integers(0, image.channels - 1), min_size=1, max_size=4))
    y, x = data.draw(parts(HEIGHT)), data.draw(parts(WIDTH))

    read = image.read(t, z, channels=channels, y=y, x=x)

    wanted = list(range(image.channels)) if channels is None else channels
    np.testing.assert_array_equal(read, references[name][t, z, wanted, y, x])
    assert read.dtype == image.dtype and read.dtype.isnative and read.flags.c_contiguous


def test_every_kind_is_read_whole(opened: dict[str, Image], references: dict[str, NDArray[Any]]) -> None:
    for name, image in opened.items():
        for t, z in image.planes():
            np.testing.assert_array_equal(image.read_plane(t, z), references[name][t, z], err_msg=name)


def test_regions_of_an_array() -> None:
    stored = pixels((3, HEIGHT, WIDTH))
    image = image_from_array(stored, axes="CYX")
    np.testing.assert_array_equal(
        image.read(channels=[2, 0], y=slice(5, 9), x=slice(80, 999)), stored[[2, 0], 5:9, 80:]
    )


def test_regions_are_cut_off_at_the_borders_and_may_be_empty(opened: dict[str, Image]) -> None:
    image = opened["tiles"]
    assert image.read(y=slice(60, 200), x=slice(-5, None)).shape == (1, 10, 5)
    assert image.read(y=slice(200, 300)).shape == (1, 0, WIDTH)
    assert image.read(channels=[]).shape == (0, HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="no step"):
        image.read(y=slice(0, 10, 2))


@pytest.mark.parametrize("channels", [[1], [-1]])
def test_channels_beyond_the_image(opened: dict[str, Image], channels: list[int]) -> None:
    with pytest.raises(IndexError, match="has 1 channels"):
        opened["tiles"].read(channels=channels)


def test_region_bytes_tell_what_must_be_held(opened: dict[str, Image]) -> None:
    wanted = {
        "strip": 0,
        "tiles": 32 * 16 * 2,
        "rows": 7 * WIDTH * 2,
        "colours": 32 * 32 * 3,
        "png": HEIGHT * WIDTH * 2,
    }
    assert {name: opened[name].region_bytes for name in wanted} == wanted


# Only what is touched


def big(folder: Path, **options: Any) -> Path:
    """A file of 4096 × 4096 pixels, 32 MiB when it is unpacked."""
    path = folder / "big.tif"
    tifffile.imwrite(path, np.add.outer(np.arange(4096), np.arange(4096)).astype("u2"), **options)
    return path


@pytest.mark.parametrize(
    "options", [{}, {"tile": (256, 256), "compression": "zlib"}, {"rowsperstrip": 16, "compression": "zlib"}]
)
def test_a_small_region_of_a_large_plane_costs_little_memory(tmp_path: Path, options: dict[str, Any]) -> None:
    image = open_image(big(tmp_path, **options))
    tracemalloc.start()
    try:
        read = image.read(y=slice(1000, 1100), x=slice(3000, 3100))
        assert tracemalloc.get_traced_memory()[1] < 3 << 20
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(read[0], np.add.outer(np.arange(1000, 1100), np.arange(3000, 3100)))


def test_a_damaged_tile_costs_only_the_regions_that_touch_it(tmp_path: Path) -> None:
    path = big(tmp_path, tile=(256, 256), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        page = tif.pages.first
        offset, count = page.dataoffsets[2 * 16 + 3], page.databytecounts[2 * 16 + 3]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    image = open_image(path)

    assert image.read(y=slice(0, 512), x=slice(0, 4096)).shape == (1, 512, 4096)
    with pytest.raises(InputError) as caught:
        image.read(y=slice(600, 610), x=slice(900, 910))
    assert str(caught.value) == (
        "big.tif: this TIFF file is damaged or cut short (its pixels at x=768, y=512 cannot be unpacked)."
        " Copy or export it again. [E106]"
    )


def test_the_pieces_of_a_region_are_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = big(tmp_path, tile=(256, 256), compression="zlib")
    unpacked = count_calls(monkeypatch)
    image = open_image(path)
    with ThreadPoolExecutor(8) as pool:
        corners = [(y, x) for y in range(0, 512, 64) for x in range(0, 512, 64)]
        list(pool.map(lambda at: image.read(y=slice(at[0], at[0] + 64), x=slice(at[1], at[1] + 64)), corners))
    assert len(unpacked) == 4


def count_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with every tile that is unpacked."""
    calls: list[int] = []
    codec = tifffile.TIFF.DECOMPRESSORS[8]

    def counted(data: bytes, **options: Any) -> bytes:
        calls.append(threading.get_ident())
        result: bytes = codec(data, **options)
        return result

    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {8: counted})
    return calls


def test_a_picture_is_unpacked_once_for_all_its_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = pixels((HEIGHT, WIDTH))
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(stored))
    decode, calls = imagecodecs.png_decode, []

    def counted(data: bytes) -> np.ndarray:
        calls.append(1)
        return decode(data)

    monkeypatch.setattr(imagecodecs, "png_decode", counted)
    image = open_image(tmp_path / "a.png")
    for top in range(0, HEIGHT, 10):
        np.testing.assert_array_equal(image.read(y=slice(top, top + 10))[0], stored[top : top + 10])
    assert len(calls) == 1


def test_images_share_a_cache(tmp_path: Path) -> None:
    cache = ChunkCache()
    for name, seed in (("a.tif", 1), ("b.tif", 2)):
        tifffile.imwrite(tmp_path / name, pixels((64, 64), seed=seed), tile=(32, 32))
    first, second = (open_image(tmp_path / name, cache=cache) for name in ("a.tif", "b.tif"))
    assert not np.array_equal(first.read(y=slice(0, 9)), second.read(y=slice(0, 9)))


# Large colour pictures


def test_a_large_colour_plane_is_judged_by_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellfleet.images.assemble.LARGEST_JUDGED_WHOLE", 1 << 20)
    colour = np.zeros((2048, 2048, 3), "u1")
    colour[200:300, 200:300, 0] = 200
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb", tile=(256, 256), compression="zlib")
    unpacked = count_calls(monkeypatch)
    image = open_image(tmp_path / "a.tif")
    assert image.channel_names == ("red", "green", "blue")
    assert image.blank_channels == {1, 2}
    assert 0 < len(unpacked) <= 64


def test_colours_beside_the_windows_of_a_grey_plane_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellfleet.images.assemble.LARGEST_JUDGED_WHOLE", 1 << 20)
    colour = np.zeros((2048, 2048, 3), "u1")
    colour[:20, :20, 0] = 200
    tifffile.imwrite(tmp_path / "a.tif", colour, photometric="rgb", tile=(256, 256), compression="zlib")
    image = open_image(tmp_path / "a.tif")
    assert image.read(y=slice(500, 600)).shape == (1, 100, 2048)
    with pytest.raises(ImageError, match=r"a.tif: plane t=1, z=1 is in colour, but what was looked at first is grey"):
        image.read(y=slice(0, 50))


# Claims


def test_a_claim_of_tiles_that_are_not_there_is_refused(tmp_path: Path) -> None:
    data = bytearray(tiff(pixels((64, 64)), tile=(16, 16), compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as tif:
        tag = tif.pages.first.tags["ImageLength"]
        data[tag.offset + 8 : tag.offset + 12] = (1_000_000).to_bytes(4, "little")
    (tmp_path / "x.tif").write_bytes(data)
    with pytest.raises(InputError, match=r"its list of strips or tiles breaks off.*\[E106\]"):
        open_image(tmp_path / "x.tif")


@pytest.mark.parametrize(("codec", "before"), [("jpeg", b"\xff\xc0\x00\x0b\x08"), ("png", b"IHDR")])
def test_a_tile_that_claims_to_be_a_huge_picture_costs_nothing(tmp_path: Path, codec: str, before: bytes) -> None:
    data = tiff(pixels((64, 64), "uint8"), tile=(32, 32), compression=codec)
    place = data.index(before) + len(before)
    size = (30_000).to_bytes(2 if codec == "jpeg" else 4, "big") * 2
    (tmp_path / "x.tif").write_bytes(data[:place] + size + data[place + len(size) :])
    image = open_image(tmp_path / "x.tif")
    with pytest.raises(InputError, match=r"30000 × 30000 pixels were stored in a part of 32 × 32.*\[E106\]"):
        image.read(y=slice(0, 10))


def test_a_sparse_file_may_be_larger_than_memory() -> None:
    """Two tiles of a plane of 32 GB are there; the others mean zeros."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=True) as writer:
        tile = np.zeros((4096, 4096), np.uint16)
        tile[:100, :100] = pixels((100, 100))
        tiles = (tile if i in (0, 5) else None for i in range(32 * 32))
        writer.write(tiles, shape=(131_072, 131_072), dtype="uint16", tile=(4096, 4096), compression="zlib")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "x.tif").write_bytes(file.getvalue())
        image = open_image(Path(folder) / "x.tif")
        np.testing.assert_array_equal(image.read(y=slice(0, 100), x=slice(20_480, 20_580))[0], tile[:100, :100])
        assert not image.read(y=slice(130_000, 130_100), x=slice(0, 100)).any()
