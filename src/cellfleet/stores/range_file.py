"""One file of a bucket or web server as a seekable file object that fetches what is read. Knows no image format.

Fetches whole blocks, keeps the latest, and more at once when reading goes straight on: a file system's read-ahead, for
requests that cost some 30 ms each however small they are.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

BLOCK_BYTES = 1 << 20
_KEPT_BLOCKS = 16
_MOST_AHEAD = 8
"""Blocks that are fetched at once when reading goes straight on."""


class RangeFile(io.RawIOBase):
    """Reads by position, like a local file in mode ``rb``. Each call is safe under threads; seek and read are two."""

    def __init__(self, url: str, size: int, fetch: Callable[[int, int], bytes], start: bytes = b"") -> None:
        """Open what is `size` bytes long.

        Args:
            url: Becomes `name`.
            size: Length, bytes.
            fetch: (first, end) → the bytes first … end − 1.
            start: The first block where it is known already.
        """
        super().__init__()
        self.name = url
        self._size = size
        self._fetch = fetch
        self._position = 0
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        if start:
            self._blocks[0] = start
        self._next = 0
        self._ahead = 1

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move to a position, which may be beyond the end."""
        with self._lock:
            origin = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
            if origin + offset < 0:
                raise ValueError(f"negative position {origin + offset}")
            self._position = origin + offset
            return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes from the position on; fewer only at the end. Raises `InputError`."""
        with self._lock:
            rest = max(0, self._size - self._position)
            count = rest if size is None or size < 0 else min(size, rest)
            content = self._read(self._position, self._position + count)
            self._position += count
            return content

    def readall(self) -> bytes:
        """Return everything from the position on."""
        return self.read()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill `buffer` from the position on; return how many bytes there were."""
        view = memoryview(buffer).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)

    def _read(self, first: int, end: int) -> bytes:
        if first >= end:
            return b""
        wanted = range(first // BLOCK_BYTES, (end - 1) // BLOCK_BYTES + 1)
        if len(wanted) > _KEPT_BLOCKS:
            return self._fetch(first, end)
        blocks = self._fetch_missing(wanted)
        whole = b"".join(blocks[number] for number in wanted) if len(wanted) > 1 else blocks[wanted[0]]
        offset = wanted[0] * BLOCK_BYTES
        return whole[first - offset : end - offset]

    def _fetch_missing(self, wanted: range) -> dict[int, bytes]:
        """Return the wanted blocks; fetch in one request from the first missing one to the last, and beyond."""
        found = {number: self._blocks[number] for number in wanted if number in self._blocks}
        missing = [number for number in wanted if number not in found]
        if missing:
            self._ahead = min(2 * self._ahead, _MOST_AHEAD) if missing[0] == self._next else 1
            last = max(missing[-1], missing[0] + self._ahead - 1)
            first_byte = missing[0] * BLOCK_BYTES
            content = self._fetch(first_byte, min((last + 1) * BLOCK_BYTES, self._size))
            self._next = last + 1
            for start in range(0, len(content), BLOCK_BYTES):
                number = missing[0] + start // BLOCK_BYTES
                found[number] = self._blocks[number] = content[start : start + BLOCK_BYTES]
        for number in sorted(found):
            self._blocks.move_to_end(number)
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return found
