"""The inputs and outputs of a bioimage.io description in one form. Knows no meaning of them.

The formats 0.3 and 0.4 have letters and lists: ``axes: bcyx``, ``shape: {min: [1, 1, 64, 64], step: [0, 0, 16, 16]}``,
``halo: [0, 0, 16, 16]``. In 0.5 it is a list: ``axes: [{type: batch}, …, {type: space, id: y, size: {min: 64, step:
16}, halo: 16}]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cellfleet.models.bioimage.refusal import no_tensor
from cellfleet.spec.adaptor import Dtype, Sizes

_LONGEST: Final = 1 << 20
Length = Annotated[int, Field(ge=1, le=_LONGEST)]
_LETTERS: Final = {"batch": "b", "channel": "c", "time": "t", "index": "i"}
_MICRONS: Final = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3}


@dataclass(frozen=True)
class Axis:
    """One axis of a tensor."""

    letter: str
    """b, c, t, i, z, y or x."""
    sizes: Sizes | None = None
    """Lengths that it may have; None: as long as another one, or any."""
    offset: float = 0
    """How much longer it is than the axis of the input that it follows."""
    scale: float = 1
    """How many of its pixels there are per pixel of that axis, where both have the same `unit`."""
    unit: float = 1
    """Length of a pixel, in whatever the description counts."""
    halo: int = 0
    names: tuple[str, ...] = ()
    """Of channels."""
    microns: float | None = None
    """Size of a pixel, µm."""


@dataclass(frozen=True)
class Tensor:
    """One input or output."""

    field: str
    """Its place in the description, such as ``inputs.0``."""
    name: str
    description: str
    axes: tuple[Axis, ...]
    dtype: Dtype
    range: tuple[float | None, float | None]
    """Of its values, as far as it is said."""
    steps: tuple[Mapping[str, Any], ...] = ()
    """Before or after the graph, in the words of the description."""

    @property
    def letters(self) -> str:
        """Of the axes, in order."""
        return "".join(axis.letter for axis in self.axes)

    def axis(self, letter: str) -> Axis | None:
        """Return one of its axes; None: it has none of this letter."""
        return next((axis for axis in self.axes if axis.letter == letter), None)


def read_tensors(described: Mapping[str, Any], which: Literal["inputs", "outputs"], where: str) -> list[Tensor]:
    """Return the inputs or outputs of a description. Raises `ModelError` E431: they cannot be understood."""
    given = described.get(which)
    if not isinstance(given, list) or not given:
        raise no_tensor(where, which, "there are none")
    return [_tensor(one, f"{which}.{number}", where) for number, one in enumerate(given)]


# --- both formats -------------------------------------------------------------------------------------------------


class _Part(BaseModel):
    # The description has many more fields, which are for others.
    model_config = ConfigDict(frozen=True)


def _without_infinity(value: object) -> object:
    return None if value in {"inf", "-inf", float("inf"), float("-inf")} else value


_Bound = Annotated[float | None, BeforeValidator(_without_infinity)]
_Steps = tuple[dict[str, Any], ...]


class _Common(_Part):
    description: Annotated[str, BeforeValidator(lambda text: str(text or "")[:2000])] = ""
    preprocessing: _Steps = ()
    postprocessing: _Steps = ()


def _tensor(given: object, place: str, where: str) -> Tensor:
    try:
        if isinstance(given, dict) and isinstance(given.get("axes"), str):
            return _of_letters(_Tensor4.model_validate(given), place, where)
        return _of_list(_Tensor5.model_validate(given), place)
    except ValidationError as error:
        first = error.errors()[0]
        raise no_tensor(where, ".".join(map(str, (place, *first["loc"]))), str(first["msg"])) from error


# --- 0.4 and older: letters and lists -----------------------------------------------------------------------------


class _Stepped(_Part):
    min: tuple[Length, ...]
    step: tuple[Annotated[int, Field(ge=0, le=_LONGEST)], ...]


class _Implicit(_Part):
    scale: tuple[float | None, ...]
    offset: tuple[float, ...]


class _Tensor4(_Common):
    name: str = ""
    axes: str = Field(max_length=8)
    data_type: Dtype = "float32"
    data_range: tuple[_Bound, _Bound] = (None, None)
    shape: _Stepped | _Implicit | tuple[Length, ...]
    halo: tuple[Annotated[int, Field(ge=0, le=_LONGEST)], ...] | None = None


def _of_letters(given: _Tensor4, place: str, where: str) -> Tensor:
    count = len(given.axes)
    shape = given.shape
    halo = given.halo or (0,) * count
    lists: list[Sequence[object]] = [halo]
    if isinstance(shape, _Stepped):
        lists += [shape.min, shape.step]
    elif isinstance(shape, _Implicit):
        lists += [shape.scale, shape.offset]
    else:
        lists += [shape]
    if any(len(one) != count for one in lists):
        raise no_tensor(where, f"{place}.shape", f"it has not {count} numbers, as the axes {given.axes}")
    axes = [_lettered(given.axes, number, shape, halo[number]) for number in range(count)]
    steps = given.preprocessing + given.postprocessing
    return Tensor(place, given.name, given.description, tuple(axes), given.data_type, given.data_range, steps)


def _lettered(letters: str, number: int, shape: _Stepped | _Implicit | tuple[int, ...], halo: int) -> Axis:
    letter = letters[number]
    if isinstance(shape, _Stepped):
        return Axis(letter, Sizes(minimum=shape.min[number], step=shape.step[number]), halo=halo)
    if isinstance(shape, _Implicit):
        scale, offset = shape.scale[number], 2 * shape.offset[number]
        if scale is None or scale == 0:  # an axis that the input does not have
            return Axis(letter, Sizes(minimum=max(1, int(offset))), halo=halo)
        return Axis(letter, None, offset, scale, halo=halo)
    return Axis(letter, Sizes(minimum=shape[number]), halo=halo)


# --- 0.5: a list of axes ------------------------------------------------------------------------------------------


class _Parametric(_Part):
    min: Length
    step: Length


class _Follows(_Part):
    axis_id: str
    offset: int = 0


class _Axis5(_Part):
    type: Literal["batch", "channel", "time", "index", "space"]
    id: str = ""
    size: Length | _Parametric | _Follows | None = None
    halo: Annotated[int, Field(ge=0, le=_LONGEST)] = 0
    scale: Annotated[float, Field(gt=0)] = 1.0
    unit: str | None = None
    channel_names: tuple[Annotated[str, BeforeValidator(str)], ...] = ()


class _Data(_Part):
    type: Dtype = "float32"
    range: tuple[_Bound, _Bound] = (None, None)


class _Tensor5(_Common):
    id: str = ""
    axes: tuple[_Axis5, ...] = Field(max_length=8)
    data: _Data | tuple[_Data, ...] = _Data()


def _of_list(given: _Tensor5, place: str) -> Tensor:
    data = given.data[0] if isinstance(given.data, tuple) else given.data
    axes = tuple(_listed(axis) for axis in given.axes)
    steps = given.preprocessing + given.postprocessing
    return Tensor(place, given.id, given.description, axes, data.type, data.range, steps)


def _listed(given: _Axis5) -> Axis:
    letter = _LETTERS.get(given.type, given.id or "x")
    microns = given.scale * _MICRONS[given.unit] if given.unit in _MICRONS else None
    if letter == "c":
        return Axis("c", Sizes(minimum=max(1, len(given.channel_names))), names=given.channel_names)
    if isinstance(given.size, _Follows):
        return Axis(letter, None, given.size.offset, halo=given.halo, unit=given.scale)
    if isinstance(given.size, _Parametric):
        sizes: Sizes | None = Sizes(minimum=given.size.min, step=given.size.step)
    else:
        sizes = Sizes(minimum=given.size) if given.size else None
    return Axis(letter, sizes, halo=given.halo, unit=given.scale, microns=microns)
