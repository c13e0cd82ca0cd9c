"""What all images of a run share: threads, memory, and the tiles that were predicted last.

Three kinds of threads, each waiting only for the next: an image waits for its blocks, a block for its tiles. Threads
are not tied to a stage, so none idles while there is work of any kind: the network, the watershed, reading and
writing of different blocks and images go on at once. What is in flight is bounded by memory (`resources.py`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Self, TypeVar

from cellfleet.images.chunks import ChunkCache
from cellfleet.inference.batching import LARGEST_BATCH
from cellfleet.models import AnyModel
from cellfleet.observe.logs import carrying
from cellfleet.pipeline.heads import TilePool
from cellfleet.run.resources import MemoryBudget, MemoryPlan, plan_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pools:
    """Threads and memory of one run."""

    def __init__(self, threads: int, model: AnyModel, memory_bytes: int | None = None) -> None:
        """Start them.

        Args:
            threads: Processor threads to keep busy.
            model: Decides what a tile costs.
            memory_bytes: All that the process may use; None: no limit is known.

        Raises:
            DeviceError: E515, that is too little for even one tile and one block.
        """
        self.plan: MemoryPlan = plan_memory(memory_bytes, threads, model)
        self.threads = threads
        # A GPU takes batches: one is read and resampled while the other is on the device.
        at_once = self.plan.tiles_at_once if model.device == "cpu" else max(threads, 2 * LARGEST_BATCH)
        self.tiles = TilePool(at_once, self.plan.tile_cache_bytes)
        self.chunks = ChunkCache(self.plan.chunk_cache_bytes)
        self.budget = MemoryBudget(self.plan.block_bytes)
        self._blocks = ThreadPoolExecutor(threads, thread_name_prefix="block")
        self._large = threading.Lock()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Drop what is waiting and end the threads."""
        self._blocks.shutdown(cancel_futures=True)
        self.tiles.close()

    @contextlib.contextmanager
    def one_large_image(self, checkpoint: Callable[[], None]) -> Iterator[None]:
        """Wait until no other image is being done in blocks: two would drive each other's tiles out of memory.

        It may be a long wait: `checkpoint` is called meanwhile, and what it raises ends it.
        """
        while not self._large.acquire(timeout=_WAKE_SECONDS):
            checkpoint()
        try:
            checkpoint()
            yield
        finally:
            self._large.release()

    def over_blocks(self, work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the results of `work`, in any order; after an error nothing new is begun."""
        # One more than there are threads, so that none waits for this one to wake up.
        yield from in_parallel(self._blocks, work, items, self.threads + 1)


def in_parallel(
    pool: ThreadPoolExecutor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    at_once: int,
    *,
    look_up: Callable[[], None] = lambda: None,
    give_up: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield the results of `work` in any order, with `at_once` items handed to the pool at a time.

    `look_up` is called in the thread that waits, several times a second; `give_up` after an error or Ctrl-C, before
    what is under way is waited for.
    """
    waiting, work = iter(items), carrying(work)
    pending: set[Future[Result]] = {pool.submit(work, item) for item in islice(waiting, at_once)}
    try:
        while pending:
            # Woken up regularly, so that Windows can deliver Ctrl-C.
            finished, pending = wait(pending, timeout=_WAKE_SECONDS, return_when=FIRST_COMPLETED)
            look_up()
            # Before anything new is begun: one of them may have failed.
            results = [future.result() for future in finished]
            pending |= {pool.submit(work, item) for item in islice(waiting, len(finished))}
            yield from results
    except BaseException:
        give_up()
        raise
    finally:
        for future in pending:
            future.cancel()
        wait(pending)


_WAKE_SECONDS = 0.2
