"""A trained translator → a model package: ONNX graph, test tensors, bioimage.io ``rdf.yaml``. Knows no training data.

The graph takes raw pixels and contrast and returns 16-bit intensities, so that every runtime does the same arithmetic
from the first number to the last.
"""

from __future__ import annotations

import hashlib
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from numpy.typing import NDArray
from torch import Tensor, nn

from cellfleet.spec.model import TranslatorManifest
from cellfleet.training.export import smallest_input
from cellfleet.training.translation import Translator

_WHITE = 32768.0
"""What the brightest objects of the training targets become: a predicted one may be twice as bright."""
_LARGEST = 65535.0


class PackagedTranslator(nn.Module):
    """The network between contrast and quantisation: what is exported."""

    def __init__(self, translator: Translator, brightest_log: float) -> None:
        """Take the log intensity that becomes `_WHITE`."""
        super().__init__()
        self.translator, self.offset = translator, float(np.log(_WHITE)) - brightest_log

    def forward(self, pixels: Tensor, contrast: Tensor) -> Tensor:
        """Map raw (N, P, Y, X) and (N, P, 2) to intensities 0…65535, int32 (N, K, Y, X); the graph has uint16."""
        low, high = contrast[..., 0, None, None], contrast[..., 1, None, None]
        logs = self.translator((pixels - low) / (high - low))
        intensity = (logs * self.translator.deviation + (self.translator.mean + self.offset)).exp()
        whole: Tensor = intensity.clamp(0, _LARGEST).round().to(torch.int32)
        return whole


def export_translator(
    packaged: PackagedTranslator,
    manifest: TranslatorManifest,
    out: Path,
    *,
    example: NDArray[Any],
    contrast: NDArray[np.float32],
    description: dict[str, Any],
) -> None:
    """Write a model package.

    Args:
        packaged: On the CPU.
        manifest: What the package declares.
        out: Folder, exists.
        example: (P, Y, X) raw pixels for the test tensors, Y and X multiples of the tile's and larger than its halo.
        contrast: (P, 2) of the example.
        description: More fields of ``rdf.yaml``: description, license, authors, cite, tags, covers.
    """
    packaged.eval()
    tensors = (torch.from_numpy(example.astype(np.float32))[None], torch.from_numpy(contrast)[None])
    _export_graph(packaged, tensors, out / f"{manifest.name}.onnx")
    with torch.no_grad():
        image = packaged(*tensors).numpy().astype(np.uint16)
    for name, array in (("pixels", example[None]), ("contrast", contrast[None]), ("image", image)):
        np.save(out / f"test_{name}.npy", array)
    write_translator_rdf(manifest, out, description)


def _export_graph(packaged: nn.Module, tensors: tuple[Tensor, Tensor], weights: Path) -> None:
    open_axes = {0: "n", 2: "y", 3: "x"}
    with warnings.catch_warnings():
        # As in `export`: the newer exporter fixes height and width.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            packaged,
            tensors,
            str(weights),
            input_names=["pixels", "contrast"],
            output_names=["image"],
            dynamic_axes={"pixels": open_axes, "contrast": {0: "n"}, "image": open_axes},
            opset_version=17,
            dynamo=False,
        )
    _return_uint16(weights)


def _return_uint16(weights: Path) -> None:
    """Make the last cast of a graph one to uint16, which PyTorch's exporter does not know."""
    model = onnx.load(weights)
    (image,) = model.graph.output
    (cast,) = (node for node in model.graph.node if image.name in node.output)
    assert cast.op_type == "Cast", cast.op_type
    cast.attribute[0].i = image.type.tensor_type.elem_type = onnx.TensorProto.UINT16
    onnx.checker.check_model(model)
    onnx.save(model, weights)


def write_translator_rdf(manifest: TranslatorManifest, out: Path, description: dict[str, Any]) -> None:
    """Write ``rdf.yaml`` (bioimage.io model description 0.5) around the files of `export_translator`."""
    planes = [f"plane {number}" for number in range(1, manifest.planes + 1)]
    tile = manifest.tile
    size = {"min": smallest_input(tile), "step": tile.multiple}
    given = [{"type": "space", "id": axis, "size": size} for axis in "yx"]
    same = [{"type": "space", "id": axis, "size": {"tensor_id": "pixels", "axis_id": axis}} for axis in "yx"]
    predicted = [{**axis, "halo": tile.halo} if tile.halo else axis for axis in same]
    bounds = [{"type": "index", "id": "plane", "size": manifest.planes}, {"type": "index", "id": "bound", "size": 2}]
    content = {
        "format_version": "0.5.4",
        "type": "model",
        "name": manifest.name,
        "version": manifest.version,
        **description,
        "documentation": "README.md",
        "timestamp": datetime.now(UTC).isoformat(timespec="seconds"),
        "inputs": [
            _tensor(out, "pixels", [{"type": "channel", "channel_names": planes}, *given], "float32"),
            _tensor(out, "contrast", bounds, "float32"),
        ],
        "outputs": [
            _tensor(out, "image", [{"type": "channel", "channel_names": list(manifest.outputs)}, *predicted], "uint16")
        ],
        "weights": {"onnx": {**_file(out / f"{manifest.name}.onnx"), "opset_version": 17}},
        "config": {"cellfleet": manifest.model_dump(mode="json")},
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)
    (out / "rdf.yaml").write_text(text, encoding="utf-8")


def _tensor(out: Path, name: str, axes: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
    file = _file(out / f"test_{name}.npy")
    return {"id": name, "axes": [{"type": "batch"}, *axes], "test_tensor": file, "data": {"type": dtype}}


def _file(path: Path) -> dict[str, str]:
    return {"source": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
