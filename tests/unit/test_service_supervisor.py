"""Children that are kept alive, and ended in good order."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise

import pytest
from tests.services import wait_until

from cellfleet.errors import LedgerError, ServiceError
from cellfleet.service.supervisor import Kept, WorkerProcess, refuse_hopeless, stop_workers


def child(script: str, stop_seconds: float = 10.0) -> WorkerProcess:
    return WorkerProcess(["sh", "-c", script], os.environ, stop_seconds=stop_seconds)


class Clock:
    """A clock for the supervisor."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Dying:
    """A child that has ended already."""

    running = False

    def stop(self) -> None:
        """Nothing is left to stop."""


def test_a_worker_ends_when_its_input_is_closed() -> None:
    worker = child("cat >/dev/null; exit 0")
    assert worker.running and worker.code is None
    stop_workers([worker])
    assert not worker.running and worker.code == 0
    worker.stop()


def test_a_worker_that_does_not_end_is_killed() -> None:
    worker = child("exec sleep 60", stop_seconds=0.1)
    began = time.monotonic()
    worker.stop()
    assert worker.code == -signal.SIGKILL and time.monotonic() - began < 30


def test_a_worker_that_was_killed_is_replaced_at_once() -> None:
    again: list[int] = []
    kept = Kept("worker", lambda: child("exec cat"), lambda: again.append(1))
    first = kept.begin()
    kept.look()
    assert kept.process is first and not again
    os.kill(first.pid, signal.SIGKILL)
    wait_until(lambda: not first.running, "it has ended")
    kept.look()
    assert kept.process is not first and kept.process.running and again == [1]
    kept.process.stop()


def test_a_child_that_keeps_ending_is_started_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, starts = Clock(), []
    monkeypatch.setattr("cellfleet.service.supervisor.time.monotonic", clock)

    def start() -> Dying:
        starts.append(clock.now)
        return Dying()

    kept = Kept("worker", start)
    kept.begin()
    for tenth in range(1200):
        clock.now = tenth / 10
        kept.look()
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == pytest.approx([0, 1, 2, 4, 8, 16, 30, 30], abs=0.35)


def test_a_child_that_does_not_start_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, starts = Clock(), []
    monkeypatch.setattr("cellfleet.service.supervisor.time.monotonic", clock)

    def start() -> Dying:
        starts.append(clock.now)
        if len(starts) in {2, 3}:
            raise LedgerError("E804", "it does not start")
        return Dying()

    kept = Kept("the ledger's server", start)
    kept.begin()
    for second in range(6):
        clock.now = float(second)
        kept.look()
    assert starts[:4] == [0, 0, 1, 3]


def test_a_worker_that_cannot_start_ends_the_service_with_its_code() -> None:
    hopeless, killed = child("exit 6"), child("kill -9 $$")
    wait_until(lambda: not hopeless.running and not killed.running, "both have ended")
    refuse_hopeless([killed], frozenset({6}))
    with pytest.raises(ServiceError) as caught:
        refuse_hopeless([killed, hopeless], frozenset({6}))
    assert caught.value.exit_code == 6
    stop_workers([hopeless, killed])
