"""Tensors for a server on the same machine: memory that both see, so that no pixel goes through a socket. Linux only.

Each region is a file in ``/dev/shm`` that its process holds locked. The system ends a lock with its process, however
that ends and in whatever container it was: a region that nobody holds is a stray, which the next process removes. Knows
no model.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import secrets
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.inference.server_trouble import trouble_of
from cellfleet.inference.triton_client import library

if sys.platform != "win32":
    import fcntl

FOLDER = Path("/dev/shm")
"""Where Linux keeps shared memory."""
_PREFIX = "cellfleet-"
_STEP_BYTES = 1 << 20
"""Regions have whole multiples, so that one serves tiles of many sizes."""
_TIMEOUT_SECONDS = 10.0
"""For the server to take note of a region, or to forget it."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Region:
    """Memory of one request at a time."""

    name: str
    file: int
    """Its descriptor, locked."""
    memory: mmap.mmap
    registered: bool = False
    """Whether the server knows it."""

    def array(self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0) -> NDArray[Any]:
        """Return a part of it as an array."""
        return np.ndarray(shape, dtype, self.memory, offset)

    def close(self) -> None:
        """Remove it from this machine; a server that knows it keeps the memory until it forgets it."""
        with contextlib.suppress(BufferError):  # a thread still reads from it: it goes with the array
            self.memory.close()
        (FOLDER / self.name).unlink(missing_ok=True)
        os.close(self.file)


@dataclass(eq=False)
class Regions:
    """Those of one process and one server. May be used from any thread."""

    client: Any
    """Of Triton's library."""
    refused: bool = field(default=False, init=False)
    """Whether the server takes none: it runs elsewhere, in another container, or as another user."""
    _free: list[Region] = field(default_factory=list)
    _retired: list[Region] = field(default_factory=list)
    """Into which the server may write yet."""
    _closed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Remove what processes left that were killed."""
        self.refused = not FOLDER.is_dir()
        sweep(self.client)

    def take(self, size: int) -> Region | None:
        """Return a region of at least `size` bytes that the server knows; None: there is no such way to it.

        Raises:
            InferenceServerException: The server does not answer.
        """
        if self.refused:
            return None
        with self._lock:
            region = self._free.pop() if self._free else None
        if region is not None and len(region.memory) < size:
            self._drop(region)
            region = None
        if region is None:
            try:
                region = _new_region(size + -size % _STEP_BYTES)
            except OSError as error:
                self._refuse(str(error))
                return None
        return region if region.registered or self._register(region) else None

    def give_back(self, region: Region, *, in_use: bool = False) -> None:
        """Take a region back, for the next request; never again while the server may be at a request of it."""
        with self._lock:
            if not self._closed:
                (self._retired if in_use else self._free).append(region)
                return
        region.close()

    def forget(self) -> None:
        """Have all regions told to the server again: it was started anew."""
        with self._lock:
            for region in self._free:
                region.registered = False

    def close(self) -> None:
        """Remove all regions; those that a request uses, when it ends."""
        with self._lock:
            regions = [*self._free, *self._retired]
            self._free, self._retired, self._closed, self.refused = [], [], True, True
        for region in regions:
            self._drop(region)

    def _register(self, region: Region) -> bool:
        error_of_server = library().InferenceServerException
        try:
            with contextlib.suppress(error_of_server):
                self.client.unregister_system_shared_memory(region.name, client_timeout=_TIMEOUT_SECONDS)
            self.client.register_system_shared_memory(
                region.name, f"/{region.name}", len(region.memory), client_timeout=_TIMEOUT_SECONDS
            )
        except error_of_server as error:
            region.close()
            if trouble_of(error).kind in {"away", "late"}:
                raise
            self._refuse(str(error.message()))
            return False
        region.registered = True
        return True

    def _refuse(self, why: str) -> None:
        self.refused = True
        _log.warning("the model server shares no memory with this process, tensors go over the network: %s", why)

    def _drop(self, region: Region) -> None:
        _unregister(self.client, region.name)
        region.close()


def sweep(client: Any) -> int:
    """Remove the regions of processes that are gone, here and in the server; return how many there were."""
    strays = 0
    for path in FOLDER.glob(f"{_PREFIX}*") if FOLDER.is_dir() else ():
        with _held(path) as held:
            if held:
                _unregister(client, path.name)
                path.unlink(missing_ok=True)
                strays += 1
    return strays


def _unregister(client: Any, name: str) -> None:
    # A server that does not answer has either forgotten it, or keeps memory that nobody can do anything about.
    with contextlib.suppress(library().InferenceServerException):
        client.unregister_system_shared_memory(name, client_timeout=_TIMEOUT_SECONDS)


@contextlib.contextmanager
def _held(path: Path) -> Iterator[bool]:
    """Hold a region while the block runs, if nobody else does; yield whether."""
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:  # it went just now, or belongs to another user
        yield False
        return
    try:
        yield _lock(file)
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _new_region(size: int) -> Region:
    """Make a region. Raises `OSError`: there is no room, or no such memory."""
    while True:
        name = f"{_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        file = os.open(FOLDER / name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        # Between these two lines a sweep may have taken it for a stray.
        if _lock(file) and (FOLDER / name).exists():
            break
        os.close(file)
    try:
        # Taken at once: a write to memory that is not there would end the process.
        os.posix_fallocate(file, 0, size)
        return Region(name, file, mmap.mmap(file, size))
    except OSError:
        (FOLDER / name).unlink(missing_ok=True)
        os.close(file)
        raise
