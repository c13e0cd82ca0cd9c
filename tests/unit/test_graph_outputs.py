"""What graphs return is held against what their package says: where a border is cut off, objects would move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from tests.foreign import SHARK, bright, write_foreign
from tests.packages import graph
from tests.workflows import PLANES, REACH, write_translator

from cellfleet.errors import ModelError
from cellfleet.inference.onnx import OnnxPredictor
from cellfleet.inference.translator import Translator
from cellfleet.models import load_model
from cellfleet.spec.model import Tile


@pytest.mark.parametrize("side", [76, 80])
def test_an_output_that_is_cut_off_without_being_said_moves_no_object(tmp_path: Path, side: int) -> None:
    """Of a tile of 76 px, mirrored to 80, such a graph returns 76: as many as are wanted, and others."""
    model = load_model(write_foreign(tmp_path / "cut", SHARK, bright(border=2)), device="cpu")
    with pytest.raises(ModelError, match=r"returns \(2, 76, 76\), its description says \(2, 80, 80\).*E431"):
        model.predictor.predict(np.zeros((1, side, side), np.float32), np.zeros((1, 2), np.float32))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        (onnx.helper.make_node("MaxPool", ["whole"], ["heads"], kernel_shape=[3, 3]), r"uint8 \(1, 2, 10, 12\)"),
        (onnx.helper.make_node("Cast", ["whole"], ["heads"], to=onnx.TensorProto.FLOAT), r"float32 \(1, 2, 12, 14\)"),
    ],
    ids=["cut off", "not whole numbers"],
)
def test_heads_that_are_no_heads_are_refused(node: onnx.NodeProto, said: str) -> None:
    model = onnx.load_model_from_string(graph(0.7))
    model.graph.node[-1].output[0] = "whole"
    model.graph.node.append(node)
    kind = onnx.TensorProto.FLOAT if node.op_type == "Cast" else onnx.TensorProto.UINT8
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("heads", kind, ["n", 2, "v", "u"]))
    predictor = OnnxPredictor(model.SerializeToString(), "here", 1, device="cpu")
    with pytest.raises(ModelError, match=said + r" for pixels of \(1, 1, 12, 14\).*E409"):
        predictor.predict(np.zeros((1, 12, 14), np.float32), np.array([[0, 1]], np.float32))


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
