"""Folders are searched to the bottom; each image counts once, under a name of its own; nothing is passed in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import InputError
from cellfleet.images.find import find_images
from cellfleet.images.names import printable
from cellfleet.images.read import open_image

LOOKED_FOR = "tif, tiff, btf, tf8, png, jpg, jpeg, svs, ndpi, qptiff, scn, bif, zarr, ozx, zarr.zip, nd2, czi, lif"
ENDINGS = (
    ".tif, .tiff, .btf, .tf8, .png, .jpg, .jpeg, .svs, .ndpi, .qptiff, .scn, .bif, .zarr, .ozx, .zarr.zip, .nd2, .czi"
    " or .lif"
)


def make(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def names(*inputs: Path) -> list[str]:
    return [source.name for source in find_images(inputs)]


def refusal(*inputs: Path) -> str:
    with pytest.raises(InputError) as caught:
        find_images(inputs)
    return str(caught.value)


def test_folders_are_searched_to_the_bottom_in_order(tmp_path: Path) -> None:
    make(
        tmp_path,
        "b/2.TIFF",
        "b/1.ome.tif",
        "a.JPG",
        "c/d/e.png",
        "c/x.btf",
        "c/x.tf8",
        "c/x.jpeg",
        "notes.txt",
        "z.tif",
    )
    found = find_images([tmp_path])
    wanted = ["a.JPG", "b/1.ome.tif", "b/2.TIFF", "c/d/e.png", "c/x.btf", "c/x.jpeg", "c/x.tf8", "z.tif"]
    assert [source.name for source in found] == wanted
    assert [source.path for source in found] == [str(tmp_path / name) for name in wanted]


def test_files_keep_the_order_in_which_they_are_given(tmp_path: Path) -> None:
    make(tmp_path, "b.tif", "a.tif")
    assert names(tmp_path / "b.tif", tmp_path / "a.tif") == ["b.tif", "a.tif"]


def test_hidden_files_and_results_are_passed_over(tmp_path: Path) -> None:
    make(tmp_path, "a.tif", ".b.tif", "._a.tif", ".cache/c.tif", "out/run.json", "out/.cellfleet/x", "out/a_labels.tif")
    make(tmp_path, "half/run.json", "half/a.tif")
    assert names(tmp_path) == ["a.tif", "half/a.tif"]


def test_a_zarr_folder_is_one_image_and_not_searched(tmp_path: Path) -> None:
    make(tmp_path, "image.ome.zarr/0/0.tif", "a.tif")
    assert names(tmp_path) == names(tmp_path / "a.tif", tmp_path / "image.ome.zarr") == ["a.tif", "image.ome.zarr"]
    with pytest.raises(InputError, match=r"image.ome.zarr: .*\[E141\]"):
        open_image(find_images([tmp_path])[1])


def test_files_that_cannot_be_listed_fail_by_name(tmp_path: Path) -> None:
    for name in ("a.nd2", "b.czi", "c.lif", "d.zip"):
        (tmp_path / name).write_bytes(b"nonsense" * 99)
    found = find_images([tmp_path, tmp_path / "d.zip"])
    assert [source.name for source in found] == ["a.nd2", "b.czi", "c.lif", "d.zip"]
    for source in found:
        with pytest.raises(InputError, match=rf"{source.name}: .*\[E1\d\d\]"):
            open_image(source)


def test_an_image_counts_once(tmp_path: Path) -> None:
    make(tmp_path, "a.tif", "sub/b.tif")
    assert names(tmp_path, tmp_path) == ["a.tif", "sub/b.tif"]
    assert names(tmp_path / "a.tif", tmp_path) == ["a.tif", "sub/b.tif"]
    assert names(tmp_path, tmp_path / "sub", tmp_path / "sub" / ".." / "a.tif") == ["a.tif", "sub/b.tif"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    make(tmp_path, "in/a.tif", "elsewhere/b.tif")
    (tmp_path / "in/back").symlink_to(tmp_path / "in")
    (tmp_path / "in/there").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in/itself").symlink_to("itself")
    (tmp_path / "in/other_name.tif").symlink_to("a.tif")
    assert names(tmp_path / "in") == ["a.tif", "other_name.tif", "there/b.tif"]


def test_what_cannot_be_read_is_listed_to_fail_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "a.tif", "locked/b.tif")
    (tmp_path / "broken.tif").symlink_to("nowhere")
    scandir = os.scandir

    def deny(folder: Path) -> object:
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", deny)  # chmod would not stop root

    found = find_images([tmp_path])

    assert [source.name for source in found] == ["a.tif", "broken.tif", "locked"]
    with pytest.raises(InputError, match=r"locked: cannot be opened: permission denied.*\[E104\]"):
        open_image(found[2])


def test_equal_names_get_their_folder_in_front(tmp_path: Path) -> None:
    make(tmp_path, "p/a/x.tif", "p/a/y.tif", "p/b/x.tif", "q/a/x.tif", "other/z.tif")
    assert names(tmp_path / "p/a", tmp_path / "p/b", tmp_path / "other") == ["a/x.tif", "a/y.tif", "b/x.tif", "z.tif"]
    assert names(tmp_path / "p/a", tmp_path / "q/a") == ["p/a/x.tif", "p/a/y.tif", "q/a/x.tif"]
    assert names(tmp_path / "p/a/x.tif", tmp_path / "p/b/x.tif") == ["a/x.tif", "b/x.tif"]


def test_names_stay_apart_when_they_are_made_printable(tmp_path: Path) -> None:
    make(tmp_path, "a%0Ab.tif", "a\nb.tif", "a%0Ab~2.tif")
    assert sorted(names(tmp_path)) == ["a%0Ab.tif", "a%0Ab~2.tif", "a%0Ab~3.tif"]
    assert len({source.path for source in find_images([tmp_path])}) == 3


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1) | st.binary(min_size=1).map(os.fsdecode))
def test_printable_names_can_be_written_anywhere(name: str) -> None:
    shown = printable(name)
    shown.encode("utf-8")
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert printable(shown) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a µ 😀.tif", "a µ 😀.tif"),
        ("👩\u200d🔬.tif", "👩\u200d🔬.tif"),
        ("a\tb\r\n.tif", "a%09b%0D%0A.tif"),
        ("caf\udce9.tif", "caf%E9.tif"),
        ("\ud800.tif", "%ED%A0%80.tif"),
        ("fit\u202exe.tif", "fit%E2%80%AExe.tif"),
    ],
)
def test_printable(name: str, shown: str) -> None:
    assert printable(name) == shown


# Refusals


def test_nothing_found_says_what_is_there(tmp_path: Path) -> None:
    make(tmp_path / "plates", *(f"{i}.txt" for i in range(3)), "x/y.csv", "README", ".hidden.tif")
    assert refusal(tmp_path / "plates") == (
        f"No images in {tmp_path}/plates/ (looked for {LOOKED_FOR}; 3 files end in .txt,"
        " 1 file without an ending, 1 file ends in .csv). Give another folder, or the files themselves. [E101]"
    )


def test_nothing_found_in_an_empty_folder_or_in_results(tmp_path: Path) -> None:
    make(tmp_path, "out/run.json", "out/.cellfleet/x", "out/a_labels.tif")
    (tmp_path / "empty").mkdir()
    assert f"{LOOKED_FOR}; there are no files)." in refusal(tmp_path / "empty")
    assert refusal(tmp_path / "out") == (
        f"{tmp_path}/out: this folder holds results of cellfleet, which are not segmented again."
        " Give the folder of the images. [E101]"
    )
    assert refusal() == "No input was given. Give image files or folders. [E101]"


@pytest.mark.parametrize("wrong", ["plate", "plates/a.tiff", "Plates"])
def test_path_that_is_not_there(tmp_path: Path, wrong: str) -> None:
    make(tmp_path, "plates/a.tif")
    meant = "plates/a.tif" if "/" in wrong else "plates"
    assert refusal(tmp_path / wrong) == (
        f"{tmp_path}/{wrong}: there is no such file or folder (did you mean {tmp_path}/{meant}?)."
        " Check the path. [E102]"
    )


def test_path_that_is_like_nothing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "q" / "r") == f"{tmp_path}/q/r: there is no such file or folder. Check the path. [E102]"


def test_pattern_that_nothing_fits(tmp_path: Path) -> None:
    assert refusal(tmp_path / "*.tif") == (
        f"{tmp_path}/*.tif: no image fits this pattern."
        " Check the folder and the ending; ** stands for any number of folders. [E102]"
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "x.gif",
            f"files ending in '.gif' are not read. Give files ending in {ENDINGS}; if it is one of these, rename it.",
        ),
        (
            "x",
            "its name has no ending that tells an image."
            f" Give files ending in {ENDINGS}; if it is one of these, rename it.",
        ),
    ],
)
def test_file_of_another_format(tmp_path: Path, name: str, told: str) -> None:
    make(tmp_path, name)
    assert refusal(tmp_path / name) == f"{tmp_path}/{name}: {told} [E103]"
