"""A folder as the place of results: names in, whole files and trees out."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from cellfleet.errors import OutputError, UsageError
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.place import open_place


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "out")


def test_what_is_written_is_found_read_listed_and_removed(place: FolderPlace) -> None:
    assert list(place.names()) == []
    place.write("plate/ä b.csv", b"1,2")
    with place.replacing("plate/a_labels.tif") as temporary:
        temporary.write_bytes(b"pixels")
        assert not place.exists("plate/a_labels.tif")
    with place.replacing_tree("plate/a.ome.zarr") as folder:
        (folder / "zarr.json").write_bytes(b"{}")
    assert sorted(place.names()) == ["plate/a.ome.zarr/zarr.json", "plate/a_labels.tif", "plate/ä b.csv"]
    assert list(place.names("plate/a.ome.zarr")) == ["plate/a.ome.zarr/zarr.json"]
    assert (place.read("plate/ä b.csv"), place.size("plate/a_labels.tif")) == (b"1,2", 6)
    assert place.exists("plate/a.ome.zarr")
    for name in ("plate/a.ome.zarr", "plate/a_labels.tif", "missing", "plate/ä b.csv/deeper", "plate/ä b.csv"):
        place.remove(name)
    assert list(place.path.rglob("*")) == [place.path / "plate"]


def test_what_is_not_there_has_no_content_and_no_size(place: FolderPlace) -> None:
    place.write("file", b"")
    (place.path / "folder").mkdir()
    for name in ("missing", "file/deeper", "folder"):
        assert (place.read(name), place.size(name)) == (None, None)
    assert [place.exists(name) for name in ("missing", "file/deeper", "folder", "file")] == [False, False, True, True]


def test_a_name_too_long_for_the_disk_is_one_that_is_not_there(place: FolderPlace) -> None:
    place.write("file", b"")
    name = "n" * 300
    assert (place.exists(name), place.read(name), place.size(name)) == (False, None, None)
    with pytest.raises(OutputError) as caught:
        place.write(name, b"")
    assert caught.value.code == "E304"


def test_temporary_files_are_not_listed_and_only_those_of_the_dead_are_swept(place: FolderPlace) -> None:
    place.write("a.csv", b"")
    with place.replacing("b.csv") as temporary, place.replacing_tree("c.zarr") as folder:
        temporary.write_bytes(b"")
        (folder / "0").write_bytes(b"")
        assert list(place.names()) == ["a.csv"]
        assert place.sweep() == 0
        left = folder.with_name(".cellfleet-00000000-1-abc.part")
        (left / "c").mkdir(parents=True)
        (left / "c" / "0").write_bytes(b"")
        os.utime(left / "c" / "0", (0, 0))
        os.utime(left, (0, 0))
        assert place.sweep() == 0, "a folder that somebody wrote to today was swept"
        os.utime(left / "c", (0, 0))
        assert place.sweep() == 1
    assert sorted(place.names()) == ["a.csv", "b.csv", "c.zarr/0"]


def test_of_many_that_create_a_name_one_wins_and_its_content_stands(place: FolderPlace) -> None:
    start, won = threading.Barrier(8), []

    def claim(number: int) -> None:
        start.wait()
        if place.create("claims/0", bytes([number])):
            won.append(bytes([number]))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [place.read("claims/0")] == won
    assert list(place.names()) == ["claims/0"]


def test_a_name_is_claimed_once_where_the_disk_has_no_links(
    place: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert [place.create("claim", b"first"), place.create("claim", b"second")] == [True, False]
    assert place.read("claim") == b"first"


def test_content_is_on_the_disk_before_it_has_its_name(place: FolderPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename = os.replace
    monkeypatch.setattr(os, "fsync", lambda number: done.append("flush"))

    def replace(source: Path, target: Path) -> None:
        rename(source, target)
        done.append("name")

    monkeypatch.setattr(os, "replace", replace)
    place.write("a.csv", b"1")
    with place.replacing_tree("a.zarr") as folder:
        (folder / "c").mkdir()
        (folder / "c" / "0").write_bytes(b"1")
        (folder / "zarr.json").write_bytes(b"{}")
    assert done == ["flush", "name", "flush", "flush", "name"]


def test_an_old_tree_comes_back_when_the_new_one_cannot_take_its_place(
    place: FolderPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.replacing_tree("a.zarr") as folder:
        (folder / "old").write_bytes(b"")
    rename = os.replace

    def refuse(source: Path, target: Path) -> None:
        if (Path(source) / "new").exists():
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="E305"), place.replacing_tree("a.zarr") as folder:
        (folder / "new").write_bytes(b"")
    assert list(place.names()) == ["a.zarr/old"]


def test_names_stay_inside_the_place(place: FolderPlace) -> None:
    for name in ("../a", "a/../../b", "/etc/passwd"):
        with pytest.raises(AssertionError, match="unsafe"):
            place.write(name, b"")


def test_results_that_may_not_be_read_are_named(place: FolderPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    place.write("run.json", b"{}")
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(OutputError, match="Permission denied") as caught:
        place.read("run.json")
    assert (caught.value.code, caught.value.where) == ("E320", str(place.path / "run.json"))


def test_one_process_at_a_time(place: FolderPlace) -> None:
    with place.lock(), pytest.raises(UsageError, match="E030"), FolderPlace(place.path).lock():
        pass
    with place.lock():
        pass


def test_a_path_or_a_file_address_is_a_folder(tmp_path: Path) -> None:
    assert open_place(tmp_path) == open_place(str(tmp_path)) == open_place(tmp_path.as_uri()) == FolderPlace(tmp_path)
    assert open_place(tmp_path).url == str(tmp_path)


def test_a_part_of_a_file_comes_with_its_size_and_version(place: FolderPlace) -> None:
    place.write("plate/ä b.csv", b"0123456789")
    whole = place.read_range("plate/ä b.csv", 0, 100)
    assert whole is not None and (whole.content, whole.size) == (b"0123456789", 10)
    cases = [
        ((2, 5), b"234"),
        ((8, 100), b"89"),
        ((10, 12), b""),
        ((50, 1 << 60), b""),
        ((1 << 60, 1 << 61), b""),
        ((0, 0), b""),
        ((4, 4), b""),
    ]
    for (start, stop), content in cases:
        assert place.read_range("plate/ä b.csv", start, stop, version=whole.version) == (content, 10, whole.version)


def test_of_a_file_that_was_replaced_no_further_part_is_read(place: FolderPlace) -> None:
    place.write("a.csv", b"one")
    first = place.read_range("a.csv", 0, 1)
    place.write("a.csv", b"two")
    assert first is not None
    with pytest.raises(OutputError) as caught:
        place.read_range("a.csv", 1, 3, version=first.version)
    assert (caught.value.code, caught.value.where) == ("E325", str(place.path / "a.csv"))


def test_only_a_file_in_the_folder_has_parts(place: FolderPlace, tmp_path: Path) -> None:
    place.write("folder/file", b"inside")
    (tmp_path / "secret").write_bytes(b"outside")
    (place.path / "out").symlink_to(tmp_path / "secret")
    (place.path / "above").symlink_to(tmp_path)
    (place.path / "itself").symlink_to("itself")
    (place.path / "in").symlink_to(Path("folder", "file"))
    os.mkfifo(place.path / "pipe")
    for name in ("missing", "folder", "folder/file/deeper", "n" * 300, "out", "above/secret", "itself", "pipe"):
        assert place.read_range(name, 0, 10) is None, name
    inside = place.read_range("in", 0, 10)
    assert inside is not None and inside.content == b"inside"
