"""Each kind of bad file is refused by its code, names the file, and says what to do; nothing lands on the terminal."""

from __future__ import annotations

import io
import logging
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from cellfleet.errors import CellfleetError
from cellfleet.images.read import image_from_array, open_image

PIXELS = np.random.default_rng(0).integers(0, 4000, (40, 50)).astype("u2")


def tiff(pixels: Any = PIXELS, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def with_tags(data: bytes, **values: int) -> bytes:
    """Overwrite numbers of tags of the first page of a classic TIFF file (ImageWidth=…)."""
    changed = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as tif:
        for name, value in values.items():
            tag = tif.pages.first.tags[name]
            changed[tag.offset + 2 : tag.offset + 4] = struct.pack("<H", 4)
            changed[tag.offset + 8 : tag.offset + 12] = struct.pack("<I", value)
    return bytes(changed)


def png(width: int, height: int, body: bytes = b"", *, colour_type: int = 0) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def corrupted_stream() -> bytes:
    data = bytearray(tiff(compression="zlib"))
    data[-2000:-1000] = bytes(1000)
    return bytes(data)


def ome_with(attributes: str, tiff_data: str) -> bytes:
    text = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels DimensionOrder="XYCZT" SizeX="50" SizeY="40" Type="uint16" {attributes}>{tiff_data}</Pixels>'
        "</Image></OME>"
    )
    return tiff(description=text, metadata=None)


def imagej_with(text: str) -> bytes:
    return tiff(description=f"ImageJ=1.53\n{text}", metadata=None, compression="zlib")


def cmyk_jpeg() -> bytes:
    file = io.BytesIO()
    PillowImage.new("CMYK", (9, 9)).save(file, "JPEG")
    return file.getvalue()


def ome_with_entities() -> bytes:
    text = (
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">]><OME xmlns="http://www.openmicroscopy.org/'
        'Schemas/OME/2016-06"><Image ID="Image:0"><Pixels>&a;</Pixels></Image></OME>'
    )
    return tiff(description=text, metadata=None)


