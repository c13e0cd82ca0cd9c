"""Tiles that are remembered, and for how long."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from cellfleet.pipeline.heads import Heads, TilePool


def tile(made: list[str], name: str) -> Callable[[], Heads]:
    def predict() -> Heads:
        made.append(name)
        return np.zeros((1, 4, 4), np.uint8)

    return predict


def test_a_finished_image_leaves_no_tiles_behind_and_takes_none_from_others() -> None:
    tiles, made = TilePool(1, 1 << 20), []
    first = weakref.ref(tiles.ask(("a", 0, 0, 0), tile(made, "a")).result())
    tiles.ask(("b", 0, 0, 0), tile(made, "b")).result()

    tiles.forget("a")
    gc.collect()

    assert first() is None
    tiles.ask(("b", 0, 0, 0), tile(made, "b again")).result()
    assert made == ["a", "b"]
    tiles.close()


def test_what_is_forgotten_makes_room() -> None:
    tiles, made = TilePool(1, 3 * 16), []
    for image in range(10):
        tiles.ask((image, 0, 0, 0), tile(made, "early")).result()
        tiles.forget(image)
    for column in range(3):
        tiles.ask(("late", 0, 0, column), tile(made, "late")).result()

    for column in range(3):
        tiles.ask(("late", 0, 0, column), tile(made, "again")).result()

    assert "again" not in made
    tiles.close()


def test_a_tile_that_failed_is_tried_again_and_counts_for_nothing() -> None:
    tiles, made = TilePool(1, 16), []

    def fail() -> Heads:
        raise OSError("the network drive is away")

    for _ in range(3):
        with pytest.raises(OSError, match="away"):
            tiles.ask(("a", 0, 0, 0), fail).result()
    tiles.ask(("a", 0, 0, 0), tile(made, "a")).result()
    tiles.ask(("a", 0, 0, 0), tile(made, "a again")).result()
    tiles.forget("a")
    assert made == ["a"]
    tiles.close()
