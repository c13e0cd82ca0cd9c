"""The virtual pyramid of an image: it is a valid OME-Zarr, and its pixels are those of the image."""

from __future__ import annotations

import dataclasses
import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from zarr.core.buffer.cpu import Buffer
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from cellfleet.errors import ServiceError
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array
from cellfleet.service import pyramid as module
from cellfleet.service.pyramid import Kept, Pyramid, Pyramids, array_metadata, group_metadata

SIDE = 8


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIDE", SIDE)


def pyramid_of(pixels: NDArray[Any], axes: str) -> Pyramid:
    return Pyramid(image_from_array(pixels, axes=axes), Kept())


def as_store(pyramid: Pyramid) -> zarr.Group:
    store = MemoryStore()

    def put(name: str, content: bytes) -> None:
        sync(store.set(name, Buffer.from_bytes(content)))

    put("zarr.json", json.dumps(group_metadata(pyramid, [None] * pyramid.image.channels)).encode())
    for level in range(pyramid.levels):
        put(f"{level}/zarr.json", json.dumps(array_metadata(pyramid, level)).encode())
        rows, columns = pyramid.grid(level)
        for t, c, z, y, x in np.ndindex(*pyramid.shape(level)[:3], rows, columns):
            put(f"{level}/c/{t}/{c}/{z}/{y}/{x}", pyramid.chunk(level, t, c, z, y, x).tobytes())
    return zarr.open_group(store, mode="r")


def halved(plane: NDArray[Any]) -> NDArray[Any]:
    padded = np.pad(plane, [(0, plane.shape[0] % 2), (0, plane.shape[1] % 2)], mode="edge").astype(np.int64)
    return (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2] + 2) // 4


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_every_level_is_the_mean_of_the_one_below(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 65536, (2, height, width), dtype=np.uint16)
    group = as_store(pyramid_of(pixels, "CYX"))
    for channel in range(2):
        expected = pixels[channel].astype(np.int64)
        for level in range(len(list(group.array_keys()))):
            np.testing.assert_array_equal(group[str(level)][0, channel, 0], expected)
            expected = halved(expected)
    assert max(group[str(len(list(group.array_keys())) - 1)].shape[-2:]) <= SIDE


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float16", "bool"])
def test_types_that_viewers_do_not_know_become_wider_ones(dtype: str) -> None:
    pixels = np.arange(3 * 12 * 20).reshape(3, 12, 20).astype(dtype)
    group = as_store(pyramid_of(pixels, "TYX"))
    np.testing.assert_array_equal(group["0"][:, 0, 0], pixels)


def test_it_is_a_valid_ome_zarr() -> None:
    pyramid = pyramid_of(np.zeros((2, 20, 30), np.uint8), "CYX")
    attributes = group_metadata(pyramid, [(1.0, 2.0), None])["attributes"]
    yaozarrs.validate_ome_object(attributes["ome"])
    assert attributes["ome"]["omero"]["channels"][0]["window"] == {"start": 1.0, "end": 2.0, "min": 0.0, "max": 255.0}


def test_chunks_beyond_the_image_are_not_there() -> None:
    pyramid = pyramid_of(np.zeros((20, 30), np.uint8), "YX")
    for place in ((9, 0, 0, 0, 0, 0), (0, 0, 0, 0, 3, 0), (0, 0, 1, 0, 0, 0), (0, 0, 0, 0, -1, 0)):
        with pytest.raises(IndexError):
            pyramid.chunk(*place)


def test_a_chunk_for_which_much_is_read_comes_when_it_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 4)
    monkeypatch.setattr(module, "_DEAR", 4)
    monkeypatch.setattr(module, "_KEPT_BYTES", 2 * SIDE * SIDE)
    pixels = np.random.default_rng(0).integers(0, 256, (8 * SIDE, 8 * SIDE), np.uint8)
    pyramid = pyramid_of(pixels, "YX")
    clock = itertools.count()
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    refused, found = 0, None
    while found is None:
        try:
            found = pyramid.chunk(3, 0, 0, 0, 0, 0)
        except ServiceError as error:
            refused += (error.code, error.status) == ("E948", 503)
    assert refused > 1
    expected = pixels.astype(np.int64)
    for _ in range(3):
        expected = halved(expected)
    np.testing.assert_array_equal(found, expected)


def test_details_are_there_while_somebody_reads_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG", 4)
    monkeypatch.setattr(module, "MOST_SECONDS", 0.01)
    pyramid = pyramid_of(np.ones((4 * SIDE, 4 * SIDE), np.uint8), "YX")
    with pyramid.kept.reading:
        assert pyramid.chunk(1, 0, 0, 0, 1, 1).all()
        with pytest.raises(ServiceError, match="E948"):
            pyramid.chunk(2, 0, 0, 0, 0, 0)
    assert pyramid.chunk(2, 0, 0, 0, 0, 0).all()


def test_the_copies_that_a_file_brings_are_read_instead_of_its_pixels() -> None:
    size = (16 * SIDE + 1, 8 * SIDE)
    copies = {
        step: image_from_array(np.full([length // step for length in size], step, np.uint8), axes="YX")
        for step in (1, 4)
    }
    small = copies[4]
    read = list[object]()

    def reads(*place: Any) -> Any:
        read.append(place)
        return copies[1].reader(*place)

    watched = dataclasses.replace(
        copies[1],
        reader=reads,
        overview=lambda side: small if side <= max(small.shape) else copies[1],
    )
    pyramid = Pyramid(watched, Kept())
    whole = as_store(pyramid)
    read.clear()
    assert [int(whole[str(level)][0, 0, 0].max()) for level in range(pyramid.levels)] == [1, 1, 4, 4, 4, 4]
    assert int(whole["2"][0, 0, 0].min()) == 4, "also at the edge, of which the copy leaves out a pixel"
    again = Pyramid(watched, Kept())
    again.chunk(again.levels - 1, 0, 0, 0, 0, 0)
    assert read == []


def test_images_are_opened_beside_each_other_and_each_once() -> None:
    pyramids, both, opened = Pyramids(), threading.Barrier(2, timeout=10), list[int]()

    def get(number: int) -> Pyramid:
        def opens(_: ChunkCache) -> Image:
            opened.append(number)
            both.wait()  # for the other image
            return image_from_array(np.zeros((8, 8), np.uint8), axes="YX")

        return pyramids.get(("job", number), opens)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(get, [0, 1, 0, 1]))
    assert sorted(opened) == [0, 1] and found[0] is found[2] and found[1] is found[3]


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT_BYTES", 10 * SIDE * SIDE)
    pyramid = pyramid_of(np.zeros((80, 80), np.uint8), "YX")
    pyramid.chunk(pyramid.levels - 1, 0, 0, 0, 0, 0)
    assert len(pyramid.kept._cheap.chunks) <= 10 and not pyramid.kept._dear.chunks
