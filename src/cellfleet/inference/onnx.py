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

from cellfleet.errors import DeviceError, ModelError
from cellfleet.spec.choices import Device
from cellfleet.spec.model import Tile
from cellfleet.tiling.grid import Span, tiles

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxPredictor:
    """A loaded graph on one device."""

    def __init__(self, weights: Path, tile: Tile, *, device: Device = "auto", threads: int = 1) -> None:
        """Load the graph.

        Args:
            weights: The ``.onnx`` file.
            tile: Geometry of the graph's input.
            device: ``auto`` takes CUDA where ONNX Runtime offers it; ``cuda`` without it is an error.
            threads: How many tiles of one image are computed at once on the CPU.

        Raises:
            DeviceError: E501 the device is not there.
            ModelError: E404 ONNX Runtime does not take the file.
        """
        self._tile = tile
        self.device = _available(device)
        self._threads = threads if self.device == "cpu" else 1
        options = onnxruntime.SessionOptions()
        # Images and tiles run side by side, one thread each; a thread team per graph would wait at every layer.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(weights), options, [_PROVIDERS[self.device]])
        except onnxruntime.capi.onnxruntime_pybind11_state.Fail as error:
            raise _broken(weights, error) from error
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
            raise _broken(weights, error) from error
        if _PROVIDERS[self.device] not in self._session.get_providers():
            raise _missing_device(self.device)

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


def _available(device: Device) -> str:
    offered = onnxruntime.get_available_providers()
    if device == "auto":
        return "cuda" if _PROVIDERS["cuda"] in offered else "cpu"
    if _PROVIDERS[device] not in offered:
        raise _missing_device(device)
    return device


def _missing_device(device: str) -> DeviceError:
    return DeviceError(
        "E501",
        f"{device} was asked for, but ONNX Runtime {onnxruntime.__version__} finds no such device",
        where="--device",
        action="Install the driver and cellfleet[cuda] (docs/how-to/gpu.md), or use --device cpu",
    )


def _broken(weights: Path, error: Exception) -> ModelError:
    return ModelError(
        "E404",
        f"ONNX Runtime cannot load the weights ({str(error).splitlines()[0][:200]})",
        where=str(weights),
        action="Copy or export the model again",
    )
