"""From what was measured on some machine to how fast a worker is on another. Pure; knows no store and no clock.

A worker overlaps its stages: the network on the GPU, everything else on the processor's threads. So it takes the longer
of the two per megapixel, and where a processor does all, the sum over its threads. What was measured is scaled by this
rule to other numbers of threads; the further the machine is from the measured one, the wider the span.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cellfleet.errors import Notice, UsageError
from cellfleet.spec.plan import Hardware, Speed

LITTLE_MEGAPIXELS = 5.0
"""What was measured on less is a first guess."""
_PREDICT, _WRITE = "predict", "write"
_SIZES_DIFFER = 0.05
"""Variance of the images' sizes over the square of their mean, from which on a line can be laid through them."""

_SAME, _LIKE, _OTHER = 1.15, 1.3, 1.5
"""Factor up and down: measured on such machines; on the same processor or GPU otherwise; on another one."""
_GPU_FASTER = 5.0
"""A T4 did inference 4.8 times as fast as six cores (DeepCell on Google Batch, benchmarking/README.md)."""


@dataclass(frozen=True)
class Rate:
    """How fast one worker is."""

    seconds_per_megapixel: float
    """Of the machine, beside what every image takes."""
    faster: float
    """Factor by which it may be faster, ≥ 1."""
    slower: float
    """Factor by which it may be slower, ≥ 1."""
    gpu_seconds: float
    """Of the GPU per megapixel; 0 where there is none."""
    cpu_seconds: float
    """Of the processor per megapixel, over its threads."""
    load_seconds: float | None
    """None: not measured."""
    warm_up_seconds: float | None
    stage_seconds: dict[str, float]
    """Of threads per megapixel, as measured."""
    source: str
    notices: tuple[Notice, ...] = ()
    seconds_per_image: float = 0.0
    """Of the machine, whatever the size of the image."""


def merge(speeds: Iterable[Speed]) -> list[Speed]:
    """Add up what was measured of the same model on the same hardware."""
    sums: dict[tuple[str, Hardware], Speed] = {}
    for speed in speeds:
        key = speed.model, speed.hardware
        sums[key] = plus(sums[key], speed) if key in sums else speed
    return list(sums.values())


def plus(one: Speed, other: Speed) -> Speed:
    """Return the sum of two measurements of the same model on the same hardware."""
    stages = Counter[str](one.stage_seconds)
    stages.update(other.stage_seconds)  # the + of counters leaves out zeros
    return one.model_copy(
        update={
            "images": one.images + other.images,
            "megapixels": one.megapixels + other.megapixels,
            "seconds": one.seconds + other.seconds,
            "stage_seconds": dict(stages),
            "squared_megapixels": one.squared_megapixels + other.squared_megapixels,
            "weighted_seconds": one.weighted_seconds + other.weighted_seconds,
            "loads": one.loads + other.loads,
            "load_seconds": one.load_seconds + other.load_seconds,
            "warm_up_seconds": one.warm_up_seconds + other.warm_up_seconds,
        }
    )


def rate_on(speeds: Sequence[Speed], wanted: Hardware) -> Rate:
    """Return how fast a model is on some hardware, from measurements of this model.

    Raises:
        UsageError: E750, nothing was measured that says anything about it.
    """
    usable = [speed for speed in merge(speeds) if speed.megapixels > 0 and speed.seconds > 0]
    ranked = [(rank, speed) for speed in usable if (rank := _rank(speed.hardware, wanted)) is not None]
    if not ranked:
        raise UsageError(
            "E750",
            f"nobody has measured this model on {said(wanted)}, nor on anything like it",
            action="Run it there on a few images first, or plan for a machine without GPU",
        )
    rank, best = min(ranked, key=lambda item: (item[0], -item[1].megapixels))
    return _scaled(best, wanted, rank)


def image_share(speed: Speed) -> float:
    """Return the part of the threads' time that follows from the number of images, 0 … 1; the rest from their pixels.

    Where images of several sizes were measured, it is the intercept of the line through seconds over megapixels, by
    least squares. Else the stage that writes files is taken for it: their number counts more than their size.
    """
    total = sum(speed.stage_seconds.values())
    if not total:
        return 0.0
    spread = speed.images * speed.squared_megapixels - speed.megapixels**2
    if spread < _SIZES_DIFFER * speed.megapixels**2:
        return speed.stage_seconds.get(_WRITE, 0.0) / total
    slope = (speed.images * speed.weighted_seconds - speed.megapixels * total) / spread
    return min(1.0, max(0.0, 1.0 - slope * speed.megapixels / total))


