"""A file or folder with a final name is whole; what stops a write is told with a way out and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cellfleet.errors import OutputError
from cellfleet.stores.atomic import output_error, replacing, replacing_tree, sweep, write_bytes


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_appears_with_its_content_and_folders_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "labels.tif"
    with replacing(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.startswith(".")
        temporary.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert _names(target.parent) == ["labels.tif"]


def test_an_old_file_stays_until_the_new_one_is_whole_and_when_it_fails(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    target.write_bytes(b"old")

    def write_half() -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert target.read_bytes() == b"old"
    assert _names(tmp_path) == ["table.csv"]


def test_a_name_as_long_as_the_file_system_allows_can_be_written(tmp_path: Path) -> None:
    write_bytes(tmp_path / ("n" * 251 + ".csv"), b"x")
    with pytest.raises(OutputError, match="too long") as caught:
        write_bytes(tmp_path / ("n" * 252 + ".csv"), b"x")
    assert caught.value.code == "E304"
    assert len(_names(tmp_path)) == 1


def test_a_file_in_place_of_a_folder_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError) as not_a_folder:
        write_bytes(tmp_path / "file" / "deeper" / "x.csv", b"x")
    with pytest.raises(OutputError) as not_a_file:
        write_bytes(tmp_path / "folder", b"x")
    assert (not_a_folder.value.code, not_a_file.value.code) == ("E307", "E306")
    assert f"because {tmp_path / 'file'} is a file" in not_a_folder.value.what
    assert _names(tmp_path) == ["file", "folder"]


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "E301"),
        (errno.EDQUOT, "E301"),
        (errno.EACCES, "E302"),
        (errno.EPERM, "E302"),
        (errno.EROFS, "E303"),
        (errno.ENAMETOOLONG, "E304"),
        (errno.EIO, "E305"),
        (errno.EFBIG, "E308"),
    ],
)
def test_what_the_system_says_becomes_a_code_a_place_and_an_action(number: int, code: str) -> None:
    error = output_error(OSError(number, os.strerror(number)), Path("results/a_labels.tif"), needed_bytes=2_500_000)
    assert (error.code, error.where) == (code, str(Path("results/a_labels.tif")))
    assert error.what
    assert error.action
    assert ("2.5 MB" in error.what) == (code == "E301")


_WRITE_TOO_MUCH = """
import sys
from pathlib import Path
import numpy as np
from cellfleet.errors import OutputError
from cellfleet.stores.folder import FolderPlace
if len(sys.argv) > 2:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
place = FolderPlace(Path(sys.argv[1]))
noise = np.random.default_rng(0).bytes(1_000_000)

def in_a_tree():
    with place.replacing_tree("a.ome.zarr") as folder:
        (folder / "c").mkdir()
        (folder / "c" / "0").write_bytes(noise)

def by_numpy():
    with place.replacing("a.npy") as temporary:
        np.frombuffer(noise, np.uint8).tofile(temporary)

for write in (lambda: place.write("a.csv", noise), lambda: place.create("a.json", noise), in_a_tree, by_numpy):
    try:
        write()
    except OutputError as error:
        print(error.code, bool(error.action), [path.name for path in place.path.iterdir()])
"""


def _private_disk_works() -> bool:
    return (
        bool(shutil.which("unshare"))
        and subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode == 0
    )


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    """A real full disk (tmpfs in a private mount namespace), or where that is forbidden a real file size limit."""
    script = [sys.executable, "-c", _WRITE_TOO_MUCH, str(tmp_path)]
    command, code = [*script, "limited"], "E308"
    if _private_disk_works():
        mount = 'mount -t tmpfs -o size=200k none "$0" && exec "$@"'
        command, code = ["unshare", "-rm", "sh", "-c", mount, str(tmp_path), *script], "E301"
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == [f"{code} True []"] * 4


_KILL_WRITERS = """
import os, signal, sys
from pathlib import Path
import numpy as np
from cellfleet.stores.folder import FolderPlace

def write_for_ever(place, progress):
    number = 0
    while True:
        number += 1
        content = bytes([number % 251]) * 400_000
        place.write(f"{number % 3}.tif", content)
        with place.replacing_tree(f"{number % 3}.zarr") as folder:
            for part in range(20):
                (folder / f"{part}").write_bytes(content[:1000])
        os.write(progress, b".")

rng = np.random.default_rng(7)
for kill in range(40):
    folder = Path(sys.argv[1]) / str(kill)
    folder.mkdir()
    read, write = os.pipe()
    writer = os.fork()
    if not writer:
        write_for_ever(FolderPlace(folder), write)
    for _ in range(rng.integers(1, 8)):
        os.read(read, 1)
    for _ in range(rng.integers(0, 20_000)):
        pass
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    os.close(read)
    os.close(write)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_no_half_file_under_a_final_name(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILL_WRITERS, str(tmp_path)], check=True)
    for path in tmp_path.glob("*/[!.]*.tif"):
        content = path.read_bytes()
        assert (len(content), len(set(content))) == (400_000, 1)
    for path in tmp_path.glob("*/[!.]*.zarr"):
        parts = [part.read_bytes() for part in path.iterdir()]
        assert (len(parts), len(set(parts)), len(parts[0])) == (20, 1, 1000)
    assert len(list(tmp_path.glob("*/[!.]*"))) >= 2 * 40
    left = list(tmp_path.glob("*/.cellfleet-*"))
    assert left, "no writer was killed in the middle of a file"
    assert sweep(tmp_path) == len(left)
    assert not list(tmp_path.glob("*/.*"))


def test_only_temporary_files_of_dead_processes_are_swept(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        pass
    (tmp_path / "day1").mkdir()
    with replacing(tmp_path / "day1" / "mine.csv") as alive:
        alive.write_bytes(b"x")
        of_dead = alive.with_name(alive.name.replace(f"-{os.getpid()}-", f"-{dead.pid}-"))
        elsewhere = alive.with_name(".cellfleet-00000000-1-abc.part")
        old = alive.with_name(".cellfleet-00000000-2-abc.part")
        for path in (of_dead, elsewhere, old, tmp_path / ".hidden.part"):
            path.write_bytes(b"x")
        os.utime(old, (0, 0))
        assert sweep(tmp_path) == 2
        assert alive.exists()
        assert not of_dead.exists()
        assert elsewhere.exists()
        assert not old.exists()
    assert (tmp_path / ".hidden.part").exists()


def test_a_tree_appears_whole_and_an_old_one_stays_until_then(tmp_path: Path) -> None:
    target = tmp_path / "day1" / "a.ome.zarr"
    for content in (b"old", b"new"):
        with replacing_tree(target) as folder:
            assert folder.parent == target.parent
            (folder / "c").mkdir()
            (folder / "c" / content.decode()).write_bytes(content)
            assert [path.name for path in target.glob("c/*")] == ([] if content == b"old" else ["old"])
        assert [path.name for path in (target / "c").iterdir()] == [content.decode()]
        assert _names(target.parent) == ["a.ome.zarr"]

    def write_half() -> None:
        with replacing_tree(target) as folder:
            (folder / "half").write_bytes(b"")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert [path.name for path in target.iterdir()] == ["c"]
    assert _names(target.parent) == ["a.ome.zarr"]
