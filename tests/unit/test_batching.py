"""Batches: every thread gets its own tile's heads, the device gets full batches, and a failure reaches who asked."""

from __future__ import annotations

import functools
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from cellfleet.inference import onnx
from cellfleet.inference.batching import Batcher
from cellfleet.models import load_model
from cellfleet.models.load import LoadedModel

F32 = NDArray[np.float32]


class Device:
    """Answers with the mean of each tile; counts what it is asked. The first call waits until `go`."""

    def __init__(self) -> None:
        self.go, self.sizes = threading.Event(), list[tuple[int, ...]]()

    def run(self, pixels: F32, contrast: F32) -> NDArray[np.uint8]:
        self.sizes.append(pixels.shape)
        assert self.go.wait(20)
        if (pixels < 0).any():
            raise RuntimeError("bad tile")
        return np.broadcast_to(pixels.max(axis=1, keepdims=True), pixels.shape).astype(np.uint8)


def tile(value: float, side: int = 8) -> F32:
    return np.full((1, side, side), value, np.float32)


CONTRAST = np.array([[0, 1]], np.float32)


def test_what_is_asked_while_the_device_works_is_one_batch_per_size() -> None:
    device = Device()
    batcher = Batcher(device.run, largest=4)
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(batcher.predict, tile(1), CONTRAST)
        while not device.sizes:
            pass
        sides = [8, 16] * 5
        others = [pool.submit(batcher.predict, tile(n, side), CONTRAST) for n, side in enumerate(sides, start=2)]
        while batcher._asked.qsize() < len(others):
            pass
        device.go.set()
        assert (first.result(20) == 1).all()
        for n, (side, other) in enumerate(zip(sides, others, strict=True), start=2):
            assert other.result(20).shape == (1, side, side)
            assert (other.result(20) == n).all()
    assert device.sizes[0] == (1, 1, 8, 8)
    assert sorted(device.sizes[1:]) == [(1, 1, 8, 8), (1, 1, 16, 16), (4, 1, 8, 8), (4, 1, 16, 16)]


def test_a_failed_batch_is_told_and_the_next_one_works() -> None:
    device = Device()
    device.go.set()
    batcher = Batcher(device.run)
    with pytest.raises(RuntimeError, match="bad tile"):
        batcher.predict(tile(-1), CONTRAST)
    assert (batcher.predict(tile(3), CONTRAST) == 3).all()


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("nuclei", device="cpu")


def test_the_graph_gives_a_tile_the_same_heads_alone_and_in_a_batch(model: LoadedModel) -> None:
    random = np.random.default_rng(0)
    tiles = [random.random((1, 96, 128), dtype=np.float32) * 100 for _ in range(3)]
    contrasts = [np.array([[low, 100]], np.float32) for low in (0, 10, 30)]
    session = model.predictor._session  # type: ignore[attr-defined]
    batcher = Batcher(functools.partial(onnx._run, session))
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(batcher.predict, tiles, contrasts))
    for pixels, contrast, heads in zip(tiles, contrasts, together, strict=True):
        np.testing.assert_array_equal(heads, model.predictor.predict(pixels, contrast))


def test_a_closed_batcher_ends_its_thread_and_lets_go_of_the_device() -> None:
    device = Device()
    device.go.set()
    before = set(threading.enumerate())
    batcher, held = Batcher(device.run), weakref.ref(device)
    (thread,) = set(threading.enumerate()) - before
    batcher.predict(tile(1), CONTRAST)
    batcher.close()
    thread.join(20)
    del batcher, device
    assert held() is None


def test_a_model_that_nobody_holds_leaves_the_memory_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # The processor stands in for the GPU: what matters is that tiles go through a batcher's thread.
    monkeypatch.setattr(onnx, "_PROVIDERS", {"cpu": "CPUExecutionProvider", "cuda": "CPUExecutionProvider"})
    before = set(threading.enumerate())
    loaded = load_model("nuclei")
    (thread,) = set(threading.enumerate()) - before
    session = weakref.ref(loaded.predictor._session)  # type: ignore[attr-defined]
    loaded.predictor.predict(np.zeros((1, 16, 16), np.float32), CONTRAST)
    gc.disable()
    try:
        del loaded
        thread.join(20)
        assert session() is None
    finally:
        gc.enable()
