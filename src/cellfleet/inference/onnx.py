"""Tiles → heads by ONNX Runtime, in this process. Knows no image file and no job.

The graph takes raw pixels (N, R, Y, X) float32 and contrast (N, R, 2) float32, applies the contrast, and returns
heads (N, H, Y, X) uint8. One session serves any number of threads.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Sequence
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states

from cellfleet.errors import DeviceError, ModelError
from cellfleet.inference.batching import Batcher, Run
from cellfleet.spec.choices import Device
from cellfleet.tiling.pad import padded

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_REFUSALS = (states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented)
"""What ONNX Runtime raises for a file that is no graph, or a graph that it cannot run."""
FAILURES = (states.Fail, states.InvalidArgument, states.NotImplemented, states.RuntimeException, states.EPFail)
"""What it raises when a graph does not fit its tile, or the memory of the device is full."""


class OnnxPredictor:
    """A loaded graph on one device."""

    def __init__(self, weights: bytes, where: str, multiple: int, *, device: Device = "auto") -> None:
        """Load the graph.

        Args:
            weights: Content of the ``.onnx`` file.
            where: Its name, for messages.
            multiple: Of which height and width of the graph's input must be; images are mirrored at their lower and
                right border up to it.
            device: ``auto`` takes CUDA where it works; ``cuda`` is an error where it does not.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file, or it is not a graph as described above.
        """
        self._multiple = multiple
        self._session, self.device = open_session(weights, where, device)
        nodes = self._session.get_inputs(), self._session.get_outputs()
        inputs, outputs = ({node.name for node in some} for some in nodes)
        if inputs != {"pixels", "contrast"} or "heads" not in outputs:
            raise _broken(where, f"it maps {', '.join(sorted(inputs))} to {', '.join(sorted(outputs))}")
        # Neither may hold this object: when it goes, the graph has to leave the memory of the device at once.
        run = functools.partial(_run, self._session)
        if self.device == "cuda":
            batcher = Batcher(run)
            self._predict = batcher.predict
            weakref.finalize(self, batcher.close).atexit = False
        else:  # on a processor a batch gains nothing: tiles are predicted side by side
            self._predict = functools.partial(_run_one, run)

    @property
    def channels(self) -> tuple[object, object]:
        """How many roles the graph takes and how many heads it returns; names instead where it leaves them open."""
        shapes = [tensor.shape for tensor in (*self._session.get_inputs(), *self._session.get_outputs())]
        roles, _, heads = (shape[1] if len(shape) > 1 else None for shape in shapes)
        return roles, heads

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the heads of one tile; see `Predictor.predict`. Memory grows with its size."""
        height, width = pixels.shape[1:]
        heads: NDArray[np.uint8] = self._predict(padded(pixels, self._multiple), contrast)
        return heads[:, :height, :width]

    def for_image(self, windows: Sequence[NDArray[np.float32]], contrast: NDArray[np.float32]) -> Self:
        """Return itself: a network learns nothing from the image."""
        return self


def _run(
    session: onnxruntime.InferenceSession, pixels: NDArray[np.float32], contrast: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """(N, R, Y, X) and (N, R, 2) → (N, H, Y, X). Raises `ModelError` E409."""
    try:
        heads: NDArray[np.uint8] = session.run(["heads"], {"pixels": pixels, "contrast": contrast})[0]
    except FAILURES as error:
        raise ModelError(
            "E409",
            f"the graph fails on a tile of {pixels.shape[2]} × {pixels.shape[3]} px ({first_line(error)})",
            action="Give it more memory, or export the model again",
        ) from error
    if heads.dtype != np.uint8 or heads.shape[2:] != pixels.shape[2:]:
        # A border that is cut off would move every object.
        raise ModelError(
            "E409",
            f"the graph returns {heads.dtype} {heads.shape} for pixels of {pixels.shape}",
            action="Export the model again: heads are uint8, as high and wide as the pixels",
        )
    return heads


def _run_one(run: Run, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
    heads: NDArray[np.uint8] = run(pixels[np.newaxis], contrast[np.newaxis])[0]
    return heads


def open_session(weights: bytes, where: str, device: Device) -> tuple[onnxruntime.InferenceSession, str]:
    """Load any graph; return it, and the device that it really computes on. Raises as `OnnxPredictor`, E404 for files
    that ONNX Runtime does not take.
    """
    provider = _PROVIDERS["cpu" if device == "cpu" else "cuda"]
    if provider not in onnxruntime.get_available_providers():
        provider = _PROVIDERS["cpu"]
    options = onnxruntime.SessionOptions()
    # Images and tiles run side by side, one thread each; a thread team per graph would wait at every layer.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # A plan of memory per size of tile would be made and kept: half as much again, for no gain in speed.
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(weights, options, [provider])
    except _REFUSALS as error:
        raise _broken(where, first_line(error)) from error
    # The GPU build offers CUDA on machines without a GPU, too; what the session has is what really computes.
    found = "cuda" if _PROVIDERS["cuda"] in session.get_providers() else "cpu"
    if device == "cuda" and found != "cuda":
        raise _missing_device(device)
    return session, found


def first_line(error: Exception) -> str:
    """Return what an error of ONNX Runtime says, without its trace."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _missing_device(device: str) -> DeviceError:
    return DeviceError(
        "E501",
        f"{device} was asked for, but ONNX Runtime {onnxruntime.__version__} finds no such device",
        where="--device",
        action="Install the driver and cellfleet[cuda] (docs/how-to/gpu.md), or use --device cpu",
    )


def _broken(where: str, why: str) -> ModelError:
    return ModelError(
        "E404",
        f"ONNX Runtime cannot load the weights ({why})",
        where=where,
        action="Copy or export the model again",
    )
