"""Open Inference Protocol v2, with the extension for binary tensors: bytes ↔ arrays. Knows no HTTP and runs no model.

    https://github.com/kserve/open-inference-protocol
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

A request is JSON; with the extension the content of tensors follows it, in the order of the inputs. So is an answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, TypeAdapter, ValidationError

from cellfleet.errors import ServiceError
from cellfleet.spec.model import ModelManifest

LARGEST_JSON_BYTES = 16 << 20
"""Python keeps some ten times as much while it is read; what is larger belongs into binary tensors."""
_MOST_JSON_VALUES = 4_000_000
"""Of an answer."""
INPUTS = ("pixels", "contrast")
OUTPUT = "heads"
_MOST_TENSORS = 16

Name = Annotated[str, Field(max_length=200)]


class Tensor(BaseModel):
    """What a model takes or returns, as its metadata say; −1: any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _InputParameters(_Given):
    binary_data_size: NonNegativeInt | None = None
    shared_memory_region: str | None = None


class _Input(_Given):
    name: Name
    shape: Annotated[list[NonNegativeInt], Field(max_length=8)]
    datatype: Name
    parameters: _InputParameters = _InputParameters()
    data: list[Any] | None = None


class _OutputParameters(_Given):
    binary_data: bool | None = None
    classification: int | None = None
    shared_memory_region: str | None = None


class _Output(_Given):
    name: Name
    parameters: _OutputParameters = _OutputParameters()


class _Parameters(_Given):
    binary_data_output: bool = False


class _Request(_Given):
    id: Name | None = None
    parameters: _Parameters = _Parameters()
    inputs: Annotated[list[_Input], Field(max_length=_MOST_TENSORS)]
    outputs: Annotated[list[_Output], Field(max_length=_MOST_TENSORS)] = []


_REQUEST = TypeAdapter(_Request)


@dataclass(frozen=True)
class Scoring:
    """What a classifier is asked for."""

    id: str | None
    images: NDArray[np.float32]
    """(N, …) as its graph takes them."""
    binary: bool
    """How the answer is to be sent."""


@dataclass(frozen=True)
class Inference:
    """What a model that finds objects is asked for."""

    id: str | None
    pixels: NDArray[np.float32]
    """(N, R, Y, X)."""
    contrast: NDArray[np.float32]
    """(N, R, 2)."""
    binary: bool
    """How the answer is to be sent."""


def tensors(manifest: ModelManifest) -> tuple[list[Tensor], list[Tensor]]:
    """Return inputs and outputs of a model."""
    channels, heads = manifest.channels, len(manifest.heads)
    pixels = Tensor(name="pixels", datatype="FP32", shape=(-1, channels, -1, -1))
    contrast = Tensor(name="contrast", datatype="FP32", shape=(-1, channels, 2))
    return [pixels, contrast], [Tensor(name=OUTPUT, datatype="UINT8", shape=(-1, heads, -1, -1))]


def read_request(body: bytes, header_length: int | None, manifest: ModelManifest) -> Inference:
    """Read the body of a request.

    Args:
        body: All of it.
        header_length: Bytes of its JSON, where the request says so; None: it is nothing else.
        manifest: Of the model that is asked.

    Raises:
        ServiceError: E950, it does not fit the protocol or the model; E951, it is too large.
    """
    request, arrays = _parsed(body, header_length)
    _require_inputs(arrays, INPUTS)
    expected, _ = tensors(manifest)
    pixels, contrast = (_fitting(tensor, arrays, request.inputs) for tensor in expected)
    asked = Inference(request.id, pixels, contrast, _is_binary(request, OUTPUT))
    _check(asked, manifest)
    return asked


def read_scoring(body: bytes, header_length: int | None, takes: Tensor, returns: Tensor) -> Scoring:
    """Read the body of a request to a classifier of these tensors. Raises as `read_request`."""
    request, arrays = _parsed(body, header_length)
    _require_inputs(arrays, (takes.name,))
    images = _fitting(takes, arrays, request.inputs)
    asked = Scoring(request.id, images, _is_binary(request, returns.name))
    if not asked.binary and len(images) * returns.shape[1] > _MOST_JSON_VALUES:
        raise too_large(f"its answer has more than {_MOST_JSON_VALUES} values", "Ask for it in binary form")
    return asked