SPECIMENS: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "nothing.tif": (lambda: b"", "E105", "the file is empty (0 bytes). Copy or export it again."),
    "text.tif": (
        lambda: b"x;y\n1;2\n",
        "E105",
        "is not a TIFF, PNG or JPEG file, whatever its name says (it begins with the bytes 78 3b 79 0a 31 3b 32 0a)."
        " Export the image again as TIFF; renaming a file does not convert it.",
    ),
    "gif.png": (
        lambda: b"GIF89a\x01\x00",
        "E105",
        "is not a TIFF, PNG or JPEG file, whatever its name says (it begins with the bytes 47 49 46 38 39 61 01 00)."
        " Export the image again as TIFF; renaming a file does not convert it.",
    ),
    "page.tif": (
        lambda: b"<!DOCTYPE html>",
        "E105",
        "is not a TIFF, PNG or JPEG file, whatever its name says (it begins with '<!DOCTYP')."
        " Export the image again as TIFF; renaming a file does not convert it.",
    ),
    "half.tif": (
        lambda: tiff()[:2000],
        "E106",
        "this TIFF file is damaged or cut short (its pixels need 4256 bytes but it has 2000). Copy or export it again.",
    ),
    "magic_only.tif": (
        lambda: tiff()[:4],
        "E106",
        "this TIFF file is damaged or cut short (its header makes no sense). Copy or export it again.",
    ),
    "half_stack.tif": (
        lambda: tiff(PIXELS[np.newaxis].repeat(3, 0), imagej=True, metadata={"axes": "CYX"})[:9000],
        "E106",
        "this TIFF file is damaged or cut short (its list of pages or its metadata break off)."
        " Copy or export it again.",
    ),
    "stream.tif": (
        corrupted_stream,
        "E106",
        "this TIFF file is damaged or cut short (its pixels cannot be unpacked). Copy or export it again.",
    ),
    "ome_sizes.tif": (
        lambda: ome_with('SizeC="100000" SizeZ="100000" SizeT="1"', '<TiffData IFD="0" PlaneCount="1"/>'),
        "E107",
        "its metadata announce 10000000000 planes, more than the file can hold."
        " The file is damaged: copy or export it again.",
    ),
    "ome_count.tif": (
        lambda: ome_with('SizeC="1" SizeZ="1" SizeT="1"', '<TiffData IFD="0" PlaneCount="9999999999"/>'),
        "E107",
        "its metadata announce 9999999999 planes, more than the file can hold."
        " The file is damaged: copy or export it again.",
    ),
    "imagej_slices.tif": (
        lambda: imagej_with("images=9999999999\nslices=9999999999\n"),
        "E106",
        "this TIFF file is damaged or cut short (the size of its pages does not fit its metadata)."
        " Copy or export it again.",
    ),
    "shape.tif": (
        lambda: tiff(description='{"shape": [9999999999, 40, 50], "truncated": true}', metadata=None),
        "E106",
        "this TIFF file is damaged or cut short (the size of its pages does not fit its metadata)."
        " Copy or export it again.",
    ),
    "no_page.tif": (
        lambda: b"II*\x00" + bytes(12),
        "E110",
        "this TIFF file holds no image. Export it again.",
    ),
    "no_frame.jpg": (
        lambda: b"\xff\xd8\xff\xd0\xff\xda" + bytes(12),
        "E106",
        "this JPEG file is damaged or cut short (it has no frame header). Copy or export it again.",
    ),
    "tera.tif": (
        lambda: with_tags(tiff(), ImageWidth=1_000_000, ImageLength=1_000_000),
        "E107",
        "its header claims 2e+06 MB of pixels but only 4000 bytes are stored for them."
        " The file is damaged or cut short: copy or export it again.",
    ),
    "giga.tif": (
        lambda: with_tags(tiff(), ImageWidth=30_000, ImageLength=30_000),
        "E107",
        "its header claims 1800 MB of pixels but only 4000 bytes are stored for them."
        " The file is damaged or cut short: copy or export it again.",
    ),
    "tiles.tif": (
        lambda: with_tags(tiff(tile=(16, 16)), TileWidth=65_536, TileLength=65_536),
        "E107",
        "its header claims 8590 MB of pixels but only 6144 bytes are stored for them."
        " The file is damaged or cut short: copy or export it again.",
    ),
    "bomb.png": (
        lambda: png(60_000, 60_000),
        "E107",
        "its header claims 3600 MB of pixels but only 65 bytes are stored for them."
        " The file is damaged or cut short: copy or export it again.",
    ),
    "tera.png": (
        lambda: png(1_000_000, 1_000_000),
        "E108",
        "its header claims 1000 GB that can only be unpacked at once, more than the 17.2 GB that are read so."
        " If the image is really that large, save it as a tiled TIFF; else export it again, the file is damaged.",
    ),
    "no_width.png": (lambda: png(0, 9), "E205", "has no pixels (size 9 × 0). Export or crop it again."),
    "colour.png": (
        lambda: png(9, 9, colour_type=5),
        "E106",
        "this PNG file is damaged or cut short (its header makes no sense). Copy or export it again.",
    ),
    "half.png": (
        lambda: imagecodecs.png_encode(PIXELS)[:2000],
        "E106",
        "this PNG file is damaged or cut short (its end is missing). Copy or export it again.",
    ),
    "flipped.png": (
        lambda: imagecodecs.png_encode(PIXELS).replace(imagecodecs.png_encode(PIXELS)[1000:1004], b"oops"),
        "E106",
        "this PNG file is damaged or cut short (the checksum of its IDAT part is wrong). Copy or export it again.",
    ),
    "half.jpg": (
        lambda: imagecodecs.jpeg_encode((PIXELS >> 4).astype("u1"))[:-200],
        "E106",
        "this JPEG file is damaged or cut short (its end is missing). Copy or export it again.",
    ),
    "start.jpg": (
        lambda: imagecodecs.jpeg_encode((PIXELS >> 4).astype("u1"))[:60],
        "E106",
        "this picture file is damaged or cut short (its header is incomplete). Copy or export it again.",
    ),
    "print.jpg": (
        cmyk_jpeg,
        "E111",
        "its colours are stored as 4 inks (CMYK), which is not read. Export it as RGB or grey.",
    ),
    "print.tif": (
        lambda: tiff(np.zeros((9, 9, 4), "u1"), photometric="separated"),
        "E111",
        "its colours are stored as CMYK, which is not read. Export it as RGB or grey.",
    ),
    "complex.tif": (
        lambda: tiff(PIXELS.astype("c8")),
        "E204",
        "pixels of type complex64 cannot be segmented."
        " Convert the image to 8, 16 or 32-bit numbers, for example the magnitude of complex values.",
    ),
    "codec.tif": (
        lambda: with_tags(tiff(compression="zlib"), Compression=34_676),
        "E109",
        "its pixels are stored in a way that cannot be read here (by SGILOG)."
        " Export it without compression, or with deflate (zip) or LZW.",
    ),
    "entities.tif": (
        ome_with_entities,
        "E106",
        "its OME-XML declares entities or is larger than any real one: it is not parsed."
        " Export the file again with the microscope's software or Fiji.",
    ),
    "pages.tif": (
        lambda: tiff(np.repeat(PIXELS[np.newaxis], 9, axis=0), photometric="minisblack", metadata=None),
        "E203",
        "9 pages and no axis information. They can be one image of 9 channels (--axes CYX), or 9 z-planes"
        " (--axes ZYX), or 9 time points (--axes TYX). Give the --axes that is right.",
    ),
}


