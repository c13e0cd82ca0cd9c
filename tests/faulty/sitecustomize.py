"""What goes wrong in the processes of a service under test: Python imports this first where the folder is on its path.

Large images are small here, so that they are done in shares; images may be deadly, slow, or meet a full disk. Which,
the environment says. Nothing of it is in the product.
"""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

SIDE = 64
"""Of blocks, px."""
DEADLY = "CELLFLEET_TEST_DEADLY"
"""Part of the name of an image that kills whoever tries it."""
PACE = "CELLFLEET_TEST_PACE"
"""Seconds that every image takes longer."""
FULL = "CELLFLEET_TEST_FULL"
"""While there is a file of this name, the disk is full."""


def _small_blocks() -> None:
    from cellfleet.jobs import split
    from cellfleet.run import process
    from cellfleet.tiling.blocks import blocks

    split.LARGE_BYTES, split.SHARE_BLOCKS = 100_000, 4
    split.blocks = functools.partial(blocks, side=SIDE)  # type: ignore[attr-defined]
    process.How = functools.partial(process.How, block=SIDE)  # type: ignore[misc,assignment]


def _deadly_and_slow_images() -> None:
    from cellfleet.worker import tasks

    attempt = tasks.attempt  # type: ignore[attr-defined]

    def tried(task: Any, work: Any) -> Any:
        if os.environ.get(DEADLY, "\0") in task.name:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(float(os.environ.get(PACE, "0")))
        return attempt(task, work)

    tasks.attempt = tried  # type: ignore[attr-defined]


def _full_disk(flag: Path) -> None:
    flush = os.fsync

    def refused(descriptor: int) -> None:
        if flag.exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(descriptor)

    os.fsync = refused


if "cellfleet" in sys.orig_argv and {"serve", "worker"} & set(sys.orig_argv):
    _small_blocks()
    if FULL in os.environ:
        _full_disk(Path(os.environ[FULL]))
    if "worker" in sys.orig_argv:
        _deadly_and_slow_images()
