"""What is on a worker's bench: one model with its threads and memory, for all tasks that want it.

Two models at once would have to share the memory. So whoever wants another model waits until the tasks at hand have
ended; in turn, so that nobody waits for ever.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator

from cellfleet.models import AnyModel
from cellfleet.models.warm import WarmModels
from cellfleet.run.pools import Pools
from cellfleet.spec.job import PinnedModel

_LOOK_SECONDS = 1.0


class Bench:
    """May be used from any thread."""

    def __init__(self, models: WarmModels, threads: int, memory_bytes: int | None) -> None:
        """Take what to share out; no model is loaded yet."""
        self.threads = threads
        self._models, self._memory_bytes = models, memory_bytes
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()
        self._users = 0
        self._pinned: PinnedModel | None = None
        self._laid_out: tuple[AnyModel, Pools] | None = None

    @contextlib.contextmanager
    def use(self, model: PinnedModel, alive: Callable[[], None]) -> Iterator[tuple[AnyModel, Pools]]:
        """Yield the loaded model and its pools; `alive` is called while others are waited for, and may end it.

        Raises:
            ModelError, DeviceError: The model cannot be used here.
        """
        with self._changed:
            self._wait_for_turn(model, alive)
            laid_out = self._lay_out(model)
            self._users += 1
        try:
            yield laid_out
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def _wait_for_turn(self, model: PinnedModel, alive: Callable[[], None]) -> None:
        ticket = object()
        self._queue.append(ticket)
        try:
            while self._queue[0] is not ticket or (self._users and self._pinned != model):
                self._changed.wait(_LOOK_SECONDS)
                alive()
        finally:
            self._queue.remove(ticket)
            self._changed.notify_all()

    def _lay_out(self, model: PinnedModel) -> tuple[AnyModel, Pools]:
        if self._laid_out is None or self._pinned != model:
            loaded = self._models.get_any(model)
            self.clear()
            self._laid_out = loaded, Pools(self.threads, loaded, self._memory_bytes)
            self._pinned = model
        return self._laid_out

    def clear(self) -> None:
        """End the threads."""
        if self._laid_out is not None:
            self._laid_out[1].__exit__()
        self._laid_out = self._pinned = None
