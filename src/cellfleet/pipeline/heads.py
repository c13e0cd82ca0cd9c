"""The heads of a plane by region: each tile is predicted once, when it is first asked for, and remembered for a while.

The tile grid depends on the plane's size alone, so a pixel's heads do not depend on who asks or in which order. Blocks
overlap by their halos; the tiles that two of them need are predicted for both.
"""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cellfleet.pipeline.clock import Clock
from cellfleet.pipeline.plane import Plane
from cellfleet.pipeline.preprocess import resampled_region, scaled_shape
from cellfleet.pipeline.survey import Survey
from cellfleet.spec.model import ModelManifest
from cellfleet.tiling.box import Box
from cellfleet.tiling.grid import Span, spans
from cellfleet.tiling.resample_span import source_span

_PACKED_FROM_PX = 20_000
"""Tiles of wider planes are kept compressed to a third, of empty glass to nothing: blocks that lie below each other
share tiles, and several rows of them would be predicted twice because they do not fit into memory. Costs 3 %."""

Heads = NDArray[np.uint8]
Prediction = NDArray[Any]
"""What is kept of a tile: its heads, or the objects that were detected."""
Key = tuple[Hashable, ...]
"""Image, plane, and place of a tile."""


class TilePool:
    """Threads that predict tiles, and the newest of their results.

    Shared by all images of a run. A tile that is still being predicted is waited for, not predicted twice.
    """

    def __init__(self, threads: int, limit_bytes: int) -> None:
        """Take the number of tiles that are predicted at once, and the memory for those that are done."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tile")
        self._limit = limit_bytes
        self._tiles: OrderedDict[Key, Future[Prediction]] = OrderedDict()
        self._done: dict[Key, int] = {}
        """Bytes of each tile that is remembered and done."""
        self._lock = threading.Lock()

    def ask(self, key: Key, predict: Callable[[], Prediction]) -> Future[Prediction]:
        """Return the tile of this name, predicted by `predict` unless it is remembered."""
        with self._lock:
            tile = self._tiles.get(key)
            if tile is None:
                tile = self._tiles[key] = self._pool.submit(self._predicted, key, predict)
            self._tiles.move_to_end(key)
            return tile

    def forget(self, image: Hashable) -> None:
        """Drop the tiles of an image that is done: no other asks for them."""
        with self._lock:
            for key in [key for key in self._done if key[0] == image]:
                self._drop(key)

    def _predicted(self, key: Key, predict: Callable[[], Prediction]) -> Prediction:
        try:
            heads = predict()
        except BaseException:
            with self._lock:
                # Whoever asks again gets a new try.
                self._tiles.pop(key)
            raise
        with self._lock:
            self._done[key] = heads.nbytes
            excess = sum(self._done.values()) - self._limit
            for name in [name for name in self._tiles if name in self._done and name != key]:
                if excess <= 0:
                    break
                excess -= self._drop(name)
        return heads

    def _drop(self, key: Key) -> int:
        del self._tiles[key]
        return self._done.pop(key)

    def close(self) -> None:
        """Drop what is waiting and end the threads."""
        self._pool.shutdown(cancel_futures=True)
        self._tiles.clear()
        self._done.clear()


@dataclass(frozen=True, eq=False)
class PlaneHeads:
    """The heads of one plane that the watershed reads, at model scale; or how to ask for its tiles."""

    plane: Plane
    survey: Survey
    manifest: ModelManifest
    tiles: TilePool
    name: tuple[Hashable, int]
    """Image and plane: tells the planes of a run apart."""
    clock: Clock

    @property
    def shape(self) -> tuple[int, int]:
        """(Y, X) at model scale."""
        return scaled_shape(self.plane.shape, self.survey.scale.zoom)

    @property
    def wanted(self) -> list[int]:
        """Indices of the graph's heads that are kept, each once."""
        heads = (head for maker in self.manifest.makers for head in (maker.maxima_head, maker.interior_head))
        return sorted({self.manifest.heads.index(head) for head in heads})

    def place(self, head: str) -> int:
        """Return where a head stands in what `read` returns."""
        return self.wanted.index(self.manifest.heads.index(head))

    def read(self, box: Box) -> Heads:
        """Return the wanted heads of a region, uint8 (K, height, width); waits for its tiles."""
        rows, columns = (spans(length, self.manifest.tile) for length in self.shape)
        asked = [
            (y, x, self._ask(y, x)) for y in meeting(rows, box.y0, box.y1) for x in meeting(columns, box.x0, box.x1)
        ]
        heads = np.empty((len(self.wanted), *box.shape), np.uint8)
        for y, x, tile in asked:
            have = Box(y.write_start, x.write_start, y.write_stop, x.write_stop)
            part = have.common(box)
            with self.clock.waiting("predict"):
                kept = tile.result()
            found = _unpacked(kept, (len(self.wanted), *have.shape)) if self._packs else kept
            heads[(slice(None), *part.within(box))] = found[(slice(None), *part.within(have))]
        return heads

    def _ask(self, y: Span, x: Span) -> Future[Heads]:
        def predict() -> Heads:
            heads = self._predict(y, x)
            return _packed(heads) if self._packs else heads

        return self.tiles.ask((*self.name, y.write_start, x.write_start), predict)

    @property
    def _packs(self) -> bool:
        return min(self.shape) > _PACKED_FROM_PX

    def _predict(self, y: Span, x: Span) -> Heads:
        """Return the wanted heads (K, height, width) of a tile's write region."""
        predicted = self.predicted(y, x)
        if predicted is None:
            return np.zeros((len(self.wanted), y.write_stop - y.write_start, x.write_stop - x.write_start), np.uint8)
        return np.ascontiguousarray(predicted[self.wanted, y.inside, x.inside])

    def predicted(self, y: Span, x: Span) -> Prediction | None:
        """Return what the model says of all that a tile reads; None where there is nothing but background."""
        want = Box(y.read_start, x.read_start, y.read_stop, x.read_stop)
        with self.clock.stage("read"):
            have, pixels = self._pixels(want)
        contrast = np.repeat(self.survey.contrast, self.manifest.frames, axis=0)
        if all(bool(plane.max() <= dark) for plane, dark in zip(pixels, contrast[:, 0], strict=True)):
            # Nothing but background: the empty part of a slide, which is most of many slides.
            return None
        with self.clock.stage("preprocess"):
            if self.shape != self.plane.shape:
                pixels = resampled_region(pixels, have, self.plane.shape, self.shape, want)
        with self.clock.stage("predict"):
            return self.survey.predictor.predict(pixels, contrast)

    def _pixels(self, want: Box) -> tuple[Box, NDArray[np.float32]]:
        """Return the pixels at image scale that a region at model scale depends on, and where they stand."""
        have = source_box(want, self.plane.shape, self.shape)
        return have, self.plane.model_pixels(have)


def source_box(want: Box, source: tuple[int, int], target: tuple[int, int]) -> Box:
    """Return the part of a plane of size `source` on which a region of it resized to `target` depends."""
    if source == target:
        return want
    y0, y1 = source_span(want.y0, want.y1, source[0], target[0])
    x0, x1 = source_span(want.x0, want.x1, source[1], target[1])
    return Box(y0, x0, y1, x1)


def _packed(heads: Heads) -> Heads:
    """Return the heads as one row of bytes, compressed."""
    return np.frombuffer(imagecodecs.zstd_encode(heads.tobytes(), level=1), np.uint8)


def _unpacked(packed: Heads, shape: tuple[int, int, int]) -> Heads:
    return np.frombuffer(imagecodecs.zstd_decode(packed.tobytes()), np.uint8).reshape(shape)


def meeting(cut: list[Span], start: int, stop: int) -> list[Span]:
    """Return the spans whose write range meets [start, stop)."""
    first = bisect.bisect_right(cut, start, key=_write_start) - 1
    last = bisect.bisect_left(cut, stop, key=_write_start)
    return cut[first:last]


def _write_start(span: Span) -> Any:
    return span.write_start
