"""`cellfleet segment` from and to buckets and web servers does what it does with folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.servers import S3, web_server
from tests.support import discs, results, segment

from cellfleet.stores.place import open_place

pytestmark = pytest.mark.slow
_FORMATS = ("--format", "labels-tiff", "--format", "csv", "--format", "ome-zarr")


def _images(folder: Path) -> Path:
    (folder / "plate 1").mkdir(parents=True)
    tifffile.imwrite(folder / "a.tif", discs())
    tifffile.imwrite(folder / "plate 1" / "ä.tif", discs()[::-1].copy())
    return folder


def _fetched(url: str, folder: Path) -> Path:
    place = open_place(url)
    for name in place.names():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(place.read(name) or b"")
    return folder


def test_from_bucket_to_bucket_the_results_are_those_of_folders(bucket: str, tmp_path: Path) -> None:
    images = _images(tmp_path / "images")
    for path in images.rglob("*.tif"):
        open_place(bucket).write(f"in/{path.relative_to(images).as_posix()}", path.read_bytes())
    assert segment(images, "-o", tmp_path / "here", *_FORMATS) == 0
    assert segment(f"{bucket}/in", "-o", f"{bucket}/out", *_FORMATS) == 0
    there = _fetched(f"{bucket}/out", tmp_path / "there")
    assert results(there) == results(tmp_path / "here")
    assert len(results(there)) == 4
    zarrs = [
        sorted(path.relative_to(out) for path in out.rglob("*.zarr/**/*") if path.is_file())
        for out in (there, tmp_path / "here")
    ]
    assert zarrs[0] == zarrs[1] != []
    for name in ("run.json", "report.html", "failures.csv"):
        assert (there / name).is_file()


def test_a_repeated_run_into_a_bucket_does_only_what_is_missing(
    bucket: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, place = _images(tmp_path / "images"), open_place(f"{bucket}/out")
    assert segment(images, "-o", place.url, *_FORMATS) == 0
    before = {name: place.read(name) for name in place.names()}
    place.remove("a_labels.tif")
    capsys.readouterr()
    assert segment(images, "-o", place.url, *_FORMATS) == 0
    assert "1 of 2 images are done" in capsys.readouterr().err
    after = {name: place.read(name) for name in place.names()}
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name] and ".cellfleet" not in name} <= {
        "run.json",
        "report.html",
    }


def test_an_image_on_a_web_server_is_segmented_and_its_signature_is_kept_nowhere(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    images = _images(tmp_path / "images")
    with web_server() as web:
        web.files["/day/a.tif?signature=SECRET"] = (images / "a.tif").read_bytes()
        assert segment(f"{web.url}/day/a.tif?signature=SECRET", "-o", tmp_path / "out") == 0
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "out" / "a_labels.tif") > 0, _truth(images, tmp_path))
    texts = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(b"SECRET" in text for text in texts)


def _truth(images: Path, tmp_path: Path) -> np.ndarray:
    assert segment(images / "a.tif", "-o", tmp_path / "here") == 0
    return tifffile.imread(tmp_path / "here" / "a_labels.tif") > 0


def test_a_bucket_that_refuses_ends_the_run_with_a_word_about_it(
    nanio: S3, clean_environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = f"s3://{nanio.new_bucket()}"
    for name, value in {**nanio.environment, "AWS_SECRET_ACCESS_KEY": "WRONG"}.items():
        clean_environment.setenv(name, value)
    assert segment(_images(tmp_path / "images"), "-o", f"{address}/out") == 6
    told = capsys.readouterr().err
    assert "E322" in told and "WRONG" not in told
    assert segment(f"{address}/in", "-o", tmp_path / "out") == 4
    assert "E152" in capsys.readouterr().err
