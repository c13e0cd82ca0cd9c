"""Who is asked for predictions: a server that speaks the Open Inference Protocol v2, or graphs in this process.

    https://github.com/kserve/open-inference-protocol
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

Binary tensors are sent where the server says that it takes them, JSON elsewhere. Knows no grid and no clock.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, Protocol
from urllib.parse import quote

import httpx2
import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import ServiceError
from cellfleet.inference.graph import Graph, Tensor

Tensors = Mapping[str, NDArray[Any]]
_LENGTH: Final = "Inference-Header-Content-Length"
_SECONDS: Final = 120.0
"""For one answer."""
_DTYPES: Final[Mapping[str, str]] = {
    "FP32": "<f4",
    "FP16": "<f2",
    "FP64": "<f8",
    "UINT8": "|u1",
    "UINT16": "<u2",
    "INT8": "|i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
}


class Endpoint(Protocol):
    """One model, asked for one prediction at a time by each of many threads."""

    inputs: tuple[Tensor, ...]

    def infer(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs by name. Raises `CellfleetError`."""
        ...

    def close(self) -> None:
        """Ask no more."""
        ...


class Replicas:
    """Copies of a graph in this process: each serves one request at a time with one thread, others wait."""

    def __init__(self, graphs: Sequence[Graph]) -> None:
        """Take loaded copies of the same graph."""
        self.inputs = graphs[0].inputs
        self._idle: queue.SimpleQueue[Graph] = queue.SimpleQueue()
        for graph in graphs:
            self._idle.put(graph)

    def infer(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs by name. Raises `ModelError` E409."""
        graph = self._idle.get()
        try:
            return graph.run(inputs)
        finally:
            self._idle.put(graph)

    def close(self) -> None:
        """Do nothing: graphs go with their last user."""


class Served:
    """A model of one or several servers, which are asked in turn."""

    def __init__(self, urls: Sequence[str], model: str, token: str | None = None) -> None:
        """Ask the first server what the model takes.

        Args:
            urls: Addresses without ``/v2``.
            model: ``name`` or ``name:version``.
            token: Sent to each as bearer.

        Raises:
            ServiceError: E770.
        """
        login = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx2.Client(headers=login, timeout=_SECONDS, limits=httpx2.Limits(max_connections=None))
        name, colon, version = model.partition(":")
        path = f"/v2/models/{quote(name, safe='')}" + (f"/versions/{quote(version, safe='')}" if colon else "")
        self._paths = [url.rstrip("/") + path for url in urls]
        self._turn = count()
        server = self._json(urls[0].rstrip("/") + "/v2")
        self._binary = "binary_tensor_data" in server.get("extensions", ())
        described = self._json(self._paths[0])
        try:
            self.inputs = tuple(
                Tensor(str(one["name"]), str(one["datatype"]), tuple(map(int, one["shape"])))
                for one in described["inputs"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _strange(self._paths[0], f"its metadata name no inputs ({error})") from error

    def infer(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        """Return all outputs by name. Raises `ServiceError` E770."""
        url = f"{self._paths[next(self._turn) % len(self._paths)]}/infer"
        body, headers = write_request(inputs, binary=self._binary)
        try:
            said = self._http.post(url, content=body, headers=headers)
        except httpx2.TransportError as error:
            raise _strange(url, str(error) or type(error).__name__) from error
        if said.status_code != 200:
            raise _strange(url, f"it answers {said.status_code}: {said.text[:200]}")
        try:
            length = said.headers.get(_LENGTH)
            return read_answer(said.content, None if length is None else int(length))
        except (KeyError, TypeError, ValueError) as error:
            raise _strange(url, f"its answer is not understood ({error})") from error

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def _json(self, url: str) -> Any:
        try:
            said = self._http.get(url)
            if said.status_code != 200:
                raise _strange(url, f"it answers {said.status_code}: {said.text[:200]}")
            return said.json()
        except (httpx2.TransportError, ValueError) as error:
            raise _strange(url, str(error) or type(error).__name__) from error


def write_request(inputs: Tensors, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a request for one prediction."""
    words = {np.dtype(dtype): word for word, dtype in _DTYPES.items()}
    told: list[dict[str, Any]] = []
    for name, values in inputs.items():
        one = {"name": name, "datatype": words[values.dtype], "shape": list(values.shape)}
        more = {"parameters": {"binary_data_size": values.nbytes}} if binary else {"data": values.ravel().tolist()}
        told.append(one | more)
    head = json.dumps({"inputs": told} | ({"parameters": {"binary_data_output": True}} if binary else {})).encode()
    if not binary:
        return head, {"Content-Type": "application/json"}
    body = head + b"".join(np.ascontiguousarray(values).tobytes() for values in inputs.values())
    return body, {"Content-Type": "application/octet-stream", _LENGTH: str(len(head))}


def read_answer(body: bytes, json_length: int | None) -> dict[str, NDArray[Any]]:
    """Return all outputs by name. Raises `KeyError`, `TypeError`, `ValueError` where it makes no sense."""
    length = len(body) if json_length is None else json_length
    found, rest = {}, memoryview(body)[length:]
    for output in json.loads(body[:length])["outputs"]:
        dtype, size = np.dtype(_DTYPES[output["datatype"]]), output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values = np.asarray(output["data"], dtype)
        else:
            values, rest = np.frombuffer(rest[:size], dtype), rest[size:]
        found[output["name"]] = values.reshape(output["shape"])
    return found


def _strange(where: str, why: str) -> ServiceError:
    return ServiceError(
        "E770",
        f"does not answer as the Open Inference Protocol wants it: {why}",
        status=502,
        where=where,
        action="Check the address, the name of the model, and the server's log",
    )
