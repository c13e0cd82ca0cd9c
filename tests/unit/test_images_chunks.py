"""Decoded pieces are made once, shared by threads, and given up oldest first when there are too many."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from cellfleet.images.chunks import ChunkCache


def chunk(calls: list[str], name: str, size: int = 100) -> Callable[[], NDArray[np.generic]]:
    def decode() -> NDArray[np.generic]:
        calls.append(name)
        return np.zeros(size, np.uint8)

    return decode


def test_a_piece_is_made_once() -> None:
    cache, calls = ChunkCache(), list[str]()
    first = cache.get("a", chunk(calls, "a"))
    assert cache.get("a", chunk(calls, "a")) is first
    assert calls == ["a"]


def test_pieces_are_shared_so_nobody_can_change_them() -> None:
    with pytest.raises(ValueError, match="read-only"):
        ChunkCache().get("a", chunk([], "a"))[0] = 1


def test_the_least_recently_used_goes_first() -> None:
    cache, calls = ChunkCache(250), list[str]()
    for key in "abac":  # there is room for two: b goes when c comes
        cache.get(key, chunk(calls, key))
    for key in "ac":
        cache.get(key, chunk(calls, key))
    assert calls == ["a", "b", "c"]
    cache.get("b", chunk(calls, "b"))
    assert calls == ["a", "b", "c", "b"]


def test_the_newest_piece_is_kept_whatever_its_size() -> None:
    cache, calls = ChunkCache(10), list[str]()
    for _ in range(2):
        cache.get("a", chunk(calls, "a"))
    assert calls == ["a"]


def test_threads_that_want_the_same_piece_share_one_decoding() -> None:
    cache, calls, together = ChunkCache(), list[str](), threading.Barrier(8)
    begun, go = threading.Event(), threading.Event()

    def slow() -> NDArray[np.generic]:
        begun.set()
        go.wait()
        return chunk(calls, "a")()

    def ask() -> NDArray[np.generic]:
        together.wait()
        return cache.get("a", slow)

    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask) for _ in range(8)]
        begun.wait()
        go.set()
        found = [each.result() for each in asked]
    assert calls == ["a"]
    assert all(each is found[0] for each in found)


def test_a_failure_is_not_kept() -> None:
    cache = ChunkCache()

    def fail() -> NDArray[np.generic]:
        raise OSError("once")

    with pytest.raises(OSError, match="once"):
        cache.get("a", fail)
    assert cache.get("a", chunk([], "a")).nbytes == 100


def test_files_share_the_room_of_a_cache_but_no_piece() -> None:
    whole = ChunkCache(most_bytes=3 * 8)
    one, other = whole.apart(), whole.apart()
    assert one.get("tile", lambda: np.array([1]))[0] == 1
    assert other.get("tile", lambda: np.array([2]))[0] == 2
    for key in range(3):
        other.get(key, lambda: np.array([3]))
    assert one.get("tile", lambda: np.array([4]))[0] == 4, "given up for the pieces of the other file"
