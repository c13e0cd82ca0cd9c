"""Memory and threads that a run may use, and one process per output folder."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cellfleet.errors import DeviceError, UsageError
from cellfleet.inference.otsu import OtsuPredictor
from cellfleet.inference.threads import usable_threads
from cellfleet.models import LoadedModel
from cellfleet.run.resources import MemoryBudget, available_bytes, plan_memory
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.stores.lock import locked

HEADS = ("inner_distance", "outer_distance")


def test_an_image_larger_than_all_memory_is_refused_with_both_numbers() -> None:
    with (
        pytest.raises(DeviceError, match=r"needs about 8\.0 GB, 2\.0 GB are free.*\[E510\]"),
        MemoryBudget(2 * 10**9).hold(8 * 10**9),
    ):
        pass


def test_networks_that_take_more_memory_get_fewer_tiles_at_once() -> None:
    def tiles(bytes_per_pixel: int | None) -> int:
        tile = Tile(largest=1024, halo=64, bytes_per_pixel=bytes_per_pixel)
        manifest = ModelManifest(name="m", version="1", heads=HEADS, tile=tile)
        return plan_memory(5 * 10**9, 8, LoadedModel(manifest, "0" * 64, OtsuPredictor(), "cpu")).tiles_at_once

    assert tiles(None) == 8
    assert tiles(420) < 8
    with pytest.raises(DeviceError, match="E515"):
        tiles(5000)


def test_an_image_never_waits_for_what_it_holds_itself() -> None:
    budget = MemoryBudget(10 * 10**9)
    with budget.hold(6 * 10**9), pytest.raises(DeviceError) as caught, budget.hold(5 * 10**9, beside=6 * 10**9):
        pass
    assert caught.value.code == "E510" and "11.0 GB" in caught.value.what


def test_an_image_waits_until_others_have_given_their_memory_back() -> None:
    budget, entered = MemoryBudget(10), threading.Event()

    def second() -> None:
        with budget.hold(6):
            entered.set()

    thread = threading.Thread(target=second)
    with budget.hold(5):
        thread.start()
        with budget.hold(5):
            assert not entered.wait(0.2)
        assert not entered.wait(0.2)
    assert entered.wait(20)
    thread.join()


def test_memory_is_given_back_when_an_image_fails() -> None:
    budget = MemoryBudget(10)
    with pytest.raises(ValueError, match="broken"), budget.hold(10):
        raise ValueError("broken")
    with budget.hold(10):
        pass


def test_a_container_limits_memory(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("900\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 300\nactive_file 100\n")
    (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable:   50 kB\n")
    assert available_bytes(tmp_path, tmp_path / "meminfo") == 500
    assert available_bytes(tmp_path / "none", tmp_path / "meminfo") == 50 * 1024
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None


def test_a_container_limits_threads(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    unlimited = usable_threads(tmp_path)
    assert unlimited == usable_threads(tmp_path / "none") >= 1
    (tmp_path / "cpu.max").write_text("20000 100000\n")
    assert usable_threads(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("9900000 100000\n")
    assert usable_threads(tmp_path) == unlimited


_HOLDER = """
import sys
from pathlib import Path
from cellfleet.stores.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_dead_one_leaves_no_lock(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with (
            pytest.raises(UsageError, match=rf"another cellfleet \(process {holder.pid} on .*\[E030\]"),
            locked(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
        with locked(tmp_path):
            pass
