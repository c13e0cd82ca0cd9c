"""Pure geometry: an image cut into tiles. Knows no pixels and no model.

```
            read (with halo)
   ┌───────────────────────────┐
   │ halo                      │      write regions partition the image;
   │    ┌─────────────────┐    │      read regions are cut off at the image's edges;
   │    │      write      │    │      both start at multiples of `multiple`, so that a
   │    └─────────────────┘    │      strided network sees the same phase in every tile
   └───────────────────────────┘
```
"""

from __future__ import annotations

from dataclasses import dataclass

from cellfleet.spec.model import Tile


@dataclass(frozen=True)
class Span:
    """One axis of a region: half-open pixel ranges."""

    read_start: int
    read_stop: int
    write_start: int
    write_stop: int

    @property
    def read(self) -> slice:
        """Pixels to read."""
        return slice(self.read_start, self.read_stop)

    @property
    def write(self) -> slice:
        """Pixels that this region decides."""
        return slice(self.write_start, self.write_stop)

    @property
    def inside(self) -> slice:
        """The write range, counted from the start of the read range."""
        return slice(self.write_start - self.read_start, self.write_stop - self.read_start)


def spans(length: int, tile: Tile) -> list[Span]:
    """Cut one axis of `length` px into as few nearly equal spans as `tile` allows.

    Depends on the image's length alone, so that a pixel's prediction does not depend on who asks for it.
    """
    # A little over the largest size is better taken whole than cut in two: the halo would cost more.
    parts = max(1, -(-(length - tile.halo) // tile.largest))
    step = -(-length // parts)
    step += -step % tile.multiple
    halo = tile.halo + -tile.halo % tile.multiple
    starts = range(0, length, step)
    return [
        Span(max(start - halo, 0), min(start + step + halo, length), start, min(start + step, length))
        for start in starts
    ]


def tiles(shape: tuple[int, int], tile: Tile) -> list[tuple[Span, Span]]:
    """Cut an image of (Y, X) px into tiles, row by row."""
    return [(y, x) for y in spans(shape[0], tile) for x in spans(shape[1], tile)]
