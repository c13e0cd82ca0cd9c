"""Bytes of the Open Inference Protocol: whatever arrives, it is an inference or a refusal."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import ServiceError
from cellfleet.models import read_manifest
from cellfleet.service.oip import Inference, read_request, write_answer

MANIFEST = read_manifest("otsu")
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def tensor(name: str, shape: tuple[int, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Return inputs that are nearly right."""
    numbers = st.lists(st.integers(0, 300) | st.floats(width=32), min_size=8, max_size=8)
    return st.fixed_dictionaries(
        {"name": st.just(name) | ANY, "shape": st.just(shape) | ANY, "datatype": st.just("FP32") | ANY},
        optional={"data": numbers | ANY, "parameters": st.just({"binary_data_size": 32}) | ANY},
    )


REQUESTS = st.fixed_dictionaries(
    {"inputs": st.tuples(tensor("pixels", (1, 1, 2, 4)), tensor("contrast", (1, 1, 2))) | ANY},
    optional={"id": ANY, "parameters": ANY, "outputs": st.just([{"name": "heads"}]) | ANY},
)


def refused_or_read(body: bytes, length: int | None) -> None:
    try:
        asked = read_request(body, length, MANIFEST)
    except ServiceError as error:
        told: object = (error.code, error.status)
    else:
        whole = np.isfinite(asked.pixels).all() and asked.pixels.ndim == 4 and asked.pixels.size > 0
        told = whole and asked.pixels.dtype == asked.contrast.dtype == np.float32
    assert told in [True, ("E950", 400), ("E951", 413)]


@given(body=st.binary(max_size=200), length=st.none() | st.integers(0, 300))
def test_any_bytes_are_refused_in_words(body: bytes, length: int | None) -> None:
    refused_or_read(body, length)


@given(content=REQUESTS | ANY, rest=st.binary(max_size=80))
def test_any_json_is_read_or_refused_in_words(content: Any, rest: bytes) -> None:
    head = json.dumps(content).encode()
    refused_or_read(head + rest, len(head))
    refused_or_read(head, None)


@given(data=st.data(), tiles=st.integers(1, 3), height=st.integers(1, 5), width=st.integers(1, 5))
def test_what_is_sent_in_binary_arrives(data: st.DataObject, tiles: int, height: int, width: int) -> None:
    values = st.floats(-(2.0**100), 2.0**100, width=32)
    count = tiles * height * width
    pixels = np.array(data.draw(st.lists(values, min_size=count, max_size=count)), np.float32)
    pixels = pixels.reshape(tiles, 1, height, width)
    contrast = np.tile(np.array([0, 1], np.float32), (tiles, 1, 1))
    arrays = {"pixels": pixels, "contrast": contrast}
    inputs = [
        {"name": n, "shape": a.shape, "datatype": "FP32", "parameters": {"binary_data_size": a.nbytes}}
        for n, a in arrays.items()
    ]
    head = json.dumps({"inputs": inputs}).encode()
    asked = read_request(head + pixels.tobytes() + contrast.tobytes(), len(head), MANIFEST)
    assert asked.pixels.tobytes() == pixels.tobytes() and asked.contrast.tobytes() == contrast.tobytes()


def test_an_answer_holds_the_heads_in_either_form() -> None:
    heads = np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4)
    nothing = np.zeros((1, 1, 3, 4), np.float32)
    body, length = write_answer(Inference(None, nothing, nothing, binary=False), heads, "m", "1")
    (output,) = json.loads(body)["outputs"]
    assert length is None and "id" not in json.loads(body)
    assert output == {"name": "heads", "datatype": "UINT8", "shape": [1, 2, 3, 4], "data": list(range(24))}
    body, length = write_answer(Inference("7", nothing, nothing, binary=True), heads, "m", "1")
    assert length is not None and body[length:] == heads.tobytes() and json.loads(body[:length])["id"] == "7"
