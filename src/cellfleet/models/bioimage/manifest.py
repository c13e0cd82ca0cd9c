"""A bioimage.io description → the manifest of a model that finds objects. Opens no file.

What is taken from where, and what is refused, stands in docs/reference/models.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from cellfleet.models.bioimage.meaning import meanings, words_of
from cellfleet.models.bioimage.refusal import no_onnx, no_step, no_tensor
from cellfleet.models.bioimage.steps import read_steps
from cellfleet.models.bioimage.tensors import Axis, Tensor, read_tensors
from cellfleet.spec.adaptor import (
    SHAPE_PX,
    Adaptor,
    Affine,
    Binarise,
    GraphInput,
    GraphOutput,
    Meaning,
    Sizes,
    Step,
)
from cellfleet.spec.model import Compartment

_HALO_PX: Final = 32
"""Where the description names none."""
_LARGEST_PX: Final = 512
_BYTES_PER_PIXEL: Final = 2048
"""Memory that a network of others is reckoned with: that of a U-Net of 64 channels at full size, float32. Measured with
random weights at 576 and 768 px: 1470 and 1731; with 32 channels 960."""
_COARSEST: Final = 256
"""Steps of the input's size that tiles are aligned to; with larger ones that would cost more than it is worth."""
_NARROWER: Final = 0.12
"""Neighbours part by their shape where the neck between them is narrower than the smaller one by these octaves, as in
`otsu`."""
_PROMINENCE: Final = 0.1
"""Of a seed in a core or a distance. docs/reference/models.md says how it was chosen."""
_NUCLEAR: Final = re.compile(r"nucle(i|us|ar)|dapi|hoechst", re.IGNORECASE)
_NAMELESS: Final = re.compile(r"(channel|ch|c)?[\s_-]?\d*", re.IGNORECASE)


class Said(BaseModel):
    """``config.cellfleet`` of a package that is otherwise not ours: what its own words leave open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    outputs: tuple[str, ...] | None = None
    """What each output channel means."""
    roles: tuple[str, ...] | None = None
    compartment: Compartment | None = None
    microns_per_pixel: PositiveFloat | None = Field(default=None, le=1000)
    diameter_px: PositiveFloat | None = Field(default=None, le=10_000)


def is_foreign(described: object) -> bool:
    """Say whether a description is one of bioimage.io that says nothing of cellfleet, or only `Said`."""
    if not isinstance(described, dict) or not {"inputs", "outputs", "weights"} <= described.keys():
        return False
    block = _block(described)
    return block is None or (isinstance(block, dict) and block.keys() <= Said.model_fields.keys())


def with_manifest(described: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a description that is foreign, with the manifest that follows from it, and its test tensors in one form.

    Raises:
        ModelError: E430 no ONNX weights, E431 tensors that do not fit, E432 steps that are not known, E433 outputs
            that need other software, E434 outputs of which nobody says what they are.
    """
    weights = described["weights"]
    if not isinstance(weights, dict) or not weights.get("onnx"):
        raise no_onnx(where, ", ".join(sorted(map(str, weights)))[:200] if isinstance(weights, dict) else "")
    inputs, outputs = read_tensors(described, "inputs", where), read_tensors(described, "outputs", where)
    config = described.get("config")
    onnx = weights["onnx"]
    return {
        **described,
        "weights": {"onnx": _beside(onnx) if isinstance(onnx, dict) else onnx},
        "inputs": [_tested(described, "test_inputs", inputs, number) for number in range(len(inputs))],
        "outputs": [_tested(described, "test_outputs", outputs, number) for number in range(len(outputs))],
        "config": {
            **(config if isinstance(config, dict) else {}),
            "cellfleet": _manifest(described, inputs, outputs, where),
        },
    }


def with_outputs(content: bytes, outputs: Sequence[str]) -> bytes:
    """Return a description that says what its outputs mean; one that is not foreign, or broken, as it is."""
    try:
        described = yaml.safe_load(content.decode("utf-8"))
    except (ValueError, RecursionError, yaml.YAMLError):
        return content
    if not is_foreign(described):
        return content
    config = described.get("config")
    block = _block(described) or {}
    described["config"] = {
        **(config if isinstance(config, dict) else {}),
        "cellfleet": {**block, "outputs": [*outputs]},
    }
    return yaml.safe_dump(described, sort_keys=False, allow_unicode=True).encode()


def _block(described: Mapping[str, Any]) -> Any:
    config = described.get("config")
    return config.get("cellfleet") if isinstance(config, dict) else None


def _tested(described: Mapping[str, Any], listed: str, tensors: Sequence[Tensor], number: int) -> dict[str, Any]:
    """Return name and test tensor of an input or output; 0.4 lists the files apart from the tensors, without hashes."""
    given = described["inputs" if listed == "test_inputs" else "outputs"][number]
    test = given.get("test_tensor")
    files = described.get(listed)
    if test is None and isinstance(files, list) and len(files) == len(tensors):
        test = files[number] if isinstance(files[number], dict) else {"source": str(files[number])[:300]}
    # Tensors of one name would hide each other: in 0.4 an input may be called as an output is.
    return {"id": tensors[number].field, "test_tensor": _beside(test) if isinstance(test, dict) else None}


