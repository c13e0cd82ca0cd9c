"""Graphs that cut off a border: what they return is held against what their package says, or objects would move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.foreign import SHARK, bright, write_foreign
from tests.workflows import PLANES, REACH, write_translator

from cellfleet.errors import ModelError
from cellfleet.inference.translator import Translator
from cellfleet.models import load_model
from cellfleet.spec.model import Tile


@pytest.mark.parametrize("side", [76, 80])
def test_an_output_that_is_cut_off_without_being_said_moves_no_object(tmp_path: Path, side: int) -> None:
    """Of a tile of 76 px, mirrored to 80, such a graph returns 76: as many as are wanted, and others."""
    model = load_model(write_foreign(tmp_path / "cut", SHARK, bright(border=2)), device="cpu")
    with pytest.raises(ModelError, match=r"returns \(2, 76, 76\), its description says \(2, 80, 80\).*E431"):
        model.predictor.predict(np.zeros((1, side, side), np.float32), np.zeros((1, 2), np.float32))


def test_a_predicted_image_that_is_cut_off_moves_nothing(tmp_path: Path) -> None:
    model = onnx.load(write_translator(tmp_path / "stain") / "weights.onnx")
    (by,) = (one for one in model.graph.initializer if one.name == "by")
    by.CopyFrom(onnx.numpy_helper.from_array(np.zeros(8, np.int64), "by"))
    for length, name in zip(model.graph.output[0].type.tensor_type.shape.dim[2:], "vu", strict=True):
        length.dim_param = name
    tile = Tile(multiple=2, halo=REACH, largest=40)
    translator = Translator(model.SerializeToString(), "here", planes=PLANES, outputs=1, tile=tile)
    with pytest.raises(ModelError, match=r"returns \(16, 20\) px of \(20, 24\).*E412"):
        translator.predict(np.zeros((PLANES, 20, 24), np.float32), np.array([[0, 1]] * PLANES, np.float32))
