"""The steps before and after a graph of a bioimage.io package, on arrays. Knows no graph, no tile and no package.

What each step computes stands in `cellfleet.spec.adaptor`; names and formulas are those of the bioimage.io model
specification 0.4 and 0.5. Steps that need statistics are *fitted* once per image: tiles must not differ in them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cellfleet.spec.adaptor import Affine, Binarise, Cast, Clip, Percentiles, Sigmoid, Softmax, Standardise, Step

Values = NDArray[np.float32]
_SAMPLED_PIXELS: Final = 1 << 20
"""Statistics are of all pixels up to so many, of more on an even grid."""


def applied(values: Values, steps: Iterable[Step]) -> Values:
    """Return values (C, Y, X) after all steps. Raises `ValueError` for a step that was not fitted."""
    for step in steps:
        values = _applied(values, step)
    return values


def fitted(steps: Iterable[Step], windows: Sequence[Values]) -> tuple[Step, ...]:
    """Return the steps with what they learn from an image written down.

    Args:
        steps: Of a package.
        windows: Pixels of the image, (C, height, width) each: all of a small one, a sample of a large one.

    Returns:
        As many steps, of which none needs statistics any more.
    """
    sample = _sampled(windows)
    made: list[Step] = []
    for step in steps:
        now = _fitted(step, sample[:, :, 0])
        sample = _applied(sample, now)
        made.append(now)
    return tuple(made)


def _sampled(windows: Sequence[Values]) -> Values:
    """Return pixels of all windows, (C, n, 1)."""
    every = max(1, int(np.sqrt(sum(window[0].size for window in windows) / _SAMPLED_PIXELS)))
    return np.concatenate([window[:, ::every, ::every].reshape(len(window), -1) for window in windows], axis=1)[
        ..., None
    ]


def _fitted(step: Step, values: NDArray[np.float32]) -> Step:
    if not isinstance(step, Standardise | Percentiles):
        return step
    groups = values if step.each_channel else values.reshape(1, -1)
    if isinstance(step, Standardise):
        low, width = groups.mean(axis=1, dtype=np.float64), groups.std(axis=1, dtype=np.float64)
    else:
        low, high = np.percentile(groups, (step.low, step.high), axis=1)
        width = high - low
    gain = 1 / (width + step.eps)
    return Affine(gain=tuple(gain.tolist()), offset=tuple((-low * gain).tolist()))


def _applied(values: Values, step: Step) -> Values:
    match step:
        case Affine():
            return values * _each(step.gain) + _each(step.offset)
        case Clip():
            return np.clip(values, step.low, step.high)
        case Binarise():
            return (values > _each(step.threshold)).astype(np.float32)
        case Cast():
            return cast(values, np.dtype(step.dtype)).astype(np.float32)
        case Sigmoid():
            # Beyond ±60 float32 has no other number than 0 and 1, and exp would overflow.
            return np.float32(1) / (np.float32(1) + np.exp(-np.clip(values, -60, 60)))
        case Softmax():
            odds = np.exp(values - values.max(axis=0))
            return np.asarray(odds / odds.sum(axis=0), np.float32)
    raise ValueError(f"{step.step} has to be fitted to an image first")


def cast(values: NDArray[np.float32], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Return values in another type; integers are cut to what the type holds, fractions towards zero."""
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)  # type: ignore[type-var]
        # As float64: float32 rounds the largest 32-bit integers up, beyond what they hold.
        return np.clip(values.astype(np.float64), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)


def _each(numbers: tuple[float, ...]) -> Values:
    return np.array(numbers, np.float32)[:, None, None]
