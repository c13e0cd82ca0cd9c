"""Machines that share a run without talking: the same result as one machine, and no file is written by two of them."""

from __future__ import annotations

import functools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests import small_blocks
from tests.support import discs, results, rows, run_record, segment

from cellfleet.cli import main
from cellfleet.run import process
from cellfleet.run.shard_records import load_shards
from cellfleet.run.speed_log import SPEEDS
from cellfleet.stores.folder import FolderPlace

FORMATS = ("--format", "labels-tiff", "--format", "csv", "--format", "parquet")
TIMES = {"seconds", "cpu_seconds", "waiting_seconds"}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 256 px in this process."""
    monkeypatch.setattr(process, "How", functools.partial(process.How, block=small_blocks.SIDE))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of files and folders that a place was told to write."""
    names: list[str] = []

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: FolderPlace, name: str, *args: Any, **options: Any) -> Any:
            result = method(self, name, *args, **options)
            if result is not False and not name.startswith(SPEEDS):  # which are no results
                names.append(name)
            return result

        return call

    for method in ("write", "create", "replacing", "replacing_tree"):
        monkeypatch.setattr(FolderPlace, method, noted(getattr(FolderPlace, method)))
    return names


def write_images(folder: Path, rng: random.Random, count: int, *, large: float = 0.4) -> None:
    folder.mkdir()
    for index in range(count):
        tiles = (rng.randrange(6, 11), rng.randrange(5, 9)) if rng.random() < large else (1, 1)
        pixels = np.roll(np.tile(discs(), tiles), rng.randrange(60), axis=1)
        tifffile.imwrite(folder / f"{index:02}.tif", pixels, tile=(64, 64))


def in_shards(images: Path, out: Path, order: list[int], *more: str) -> None:
    for number in order:
        assert segment(images, "-o", out, *FORMATS, "--shard", f"{number}/{len(order)}", *more) == 0


def assert_like_one_machine(out: Path, whole: Path) -> None:
    assert results(out) == results(whole)
    one, other = run_record(whole), run_record(out)
    assert other.status == one.status == "done"
    told = [[image.model_dump(exclude=TIMES) for image in record.images] for record in (other, one)]
    assert told[0] == told[1]
    assert rows(out / "failures.csv") == [] and (out / "report.html").exists()
    assert not list((out / ".cellfleet" / "parts").rglob("*.npz"))


@pytest.mark.slow
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_shards_in_any_order_give_what_one_machine_gives(
    seed: int, apart: bool, tmp_path: Path, written: list[str]
) -> None:
    """One after the other; or apart, so that none sees what another has done, as when all run at once."""
    rng = random.Random(seed)
    images, out = tmp_path / "images", tmp_path / "out"
    count = 1 + seed % 5
    # Few images are shared by blocks, many one by one.
    write_images(images, rng, rng.choice([1, 2, 3, 4 * count, 4 * count + 3]))
    assert segment(images, "-o", tmp_path / "whole", *FORMATS) == 0
    by_shard = []
    for number in rng.sample(range(1, count + 1), count):
        written.clear()
        place = tmp_path / f"part {number}" if apart else out
        assert segment(images, "-o", place, *FORMATS, "--shard", f"{number}/{count}") == 0
        # What all agree on is made by whoever comes first.
        by_shard.append({name for name in written if not (apart and name.endswith("/survey.json"))})
        if apart:
            shutil.copytree(place, out, dirs_exist_ok=True)
    assert sum(map(len, by_shard)) == len(set.union(*by_shard)), "two shards wrote one file"
    assert main(["merge", str(out)]) == 0
    assert_like_one_machine(out, tmp_path / "whole")
    shards, merged = load_shards(FolderPlace(out)), run_record(out)
    assert len(shards) == merged.shards == count
    for stage in ("read", "predict", "measure"):
        spent = [shard.seconds.get(stage, 0) for shard in shards]
        assert sum(spent) > 0, f"nobody tells of {stage}"
        assert merged.seconds[stage] >= sum(spent) - 1e-3


