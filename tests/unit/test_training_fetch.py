"""Data sets for trainers: folders, zips and buckets become one local folder, and nothing is written beside it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
from tests.servers import S3

from cellfleet.errors import TrainingError
from cellfleet.stores.place import open_place
from cellfleet.training.fetch import fetch_dataset

pytestmark = pytest.mark.slow

FILES = {"images/a.tif": b"image", "labels/a.tif": b"labels"}


def zipped(path: Path, files: dict[str, bytes]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def target(tmp_path: Path) -> Path:
    (tmp_path / "fetched").mkdir()
    return tmp_path / "fetched"


def test_a_folder_is_used_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    assert fetch_dataset(str(tmp_path / "data"), target(tmp_path)) == tmp_path / "data"


@pytest.mark.parametrize("above", ["", "corrected/", "a/b/"])
def test_a_zip_is_unpacked_and_its_root_found(tmp_path: Path, above: str) -> None:
    added = {f"__MACOSX/{above}._a.tif": b"", f"{above}.DS_Store": b""}
    where = zipped(tmp_path / "data.zip", {f"{above}{name}": data for name, data in FILES.items()} | added)
    assert content(fetch_dataset(where, target(tmp_path))) == FILES


@pytest.mark.parametrize("name", ["../a.tif", "images/../../a.tif", "/a.tif", "images\\a.tif", "c:a.tif"])
def test_a_zip_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    where = zipped(tmp_path / "data.zip", {name: b"evil"})
    with pytest.raises(TrainingError, match=r"odd name.*E638"):
        fetch_dataset(where, target(tmp_path))
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix == ".tif"]


def test_a_damaged_or_missing_zip_is_said(tmp_path: Path) -> None:
    whole = Path(zipped(tmp_path / "data.zip", FILES)).read_bytes()
    (tmp_path / "data.zip").write_bytes(whole[:-30])
    for name in ("data.zip", "none.zip"):
        shutil.rmtree(tmp_path / "fetched", ignore_errors=True)
        with pytest.raises(TrainingError, match="E638"):
            fetch_dataset(str(tmp_path / name), target(tmp_path))


def test_what_does_not_fit_on_the_disk_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where = zipped(tmp_path / "data.zip", FILES)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 95, 5))  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match="E637"):
        fetch_dataset(where, target(tmp_path))
    assert content(tmp_path / "fetched") == {}


def test_a_bucket_is_copied(tmp_path: Path, bucket: str, moto: S3) -> None:
    place = open_place(f"{bucket}/data")
    for name, data in FILES.items():
        place.write(name, data)
    assert content(fetch_dataset(f"{bucket}/data", target(tmp_path))) == FILES
    place.write("again.zip", Path(zipped(tmp_path / "again.zip", FILES)).read_bytes())
    shutil.rmtree(tmp_path / "fetched")
    assert content(fetch_dataset(f"{bucket}/data/again.zip", target(tmp_path))) == FILES
