"""What a worker takes for jobs is divided among them, complete, and stands in the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import JobError, OutputError
from cellfleet.jobs.usage import forget_usage, read_usage
from cellfleet.spec.usage import Machine, Usage
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.place import Place
from cellfleet.stores.traffic import Traffic
from cellfleet.worker.meter import Meter

T4 = Machine(name="n1-standard-8+nvidia-tesla-t4:1", spot=True, gpus=1)


@dataclass
class World:
    """A clock and a network that tests move."""

    seconds: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)

    def meter(self, store: Place, worker: str = "w1", machine: Machine = T4) -> Meter:
        return Meter(store, worker, machine, clock=lambda: self.seconds, traffic=lambda: self.traffic)


def one(store: Place, job: str) -> Usage:
    (usage,) = read_usage(store, job)
    return usage


def test_a_task_alone_takes_all_that_passes(tmp_path: Path) -> None:
    world, store = World(), FolderPlace(tmp_path)
    meter = world.meter(store)
    world.seconds = 7  # idle: no job's
    with meter.task("a"):
        world.seconds, world.traffic = 10, Traffic(4, 2, 1000, 10)
        meter.stages("a", {"read": 1.0, "predict": 2.0})
    world.seconds = 20
    assert one(store, "a") == Usage(
        machine=T4, seconds=3, stage_seconds={"read": 1, "predict": 2}, reads=4, writes=2, read_bytes=1000,
        written_bytes=10,
    )  # fmt: skip


def test_tasks_beside_each_other_share(tmp_path: Path) -> None:
    world, store = World(), FolderPlace(tmp_path)
    meter = world.meter(store)
    with meter.task("a"):
        world.seconds = 2
        with meter.task("b"), meter.task("b"):
            world.seconds = 8
        world.seconds = 9
    assert one(store, "a").seconds == 2 + 6 / 3 + 1
    assert one(store, "b").seconds == 6 * 2 / 3


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 100)), max_size=30))
def test_the_sum_is_what_the_worker_was_busy(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, float]]) -> None:  # fmt: skip # noqa: E501
    world, store = World(), FolderPlace(tmp_path_factory.mktemp("store"))
    meter, running, busy = world.meter(store), {}, 0.0
    for job, seconds in steps:
        if job in running:
            running.pop(job).__exit__(None, None, None)
        else:
            running[job] = meter.task(job)
            running[job].__enter__()
        world.seconds += seconds
        busy += seconds if running else 0
    for task in running.values():
        task.__exit__(None, None, None)
    total = sum(usage.seconds for job in "abc" for usage in read_usage(store, job))
    assert total == pytest.approx(busy, abs=0.01)


def test_attempts_that_fail_cost_too(tmp_path: Path) -> None:
    world, store = World(), FolderPlace(tmp_path)
    meter = world.meter(store)

    def attempt() -> None:
        with meter.task("a"):
            world.seconds = 5
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        attempt()
    assert one(store, "a").seconds == 5


def test_a_long_task_is_written_now_and_then(tmp_path: Path) -> None:
    world, store = World(), FolderPlace(tmp_path)
    meter = world.meter(store)
    task = meter.task("a")
    task.__enter__()
    for world.seconds in range(1, 100):
        meter.alive("a")
    assert 69 <= one(store, "a").seconds <= 99, "a worker killed now takes half a minute with it, no more"
    task.__exit__(None, None, None)


def test_machines_of_a_kind_are_summed_and_others_kept_apart(tmp_path: Path) -> None:
    world, store = World(), FolderPlace(tmp_path)
    for worker, machine in (("w1", T4), ("w2", T4), ("w3", Machine())):
        with world.meter(store, worker, machine).task("a"):
            world.seconds += 10
    assert {usage.machine: usage.seconds for usage in read_usage(store, "a")} == {T4: 20, Machine(): 10}
    forget_usage(store, "a")
    assert read_usage(store, "a") == ()


def test_many_jobs_one_after_the_other_are_all_counted(tmp_path: Path) -> None:
    world, store = World(), FolderPlace(tmp_path)
    meter = world.meter(store)
    for _ in range(2):
        for number in range(300):
            with meter.task(f"j{number}"):
                world.seconds += 1
    assert all(one(store, f"j{number}").seconds == 2 for number in range(300))


def test_a_store_that_takes_nothing_fails_the_task_but_hides_no_other_error(tmp_path: Path) -> None:
    blocked = tmp_path / "store"
    blocked.write_text("no folder")
    meter = World().meter(FolderPlace(blocked))
    with pytest.raises(OutputError), meter.task("a"):
        pass
    with pytest.raises(ZeroDivisionError), meter.task("a"):
        raise ZeroDivisionError


def test_what_was_written_later_is_never_replaced_by_what_was_read_before(tmp_path: Path) -> None:
    world, begun, go_on = World(), threading.Event(), threading.Event()

    class Slow(FolderPlace):
        def write(self, name: str, content: bytes) -> None:
            if not begun.is_set():
                begun.set()
                assert go_on.wait(30)
            super().write(name, content)

    store = Slow(tmp_path)
    meter = world.meter(store)
    first, second = meter.task("a"), meter.task("a")
    first.__enter__()
    second.__enter__()
    world.seconds = 10
    threads = [threading.Thread(target=task.__exit__, args=(None, None, None)) for task in (first, second)]
    threads[0].start()
    assert begun.wait(30)
    world.seconds = 50
    threads[1].start()
    threads[1].join(0.2)  # it may write first, or wait
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert one(store, "a").seconds == 50


def test_of_many_threads_that_show_life_one_writes(tmp_path: Path) -> None:
    world, writes = World(), list[str]()
    together = threading.Barrier(8)

    class Counting(FolderPlace):
        def write(self, name: str, content: bytes) -> None:
            writes.append(name)
            time.sleep(0.05)

    meter = world.meter(Counting(tmp_path))
    task = meter.task("a")
    task.__enter__()
    world.seconds = 40

    def alive() -> None:
        together.wait()
        meter.alive("a")

    threads = [threading.Thread(target=alive) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(writes) == 1
    task.__exit__(None, None, None)


def test_a_store_that_is_full_for_a_while_disturbs_no_task(tmp_path: Path) -> None:
    world, full = World(), threading.Event()

    class Full(FolderPlace):
        def write(self, name: str, content: bytes) -> None:
            if full.is_set():
                raise OutputError("E301", "the disk is full", where=name, action="Free some space")
            super().write(name, content)

    def patiently(write: Callable[[], None]) -> None:
        with pytest.raises(OutputError, match="E301"):
            write()
        full.clear()
        write()

    store = Full(tmp_path)
    meter = world.meter(store)
    full.set()
    with meter.task("a", patiently):
        world.seconds = 60
        meter.alive("a")
        world.seconds = 61
    assert one(store, "a").seconds == 61


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    store = FolderPlace(tmp_path)
    store.write("usage/a/w1.json", b'{"seconds": -1}')
    with pytest.raises(JobError, match=r"usage/a/w1\.json.*E755"):
        read_usage(store, "a")
