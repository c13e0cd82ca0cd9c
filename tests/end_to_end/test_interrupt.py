"""Stopping at any moment: what has a final name is whole, and the same command ends as if nothing had happened."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.support import discs, results, run_record

pytestmark = pytest.mark.slow
COUNT = 10


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for index in range(COUNT):
        tifffile.imwrite(folder / f"{index}.tif", np.roll(np.tile(discs(), (5, 4)), 7 * index, axis=1))
    return folder


def start(images: Path, out: Path) -> subprocess.Popen[str]:
    words = ["-o", str(out), "--model", "otsu", "--threads", "2", "--progress", "json"]
    command = [sys.executable, "-m", "cellfleet", "segment", str(images), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_lines(process: subprocess.Popen[str], count: int) -> None:
    """Wait until the run has told of `count` events, or has ended."""
    assert process.stdout is not None
    for _ in range(count):
        process.stdout.readline()


@pytest.fixture(scope="module")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("undisturbed")
    with start(images, out) as process:
        assert process.wait(timeout=120) == 0
    found = results(out)
    assert len(found) == 2 * COUNT
    return found


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_nothing_is_lost_or_half_written(
    seed: int, images: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    rng = random.Random(seed)
    out = tmp_path / "out"
    for _ in range(3):
        with start(images, out) as process:
            read_lines(process, rng.randrange(1, 4))
            # A random piece of work between the event and the kill: it hits reading, computing, writing, renaming.
            sum(range(rng.randrange(1_500_000)))
            process.kill()
        for name, content in results(out).items():
            assert content == undisturbed[name], f"{name} is not whole"
    with start(images, out) as process:
        assert process.wait(timeout=120) == 0
    assert results(out) == undisturbed
    assert run_record(out).status == "done"
    assert not list(out.rglob("*.part"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_and_the_same_command_goes_on(
    number: signal.Signals, images: Path, undisturbed: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with start(images, out) as process:
        read_lines(process, 3)
        process.send_signal(number)
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopping" in said and "Traceback" not in said and '"event": "stopped"' in rest
    run = run_record(out)
    assert run.status == "stopped" and 2 <= len(run.images) < COUNT
    assert len(results(out)) < len(undisturbed)
    with start(images, out) as process:
        assert process.wait(timeout=120) == 0
    assert results(out) == undisturbed and len(run_record(out).images) == COUNT


def test_a_second_signal_ends_at_once(images: Path, undisturbed: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(images, out) as process:
        read_lines(process, 2)
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.returncode == 130
    assert all(content == undisturbed[name] for name, content in results(out).items())
