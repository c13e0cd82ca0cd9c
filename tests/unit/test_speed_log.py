"""How fast models are is kept in small files: added up over runs and workers, bounded in number, never in the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from cellfleet.errors import OutputError
from cellfleet.inference.hardware import cpu_name, gpu_name
from cellfleet.models import LoadedModel, load_model
from cellfleet.run.speed_log import EVERY_SECONDS, KEPT_MEGAPIXELS, SLOTS, SpeedLog, pixels_of, read_speeds
from cellfleet.stores.place import FolderPlace


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("otsu")


def test_what_one_process_measured_the_next_goes_on_from(tmp_path: Path, model: LoadedModel) -> None:
    for _ in range(2):
        log = SpeedLog(FolderPlace(tmp_path), "segment", 2)
        log.loaded(model, 0.5, 0.25)
        log.stages(model, {"predict": 3.0, "write": 1.0})
        log.done(model, 2_000_000, 2.0)
        log.done(model, 1_000_000, 1.0)
        log.ran(model, 2.0)
        log.write()
    [speed] = read_speeds(FolderPlace(tmp_path), model.sha256)
    assert (speed.images, speed.megapixels, speed.seconds, speed.loads) == (4, 6.0, 4.0, 2)
    assert speed.stage_seconds == {"predict": 6.0, "write": 2.0} and speed.warm_up_seconds == 0.5
    assert (speed.hardware.threads, speed.hardware.gpu, speed.hardware.cpu) == (2, "", cpu_name())


def test_tasks_beside_each_other_take_the_machine_once(tmp_path: Path, model: LoadedModel) -> None:
    clock = Clock()
    log = SpeedLog(FolderPlace(tmp_path), "w", 2, clock=clock)
    with log.working(model):
        clock.now += 2
        with log.working(model):
            clock.now += 3
        clock.now += 1
    clock.now += 100
    with log.working(model):
        clock.now += 4
    log.write()
    [speed] = read_speeds(FolderPlace(tmp_path))
    assert speed.seconds == 10.0


def test_a_task_that_fails_took_its_time_all_the_same(tmp_path: Path, model: LoadedModel) -> None:
    clock = Clock()
    log = SpeedLog(FolderPlace(tmp_path), "w", 2, clock=clock)

    def fail() -> None:
        with log.working(model):
            clock.now += 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    log.write()
    assert read_speeds(FolderPlace(tmp_path))[0].seconds == 2.0


def test_it_is_written_once_a_minute_at_most(tmp_path: Path, model: LoadedModel) -> None:
    clock = Clock()
    log = SpeedLog(FolderPlace(tmp_path), "w", 2, clock=clock)

    def written() -> float:
        with log.working(model):
            clock.now += 1
        return sum(speed.seconds for speed in read_speeds(FolderPlace(tmp_path)))

    assert [written(), written()] == [1.0, 1.0]
    clock.now += EVERY_SECONDS
    assert written() == 3.0


def test_it_is_written_whenever_twice_as_many_images_are_done(tmp_path: Path, model: LoadedModel) -> None:
    """So that a plan knows more than the first image of a short run."""
    log = SpeedLog(FolderPlace(tmp_path), "w", 2, clock=Clock())
    known = []
    for _ in range(9):
        with log.working(model):
            log.done(model, 1_000_000, 1.0)
        known.append(read_speeds(FolderPlace(tmp_path))[0].images)
    assert known == [1, 2, 2, 4, 4, 4, 4, 8, 8]


def test_a_thousand_workers_leave_few_files(tmp_path: Path, model: LoadedModel) -> None:
    for number in range(100):
        log = SpeedLog(FolderPlace(tmp_path), f"worker-{number}", 2)
        log.done(model, 1_000_000, 1.0)
        log.write()
    found = read_speeds(FolderPlace(tmp_path))
    assert len(found) <= SLOTS and sum(speed.images for speed in found) == 100


def test_other_machines_and_threads_are_kept_apart(tmp_path: Path, model: LoadedModel) -> None:
    for threads, machine in ((2, ""), (4, ""), (4, "n2-standard-4")):
        log = SpeedLog(FolderPlace(tmp_path), "w", threads, machine)
        log.done(model, 1_000_000, 1.0)
        log.write()
    assert {(s.hardware.threads, s.hardware.machine) for s in read_speeds(FolderPlace(tmp_path))} == {
        (2, ""),
        (4, ""),
        (4, "n2-standard-4"),
    }


def test_what_was_measured_lately_counts_more(tmp_path: Path, model: LoadedModel) -> None:
    log = SpeedLog(FolderPlace(tmp_path), "w", 2)
    log.done(model, int(KEPT_MEGAPIXELS * 1e6), 1.0)
    log.done(model, 1_000_000, 1.0)
    log.write()
    assert read_speeds(FolderPlace(tmp_path))[0].megapixels == pytest.approx((KEPT_MEGAPIXELS + 1) / 2)


def test_damaged_files_are_passed_over(tmp_path: Path, model: LoadedModel) -> None:
    log = SpeedLog(FolderPlace(tmp_path), "w", 2)
    log.done(model, 1_000_000, 1.0)
    log.write()
    [file] = (tmp_path / "speeds").rglob("*.json")
    file.write_text("{")
    (file.parent / "note.txt").write_text("by hand")
    assert read_speeds(FolderPlace(tmp_path)) == []
    again = SpeedLog(FolderPlace(tmp_path), "w", 2)
    again.done(model, 1_000_000, 1.0)
    again.write()
    assert len(read_speeds(FolderPlace(tmp_path))) == 1


def test_a_store_that_takes_nothing_stops_no_work(
    tmp_path: Path, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: FolderPlace, name: str, content: bytes) -> None:
        raise OutputError("E301", "the disk is full")

    monkeypatch.setattr(FolderPlace, "write", refuse)
    log = SpeedLog(FolderPlace(tmp_path), "w", 2)
    log.done(model, 1_000_000, 1.0)
    log.write()


def test_pixels_are_those_of_all_planes_and_no_channels() -> None:
    assert pixels_of("TCZYX", (2, 3, 5, 10, 20)) == 2 * 5 * 10 * 20


def test_the_names_of_processor_and_gpu_are_the_systems(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: AMD  EPYC 7B12 \n", "utf-8")
    gpu = tmp_path / "driver" / "nvidia" / "gpus" / "0000:00:04.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t Tesla T4\nIRQ: 33\n", "utf-8")
    assert (cpu_name(tmp_path), gpu_name(tmp_path)) == ("AMD EPYC 7B12", "Tesla T4")
    assert cpu_name(tmp_path / "none") and gpu_name(tmp_path / "none") == "GPU"
