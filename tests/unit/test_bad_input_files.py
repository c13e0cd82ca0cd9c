"""What the file system refuses, odd names, and files that change under our hands: each in words, none a traceback."""

from __future__ import annotations

import io
import os
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from cellfleet.errors import CellfleetError
from cellfleet.images.read import open_image

PIXELS = np.random.default_rng(0).integers(0, 4000, (40, 50)).astype("u2")


def tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, PIXELS)
    return file.getvalue()


def refusal(path: Path) -> str:
    with pytest.raises(CellfleetError) as caught:
        open_image(path)
    return str(caught.value)


def test_folder_named_like_an_image(tmp_path: Path) -> None:
    (tmp_path / "x.tif").mkdir()
    assert refusal(tmp_path / "x.tif") == "x.tif: cannot be opened: it is a folder. Give an image file. [E104]"


def test_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tif")
    assert "it is a device or pipe" in refusal(tmp_path / "x.tif")


@pytest.mark.parametrize("target", ["nowhere", "x.tif"])
def test_links_to_nowhere_and_to_themselves(tmp_path: Path, target: str) -> None:
    (tmp_path / "x.tif").symlink_to(target)
    expected = "x.tif: cannot be opened: it is a link that leads to no file. Mend or remove the link. [E104]"
    assert refusal(tmp_path / "x.tif") == expected


def test_file_that_went_away(tmp_path: Path) -> None:
    expected = "x.tif: cannot be opened: it is not there any more. Run the command again. [E104]"
    assert refusal(tmp_path / "x.tif") == expected


def test_file_that_goes_away_between_opening_and_reading(tmp_path: Path) -> None:
    for name, data in {"x.tif": tiff(), "x.png": imagecodecs.png_encode(PIXELS)}.items():
        (tmp_path / name).write_bytes(data)
        image = open_image(tmp_path / name)
        (tmp_path / name).unlink()
        with pytest.raises(CellfleetError, match="it is not there any more"):
            image.read_plane()


def test_file_that_shrinks_between_opening_and_reading(tmp_path: Path) -> None:
    (tmp_path / "x.tif").write_bytes(tiff())
    image = open_image(tmp_path / "x.tif")
    (tmp_path / "x.tif").write_bytes(tiff()[:1000])
    with pytest.raises(CellfleetError, match="E106"):
        image.read_plane()


def test_no_right_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # chmod would not stop root, which is who runs tests in containers.
    (tmp_path / "x.tif").write_bytes(tiff())

    def deny(path: Path, mode: str = "r") -> io.BytesIO:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", deny)
    expected = "x.tif: cannot be opened: permission denied. Ask its owner for the right to read it. [E104]"
    assert refusal(tmp_path / "x.tif") == expected


@pytest.mark.parametrize(
    "name", ["a b µm.tif", "😀 nuclei.tif", "line\nbreak.tif", "x" * 240 + ".tif", "-o.tif", "%41.tif"]
)
def test_odd_names_are_read_and_printable(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(tiff())
    image = open_image(tmp_path / name)
    assert image.read_plane().shape == (1, 40, 50)
    assert image.name == name.replace("\n", "%0A")


def test_name_that_is_no_utf_8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.tif"))
    path.write_bytes(tiff())
    image = open_image(path)
    assert (image.name, image.read_plane().shape) == ("caf%E9.tif", (1, 40, 50))
    path.write_bytes(b"")
    assert refusal(path).encode() == b"caf%E9.tif: the file is empty (0 bytes). Copy or export it again. [E105]"
