"""Label files: whatever is in them, the answer is labels or an error of ours."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from cellfleet.errors import InputError
from cellfleet.evaluation.files import read_labels

LABELS = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3), np.ones((9, 9), np.uint8))


def tiff(**options: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, LABELS, **options)
    return file.getvalue()


def png() -> bytes:
    file = io.BytesIO()
    Image.fromarray(LABELS).save(file, "PNG")
    return file.getvalue()


@pytest.mark.filterwarnings("ignore::Warning")
@pytest.mark.parametrize("whole", [tiff(), tiff(compression="zlib"), tiff(imagej=True), png()])
def test_damage_gives_labels_or_an_error_of_ours(whole: bytes, tmp_path: Path) -> None:
    dice = random.Random(0)
    path = tmp_path / ("a.png" if whole.startswith(b"\x89PNG") else "a.tif")
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.randrange(1, 5)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data[: dice.randrange(len(data))] if dice.random() < 0.3 else data)
        try:
            read_labels(path)
        except InputError:
            refused += 1
    assert 0 < refused < 150


def test_a_picture_that_may_be_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(png())
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match="E706"):
        read_labels(tmp_path / "a.png")
