"""Decoded pieces of images (tiles, strips, whole pictures), kept while there is room for them. Knows no formats."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np
from numpy.typing import NDArray

CACHE_BYTES = 128 << 20

Chunk = NDArray[np.generic]


class ChunkCache:
    """Pieces by key, the least recently used given up first; safe for several threads."""

    def __init__(self, most_bytes: int = CACHE_BYTES) -> None:
        """Keep pieces of up to `most_bytes` together; the newest one is kept whatever its size."""
        self._most_bytes = most_bytes
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Chunk] = OrderedDict()
        self._awaited: dict[Hashable, Future[Chunk]] = {}

    def get(self, key: Hashable, decode: Callable[[], Chunk]) -> Chunk:
        """Return the piece `key`, made by `decode` if it is not there.

        Threads that want the same piece at the same time share one decoding, and its failure. Pieces are shared:
        they are made read-only.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            future = self._awaited.get(key)
            if future is None:
                mine = self._awaited[key] = Future()
        return future.result() if future else self._decode(key, mine, decode)

    def apart(self) -> ChunkCache:
        """Return a cache with keys of its own that shares the room of this one: for one of several files."""
        return _Apart(self)

    def _decode(self, key: Hashable, future: Future[Chunk], decode: Callable[[], Chunk]) -> Chunk:
        try:
            chunk = decode()
        except BaseException as error:
            with self._lock:
                del self._awaited[key]  # whoever asks next tries again
            future.set_exception(error)
            raise
        chunk.flags.writeable = False
        with self._lock:
            del self._awaited[key]
            self._kept[key] = chunk
            self._bytes += chunk.nbytes
            while self._bytes > self._most_bytes and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        future.set_result(chunk)
        return chunk


class _Apart(ChunkCache):
    """The pieces of one file in a cache of several."""

    def __init__(self, whole: ChunkCache) -> None:
        # An object of its own, not a number: it is not given out again while pieces of it are kept.
        self._whole, self._file = whole, object()

    def get(self, key: Hashable, decode: Callable[[], Chunk]) -> Chunk:
        """Return the piece `key` of this file."""
        return self._whole.get((self._file, key), decode)