def _beside(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file with its name as `Package` wants it."""
    return {**file, "source": str(file.get("source") or "").removeprefix("./")}


def _manifest(
    described: Mapping[str, Any], inputs: Sequence[Tensor], outputs: Sequence[Tensor], where: str
) -> dict[str, Any]:
    try:
        said = Said.model_validate(_block(described) or {})
    except ValidationError as error:
        first = error.errors()[0]
        raise no_tensor(where, f"config.cellfleet.{first['loc'][0]}", str(first["msg"])) from error
    if len(inputs) != 1:
        raise no_tensor(where, "inputs", f"there are {len(inputs)}, and an image is one")
    adaptor = _adaptor(described, inputs[0], outputs, said, where)
    return {
        "name": _name(described),
        "version": str(described.get("version") or described.get("version_number") or "1")[:60],
        "predictor": "adapted",
        "roles": list(said.roles or _roles(inputs[0], described)),
        "compartment": said.compartment or ("nuclear" if _NUCLEAR.search(words_of(described)) else "whole-cell"),
        "microns_per_pixel": said.microns_per_pixel or _microns(inputs[0]),
        "diameter_px": said.diameter_px,
        "heads": list(adaptor.heads),
        "tile": _tile(adaptor, outputs, where),
        "postprocess": _postprocess(adaptor),
        "adaptor": adaptor.model_dump(mode="json"),
    }


# --- tensors ------------------------------------------------------------------------------------------------------


def _adaptor(described: Mapping[str, Any], given: Tensor, outputs: Sequence[Tensor], said: Said, where: str) -> Adaptor:
    _require_image(given, where)
    channels = given.axis("c")
    steps = read_steps(given, where, before=True)
    _require_counts(steps, _channels(given), f"{given.field}.preprocessing", where)
    after = [read_steps(output, where, before=False) for output in outputs]
    for output, own in zip(outputs, after, strict=True):
        _require_image(output, where)
        _require_as_large(output, given, where)
        _require_counts(own, _channels(output), f"{output.field}.postprocessing", where)
    counts = [_channels(output, channels) for output in outputs]
    sides = (_sizes(given, "y"), _sizes(given, "x"))
    meant = meanings(outputs, counts, after, said.outputs, described, where)
    return Adaptor(
        input=GraphInput(
            axes=given.letters,
            dtype=given.dtype,
            height=sides[0],
            width=sides[1],
            steps=steps,
        ),
        outputs=tuple(
            GraphOutput(
                axes=output.letters,
                border=_border(output, given, where),
                steps=own,
                channels=meaning,
                longest=_longest(output, meaning, where),
            )
            for output, own, meaning in zip(outputs, after, meant, strict=True)
        ),
        shape_px=min([SHAPE_PX, *(max(1, side.minimum // 8) for side in sides if side.step == 0)]),
    )


def _require_image(tensor: Tensor, where: str) -> None:
    if sorted(set(tensor.letters)) != sorted(tensor.letters) or not {"y", "x"} <= set(tensor.letters) <= set("bcyxzti"):
        raise no_tensor(where, f"{tensor.field}.axes", f"{tensor.letters!r} are not those of a plane with channels")
    for axis in tensor.axes:
        if axis.letter in "zti" and (axis.sizes is None or axis.sizes != Sizes(minimum=1)):
            raise no_tensor(where, f"{tensor.field}.axes", f"{axis.letter} is longer than 1: it is no model of planes")
    batch = tensor.axis("b")
    if batch and batch.sizes and batch.sizes.minimum != 1:
        raise no_tensor(where, f"{tensor.field}.axes", "it takes several images at once")


def _require_as_large(output: Tensor, given: Tensor, where: str) -> None:
    for letter in "yx":
        axis, followed = output.axis(letter), given.axis(letter)
        if axis and followed and axis.sizes is None:
            scale = axis.scale * followed.unit / axis.unit
            if abs(scale - 1) > 1e-6:
                raise no_tensor(where, f"{output.field}.axes.{letter}", f"it is {scale:g} times as large as the input")


def _require_counts(steps: Sequence[Step], channels: int, field: str, where: str) -> None:
    for step in steps:
        each = (step.gain, step.offset) if isinstance(step, Affine) else ()
        for numbers in (*each, step.threshold) if isinstance(step, Binarise) else each:
            if len(numbers) not in {1, channels}:
                raise no_step(where, field, f"{len(numbers)} numbers are given for {channels} channel(s)")


def _channels(tensor: Tensor, of_input: Axis | None = None) -> int:
    axis = tensor.axis("c")
    if axis is None:
        return 1
    if axis.sizes is not None:
        return axis.sizes.minimum
    return max(1, round(axis.scale * (of_input.sizes.minimum if of_input and of_input.sizes else 1) + axis.offset))


def _sizes(tensor: Tensor, letter: str) -> Sizes:
    axis = tensor.axis(letter)
    return axis.sizes if axis and axis.sizes else Sizes(minimum=1, step=1)


def _border(output: Tensor, given: Tensor, where: str) -> int:
    """Return how many pixels an output lacks at each side."""
    lacking = {_lacking(output, given, letter, where) for letter in "yx"}
    if len(lacking) > 1 or min(lacking) < 0 or min(lacking) % 2:
        raise no_tensor(where, f"{output.field}.axes", "it is not cut off by as many pixels at all four sides")
    return int(min(lacking)) // 2


def _lacking(output: Tensor, given: Tensor, letter: str, where: str) -> float:
    """Return by how many pixels an axis of an output is shorter than that of the input."""
    axis, sizes = output.axis(letter), _sizes(given, letter)
    if axis is None or axis.sizes is None:
        return -axis.offset if axis else 0
    length = axis.sizes.minimum
    if sizes.step or (length != sizes.minimum and sizes.minimum % length == 0):
        raise no_tensor(
            where, f"{output.field}.axes.{letter}", f"it is always {length} px, which says nothing of an input's size"
        )
    return sizes.minimum - length


def _longest(output: Tensor, meaning: tuple[Meaning, ...], where: str) -> float:
    """Return the end of the range of a distance."""
    low, high = output.range if "distance" in meaning else (0, 1)
    if low != 0 or high is None or high <= 0:
        field = f"{output.field}.data.range"
        raise no_tensor(where, field, "the range of the distance is not said, or does not begin at 0")
    return float(high)


# --- what the pipeline must know ----------------------------------------------------------------------------------


def _tile(adaptor: Adaptor, outputs: Sequence[Tensor], where: str) -> dict[str, int]:
    """Return how planes are cut so that no tile is larger than the graph takes, and none lacks context."""
    sides = (adaptor.input.height, adaptor.input.width)
    fixed = [side.minimum for side in sides if side.step == 0]
    border = max(output.border for output in adaptor.outputs)
    declared = max((axis.halo for output in outputs for axis in output.axes if axis.letter in "yx"), default=0)
    halo = border + (declared or min([_HALO_PX, *(side // 16 for side in fixed)]))
    if adaptor.recipe == "shape":
        halo += adaptor.shape_px
    # The grid makes tiles with their halo at most largest + 2.5 · halo + 1 px wide (tiling/grid.py).
    largest = min([_LARGEST_PX, *(side - 2 * border - (5 * halo + 1) // 2 - 1 for side in fixed)])
    if largest < 1:
        raise no_tensor(where, "inputs.0.axes", f"its size of {min(fixed)} px leaves nothing within the halo")
    together = math.lcm(*(side.step or 1 for side in sides))
    multiple = together if not fixed and together <= _COARSEST else 1
    return {"multiple": multiple, "halo": halo, "largest": largest, "bytes_per_pixel": _BYTES_PER_PIXEL}


def _postprocess(adaptor: Adaptor) -> dict[str, object]:
    first, second = adaptor.heads
    if adaptor.recipe == "shape":
        # Distances are on a scale of log2(1 + d): half a pixel lies above the second threshold.
        octave = 1 / math.log2(1 + adaptor.shape_px)
        heads = {"maxima_threshold": round(_NARROWER * octave, 4), "interior_threshold": round(octave / 2, 4)}
        second = first
    else:
        heads = {"maxima_threshold": _PROMINENCE, "interior_threshold": 0.5}
    return {
        "maxima_head": first,
        "interior_head": second,
        "radius": 2,
        "maxima_smooth": 1,
        "interior_smooth": 0,
        "small_objects_threshold": 20,
        "fill_holes_threshold": 100,
        **heads,
    }


def _name(described: Mapping[str, Any]) -> str:
    """Return what the model can be called: its bioimage.io nickname, else its name in letters, digits and dashes."""
    config = described.get("config")
    own = config.get("bioimageio") if isinstance(config, dict) else None
    nickname = own.get("nickname") if isinstance(own, dict) else None
    for given in (described.get("id"), nickname):
        if isinstance(given, str) and re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", given):
            return given
    return re.sub(r"[^a-z0-9]+", "-", str(described.get("name") or "model")[:200].casefold()).strip("-")[:60] or "model"


def _roles(given: Tensor, described: Mapping[str, Any]) -> tuple[str, ...]:
    axis, count = given.axis("c"), _channels(given)
    names = tuple(name.strip().casefold()[:60] for name in axis.names) if axis else ()
    if count == 1 and _NUCLEAR.search(" ".join((words_of(described), *names))):
        return ("nuclear",)
    if len(names) == count and len(set(names)) == count and not any(_NAMELESS.fullmatch(name) for name in names):
        return names
    return ("image",) if count == 1 else tuple(f"channel-{number}" for number in range(1, count + 1))


def _microns(given: Tensor) -> float | None:
    axis = given.axis("x")
    # 1 is what the specification fills in where nobody measured.
    return axis.microns if axis and axis.microns not in {None, 1} else None
