"""Tiles of several threads in one call of a device. Knows neither the device nor what is computed.

While the device works on one batch, the requests for the next collect; so batches are as large as the demand, and
nobody waits for a batch to fill.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST_BATCH = 8
"""Tiles of about a megapixel: enough to fill a GPU, and 3 GB of its memory."""

Run = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.uint8]]
"""(N, R, Y, X) and (N, R, 2) → (N, H, Y, X)."""


class _Request(NamedTuple):
    pixels: NDArray[np.float32]
    contrast: NDArray[np.float32]
    heads: Future[NDArray[np.uint8]]


class Batcher:
    """One thread that feeds a device."""

    def __init__(self, run: Run, largest: int = LARGEST_BATCH) -> None:
        """Take the call of the device, and how many tiles of equal size it takes at once."""
        self._run, self._largest = run, largest
        self._asked: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        # A daemon: it ends with the process at the latest, and holds nothing that has to be put in order.
        threading.Thread(target=self._serve, name="batches", daemon=True).start()

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the heads (H, Y, X) of one tile (R, Y, X); waits for its batch, and raises what that raises."""
        request = _Request(pixels, contrast, Future())
        self._asked.put(request)
        return request.heads.result()

    def close(self) -> None:
        """End the thread; nobody may wait for an answer any more."""
        self._asked.put(None)

    def _serve(self) -> None:
        waiting: list[_Request] = []
        while self._collect(waiting):
            size = waiting[0].pixels.shape
            batch = [request for request in waiting if request.pixels.shape == size][: self._largest]
            waiting = [request for request in waiting if not any(request is taken for taken in batch)]
            self._answer(batch)

    def _collect(self, waiting: list[_Request]) -> bool:
        """Add what was asked for since, so that there is at least one request; say whether to go on."""
        while not waiting or not self._asked.empty():
            request = self._asked.get()
            if request is None:
                return False
            waiting.append(request)
        return True

    def _answer(self, batch: list[_Request]) -> None:
        try:
            pixels, contrast = (np.stack([getattr(r, name) for r in batch]) for name in ("pixels", "contrast"))
            heads = self._run(pixels, contrast)
        except Exception as error:  # noqa: BLE001 (whoever asked is told, and the thread lives on)
            for request in batch:
                request.heads.set_exception(error)
            return
        for request, own in zip(batch, heads, strict=True):
            request.heads.set_result(own)
