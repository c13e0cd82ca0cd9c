"""Images in zip archives: read where they are, whatever the names and sizes in the archive claim."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.errors import CellfleetError, InputError
from cellfleet.images import archive
from cellfleet.images.find import find_images
from cellfleet.images.image import Image
from cellfleet.images.read import open_image
from cellfleet.images.source import Source

PIXELS = np.random.default_rng(0).integers(0, 400, (40, 50)).astype("u2")
DEFLATED, STORED = zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED


def tiff(pixels: Any = PIXELS, **options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def packed(path: Path, members: dict[str, bytes], method: int = DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def names(*inputs: Path) -> list[str]:
    return [source.name for source in find_images(inputs)]


def refusal(source: Source) -> str:
    with pytest.raises(InputError) as caught:
        open_image(source).read_plane()
    return str(caught.value)


@pytest.mark.parametrize("method", [STORED, DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_members_are_images_by_their_names(tmp_path: Path, method: int) -> None:
    members = {"plate/b.tif": tiff(), "a.png": imagecodecs.png_encode(PIXELS), "readme.txt": b"x"}
    sources = find_images([packed(tmp_path / "p.zip", members, method)])
    assert [source.name for source in sources] == ["a.png", "plate/b.tif"]
    for source in sources:
        image = open_image(source)
        np.testing.assert_array_equal(image.read_plane()[0], PIXELS)
        np.testing.assert_array_equal(image.read(y=slice(7, 9), x=slice(3, 30))[0], PIXELS[7:9, 3:30])


def test_equal_names_of_two_archives_get_the_archives_name_in_front(tmp_path: Path) -> None:
    inputs = [packed(tmp_path / f"{name}.zip", {"x.tif": tiff()}) for name in ("p", "q")]
    assert names(*inputs) == ["p/x.tif", "q/x.tif"]


def test_what_is_passed_over(tmp_path: Path) -> None:
    members = ["__MACOSX/._a.tif", ".hidden/b.tif", "out/run.json", "out/.cellfleet/1", "out/a_labels.tif", "c.tif"]
    assert names(packed(tmp_path / "p.zip", dict.fromkeys(members, b""))) == ["c.tif"]


def test_an_archive_without_images_says_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No images in .*p.zip \(looked for .*; 1 file ends in .txt\)"):
        find_images([packed(tmp_path / "p.zip", {"a.txt": b""})])


def test_names_that_lead_out_of_the_archive_stay_inside(tmp_path: Path) -> None:
    members = dict.fromkeys(["../../a.tif", "/etc/b.tif", "c/../d.tif", "e\\f.tif", "a.tif"], tiff())
    sources = find_images([packed(tmp_path / "p.zip", members)])
    assert sorted(source.name for source in sources) == ["a.tif", "a~2.tif", "c/d.tif", "e/f.tif", "etc/b.tif"]
    for source in sources:
        assert open_image(source).shape == (40, 50)
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_of_equal_names_the_last_is_read_and_that_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as file:
        file.writestr("a.tif", tiff(PIXELS[:9]))
        file.writestr("a.tif", tiff())
    (source,) = find_images([tmp_path / "p.zip"])
    image = open_image(source)
    assert image.shape == (40, 50)
    assert [str(notice) for notice in image.notices] == [
        "The archive holds 2 files of this name; only the last is read [W130]"
    ]


@pytest.mark.parametrize("method", [STORED, DEFLATED])
def test_a_damaged_member_costs_only_itself(tmp_path: Path, method: int) -> None:
    path = packed(tmp_path / "p.zip", {"a.tif": tiff(compression="zlib"), "b.tif": tiff()}, method)
    data = bytearray(path.read_bytes())
    data[600:1600] = bytes(1000)  # in the middle of a.tif
    path.write_bytes(data)
    broken, sound = find_images([path])
    assert "[E106]" in refusal(broken)
    np.testing.assert_array_equal(open_image(sound).read_plane()[0], PIXELS)


def test_an_archive_cut_short_fails_by_its_name(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.tif": tiff()})
    path.write_bytes(path.read_bytes()[:-30])
    (source,) = find_images([path])
    assert source.name == "p.zip"
    assert "this zip file is damaged or cut short" in refusal(source)


def test_an_encrypted_member(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.tif": tiff()})
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + flags] |= 1
    path.write_bytes(data)
    assert refusal(find_images([path])[0]) == (
        "a.tif: is encrypted in its archive. Unpack the archive with its password and give the folder. [E131]"
    )


@pytest.mark.parametrize("name", ["inner.zip", "x.nd2", "x.zarr/0/zarr.json"])
def test_what_is_not_read_inside_an_archive_fails_by_name(tmp_path: Path, name: str) -> None:
    (source,) = find_images([packed(tmp_path / "p.zip", {name: b"PK"})])
    assert refusal(source) == (
        f"{source.name}: is of a format that is not read inside a zip archive. Unpack the archive and give the folder."
        " [E133]"
    )


def test_a_member_that_unpacks_without_end_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "HARMLESS_BYTES", 1 << 20)
    monkeypatch.setattr(archive, "DEFLATE_RATIO", 100)
    path = packed(tmp_path / "p.zip", {"a.tif": tiff(np.zeros((2000, 2000), "u2"))})
    assert "unpacks to far more than any image of" in refusal(find_images([path])[0])


def test_large_members_go_to_a_file_that_disappears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MOST_IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (source,) = find_images([packed(tmp_path / "p.zip", {"a.tif": tiff(tile=(16, 16))})])
    image = open_image(source)
    np.testing.assert_array_equal(image.read(y=slice(20, 30))[0], PIXELS[20:30])
    del image
    assert [path.name for path in tmp_path.iterdir()] == ["p.zip"]


def test_sizes_of_the_header_are_not_believed(tmp_path: Path) -> None:
    path = packed(tmp_path / "p.zip", {"a.tif": tiff()})
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 0xFFFFFFF0)
    path.write_bytes(data)
    np.testing.assert_array_equal(open_image(find_images([path])[0]).read_plane()[0], PIXELS)


def attempt(data: bytes, folder: Path) -> list[CellfleetError | Image]:
    (folder / "p.zip").write_bytes(data)
    outcomes: list[CellfleetError | Image] = []
    try:
        sources = find_images([folder / "p.zip"])
    except InputError as error:
        return [error]
    for source in sources:
        try:
            image = open_image(source)
            image.read_plane()
            outcomes.append(image)
        except CellfleetError as error:
            outcomes.append(error)
    return outcomes


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.data())
def test_damage_gives_images_or_errors_of_ours(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    members = {"a.tif": tiff(PIXELS[:8], compression="zlib"), "b.png": imagecodecs.png_encode(PIXELS[:8])}
    whole = bytearray(packed(folder / "p.zip", members, data.draw(st.sampled_from([STORED, DEFLATED]))).read_bytes())
    # The list of members is at the end: most damage goes there.
    places = st.one_of(st.integers(len(whole) - 200, len(whole) - 1), st.integers(0, len(whole) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        whole[place] = value
    for outcome in attempt(bytes(whole), folder):
        assert isinstance(outcome, Image) or (outcome.action and outcome.code[1] in "12")
