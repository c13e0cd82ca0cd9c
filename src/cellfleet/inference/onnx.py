"""Tiles → heads by ONNX Runtime, in this process. Knows no image file and no job.

The graph takes raw pixels (N, R, Y, X) float32 and contrast (N, R, 2) float32, applies the contrast, and returns
heads (N, H, Y, X) uint8. One session serves any number of threads.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as states

from cellfleet.errors import DeviceError, ModelError
from cellfleet.spec.choices import Device
from cellfleet.spec.model import Tile
from cellfleet.tiling.grid import Span, tiles

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_REFUSALS = (states.Fail, states.InvalidArgument, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented)
"""What ONNX Runtime raises for a file that is no graph, or a graph that it cannot run."""


class OnnxPredictor:
    """A loaded graph on one device."""

    def __init__(self, weights: Path, tile: Tile, *, device: Device = "auto", threads: int = 1) -> None:
        """Load the graph.

        Args:
            weights: The ``.onnx`` file.
            tile: Geometry of the graph's input.
            device: ``auto`` takes CUDA where it works; ``cuda`` is an error where it does not.
            threads: How many tiles of one image are computed at once on the CPU.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file, or it is not a graph as described above.
        """
        self._tile = tile
        wanted = _PROVIDERS["cpu" if device == "cpu" else "cuda"]
        if wanted not in onnxruntime.get_available_providers():
            wanted = _PROVIDERS["cpu"]
        self._session = _session(weights, wanted)
        # The GPU build offers CUDA on machines without a GPU, too; what the session has is what really computes.
        self.device = "cuda" if _PROVIDERS["cuda"] in self._session.get_providers() else "cpu"
        if device == "cuda" and self.device != "cuda":
            raise _missing_device(device)
        self._threads = threads if self.device == "cpu" else 1

    @property
    def channels(self) -> tuple[object, object]:
        """How many roles the graph takes and how many heads it returns; names instead where it leaves them open."""
        shapes = [tensor.shape for tensor in (*self._session.get_inputs(), *self._session.get_outputs())]
        roles, _, heads = (shape[1] if len(shape) > 1 else None for shape in shapes)
        return roles, heads

    def predict(self, pixels: NDArray[np.float32], contrast: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the heads of one image.

        Args:
            pixels: (R, Y, X) raw values at model scale.
            contrast: (R, 2) low and high.

        Returns:
            uint8 (H, Y, X), 255 × head.
        """
        regions = tiles((pixels.shape[1], pixels.shape[2]), self._tile)
        first = self._predict_tile(pixels, contrast, *regions[0])
        heads = np.empty((len(first), *pixels.shape[1:]), np.uint8)
        _place(heads, first, *regions[0])

        def work(region: tuple[Span, Span]) -> None:
            _place(heads, self._predict_tile(pixels, contrast, *region), *region)

        if len(regions) > 1:
            with ThreadPoolExecutor(self._threads) as pool:
                for _ in pool.map(work, regions[1:]):
                    pass
        return heads

    def _predict_tile(
        self, pixels: NDArray[np.float32], contrast: NDArray[np.float32], y: Span, x: Span
    ) -> NDArray[np.uint8]:
        """Return the heads of the tile's read region."""
        tile = pixels[:, y.read, x.read]
        height, width = tile.shape[1:]
        multiple = self._tile.multiple
        padded = np.pad(tile, ((0, 0), (0, -height % multiple), (0, -width % multiple)), mode="reflect")
        feeds = {"pixels": padded[None], "contrast": contrast[None]}
        heads: NDArray[np.uint8] = self._session.run(["heads"], feeds)[0]
        return heads[0, :, :height, :width]


def _place(heads: NDArray[np.uint8], tile: NDArray[np.uint8], y: Span, x: Span) -> None:
    heads[:, y.write, x.write] = tile[:, y.inside, x.inside]


def _session(weights: Path, provider: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Images and tiles run side by side, one thread each; a thread team per graph would wait at every layer.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(weights), options, [provider])
    except _REFUSALS as error:
        raise _broken(weights, str(error)) from error
    inputs, outputs = ({node.name for node in nodes} for nodes in (session.get_inputs(), session.get_outputs()))
    if inputs != {"pixels", "contrast"} or "heads" not in outputs:
        raise _broken(weights, f"it maps {', '.join(sorted(inputs))} to {', '.join(sorted(outputs))}")
    return session


def _missing_device(device: str) -> DeviceError:
    return DeviceError(
        "E501",
        f"{device} was asked for, but ONNX Runtime {onnxruntime.__version__} finds no such device",
        where="--device",
        action="Install the driver and cellfleet[cuda] (docs/how-to/gpu.md), or use --device cpu",
    )


def _broken(weights: Path, why: str) -> ModelError:
    return ModelError(
        "E404",
        f"ONNX Runtime cannot load the weights ({why.splitlines()[0][:200]})",
        where=str(weights),
        action="Copy or export the model again",
    )
