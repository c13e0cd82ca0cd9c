"""What tests of looks and previews share: sets with files, the two requests, and the pictures in their answers."""

from __future__ import annotations

import base64
import io
from typing import Any

import httpx2
import numpy as np
import tifffile
from PIL import Image
from tests.tus import Tus

OTSU = {"model": "otsu"}


def a_set(tus: Tus, **files: bytes) -> str:
    """Return the id of a new set with these files."""
    into = tus.new_set()
    for name, content in files.items():
        tus.upload(into, name, content)
    return into


def tiff(pixels: np.ndarray, **words: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **words)
    return file.getvalue()


def look(tus: Tus, given: str, **more: str) -> httpx2.Response:
    return tus.client.post("/api/v1/inspect", json={"input": given, **more})


def look_at(tus: Tus, content: bytes, name: str) -> httpx2.Response:
    return look(tus, f"set:{a_set(tus, **{name: content})}")


def picture(address: str) -> np.ndarray:
    kind, _, content = address.partition(";base64,")
    assert kind in {"data:image/jpeg", "data:image/png"}
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def try_out(tus: Tus, given: str, **more: Any) -> httpx2.Response:
    return tus.client.post("/api/v1/preview", json={"input": given, "segment": OTSU, **more})
