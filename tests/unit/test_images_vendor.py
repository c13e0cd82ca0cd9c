"""A file that is opened late is opened once, used by one thread at a time, and closed with its owner."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cellfleet.images.vendor import OpenLater, numbers


class File:
    """Counts who uses it."""

    opened = 0

    def __init__(self) -> None:
        File.opened += 1
        self.closed = False
        self.users = threading.Semaphore(1)

    def close(self) -> None:
        self.closed = True


def test_it_is_opened_at_the_first_use_only_and_closed_when_its_owner_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "opened", 0)
    later = OpenLater(File)
    assert File.opened == 0

    with later.opened() as first, first.users:
        pass
    with later.opened() as second:
        assert second is first and not first.closed
    assert File.opened == 1
    del later

    assert first.closed


def test_no_two_threads_use_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "opened", 0)
    later = OpenLater(File)

    def use(_: int) -> bool:
        with later.opened() as file:
            free = file.users.acquire(blocking=False)
            for _ in range(1000):
                pass
            file.users.release()
            return free

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(use, range(200)))
    assert File.opened == 1


def test_a_file_that_cannot_be_opened_is_tried_again() -> None:
    answers = iter([OSError("busy"), None])

    def make() -> File:
        answer = next(answers)
        if answer:
            raise answer
        return File()

    later = OpenLater(make)
    with pytest.raises(OSError, match="busy"), later.opened():
        pass
    with later.opened() as file:
        assert not file.closed


def test_one_image_needs_no_number() -> None:
    assert (numbers(0), numbers(1), numbers(3)) == ([], [""], ["0", "1", "2"])
