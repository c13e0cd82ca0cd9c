"""Which pixels of an axis a resize depends on. Pure geometry; the weights stand in native/resample.c."""

from __future__ import annotations


def source_span(start: int, stop: int, source: int, target: int) -> tuple[int, int]:
    """Return the source pixels that target pixels depend on when an axis is resized from `source` to `target` px.

    Args:
        start: First target pixel, 0…target.
        stop: One after the last.
        source: Length of the axis before, at least 1.
        target: Length of the axis afterwards, at least 1.

    Returns:
        First source pixel and one after the last; both are equal where no target pixel is asked for.
    """
    if start >= stop:
        return 0, 0
    # Pillow's arithmetic, in the same order as in native/resample.c.
    scale = source / target
    support = max(1.0, scale)
    first = (start + 0.5) * scale - support + 0.5
    last = (stop - 0.5) * scale + support + 0.5
    return max(0, int(first)), min(source, int(last))
