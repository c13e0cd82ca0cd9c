"""A large image is stopped at any moment, and the same command ends as if nothing had happened.

Blocks that are done are not done again; blocks of other settings, pixels or versions, and damaged ones, are never used.
"""

from __future__ import annotations

import errno
import functools
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests import small_blocks
from tests.support import results, run_record, segment

import cellfleet
from cellfleet.run import process

pytestmark = pytest.mark.slow
SHAPE = (2200, 1900)
BLOCKS = 9 * 7
FORMATS = ("--format", "labels-tiff", "--format", "csv", "--format", "parquet")


def slide(shape: tuple[int, int], seed: int) -> np.ndarray:
    """Discs on a noisy ground, some of them across every border of blocks."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(100, 5, shape)
    y, x = np.mgrid[-14:15, -14:15]
    for _ in range(shape[0] * shape[1] // 4000):
        top, left = rng.integers(0, shape[0] - 29), rng.integers(0, shape[1] - 29)
        pixels[top : top + 29, left : left + 29] += 800 * (y**2 + x**2 < rng.integers(16, 180))
    return pixels.clip(0, 4000).astype(np.uint16)


def write(path: Path, seed: int = 0) -> None:
    tifffile.imwrite(path, slide(SHAPE, seed), tile=(256, 256), compression="zlib")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.tif"
    write(path)
    return path


def start(image: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    words = ["segment", str(image), "-o", str(out), "--model", "otsu", "--threads", "2", *FORMATS, *more]
    environment = os.environ | {"BLOCKS_DONE": str(log_of(out)), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, small_blocks.__file__, *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def log_of(out: Path) -> Path:
    return out.parent / f"{out.name}.blocks"


def finish(image: Path, out: Path, *more: str) -> None:
    with start(image, out, *more) as process:
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()


def done(out: Path) -> Counter[str]:
    """How often each block was done and kept, in all runs."""
    log = log_of(out)
    return Counter(log.read_text().splitlines()) if log.exists() else Counter()


def parts(out: Path) -> list[Path]:
    return sorted((out / ".cellfleet" / "parts").rglob("*.npz"))


@functools.cache
def undisturbed(image: Path, *more: str) -> dict[str, bytes]:
    out = image.parent / f"undisturbed{''.join(more)}"
    finish(image, out, *more)
    assert set(done(out).values()) == {1} and len(done(out)) == BLOCKS
    return results(out)


def stopped_after(image: Path, out: Path, blocks: int) -> None:
    """Kill a run that has done at least so many blocks."""
    with start(image, out) as process:
        while sum(done(out).values()) < blocks:
            assert process.poll() is None, "ended before it could be stopped"
        process.kill()


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_any_moment_it_goes_on_at_the_block_where_it_stopped(seed: int, image: Path, tmp_path: Path) -> None:
    expected = undisturbed(image)
    rng, out = random.Random(seed), tmp_path / "out"
    for _ in range(4):
        enough = len(done(out)) + rng.randrange(1, BLOCKS // 2)
        with start(image, out) as process:
            while len(done(out)) < enough and process.poll() is None:
                time.sleep(0.005)
            # Somewhere inside a block, or in what comes after the last one.
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
        for name, content in results(out).items():
            assert content == expected[name], f"{name} is not whole"
    finish(image, out)
    assert results(out) == expected
    assert run_record(out).status == "done"
    # One that was killed between keeping a block and telling of it has not told of it.
    assert set(done(out).values()) == {1} and BLOCKS - 8 <= len(done(out)) <= BLOCKS
    assert not parts(out) and not list(out.rglob("*.part"))


def damaged_at_the_end(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def damaged_in_the_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: list[Callable[[Path], object]] = [
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(path.read_bytes()[:-100]),
    damaged_at_the_end,
    damaged_in_the_middle,
    Path.unlink,
]


def test_damaged_blocks_are_noticed_and_done_again_and_no_others(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped_after(image, out, 30)
    kept = done(out)
    # As many blocks as there are damages, once with their labels, once with their tables.
    victims = random.Random(0).sample(sorted(kept), 2 * len(DAMAGES))
    for number, told in enumerate(victims):
        ending = (".labels.npz", ".table.npz")[number % 2]
        (path,) = (path for path in parts(out) if path.name == told.replace(" ", "-") + ending)
        DAMAGES[number // 2](path)
    finish(image, out)
    assert results(out) == undisturbed(image)
    assert {told for told, times in done(out).items() if times > 1} == set(victims)


def test_what_all_blocks_agreed_on_may_be_damaged_too(image: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    stopped_after(image, out, 10)
    (agreed,) = (out / ".cellfleet" / "parts").rglob("survey.json")
    damaged_in_the_middle(agreed)
    finish(image, out)
    assert results(out) == undisturbed(image)


def test_blocks_of_other_settings_or_pixels_are_never_used(image: Path, tmp_path: Path) -> None:
    moving, out = tmp_path / "large.tif", tmp_path / "out"
    moving.write_bytes(image.read_bytes())
    stopped_after(moving, out, 20)
    write(moving, seed=1)
    finish(moving, out)
    assert results(out) == undisturbed(moving) != undisturbed(image)
    out = tmp_path / "other"
    stopped_after(image, out, 20)
    before = sum(done(out).values())
    finish(image, out, "--pixel-size", "0.5", "--overwrite")
    assert results(out) == undisturbed(image, "--pixel-size", "0.5")
    assert sum(done(out).values()) - before >= BLOCKS, "old blocks were taken"
    assert not parts(out)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks in this process."""
    monkeypatch.setattr(process, "How", functools.partial(process.How, block=small_blocks.SIDE))


