"""What a caller asks for → one frozen spec, with the errors of a wrong request said in a sentence. Reads no file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import get_args

from cellfleet.errors import UsageError
from cellfleet.run.shard import shard_of_array_job
from cellfleet.spec.choices import CompartmentChoice
from cellfleet.spec.model import Compartment, ModelManifest
from cellfleet.spec.segment import ChannelChoice, SegmentSpec, Shard

Channel = int | str
"""A channel's number (counted from 0 in Python, from 1 in the command) or its name in the file."""
Channels = Channel | Sequence[Channel | Sequence[Channel]] | Mapping[str, Channel | Sequence[Channel]]


def make_spec(
    *,
    model: str,
    channels: Sequence[ChannelChoice] = (),
    microns_per_pixel: float | None = None,
    diameter_px: float | None = None,
    axes: str | None = None,
    compartment: CompartmentChoice | None = None,
    top: int | None = None,
) -> SegmentSpec:
    """Return the checked request; with `top`, 1…1000, for a model that classifies.

    Raises:
        UsageError: E011 a size is not a positive number, E012 axes cannot be meant, E013 a channel number below 1.
    """
    _require_positive(microns_per_pixel, "pixel size", "µm per pixel, for example 0.325")
    _require_positive(diameter_px, "diameter", "pixels, for example 30")
    if axes is not None:
        _require_axes(axes.upper())
    if any(isinstance(channel, int) and channel < 1 for choice in channels for channel in choice.channels):
        raise UsageError("E013", "channels are counted from 1", where="--channel", action="Write 1 for the first one")
    return SegmentSpec(
        model=model,
        channels=tuple(channels),
        microns_per_pixel=microns_per_pixel,
        diameter_px=diameter_px,
        axes=axes,
        compartment=compartment,
        top=top,
    )


def asked_compartments(spec: SegmentSpec, model: str, found: Sequence[Compartment]) -> tuple[Compartment, ...]:
    """Return what is asked of what a model of this name finds; two of them are cells, then their nuclei.

    Raises:
        UsageError: E050, the model does not find it.
    """
    asked = spec.compartment
    if asked is None or (asked == "both" and len(found) > 1):
        return tuple(found)
    if asked != "both" and asked in found:
        return (asked,)
    raise UsageError(
        "E050",
        f"the model {model} finds {' and '.join(found) or 'no'} objects, not {asked}",
        where="--compartment",
        action="Leave it out, or choose another model: 'cellfleet models' says what each of them finds",
    )


def asked_manifest(manifest: ModelManifest, spec: SegmentSpec) -> ModelManifest:
    """Return the manifest of what is asked for. Raises `UsageError` E050."""
    asked = asked_compartments(spec, manifest.name, manifest.compartments)
    return manifest if asked == manifest.compartments else manifest.alone(asked[0])


def require_choice(value: str, choices: object, where: str) -> None:
    """Raise UsageError E019 unless `value` is one of a `Literal`; the command's parser does so by itself."""
    allowed = get_args(choices)
    if value not in allowed:
        raise UsageError("E019", f"{value!r} is none of {', '.join(allowed)}", where=where, action="Choose one of them")


def require_threads(threads: int | None) -> None:
    """Raise UsageError E015 unless `threads` is None or at least 1."""
    if threads is not None and threads < 1:
        raise UsageError("E015", f"{threads} threads can do nothing", where="threads", action="Give 1 or more, or None")


def parse_memory(text: str | None) -> int | None:
    """Return the bytes that ``4GB``, ``500M`` or ``8000000000`` mean; units are powers of 1000, with i of 1024.

    Raises:
        UsageError: E046, it is no amount of memory.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?", text.strip().lower())
    size = float(match[1]) * (1024 if match[3] else 1000) ** " kmgt".index(match[2] or " ") if match else 0
    if size < 1:
        raise UsageError(
            "E046", f"{text!r} is no amount of memory", where="--memory", action="Write for example --memory 4GB"
        )
    return int(size)


def parse_shard(text: str | None) -> Shard | None:
    """Return the part that ``2/8`` or ``auto`` means. Raises `UsageError` E037, E038."""
    if text is None:
        return None
    return shard_of_array_job() if text == "auto" else Shard.parse(text)


def python_channels(channels: Channels | None) -> tuple[ChannelChoice, ...]:
    """Translate the channels of the Python call, whose numbers count from 0.

    Raises:
        UsageError: E013, a negative number.
    """
    if channels is None:
        return ()
    if isinstance(channels, Mapping):
        return tuple(_choice(role, wanted) for role, wanted in channels.items())
    if isinstance(channels, int | str):
        return (_choice(None, channels),)
    return tuple(_choice(None, wanted) for wanted in channels)


def _choice(role: str | None, wanted: Channel | Sequence[Channel]) -> ChannelChoice:
    several = (wanted,) if isinstance(wanted, int | str) else tuple(wanted)
    if any(isinstance(channel, int) and channel < 0 for channel in several):
        raise UsageError(
            "E013", "channels are counted from 0 in Python", where="channels", action="Write 0 for the first one"
        )
    return ChannelChoice(role=role, channels=tuple(c + 1 if isinstance(c, int) else c for c in several))


def _require_positive(value: float | None, what: str, example: str) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise UsageError(
            "E011",
            f"the {what} {value:g} is not a positive number",
            where="--" + what.replace(" ", "-"),
            action=f"Give it in {example}",
        )


def _require_axes(axes: str) -> None:
    if set(axes) - set("TCZYXS") or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        raise UsageError(
            "E012",
            f"axes {axes!r} are not one letter per dimension out of T C Z Y X S, with Y and X",
            where="--axes",
            action="Write for example --axes CYX or --axes TYX",
        )
