"""What is sent of local images: after it a server finds them under the very names that they have here."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.client.parcel import pack
from cellfleet.errors import UsageError
from cellfleet.images.find import find_images


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.tif", b"a")
                archive.writestr("deep/b.png", b"b")
        else:
            path.write_bytes(name.encode("utf-8", "surrogateescape"))
    return root


def names_there(inputs: list[Path], server: Path) -> list[str]:
    """Do what the client and a server with a folder do; return the names that the server finds."""
    parcel = pack([str(one) for one in inputs])
    for file in parcel.files:
        target = server / "set" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.local, target)
    there = [given.replace("set:set", str(server / "set")) for given in parcel.inputs("set")]
    return sorted(source.name for source in find_images(there))


def names_here(inputs: list[Path]) -> list[str]:
    return sorted(source.name for source in find_images(inputs))


@pytest.mark.parametrize(
    "inputs",
    [
        ["plate"],
        ["plate/a.tif"],
        ["plate/a.tif", "plate/b.png"],
        ["plate", "other"],
        ["plate/A", "plate/B", "other/c.tif"],
        ["plate/*/*.tif"],
        ["plate/zips/one.zip"],
        ["plate/zips/one.zip", "plate/zips/two.zip"],
        ["x/one.zip", "plate/zips/one.zip"],
        ["store.zarr"],
    ],
)
def test_names_there_are_those_here(tmp_path: Path, inputs: list[str]) -> None:
    make(
        tmp_path / "here",
        *("plate/a.tif", "plate/b.png", "plate/A/a.tif", "plate/B/a.tif", "plate/new\nline µ 🦠, 1.tif"),
        *("other/a.tif", "other/c.tif", "plate/zips/one.zip", "plate/zips/two.zip", "x/one.zip"),
        *("store.zarr/zarr.json", "store.zarr/0/zarr.json", "store.zarr/.zattrs"),
    )
    given = [tmp_path / "here" / one for one in inputs]
    assert names_there(given, tmp_path / "server") == names_here(given)


@given(
    files=st.sets(
        st.tuples(st.sampled_from(["p", "q", "p/q"]), st.sampled_from(["a.tif", "a.png", "b.tif"])), min_size=1
    ),
    inputs=st.lists(st.sampled_from(["p", "q", "p/q", "."]), min_size=1, max_size=3, unique=True),
)
def test_whatever_folders_are_given(tmp_path_factory: pytest.TempPathFactory, files: set, inputs: list[str]) -> None:
    tmp_path = tmp_path_factory.mktemp("names")
    make(tmp_path / "here", *(f"{folder}/{name}" for folder, name in files))
    given = [tmp_path / "here" / one for one in inputs if (tmp_path / "here" / one).is_dir()]
    given = [one for one in given if any(one.rglob("*.*"))]
    if given:
        assert names_there(given, tmp_path / "server") == names_here(given)


def test_an_archive_whose_images_would_be_called_otherwise_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "plate/a.tif", "one.zip")
    with pytest.raises(UsageError) as caught:
        pack([str(tmp_path / "plate"), str(tmp_path / "one.zip")])
    assert caught.value.code == "E972"


def test_a_folder_and_an_archive_with_other_names_go_together(tmp_path: Path) -> None:
    make(tmp_path / "here", "plate/c.tif", "one.zip")
    given = [tmp_path / "here" / "plate", tmp_path / "here" / "one.zip"]
    assert names_there(given, tmp_path / "server") == names_here(given) == ["a.tif", "c.tif", "deep/b.png"]


def test_an_archive_is_sent_once_and_whole_and_a_zarr_file_by_file(tmp_path: Path) -> None:
    make(tmp_path, "one.zip", "store.zarr/zarr.json", "store.zarr/0/c/0")
    parcel = pack([str(tmp_path / "one.zip")])
    assert [(file.path, file.size) for file in parcel.files] == [("one.zip", (tmp_path / "one.zip").stat().st_size)]
    assert [file.path for file in pack([str(tmp_path / "store.zarr")]).files] == [
        "store.zarr/zarr.json",
        "store.zarr/0/c/0",
    ]


def test_addresses_are_passed_on(tmp_path: Path) -> None:
    make(tmp_path, "plate/a.tif")
    assert pack(["s3://lab/plates"]).inputs("") == ("s3://lab/plates",)
    mixed = pack([str(tmp_path / "plate"), "s3://lab/plates"])
    assert mixed.inputs("ID") == ("set:ID", "s3://lab/plates")
    assert [file.path for file in mixed.files] == ["a.tif"]


def test_what_has_gone_is_named_and_the_rest_is_sent(tmp_path: Path) -> None:
    make(tmp_path, "plate/a.tif")
    os.symlink(tmp_path / "nowhere", tmp_path / "plate" / "b.tif")
    parcel = pack([str(tmp_path / "plate")])
    assert [file.path for file in parcel.files] == ["a.tif"]
    [(local, error)] = parcel.unreadable
    assert (local, error.code) == (str(tmp_path / "plate" / "b.tif"), "E973")
