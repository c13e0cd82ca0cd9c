"""The JSON of OME-Zarr groups (OME-NGFF 0.1 to 0.5, and the drafts of 0.6): images, plates, wells, containers.

Laxer than the specification on purpose: what is not needed here is not looked at, and broken display settings or
scales cost channel names or the pixel size only. Pure functions of documents; knows no stores and no arrays.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError

from cellfleet.images.axes import KNOWN
from cellfleet.images.pixel_size import PixelSize, microns_per_unit

AXES_BEFORE_0_3 = ("t", "c", "z", "y", "x")
"""Versions 0.1 and 0.2 name no axes: arrays have these five."""
LETTERS_OF_TYPES = {"time": "T", "channel": "C"}
NAMELESS_AXIS = "Q"


def _inside(path: str) -> str:
    """Refuse a path that leads out of its group; return it with single slashes."""
    windows = PureWindowsPath(path)
    if windows.drive or ".." in windows.parts:
        raise ValueError("leads out of the store")
    return "/".join(part for part in windows.parts if part != windows.anchor)


Inside = Annotated[str, AfterValidator(_inside)]
"""Path of a group or array, relative to the group that names it."""


class Axis(BaseModel):
    """One dimension. Version 0.3 has the name only."""

    name: str
    type: str | None = None
    unit: str | None = None


class CoordinateSystem(BaseModel):
    """Where drafts of 0.6 put the axes."""

    name: str = ""
    axes: list[Axis]


class Transformation(BaseModel):
    """A scale, or of the drafts of 0.6 a sequence; other types are kept only by their name."""

    type: str
    scale: list[float] | None = None
    transformations: list[Transformation] = []
    output: Any = None


class Dataset(BaseModel):
    """One level of a pyramid."""

    path: Inside
    coordinateTransformations: Any = None  # noqa: N815 (the specification's name)


class Multiscale(BaseModel):
    """One image as a pyramid, largest level first."""

    axes: list[Axis | str] | None = None
    coordinateSystems: list[CoordinateSystem] = []  # noqa: N815 (the specification's name)
    coordinateTransformations: Any = None  # noqa: N815 (the specification's name)
    datasets: Annotated[list[Dataset], Field(min_length=1)]


class Member(BaseModel):
    """A well of a plate, or a field of a well."""

    path: Inside


class Plate(BaseModel):
    """The wells of a plate."""

    wells: list[Member]


class Well(BaseModel):
    """The fields of a well."""

    images: list[Member]


class Channel(BaseModel):
    """Display settings of a channel, of which the name alone counts here."""

    label: str | None = None


class Omero(BaseModel):
    """Display settings."""

    channels: list[Channel]


class Node(BaseModel):
    """The attributes of one group."""

    multiscales: Annotated[list[Multiscale], Field(min_length=1)] | None = None
    plate: Plate | None = None
    well: Well | None = None
    series: list[Inside] = []
    container: Any = Field(default=None, alias="bioformats2raw.layout")
    label: Any = Field(default=None, alias="image-label")
    omero: Any = None


_TRANSFORMATIONS = TypeAdapter(list[Transformation])


def parse_node(attributes: Mapping[str, Any]) -> Node:
    """Return what the attributes of a group say; since 0.5 they lie one step deeper.

    Raises:
        ValidationError: They are not of the form that the specification gives.
    """
    return Node.model_validate(attributes.get("ome", attributes))


def axis_letters(multiscale: Multiscale) -> str:
    """Return a letter per dimension, `NAMELESS_AXIS` for one of unknown meaning."""
    return "".join(_letter(axis) for axis in _axes(multiscale))


def channel_names(node: Node) -> tuple[str, ...]:
    """Return the labels of the display settings, ``""`` where one has none; empty where there are no settings."""
    try:
        channels = Omero.model_validate(node.omero).channels
    except ValidationError:
        return ()
    return tuple(channel.label or "" for channel in channels)


def pixel_sizes(multiscale: Multiscale) -> tuple[PixelSize, ...]:
    """Return the µm per pixel of the largest level; empty unless y and x have a scale and a unit of length."""
    axes = _axes(multiscale)
    of_level, of_all = multiscale.datasets[0].coordinateTransformations, multiscale.coordinateTransformations
    scale = _scale([*_steps(of_level), *_steps(of_all)], len(axes))
    units = [microns_per_unit(axis.unit or "") for axis in axes]
    lengths = {
        _letter(axis): factor * unit for axis, factor, unit in zip(axes, scale, units, strict=False) if unit is not None
    }
    if not {"Y", "X"} <= lengths.keys():
        return ()
    return (PixelSize(lengths["Y"], lengths["X"], "ome-zarr"),)


def _letter(axis: Axis) -> str:
    letter = axis.name.upper()
    return letter if letter in KNOWN and len(letter) == 1 else LETTERS_OF_TYPES.get(axis.type or "", NAMELESS_AXIS)


def _axes(multiscale: Multiscale) -> list[Axis]:
    if multiscale.axes is None and multiscale.coordinateSystems:
        return _output_system(multiscale).axes
    axes = AXES_BEFORE_0_3 if multiscale.axes is None else multiscale.axes
    return [Axis(name=axis) if isinstance(axis, str) else axis for axis in axes]


def _output_system(multiscale: Multiscale) -> CoordinateSystem:
    """Return the system that the largest level is mapped to; the first where that is not said."""
    outputs = [step.output for step in _steps(multiscale.datasets[0].coordinateTransformations)]
    names = [output.get("name") if isinstance(output, dict) else output for output in outputs]
    systems = multiscale.coordinateSystems
    return next((system for system in systems if system.name in names), systems[0])


def _steps(transformations: Any) -> list[Transformation]:
    try:
        return _TRANSFORMATIONS.validate_python(transformations)
    except ValidationError:
        return []


def _scale(steps: list[Transformation], dimensions: int) -> list[float]:
    """Return the factor per dimension; empty where there is none, or it is not a plain factor."""
    scales = []
    for step in steps:
        if step.type not in ("translation", "identity"):
            scales.append(_scale(step.transformations, dimensions) if step.type == "sequence" else step.scale or [])
    if not scales or any(len(scale) != dimensions for scale in scales):
        return []
    return [math.prod(factors) for factors in zip(*scales, strict=True)]