@pytest.mark.slow
def test_shards_at_the_same_time_give_what_one_machine_gives(tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    write_images(images, random.Random(1), 3, large=1)
    assert segment(images, "-o", tmp_path / "whole", *FORMATS) == 0
    running = [start(images, out, f"{number}/3") for number in (1, 2, 3)]
    for machine in running:
        assert machine.wait(timeout=120) == 0
    assert main(["merge", str(out)]) == 0
    assert_like_one_machine(out, tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_shard_that_is_killed_is_run_again(seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(seed)
    images, out, log = tmp_path / "images", tmp_path / "out", tmp_path / "blocks"
    write_images(images, rng, 2, large=1)
    assert segment(images, "-o", tmp_path / "whole", *FORMATS) == 0
    with start(images, out, "1/2", log) as process:
        while not log.exists() or len(log.read_text().splitlines()) < rng.randrange(1, 9):
            assert process.poll() is None
        process.kill()
    assert segment(images, "-o", out, *FORMATS, "--shard", "2/2") == 0
    capsys.readouterr()
    assert main(["merge", str(out)]) == 2
    assert "1 of 2 shards have not finished: 1/2" in capsys.readouterr().err
    assert segment(images, "-o", out, *FORMATS, "--shard", "1/2") == 0
    assert main(["merge", str(out)]) == 0
    assert_like_one_machine(out, tmp_path / "whole")
    assert not list(out.rglob("*.part"))


def start(images: Path, out: Path, shard: str, log: Path | None = None) -> subprocess.Popen[bytes]:
    words = ["segment", str(images), "-o", str(out), "--model", "otsu", *FORMATS, "--shard", shard, "--threads", "1"]
    environment = os.environ | ({"BLOCKS_DONE": str(log)} if log else {})
    command = [sys.executable, small_blocks.__file__, *words]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def test_a_bad_image_is_told_once_and_costs_only_itself(tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    write_images(images, random.Random(0), 2)
    (images / "bad.tif").write_text("no image")
    codes = [segment(images, "-o", out, *FORMATS, "--shard", f"{number}/2") for number in (1, 2)]
    assert sorted(codes) == [0, 3], "one machine tells of it"
    assert main(["merge", str(out)]) == 3
    assert [row["image"] for row in rows(out / "failures.csv")] == ["bad.tif"]
    assert len(run_record(out).images) == 3


def test_only_finished_shards_of_one_run_are_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    write_images(images, random.Random(0), 1, large=1)
    out.mkdir()
    assert main(["merge", str(out)]) == 2
    assert "[E045]" in capsys.readouterr().err
    assert segment(images, "-o", out, "--shard", "2/3") == 0
    assert main(["merge", str(out)]) == 2
    said = capsys.readouterr().err
    assert "2 of 3 shards have not finished: 1/3, 3/3" in said and "[E045]" in said
    assert segment(images, "-o", out, "--shard", "1/2") == 2
    assert "[E039]" in capsys.readouterr().err
    assert segment(images, "-o", out, "--shard", "1/3", "--pixel-size", "0.5") == 2
    assert "[E032]" in capsys.readouterr().err
    assert segment(images, tmp_path, "-o", out, "--shard", "1/3") == 2
    said = capsys.readouterr().err
    assert "[E039]" in said and "different images" in said
    assert not (out / "run.json").exists() and not results(out)


def test_the_part_of_an_array_job_is_taken_from_its_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    write_images(images, random.Random(0), 1, large=1)
    for number in range(2):
        monkeypatch.setenv("JOB_COMPLETION_INDEX", str(number))
        monkeypatch.setenv("JOB_COMPLETIONS", "2")
        assert segment(images, "-o", out, "--shard", "auto") == 0
    assert [shard.shard for shard in load_shards(FolderPlace(out))] == ["1/2", "2/2"]
    monkeypatch.delenv("JOB_COMPLETION_INDEX")
    assert segment(images, "-o", out, "--shard", "auto") == 2
    assert "[E038]" in capsys.readouterr().err
