"""Tiles or images of several threads in one call of a device. Knows neither the device nor what is computed.

While the device works on one batch, the requests for the next collect; so batches are as large as the demand, and
nobody waits for a batch to fill.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LARGEST_BATCH = 8
"""Tiles of about a megapixel: enough to fill a GPU, and 3 GB of its memory."""

Run = Callable[..., NDArray[Any]]
"""Arrays with N in front → an array with N in front: (N, R, Y, X) and (N, R, 2) → (N, H, Y, X), say."""


class _Request(NamedTuple):
    given: tuple[NDArray[np.float32], ...]
    """As of `Run`, without N; of requests in one batch the first have one shape."""
    answer: Future[NDArray[Any]]


class Batcher:
    """One thread that feeds a device."""

    def __init__(self, run: Run, largest: int = LARGEST_BATCH) -> None:
        """Take the call of the device, and how many requests of equal size it takes at once."""
        self._run, self._largest = run, largest
        self._asked: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        # A daemon: it ends with the process at the latest, and holds nothing that has to be put in order.
        threading.Thread(target=self._serve, name="batches", daemon=True).start()

    def ask(self, *given: NDArray[np.float32]) -> Future[NDArray[Any]]:
        """Ask for what `Run` makes of these, and do not wait."""
        request = _Request(given, Future())
        self._asked.put(request)
        return request.answer

    def predict(self, *given: NDArray[np.float32]) -> NDArray[Any]:
        """Return what `Run` makes of these; waits for its batch, and raises what that raises."""
        return self.ask(*given).result()

    def close(self) -> None:
        """End the thread; nobody may wait for an answer any more."""
        self._asked.put(None)

    def _serve(self) -> None:
        waiting: list[_Request] = []
        while self._collect(waiting):
            size = waiting[0].given[0].shape
            batch = [request for request in waiting if request.given[0].shape == size][: self._largest]
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
            answers = self._run(*(np.stack(arrays) for arrays in zip(*(r.given for r in batch), strict=True)))
        except Exception as error:  # noqa: BLE001 (whoever asked is told, and the thread lives on)
            for request in batch:
                request.answer.set_exception(error)
            return
        for request, own in zip(batch, answers, strict=True):
            request.answer.set_result(own)
