"""Which part of a run is done here, where several machines share it without talking to each other.

Many images are dealt out one by one; of few, possibly huge ones, every machine does a share of the blocks. Both follow
from the list of images and the number of machines alone, so all machines come to the same division.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TypeVar

from cellfleet.errors import UsageError
from cellfleet.spec.segment import Shard
from cellfleet.tiling.blocks import BLOCK
from cellfleet.tiling.box import Box

Item = TypeVar("Item")

IMAGES_PER_SHARD = 4
"""With at least so many images for each machine, whole images are dealt out."""

SQUARE = 8
"""Blocks along the side of what `share_by_squares` keeps together."""

_ARRAYS = (
    ("SLURM", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
    ("Google Batch", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    ("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    ("Kubernetes", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS"),
)
"""Who sets which variables: the index of this task, and how many there are (Kubernetes leaves that to the manifest)."""


def by_images(images: int, shard: Shard) -> bool:
    """Say whether whole images are dealt out."""
    return images >= IMAGES_PER_SHARD * shard.count


def share_of_images(items: Sequence[Item], shard: Shard | None) -> list[Item]:
    """Return every n-th image: neighbours in the list are alike in size, so the shares are, too."""
    return list(items) if shard is None else list(items[shard.number - 1 :: shard.count])


def share_of_blocks(jobs: Sequence[Item], shard: Shard | None, image: int) -> Sequence[Item]:
    """Return a run of neighbouring blocks: only its first and last share tiles with another machine.

    An image of one block falls to one of the machines, by its place in the list of images.
    """
    if shard is None:
        return jobs
    if len(jobs) == 1:
        return jobs if owns(image, shard) else []
    start, stop = (len(jobs) * part // shard.count for part in (shard.number - 1, shard.number))
    return jobs[start:stop]


def share_by_squares(jobs: Sequence[tuple[int, Box]], shard: Shard) -> Sequence[tuple[int, Box]]:
    """Return a run of blocks of squares of 8 × 8 of them: few tiles of a small share lie on its edge."""
    side = SQUARE * BLOCK
    ordered = sorted(jobs, key=lambda job: (job[0], job[1].y0 // side, job[1].x0 // side, job[1].y0, job[1].x0))
    return share_of_blocks(ordered, shard, 0)


def owns(image: int, shard: Shard) -> bool:
    """Say whether what concerns a shared image as a whole is for this machine to write."""
    return image % shard.count == shard.number - 1


def shard_of_array_job(environment: Mapping[str, str] = os.environ) -> Shard:
    """Return the part that falls to this task of an array job.

    Raises:
        UsageError: E038, this is no array job, or the system does not say how many tasks it has.
    """
    for system, index, count in _ARRAYS:
        if not environment.get(index):
            continue
        # Only SLURM's arrays may begin and step anywhere.
        first = _number(environment, "SLURM_ARRAY_TASK_MIN", 0) if system == "SLURM" else 0
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1) if system == "SLURM" else 1
        number = (_number(environment, index, -1) - first) // max(step, 1) + 1
        if 1 <= number <= _number(environment, count, 0):
            return Shard(number=number, count=_number(environment, count, 0))
        raise UsageError(
            "E038",
            f"{system} tells the index of this task ({index}={environment[index]}), but {count} does not fit it",
            where="--shard auto",
            action=f"Set {count} to the number of tasks, or write --shard i/n",
        )
    raise UsageError(
        "E038",
        "this is no task of an array job: no variable of SLURM, Google Batch, AWS Batch or Kubernetes is set",
        where="--shard auto",
        action="Write --shard i/n, for example --shard 2/8",
    )


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "").strip()
    return int(text) if text.isdecimal() else default
