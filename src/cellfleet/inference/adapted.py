"""Tiles → heads by a graph that was not made for cellfleet, as its adaptor says. Knows no package and no image file.

The package's own steps are done here, before and after ONNX Runtime; then few formulas turn probabilities and distances
into heads that the watershed can read (docs/reference/models.md). Contrast is not used: the package says itself how
pixels are scaled, and what it needs of the image is found once, from the same sample of pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ModelError
from cellfleet.inference.graph import Graph
from cellfleet.inference.otsu import squared_distance
from cellfleet.inference.steps import applied, cast, fitted
from cellfleet.spec.adaptor import Adaptor, GraphOutput, Meaning, Recipe, Sizes, Step
from cellfleet.spec.choices import Device

Values = NDArray[np.float32]

_TOLERANCE: Final = 0.02
"""By which a probability may leave 0…1: some networks end in a linear layer."""
_DTYPES: Final[Mapping[str, str]] = {
    "FP32": "float32", "FP16": "float16", "FP64": "float64", "UINT8": "uint8", "UINT16": "uint16", "INT8": "int8",
    "INT16": "int16", "INT32": "int32", "INT64": "int64", "BOOL": "bool",
}  # fmt: skip
"""Words of the Open Inference Protocol → of numpy."""


@dataclass(frozen=True, eq=False)
class AdaptedPredictor:
    """A loaded graph with its adaptor. Safe to call from several threads at once."""

    graph: Graph
    adaptor: Adaptor
    where: str
    """The graph's file, for messages."""
    steps: tuple[Step, ...] | None = None
    """Before the graph, fitted to an image; None: to each tile."""

    @classmethod
    def load(cls, weights: bytes, where: str, adaptor: Adaptor, *, device: Device = "auto") -> Self:
        """Load the graph. Raises `DeviceError` E501, `ModelError` E404; E431, it is not what the adaptor says."""
        graph = Graph(weights, where, device=device)
        ranks = len(adaptor.input.axes), *(len(output.axes) for output in adaptor.outputs)
        found = [len(tensor.shape) for tensor in (*graph.inputs, *graph.outputs[: len(adaptor.outputs)])]
        if len(graph.inputs) != 1 or found != list(ranks):
            raise ModelError(
                "E431",
                f"its description says one input and {len(ranks) - 1} output(s) with {list(ranks)} axes, the graph has "
                f"{len(graph.inputs)} and {len(graph.outputs)} with {found}",
                where=where,
                action="Export the package again",
            )
        return cls(graph, adaptor, where)

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``: what it really computes on."""
        return self.graph.device

    def for_image(self, windows: Sequence[Values], contrast: Values) -> Self:
        """Return a predictor whose steps are fitted to the image.

        Raises:
            ModelError: E435, the image has values that the package's type of pixels cannot hold.
        """
        self._require_range(windows)
        return replace(self, steps=fitted(self.adaptor.input.steps, windows))

    def predict(self, pixels: Values, contrast: Values) -> NDArray[np.uint8]:
        """Return the two heads of the adaptor's recipe for one tile; see `Predictor.predict`.

        Raises:
            ModelError: E409 the graph fails; E431 its outputs have another size than is said; E436 they are no
                probabilities.
        """
        height, width = pixels.shape[1:]
        border = max(output.border for output in self.adaptor.outputs)
        given = self._framed(pixels, border)
        found = self._run(applied(given, self.steps or fitted(self.adaptor.input.steps, [pixels])))
        maps: dict[Meaning, Values] = {}
        for output, values in zip(self.adaptor.outputs, found, strict=True):
            shift = border - output.border
            part = values[:, shift : shift + height, shift : shift + width]
            for meaning, channel in zip(output.channels, part, strict=True):
                if meaning != "unused":
                    channel = self._within(channel / output.longest if meaning == "distance" else channel, meaning)
                    maps[meaning] = np.maximum(maps[meaning], channel) if meaning in maps else channel
        return heads_of(maps, self.adaptor.recipe, self.adaptor.shape_px)

    def outputs(self, tensor: NDArray[Any]) -> list[Values]:
        """Return what the package says of one tensor of its own: after its steps, before anything of ours.

        Args:
            tensor: As its test tensor, with the axes of its input.

        Returns:
            (C, Y, X) per output.

        Raises:
            ModelError: E409 the graph fails; E431, as `predict`.
        """
        pixels = as_planes(tensor, self.adaptor.input.axes)
        return self._run(applied(pixels, fitted(self.adaptor.input.steps, [pixels])))

    def _run(self, values: Values) -> list[Values]:
        given = self.graph.inputs[0]
        dtype = np.dtype(_DTYPES.get(given.datatype, "float32"))
        found = self.graph.run({given.name: _as_tensor(cast(values, dtype), self.adaptor.input.axes)})
        named = zip(self.adaptor.outputs, self.graph.outputs, strict=False)
        return [self._after(found[tensor.name], output, values.shape[1:]) for output, tensor in named]

    def _after(self, tensor: NDArray[Any], output: GraphOutput, given: tuple[int, ...]) -> Values:
        values = as_planes(tensor, output.axes)
        # What is cut off without being said would move every object.
        said = (len(output.channels), *(length - 2 * output.border for length in given))
        if values.shape != said:
            raise ModelError(
                "E431",
                f"the graph returns {values.shape}, its description says {said} (channels, y, x)",
                where=self.where,
                action="Export the package again",
            )
        return applied(values, output.steps)

    def _framed(self, pixels: Values, border: int) -> Values:
        """Mirror a tile beyond its sides: by `border` px, and below and right to a size that the graph takes."""
        sides = [(0, 0)]
        for length, sizes in zip(pixels.shape[1:], (self.adaptor.input.height, self.adaptor.input.width), strict=True):
            sides.append((border, self._side(length + 2 * border, sizes) - length - border))
        return np.pad(pixels, sides, mode="reflect")

    def _side(self, length: int, sizes: Sizes) -> int:
        side = sizes.at_least(length)
        if side < length:
            raise ModelError(
                "E409",
                f"the graph takes {side} px, a tile with its border has {length}",
                where=self.where,
                action="Give smaller tiles",
            )
        return side

    def _require_range(self, windows: Sequence[Values]) -> None:
        dtype = np.dtype(self.adaptor.input.dtype)
        if dtype.kind not in "iu":
            return
        limits = np.iinfo(dtype)
        low, high = min(float(window.min()) for window in windows), max(float(window.max()) for window in windows)
        if low < limits.min or high > limits.max:
            raise ModelError(
                "E435",
                f"the image has values from {low:g} to {high:g}, the model takes {dtype.name}: {limits.min} to "
                f"{limits.max}",
                where=self.where,
                action="Convert the image to that range first, as the model's own documentation says",
            )

    def _within(self, values: Values, meaning: Meaning) -> Values:
        low, high = float(values.min()), float(values.max())
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise ModelError(
                "E436",
                f"its {meaning} has values from {low:.3g} to {high:.3g}, not 0 to 1",
                where=self.where,
                action="Add the step that is missing, such as sigmoid, to the output's postprocessing in rdf.yaml",
            )
        return np.clip(values, 0, 1)


def heads_of(maps: Mapping[Meaning, Values], recipe: Recipe, shape_px: int) -> NDArray[np.uint8]:
    """Turn what outputs mean into heads that the watershed reads.

    Args:
        maps: (Y, X) each, 0…1.
        recipe: Of the adaptor.
        shape_px: Likewise.

    Returns:
        uint8 (2, Y, X), `spec.adaptor.HEADS`.
    """
    foreground = _foreground(maps)
    if recipe == "boundary":
        core = maps["interior"] if "interior" in maps else foreground * (1 - maps["boundary"])
        # At least one half exactly where the foreground is; above it the order is that of the core.
        first, second = core, np.minimum(foreground, (1 + core) / 2)
    elif recipe == "distance":
        first, second = maps["distance"], foreground
    else:
        distance = np.sqrt(squared_distance(foreground > 0.5, shape_px))
        # Of the logarithm a difference is a ratio of widths, whatever the magnification; as in `otsu`.
        first, second = np.log2(1 + distance) / np.float32(np.log2(1 + shape_px)), foreground
    heads: NDArray[np.uint8] = np.rint(np.stack([first, second]) * 255).astype(np.uint8)
    return heads


def _foreground(maps: Mapping[Meaning, Values]) -> Values:
    if "foreground" in maps:
        return maps["foreground"]
    if "background" in maps:
        return np.float32(1) - maps["background"]
    if "interior" in maps:
        return np.asarray(np.minimum(maps["interior"] + maps.get("boundary", np.float32(0)), 1), np.float32)
    return (maps["distance"] > 0).astype(np.float32)


def _as_tensor(values: NDArray[Any], axes: str) -> NDArray[Any]:
    """(C, Y, X) → a tensor with these axes; others than c, y, x have the length 1."""
    given = values if "c" in axes else values[0]
    own = "cyx" if "c" in axes else "yx"
    placed = given.transpose([own.index(axis) for axis in axes if axis in own])
    return np.ascontiguousarray(placed[tuple(slice(None) if axis in own else np.newaxis for axis in axes)])


def as_planes(tensor: NDArray[Any], axes: str) -> Values:
    """Return (C, Y, X) of a tensor with these axes; of others than c, y, x the first."""
    own = [axis for axis in axes if axis in "cyx"]
    planes = tensor[tuple(slice(None) if axis in "cyx" else 0 for axis in axes)]
    planes = planes.transpose([own.index(axis) for axis in "cyx" if axis in own])
    return np.asarray(planes if "c" in own else planes[np.newaxis], np.float32)