def stopped_here(image: Path, out: Path, monkeypatch: pytest.MonkeyPatch, writes: int, code: int) -> list[Path]:
    """Run on a disk that is full after so many writes; return the blocks that are kept."""
    original, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert segment(image, "-o", out, *FORMATS) == code
    return parts(out)


def test_a_full_disk_stops_the_run_and_it_goes_on_later(
    image: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    kept = stopped_here(image, out, monkeypatch, writes=40, code=6)
    assert "[E301]" in capsys.readouterr().err
    assert len(kept) > 20
    # A block's table is written before its labels: one that stands alone is of a block that is not done.
    done = [path for path in kept if path.with_name(path.name.replace(".table.", ".labels.")) in kept]
    times = {path: path.stat().st_mtime_ns for path in done}
    further = stopped_here(image, out, monkeypatch, writes=40, code=6)
    assert len(further) > len(kept) and {path: path.stat().st_mtime_ns for path in done} == times
    assert segment(image, "-o", out, *FORMATS) == 0
    assert results(out) == undisturbed(image)


def test_blocks_of_another_version_are_never_used(
    image: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    before = stopped_here(image, out, monkeypatch, writes=40, code=6)
    monkeypatch.setattr(process, "__version__", f"{cellfleet.__version__}.1")
    after = stopped_here(image, out, monkeypatch, writes=40, code=6)
    assert len({path.parent for path in before}) == 1 and len({path.parent for path in after}) == 2


def test_an_image_that_fails_while_it_is_written_keeps_its_blocks(
    image: Path, tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    (out / "large_labels.tif").mkdir(parents=True)
    assert segment(image, "-o", out, *FORMATS, "--overwrite") == 3
    assert len(parts(out)) == 2 * BLOCKS
    (out / "large_labels.tif").rmdir()
    monkeypatch.setattr("cellfleet.run.segment_image.segment_block", None)
    assert segment(image, "-o", out, *FORMATS) == 0
    assert results(out) == undisturbed(image) and not parts(out)


def test_the_bundled_network_and_usual_blocks(tmp_path: Path) -> None:
    path, out = tmp_path / "large.tif", tmp_path / "out"
    tifffile.imwrite(path, slide((2000, 3200), 0), tile=(256, 256))
    words = [sys.executable, "-m", "cellfleet", "segment", str(path), "--diameter", "20", "-o"]
    subprocess.run([*words, str(tmp_path / "whole")], check=True, capture_output=True)
    with subprocess.Popen([*words, str(out)], stderr=subprocess.DEVNULL) as process:
        while not list(out.rglob("*.labels.npz")):
            assert process.poll() is None
        process.kill()
    (kept, *_) = parts(out)
    subprocess.run([*words, str(out)], check=True, capture_output=True)
    assert results(out) == results(tmp_path / "whole") and not kept.exists()
    assert run_record(out).images[0].blocks == 2
