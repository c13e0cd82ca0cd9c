"""Work in threads: how it ends early."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cellfleet.run.pools import in_parallel


def test_after_an_error_what_is_under_way_gives_up_and_nothing_new_begins() -> None:
    stop, begun, gave_up = threading.Event(), [], []
    beside = threading.Barrier(2)

    def work(item: int) -> int:
        begun.append(item)
        beside.wait(10)
        if item == 0:
            raise ValueError("the disk is full")
        gave_up.append(stop.wait(2))
        return item

    with ThreadPoolExecutor(2) as pool, pytest.raises(ValueError, match="disk"):
        list(in_parallel(pool, work, range(9), 2, give_up=stop.set))
    assert gave_up == [True] and sorted(begun) == [0, 1]


def test_who_wants_no_more_results_waits_for_nothing_new() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return item

    with ThreadPoolExecutor(1) as pool:
        for item in in_parallel(pool, work, range(1000), 2):
            assert item == 0
            break
    assert len(begun) < 10
