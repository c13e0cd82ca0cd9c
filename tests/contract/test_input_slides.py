"""Files of slide scanners: TIFF with tables, texts and pictures of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from tests.contract.input_images import pixels

from cellfleet.images.read import open_image


def abbreviated(stream: bytes) -> tuple[bytes, bytes]:
    """Take the tables out of a JPEG stream, as slide scanners do: (tables, stream without them)."""
    tables = rest = b""
    place = 2
    while stream[place + 1] != 0xDA:
        end = place + 2 + int.from_bytes(stream[place + 2 : place + 4], "big")
        if stream[place + 1] in (0xDB, 0xC4):
            tables += stream[place:end]
        else:
            rest += stream[place:end]
        place = end
    return b"\xff\xd8" + tables + b"\xff\xd9", b"\xff\xd8" + rest + stream[place:]


def write_slide(path: Path) -> None:
    """An Aperio slide of 300 × 500 pixels: JPEG tiles with shared tables, an overview, a smaller level."""
    y, x = np.mgrid[:384, :512]
    full = np.stack([y % 256, x % 256, (x + y) // 4], axis=-1).astype("u1")
    tiles = [full[i : i + 128, j : j + 128].copy() for i in range(0, 384, 128) for j in range(0, 512, 128)]
    options: dict[str, Any] = {"level": 90, "colorspace": "rgb", "outcolorspace": "ycbcr", "subsampling": "420"}
    streams = [abbreviated(imagecodecs.jpeg8_encode(tile, **options)) for tile in tiles]
    text = "Aperio Image Library v12.0\n500x300 [0,0 500x300] (128x128) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"
    tiled: dict[str, Any] = {"tile": (128, 128), "compression": "jpeg", "description": text, "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(
            (stream for _, stream in streams),
            shape=(300, 500, 3),
            dtype="u1",
            photometric="ycbcr",
            subsampling=(2, 2),
            extratags=[(347, 7, len(streams[0][0]), streams[0][0], True)],
            **tiled,
        )
        writer.write(full[:300:4, :500:4], photometric="rgb", description="Aperio overview", metadata=None)
        writer.write(full[:300:2, :500:2], photometric="rgb", **tiled)


def test_aperio_slide(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.svs")
    with tifffile.TiffFile(tmp_path / "a.svs") as tif:
        expected = tif.series[0].levels[0].asarray()

    image = open_image(tmp_path / "a.svs")

    assert (image.shape, image.channel_names, image.notices) == ((3, 300, 500), ("red", "green", "blue"), ())
    assert (image.microns_per_pixel, image.microns_per_pixel_source) == (0.499, "slide")
    assert image.region_bytes == 128 * 128 * 3
    read = image.read(y=slice(100, 300), x=slice(120, 500))
    np.testing.assert_array_equal(read.transpose(1, 2, 0), expected[100:, 120:])


def test_channels_of_a_qptiff_slide_have_names(tmp_path: Path) -> None:
    stored = pixels((3, 64, 96))
    texts = ("<Name>DAPI</Name>", "<Biomarker>PanCK</Biomarker><Name>Opal 520</Name>", "")
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as writer:
        for plane, text in zip(stored, texts, strict=True):
            xml = f'<?xml version="1.0" encoding="utf-16"?><PerkinElmer-QPI-ImageDescription>{text}'
            writer.write(
                plane,
                tile=(32, 32),
                software="PerkinElmer-QPI",
                description=f"{xml}</PerkinElmer-QPI-ImageDescription>",
                metadata=None,
                resolution=(20_000, 20_000),
                resolutionunit="CENTIMETER",
            )
    image = open_image(tmp_path / "a.qptiff")
    assert (image.axes, image.channel_names) == ("CYX", ("DAPI", "PanCK", ""))
    assert image.microns_per_pixel == pytest.approx(0.5)
    np.testing.assert_array_equal(image.read(channels=[2, 1], y=slice(30, 50)), stored[[2, 1], 30:50])
