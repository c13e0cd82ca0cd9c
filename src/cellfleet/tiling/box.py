"""A rectangle of pixels: what regions, tiles and blocks are made of. Pure geometry, half-open, y before x."""

from __future__ import annotations

from typing import NamedTuple


class Box(NamedTuple):
    """Rows y0 … y1 − 1 and columns x0 … x1 − 1 of a plane."""

    y0: int
    x0: int
    y1: int
    x1: int

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Box:
        """Return the box of a whole plane (Y, X)."""
        return cls(0, 0, *shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def y(self) -> slice:
        """Its rows."""
        return slice(self.y0, self.y1)

    @property
    def x(self) -> slice:
        """Its columns."""
        return slice(self.x0, self.x1)

    def grown(self, by: int, shape: tuple[int, int]) -> Box:
        """Return the box with `by` more pixels on each side, cut off at the borders of a plane of `shape`."""
        return Box(max(self.y0 - by, 0), max(self.x0 - by, 0), min(self.y1 + by, shape[0]), min(self.x1 + by, shape[1]))

    def common(self, other: Box) -> Box:
        """Return what both boxes share; empty boxes have height or width 0."""
        y0, x0 = max(self.y0, other.y0), max(self.x0, other.x0)
        return Box(y0, x0, max(y0, min(self.y1, other.y1)), max(x0, min(self.x1, other.x1)))

    def within(self, other: Box) -> tuple[slice, slice]:
        """Return the slices that select this box from an array that holds `other`."""
        return (
            slice(self.y0 - other.y0, self.y1 - other.y0),
            slice(self.x0 - other.x0, self.x1 - other.x0),
        )