def said(hardware: Hardware) -> str:
    """Return what computes, in words."""
    threads = f"{hardware.threads} thread{'s' * (hardware.threads != 1)}"
    if hardware.gpu:
        return f"{_short(hardware.gpu)} and {threads}"
    return f"{threads} of {hardware.cpu}" if hardware.cpu else threads


def same_gpu(one: str, other: str) -> bool:
    """Tell whether two names mean the same GPU: ``Tesla T4`` is ``nvidia-tesla-t4``."""
    return _short(one) == _short(other)


def _short(gpu: str) -> str:
    words = [word for word in re.split(r"[^a-z0-9]+", gpu.lower()) if word not in {"nvidia", "tesla", "geforce", ""}]
    # "A100-SXM4-40GB" and "nvidia-tesla-a100" are one kind: the model comes first.
    return words[0].upper() if words else gpu


def _rank(measured: Hardware, wanted: Hardware) -> int | None:
    """Return how far from the wanted hardware something was measured, 0 = the same; None: it says nothing."""
    same_machine = bool(measured.machine) and measured.machine == wanted.machine
    if wanted.gpu:
        if not measured.gpu:
            return 4
        return 3 if not same_gpu(measured.gpu, wanted.gpu) else int(not same_machine)
    if measured.gpu:
        return None
    if measured.cpu == wanted.cpu:
        return int(measured.threads != wanted.threads)
    return 0 if same_machine else 2


def _scaled(speed: Speed, wanted: Hardware, rank: int) -> Rate:
    per_megapixel = {stage: seconds / speed.megapixels for stage, seconds in speed.stage_seconds.items()}
    total = sum(per_megapixel.values())
    on_gpu = per_megapixel.get(_PREDICT, 0.0) if speed.hardware.gpu else 0.0
    measured = speed.seconds / speed.megapixels
    before, after = (max(on_gpu, (total - on_gpu) / threads) for threads in (speed.hardware.threads, wanted.threads))
    # What the rule leaves out (waiting for the disk, starting, ending) is taken along in proportion.
    left_out = measured / before if before > 0 else 1.0
    slower = (_SAME, _LIKE, _OTHER, _OTHER, _OTHER)[rank]
    if speed.megapixels < LITTLE_MEGAPIXELS:
        slower = max(slower, _LIKE)
    kind = speed.hardware.machine or said(speed.hardware)
    whole = after * left_out if before > 0 else measured * speed.hardware.threads / wanted.threads
    # A GPU that bounds the work does it by the pixel.
    by_image = 0.0 if on_gpu >= after else image_share(speed)
    return Rate(
        seconds_per_megapixel=whole * (1.0 - by_image),
        seconds_per_image=whole * by_image * speed.megapixels / max(1, speed.images),
        faster=_GPU_FASTER if rank == 4 else slower,
        slower=slower,
        gpu_seconds=on_gpu,
        cpu_seconds=(total - on_gpu) / wanted.threads,
        load_seconds=speed.load_seconds / speed.loads if speed.loads else None,
        warm_up_seconds=speed.warm_up_seconds / speed.loads if speed.loads and speed.warm_up_seconds else None,
        stage_seconds=per_megapixel,
        source=f"measured on {speed.megapixels:.3g} megapixels, {kind}" + ("" if rank == 0 else ", scaled"),
        notices=_doubts(speed.hardware, wanted, rank),
    )


def _doubts(measured: Hardware, wanted: Hardware, rank: int) -> tuple[Notice, ...]:
    if rank < 3:
        return ()
    if rank == 3:
        text = f"Not measured on {_short(wanted.gpu)}; reckoned as if it were the {_short(measured.gpu)} that was."
        return (Notice("W704", text),)
    text = (
        f"Not measured on {_short(wanted.gpu)}; reckoned as if the processor did its work: times and costs are upper "
        "bounds until a worker has run there."
    )
    return (Notice("W704", text),)