def _parsed(body: bytes, header_length: int | None) -> tuple[_Request, dict[str, NDArray[Any]]]:
    length = len(body) if header_length is None else header_length
    if length > len(body):
        raise unfit(f"its JSON should have {length} bytes, the whole body has {len(body)}")
    if length > LARGEST_JSON_BYTES:
        raise too_large(f"its JSON has more than {LARGEST_JSON_BYTES >> 20} MiB", "Send tensors in binary form")
    try:
        # Not by pydantic: its parser keeps numbers beyond 64 bits, and is no faster for lists of anything.
        request = _REQUEST.validate_python(json.loads(body[:length]))
    except ValidationError as error:
        first = error.errors()[0]
        raise unfit(f"{'.'.join(map(str, first['loc'])) or 'its JSON'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise unfit(f"it does not begin with JSON ({error})") from error
    return request, _arrays(request.inputs, memoryview(body)[length:])


def write_answer(
    asked: Inference | Scoring,
    said: NDArray[np.uint8] | NDArray[np.float32],
    name: str,
    version: str,
    *,
    output: str = OUTPUT,
) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON where something follows it."""
    datatype = "UINT8" if said.dtype == np.uint8 else "FP32"
    told_output: dict[str, Any] = {"name": output, "datatype": datatype, "shape": list(said.shape)}
    told = {"model_name": name, "model_version": version, "outputs": [told_output]}
    if asked.id is not None:
        told["id"] = asked.id
    if not asked.binary:
        told_output["data"] = said.ravel().tolist()
        return json.dumps(told).encode(), None
    told_output["parameters"] = {"binary_data_size": said.nbytes}
    head = json.dumps(told).encode()
    return head + said.tobytes(), len(head)


def too_large(what: str, action: str) -> ServiceError:
    """Return the error for a request that is not even read."""
    return ServiceError("E951", f"the request is too large: {what}", status=413, action=action)


def unfit(why: str, *, status: int = 400) -> ServiceError:
    """Return the error for a request that does not fit the protocol, or the model."""
    action = "docs/reference/models.md tells what a request looks like"
    return ServiceError("E950", f"this inference cannot be made: {why}", status=status, action=action)


def _is_binary(request: _Request, returned: str) -> bool:
    for output in request.outputs:
        if output.name != returned:
            raise unfit(f"there is no output {output.name!r}, only {returned}")
        if output.parameters.classification is not None or output.parameters.shared_memory_region is not None:
            raise unfit("classification and shared memory are not supported")
        if output.parameters.binary_data is not None:
            return output.parameters.binary_data
    return request.parameters.binary_data_output


def _arrays(inputs: Sequence[_Input], rest: memoryview) -> dict[str, NDArray[Any]]:
    """Return the content of all inputs, flat or not."""
    found: dict[str, NDArray[Any]] = {}
    for given in inputs:
        size = given.parameters.binary_data_size
        if given.name in found or given.parameters.shared_memory_region is not None:
            raise unfit(f"{given.name!r} comes twice, or from shared memory")
        if (size is None) == (given.data is None):
            raise unfit(f"{given.name!r} needs either data or binary_data_size")
        if size is None:
            found[given.name] = _numbers(given)
        else:
            if size > len(rest) or size % 4:
                raise unfit(f"{given.name!r} should have {size} bytes, {len(rest)} are left of the body")
            found[given.name] = np.frombuffer(rest[:size], "<f4")
            rest = rest[size:]
    if len(rest):
        raise unfit(f"{len(rest)} bytes at its end belong to no input")
    return found


def _numbers(given: _Input) -> NDArray[Any]:
    try:
        values = np.asarray(given.data)
    except ValueError as error:
        raise unfit(f"{given.name!r} has rows of unequal length") from error
    if values.dtype.kind not in "iuf" and values.size:
        raise unfit(f"{given.name!r} holds something else than numbers")
    return values


def _require_inputs(arrays: dict[str, NDArray[Any]], names: Sequence[str]) -> None:
    if set(arrays) != set(names):
        raise unfit(f"its inputs are {', '.join(sorted(arrays)) or 'none'}, not {' and '.join(names)}")


def _fitting(tensor: Tensor, arrays: dict[str, NDArray[Any]], inputs: Sequence[_Input]) -> NDArray[np.float32]:
    """Return an input in its shape."""
    given = next(one for one in inputs if one.name == tensor.name)
    shape = tuple(given.shape)
    said = f"{given.name} {given.datatype} {list(shape)}"
    if given.datatype != tensor.datatype or len(shape) != len(tensor.shape):
        raise unfit(f"{said} is not {tensor.datatype} {list(tensor.shape)}")
    if any(size == 0 or wanted not in {-1, size} for size, wanted in zip(shape, tensor.shape, strict=True)):
        raise unfit(f"{said} is not {tensor.datatype} {list(tensor.shape)}")
    values = arrays[tensor.name]
    if values.size != math.prod(shape) or (values.ndim > 1 and values.shape != shape):
        raise unfit(f"{said} does not have so many values")
    with np.errstate(over="ignore"):
        array = values.astype(np.float32).reshape(shape)
    if not np.isfinite(array).all():
        raise unfit(f"{given.name} holds values that are no finite numbers")
    return array


def _check(asked: Inference, manifest: ModelManifest) -> None:
    """Refuse numbers that mean nothing to a model, and tiles that are larger than it takes."""
    tiles, _, height, width = asked.pixels.shape
    if tiles != len(asked.contrast):
        raise unfit(f"pixels are a batch of {tiles}, contrast is one of {len(asked.contrast)}")
    if not (asked.contrast[..., 0] < asked.contrast[..., 1]).all():
        raise unfit("contrast must rise: the value that becomes 0, then the value that becomes 1")
    side = manifest.tile.largest + 2 * manifest.tile.halo
    if height * width > side * side:
        what = f"a tile has more than {side} × {side} px, the most that this model takes at once"
        raise too_large(what, "Submit images as a job: it cuts them into tiles")
    if not asked.binary and tiles * len(manifest.heads) * height * width > _MOST_JSON_VALUES:
        raise too_large(f"its answer has more than {_MOST_JSON_VALUES} values", "Ask for it in binary form")
