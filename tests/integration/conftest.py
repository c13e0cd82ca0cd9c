"""Folders of images for the tests of the command."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.support import discs, header_claiming


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    (folder / "plate").mkdir(parents=True)
    tifffile.imwrite(folder / "a.tif", discs())
    tifffile.imwrite(folder / "plate" / "a.tif", discs()[::-1])
    Image.fromarray((discs() >> 2).astype(np.uint8)).save(folder / "plate" / "b.png")
    return folder


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """Every bad input of the specification beside two good images."""
    folder = tmp_path / "bad"
    folder.mkdir()
    pixels = discs()
    for name in ("good.tif", "ünï µ 细胞 'x' $y.tif", "new\nline.tif", "last.tif"):
        tifffile.imwrite(folder / name, pixels)
    whole = (folder / "good.tif").read_bytes()
    (folder / "truncated.tif").write_bytes(whole[: len(whole) // 2])
    (folder / "text.tif").write_text("This is not an image.")
    (folder / "empty.tif").write_bytes(b"")
    broken = pixels.astype(np.float32)
    broken[0, :3] = np.nan, np.inf, -np.inf
    tifffile.imwrite(folder / "nan.tif", broken)
    tifffile.imwrite(folder / "constant.tif", np.full((64, 80), 7, np.uint8))
    tifffile.imwrite(folder / "line.tif", pixels[:1])
    tifffile.imwrite(folder / "column.tif", pixels[:, :1])
    tifffile.imwrite(folder / "huge.tif", pixels)
    header_claiming(folder / "huge.tif", 10**6)
    grey = (pixels >> 2).clip(0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([grey, grey, grey, np.full_like(grey, 255)])).save(folder / "rgba.png")
    tifffile.imwrite(folder / "pages.tif", np.stack([pixels] * 7), photometric="minisblack")
    return folder