@pytest.mark.parametrize("name", SPECIMENS)
def test_message(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, code, message = SPECIMENS[name]
    path = tmp_path / name
    path.write_bytes(make())

    with pytest.raises(CellfleetError) as caught:
        open_image(path, name=name).read_plane()

    assert str(caught.value) == f"{name}: {message} [{code}]"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd", "lzma", "packbits", "jpeg2000", "jpeg"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_every_codec_notices_a_cut_file(tmp_path: Path, compression: str, share: float) -> None:
    data = tiff((PIXELS >> 4).astype("u1"), compression=compression, rowsperstrip=8)
    (tmp_path / "x.tif").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CellfleetError, match=r"x.tif: this TIFF file is damaged or cut short \(.*\[E106\]"):
        open_image(tmp_path / "x.tif").read_plane()


CLAIMS = ["tera.tif", "giga.tif", "tiles.tif", "bomb.png", "tera.png"]
CLAIMS += ["ome_sizes.tif", "ome_count.tif", "imagej_slices.tif", "shape.tif"]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_allocates_nothing(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(SPECIMENS[name][0]())
    tracemalloc.start()
    try:
        with pytest.raises(CellfleetError):
            open_image(path, name=name)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_densely_packed_empty_image_is_no_bomb(tmp_path: Path) -> None:
    dark = np.zeros((9000, 9000), "u1")
    tifffile.imwrite(tmp_path / "dark.tif", dark, compression="zlib")
    assert open_image(tmp_path / "dark.tif", name="dark").read_plane().shape == (1, 9000, 9000)


# Arrays


@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros(5), "E202"),
        (7, "E202"),
        (np.zeros((0, 5)), "E205"),
        (np.zeros((3, 5, 0)), "E205"),
        (np.zeros((5, 5), complex), "E204"),
        (np.full((5, 5), "a"), "E204"),
        (np.full((5, 5), None), "E204"),
        (np.zeros((5, 5), np.longdouble), "E204"),
        (np.zeros((5, 5, 5)), "E203"),
        (np.zeros((2, 2, 5, 5)), "E203"),
    ],
)
def test_arrays_that_are_no_images(array: Any, code: str) -> None:
    with pytest.raises(CellfleetError) as caught:
        image_from_array(array, name="array")
    assert caught.value.code == code
    assert caught.value.where == "array"
    assert caught.value.action


# What the libraries lack


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (
            imagecodecs.DelayedImportError("png_decode"),
            "its pixels are stored in a way that cannot be read here (by a codec that is not installed)."
            " Export it without compression, or with deflate (zip) or LZW. [E109]",
        ),
        (
            MemoryError(),
            "does not fit into the memory that is free."
            " Close other programs, use a larger machine, or cut the image into parts. [E108]",
        ),
    ],
)
def test_decoder_that_gives_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception, told: str) -> None:
    def give_up(data: bytes) -> None:
        raise failure

    (tmp_path / "x.png").write_bytes(imagecodecs.png_encode(PIXELS))
    monkeypatch.setattr(imagecodecs, "png_decode", give_up)
    with pytest.raises(CellfleetError) as caught:
        open_image(tmp_path / "x.png").read_plane()
    assert str(caught.value) == f"x.png: {told}"


# What tifffile says


def test_what_tifffile_warns_about_becomes_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    # A description in an encoding that is neither UTF-8 nor Windows'.
    data = tiff(description="@@@@@@@@", metadata=None).replace(b"@@@@@@@@", b"\x81\x8d\x8f\x90 abc")
    (tmp_path / "x.tif").write_bytes(data)

    image = open_image(tmp_path / "x.tif")

    assert [notice.code for notice in image.notices] == ["W102"]
    assert image.notices[0].text.startswith("The file is not quite sound, look at the result: ")
    np.testing.assert_array_equal(image.read_plane()[0], PIXELS)
    assert caplog.records == []


def test_other_users_of_tifffile_keep_their_log(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff())
    open_image(tmp_path / "x.tif")
    logging.getLogger("tifffile").warning("for somebody else")
    assert [record.getMessage() for record in caplog.records] == ["for somebody else"]
