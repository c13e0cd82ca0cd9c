"""The pre- and post-processing of a bioimage.io description → steps of an adaptor. Computes nothing.

Names and arguments are those of the specification: `mode` and letters of axes in 0.4, lists of axis names in 0.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from cellfleet.errors import ModelError
from cellfleet.models.bioimage.refusal import no_objects, no_step
from cellfleet.models.bioimage.tensors import Tensor
from cellfleet.spec.adaptor import Affine, Binarise, Cast, Clip, Percentiles, Sigmoid, Softmax, Standardise, Step

_OTHER_SOFTWARE: Final = {
    "stardist_postprocessing": "star-convex polygons (StarDist)",
    "cellpose_flow_dynamics": "flows (Cellpose)",
}
_FLOATS: Final = ("float32", "float64")
_NEED_IMAGE: Final = ("zero_mean_unit_variance", "scale_range", "scale_mean_variance")


@dataclass(frozen=True)
class _Given:
    """One step as the description has it."""

    arguments: Mapping[str, Any]
    tensor: str
    """Name of its tensor."""
    field: str
    where: str

    def refuse(self, argument: str, why: str) -> ModelError:
        """Return the error of one of its arguments."""
        return no_step(self.where, f"{self.field}.kwargs.{argument}", why)

    def numbers(self, argument: str, default: float | None = None) -> tuple[float, ...]:
        """Return one number, or one for each channel."""
        value = self.arguments.get(argument, default)
        values = value if isinstance(value, list | tuple) else [value]
        if not values or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in values):
            raise self.refuse(argument, f"{str(value)[:100]!r} is no number")
        if len(values) > 1:
            self._require_channels()
        return tuple(float(one) for one in values)

    def number(self, argument: str, default: float) -> float:
        """Return exactly one number."""
        values = self.numbers(argument, default)
        if len(values) > 1:
            raise self.refuse(argument, "it is more than one number")
        return values[0]

    def each_channel(self) -> bool:
        """Say whether statistics are of each channel, or of all together."""
        axes = self.arguments.get("axes")
        given = [axes] if axes is None else list(axes) if isinstance(axes, str | list | tuple) else [axes]
        names = {{"channel": "c", "batch": "b"}.get(str(axis), str(axis)) for axis in given}
        if axes is None:
            return False
        if not {"y", "x"} <= names <= set("bcyxzti"):
            raise self.refuse("axes", f"{str(axes)[:100]!r} are not those of an image")
        return "c" not in names

    def _require_channels(self) -> None:
        axis, axes = self.arguments.get("axis", "channel"), self.arguments.get("axes", "yx")
        if axis not in {"channel", "c"} or set(axes) & {"c", "channel"}:
            raise self.refuse("axis", "several numbers are understood for the channels only")


def read_steps(tensor: Tensor, where: str, *, before: bool) -> tuple[Step, ...]:
    """Return the steps of a tensor: before the graph where it is the input, else after it.

    Raises:
        ModelError: E432 a step that is not known, or cannot be done here; E433 it makes objects by itself.
    """
    kind = "preprocessing" if before else "postprocessing"
    steps: list[Step] = []
    for number, one in enumerate(tensor.steps):
        name = str(one.get("id") or one.get("name") or "")
        field = f"{tensor.field}.{kind}.{number}"
        if name in _OTHER_SOFTWARE:
            raise no_objects(where, field, _OTHER_SOFTWARE[name])
        if not before and name in _NEED_IMAGE:
            raise no_step(where, field, f"{name} needs all of the output at once, which is predicted tile by tile")
        if name not in _READERS:
            known = "it would run code of the package" if name == "custom" else f"{name[:80]!r} is not known"
            raise no_step(where, field, known)
        arguments = one.get("kwargs")
        given = _Given(arguments if isinstance(arguments, dict) else {}, tensor.name, field, where)
        try:
            steps += _READERS[name](given)
        except ValidationError as error:
            raise no_step(where, field, str(error.errors()[0]["msg"])) from error
    return _in_type(steps, tensor) if before else tuple(steps)


def _in_type(steps: list[Step], tensor: Tensor) -> tuple[Step, ...]:
    """Return the steps of an input between those that the specification adds where the description has none.

    A tensor begins with the type of its data, and ends with it unless the last step is another type or binary.
    """
    if tensor.dtype in _FLOATS:
        return tuple(steps)
    names = [str(one.get("id") or one.get("name")) for one in tensor.steps] or [""]
    cast = Cast(dtype=tensor.dtype)
    first = [] if names[0] == "ensure_dtype" else [cast]
    return (*first, *steps, *([] if names[-1] in {"ensure_dtype", "binarize"} else [cast]))


def _zero_mean_unit_variance(given: _Given) -> list[Step]:
    if given.arguments.get("mode") == "fixed" or "mean" in given.arguments:
        return _fixed_zero_mean_unit_variance(given)
    return [Standardise(each_channel=given.each_channel(), eps=given.number("eps", 1e-6))]


def _fixed_zero_mean_unit_variance(given: _Given) -> list[Step]:
    means, deviations = given.numbers("mean"), given.numbers("std")
    if 0 in deviations or (len(means) != len(deviations) and 1 not in {len(means), len(deviations)}):
        raise given.refuse("std", "it does not fit the mean, or is 0")
    count = max(len(means), len(deviations))
    means, deviations = (one * count if len(one) == 1 else one for one in (means, deviations))
    return [
        Affine(
            gain=tuple(1 / deviation for deviation in deviations),
            offset=tuple(-mean / deviation for mean, deviation in zip(means, deviations, strict=True)),
        )
    ]


def _scale_range(given: _Given) -> list[Step]:
    if given.arguments.get("reference_tensor") not in {None, "", given.tensor}:
        raise given.refuse("reference_tensor", "percentiles of another tensor are not supported")
    low, high = given.number("min_percentile", 0), given.number("max_percentile", 100)
    if not 0 <= low < high <= 100:
        raise given.refuse("max_percentile", f"{low:g} to {high:g} are no percentiles")
    return [Percentiles(low=low, high=high, each_channel=given.each_channel(), eps=given.number("eps", 1e-6))]


def _scale_linear(given: _Given) -> list[Step]:
    return [Affine(gain=given.numbers("gain", 1), offset=given.numbers("offset", 0))]


def _clip(given: _Given) -> list[Step]:
    for argument in ("min_percentile", "max_percentile"):
        if given.arguments.get(argument) is not None:
            raise given.refuse(argument, "it clips at percentiles, which is not supported; use scale_range before it")
    return [Clip(low=given.arguments.get("min"), high=given.arguments.get("max"))]


def _binarize(given: _Given) -> list[Step]:
    return [Binarise(threshold=given.numbers("threshold"))]


def _ensure_dtype(given: _Given) -> list[Step]:
    dtype = given.arguments.get("dtype")
    return [] if dtype in _FLOATS else [Cast.model_validate({"dtype": dtype})]


def _softmax(given: _Given) -> list[Step]:
    if given.arguments.get("axis", "channel") not in {"channel", "c"}:
        raise given.refuse("axis", "it is understood for the channels only")
    return [Softmax()]


_READERS: Final[Mapping[str, Callable[[_Given], list[Step]]]] = {
    "zero_mean_unit_variance": _zero_mean_unit_variance,
    "fixed_zero_mean_unit_variance": _fixed_zero_mean_unit_variance,
    "scale_range": _scale_range,
    "scale_linear": _scale_linear,
    "clip": _clip,
    "binarize": _binarize,
    "ensure_dtype": _ensure_dtype,
    "sigmoid": lambda given: [Sigmoid()],
    "softmax": _softmax,
}
