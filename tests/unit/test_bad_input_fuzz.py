"""Random damage to valid files gives an image or one of our errors, in little memory, and never anything else."""

from __future__ import annotations

import io
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.errors import CellfleetError, InputError
from cellfleet.images.image import Image
from cellfleet.images.read import open_image

PIXELS = np.random.default_rng(1).integers(0, 4000, (3, 24, 32)).astype("u2")
COLOURS = np.ascontiguousarray(np.moveaxis(PIXELS >> 4, 0, -1).astype("u1"))
MOST_BYTES = 160 << 20
"""Twice what a header may claim unchecked (stored.HARMLESS_BYTES), and some."""


def tiff(pixels: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


FILES = {
    "strip.tif": tiff(PIXELS[0]),
    "zlib.tif": tiff(PIXELS, compression="zlib", predictor=True, photometric="minisblack"),
    "lzw.tif": tiff(PIXELS[0], compression="lzw", rowsperstrip=7),
    "tiles.tif": tiff(PIXELS[0], tile=(16, 16), compression="zstd"),
    "imagej.tif": tiff(PIXELS, imagej=True, resolution=(2, 2), metadata={"axes": "CYX", "unit": "um"}),
    "ome.tif": tiff(PIXELS, ome=True, metadata={"axes": "CYX", "PhysicalSizeX": 0.3}),
    "big.tif": tiff(PIXELS[0], bigtiff=True),
    "colour.tif": tiff(COLOURS, photometric="rgb", compression="jpeg"),
    "bits.tif": tiff(PIXELS[0] > 2000),
    "float.tif": tiff(PIXELS[0].astype("f4"), byteorder=">", compression="packbits"),
    "grey.png": imagecodecs.png_encode(PIXELS[0]),
    "colour.png": imagecodecs.png_encode(COLOURS),
    "grey.jpg": imagecodecs.jpeg_encode(COLOURS[..., 0].copy()),
    "colour.jpg": imagecodecs.jpeg_encode(COLOURS),
}


@st.composite
def damaged_files(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from(sorted(FILES)))
    data = bytearray(FILES[name])
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    # Headers are small and full of meaning: most damage goes there.
    places = st.one_of(st.integers(0, 399), st.integers(0, len(FILES[name])))
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=12)):
        if place < len(data):
            data[place] = value
    return name, bytes(data)


def attempt(name: str, data: bytes) -> CellfleetError | Image:
    """Open and read a file; return the image, or the error. Whatever else is raised fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            image = open_image(path, name=name)
            for t, z in image.planes()[:3]:
                plane = image.read_plane(t, z)
                assert plane.shape == (image.channels, image.length("Y"), image.length("X"))
                assert plane.dtype == image.dtype
        except CellfleetError as error:
            return error
    return image


@settings(max_examples=400, deadline=None, derandomize=True)
@given(damaged_files())
def test_damage_gives_an_image_or_an_error_of_ours(damaged: tuple[str, bytes]) -> None:
    outcome = attempt(*damaged)
    if isinstance(outcome, CellfleetError):
        assert outcome.where == damaged[0]
        assert outcome.action
        assert outcome.code[1] in "12"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(damaged_files())
def test_damage_costs_little_memory(damaged: tuple[str, bytes]) -> None:
    tracemalloc.start()
    try:
        attempt(*damaged)
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(FILES)), st.floats(0, 0.6))
def test_a_file_cut_in_its_first_half_is_refused(name: str, share: float) -> None:
    outcome = attempt(name, FILES[name][: int(share * len(FILES[name]))])
    assert isinstance(outcome, InputError)
