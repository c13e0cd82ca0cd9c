"""The `model.py` of a served model where Triton has no ONNX Runtime of its own: its Python backend calls this.

Copied as it stands beside the graph (`cellfleet.models.triton`); it runs in a process of Triton, which must find numpy
and onnxruntime, and imports nothing of cellfleet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton  # type: ignore[import-not-found]  # comes with the server


class TritonPythonModel:
    """One instance; Triton asks for this name and these methods."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load the graph that stands beside this file."""
        options = onnxruntime.SessionOptions()
        # As in cellfleet's own predictor: several instances are the way to several processors.
        options.intra_op_num_threads = 1
        options.enable_mem_pattern = False
        gpu = args["model_instance_kind"] == "GPU"
        providers = ["CUDAExecutionProvider" if gpu else "CPUExecutionProvider"]
        path = f"{args['model_repository']}/{args['model_version']}/model.onnx"
        self._session = onnxruntime.InferenceSession(path, options, providers)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer requests that Triton put together: their tiles are of one size."""
        inputs = {name: [_array(request, name) for request in requests] for name in ("pixels", "contrast")}
        try:
            heads = self._session.run(["heads"], {name: np.concatenate(parts) for name, parts in inputs.items()})[0]
        except Exception as error:  # noqa: BLE001 (whatever it is, who asked is told)
            said = triton.TritonError(f"the graph fails: {error}"[:500])
            return [triton.InferenceResponse(error=said) for _ in requests]
        ends = np.cumsum([len(part) for part in inputs["pixels"]])[:-1]
        return [_response(part) for part in np.split(heads, ends)]


def _array(request: Any, name: str) -> np.ndarray:
    # Not as_numpy, nor Tensor(…) below: built for numpy 1, they give empty arrays with numpy 2.
    return np.from_dlpack(triton.get_input_tensor_by_name(request, name))


def _response(heads: np.ndarray) -> Any:
    return triton.InferenceResponse([triton.Tensor.from_dlpack("heads", np.ascontiguousarray(heads))])
