"""Patterns, addresses and files of several images: what is found, under which names."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time

import imagecodecs
import numpy as np
import pytest
import tifffile

from cellfleet.errors import InputError
from cellfleet.images import formats, read, search
from cellfleet.images.find import find_images
from cellfleet.images.read import open_image
from cellfleet.stores.remote import RemoteFile

PIXELS = np.random.default_rng(0).integers(0, 400, (40, 50)).astype("u2")


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names(*inputs: str | Path) -> list[str]:
    return [source.name for source in find_images(inputs)]


# Patterns


def test_a_pattern_fits_in_order_with_names_from_its_fixed_part(tmp_path: Path) -> None:
    make(tmp_path, "p/2/x_w1.tif", "p/1/x_w1.tif", "p/1/x_w2.tif", "p/1/deep/y_w1.tif", "p/notes.txt")
    assert names(f"{tmp_path}/p/*/*_w1.tif") == ["1/x_w1.tif", "2/x_w1.tif"]
    assert names(f"{tmp_path}/p/**/*_w1.tif") == ["1/deep/y_w1.tif", "1/x_w1.tif", "2/x_w1.tif"]
    assert names(f"{tmp_path}/p/1/x_w[12].tif") == ["x_w1.tif", "x_w2.tif"]


def test_a_pattern_is_relative_to_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path, "b.tif", "a/c.tif"))
    assert names("*.tif") == ["b.tif"]
    assert names("**/*.tif") == ["a/c.tif", "b.tif"]
    assert names("*/*.tif") == ["a/c.tif"]


def test_folders_and_archives_that_fit_are_searched(tmp_path: Path) -> None:
    make(tmp_path, "day1/a.tif", "day2/b/a.tif", "day2/notes.txt")
    with zipfile.ZipFile(tmp_path / "day3.zip", "w") as file:
        file.writestr("c.tif", b"")
    assert names(f"{tmp_path}/day*") == ["day1/a.tif", "day2/b/a.tif", "day3/c.tif"]
    assert names(f"{tmp_path}/**") == ["day1/a.tif", "day2/b/a.tif", "day3/c.tif"]


def test_patterns_pass_over_results_and_the_inside_of_zarr_folders(tmp_path: Path) -> None:
    make(tmp_path, "a.tif", "out/run.json", "out/.cellfleet/x", "out/labels/a_labels.tif", "x.zarr/0.tif", ".b.tif")
    assert names(f"{tmp_path}/**/*.tif") == ["a.tif"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    make(tmp_path, "a[1].tif", "a1.tif")
    assert names(tmp_path / "a[1].tif") == ["a[1].tif"]


def test_patterns_and_files_count_once(tmp_path: Path) -> None:
    make(tmp_path, "a.tif", "b.tif")
    assert names(tmp_path / "a.tif", f"{tmp_path}/*.tif") == ["a.tif", "b.tif"]


# Files of several images


def test_each_image_of_a_file_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "one.nd2", "two.lif", "none.lif")
    insides = {"one.nd2": [""], "two.lif": ["0", "1/3"], "none.lif": list[str]()}
    monkeypatch.setattr(
        formats, "_reader", lambda name: (lambda path: insides[os.path.basename(path)], lambda source, name: None)
    )
    found = [(source.name, source.inside) for source in find_images([tmp_path])]
    assert found == [("none.lif", ""), ("one.nd2", ""), ("two.lif/0", "0"), ("two.lif/1/3", "1/3")]


# Addresses


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A bucket of files; asked for anything else it fails."""

    def fill(**files: bytes) -> None:
        def listed(url: str, *, closed: Callable[[str], bool]) -> Iterator[RemoteFile]:
            start = url.rstrip("/") + "/"
            seen = set()
            for key, data in files.items():
                full = f"s3://lab/{key}"
                if full.startswith(start):
                    parts = full.split("/")
                    shut = next((i for i, part in enumerate(parts) if closed(part)), None)
                    full = full if shut is None else "/".join(parts[: shut + 1]) + "/"
                    if full not in seen:
                        seen.add(full)
                        yield RemoteFile(full, len(data), "1")

        monkeypatch.setattr(search, "list_files", listed)
        monkeypatch.setattr(read, "open_remote", lambda url: io.BytesIO(files[url.removeprefix("s3://lab/")]))

    return fill


def tiff(**options: object) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS, **options)  # type: ignore[arg-type]
    return file.getvalue()


def test_a_bucket_is_searched_like_a_folder(bucket: Callable[..., None]) -> None:
    keys = [
        "day/b.tif",
        "day/a/1.tif",
        "day/x.txt",
        "day/.hid.tif",
        "day/r/run.json",
        "day/r/.cellfleet/a",
        "day/r/l.tif",
    ]
    bucket(**dict.fromkeys(keys, b""))
    found = find_images(["s3://lab/day"])
    assert [(source.name, source.path) for source in found] == [
        ("a/1.tif", "s3://lab/day/a/1.tif"),
        ("b.tif", "s3://lab/day/b.tif"),
    ]
    assert find_images(["s3://lab/day/"]) == found == find_images([Path("s3://lab/day")])


def test_a_file_in_a_bucket_is_read_by_parts(bucket: Callable[..., None]) -> None:
    bucket(**{"day/b.tif": tiff(tile=(16, 16), compression="zlib"), "day/c.png": imagecodecs.png_encode(PIXELS)})
    for source in find_images(["s3://lab/day/b.tif", "s3://lab/day/c.png"]):
        image = open_image(source)
        np.testing.assert_array_equal(image.read(y=slice(3, 20), x=slice(9, 40))[0], PIXELS[3:20, 9:40])


def test_a_zarr_folder_in_a_bucket_is_one_image(bucket: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    bucket(**dict.fromkeys(["day/i.zarr/zarr.json", "day/i.zarr/0/c/0", "day/j.tif"], b""))
    monkeypatch.setattr(formats, "list_inside", lambda path, name: [""])
    assert [source.path for source in find_images(["s3://lab/day"])] == ["s3://lab/day/i.zarr", "s3://lab/day/j.tif"]


def test_the_signature_of_an_address_is_no_part_of_the_name() -> None:
    (source,) = find_images(["https://server.example/plates/a.tif?sig=secret/b.png"])
    assert (source.name, source.path) == ("a.tif", "https://server.example/plates/a.tif?sig=secret/b.png")


def test_equal_names_of_addresses_get_their_folder_in_front() -> None:
    assert names("s3://lab/p/x.tif", "s3://lab/q/x.tif") == ["p/x.tif", "q/x.tif"]
    assert names("s3://lab/x.tif", "s3://mine/x.tif") == ["lab/x.tif", "mine/x.tif"]


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    make(tmp_path, "a b.tif")
    (source,) = find_images([(tmp_path / "a b.tif").as_uri()])
    assert source.path == str(tmp_path / "a b.tif")


def test_a_bucket_without_images(bucket: Callable[..., None]) -> None:
    bucket(**{"day/x.txt": b""})
    with pytest.raises(InputError, match=r"No images in s3://lab/day/ \(looked for [^;]*\)\. .*\[E101\]"):
        find_images(["s3://lab/day"])


# Numbers


@pytest.mark.slow
def test_a_hundred_thousand_names_take_seconds(tmp_path: Path) -> None:
    for folder in range(100):
        make(tmp_path, *(f"{folder}/{i}.tif" for i in range(1000)))
    start = process_time()
    assert len(find_images([tmp_path])) == 100_000
    assert process_time() - start < 6  # about 1 s when nothing else runs
