"""A model server over gRPC, by the Open Inference Protocol v2, and patience when it is full, ill or away.

    https://github.com/kserve/open-inference-protocol

A server that is full refuses at once; whoever is refused waits for a random time and asks again. So a queue is never
longer than the server works off in the time of a request, and no request is given up that will be answered: work that
is thrown away makes the next queue. Knows no model package and no tile. Needs the package of ``cellfleet[triton]``.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import DeviceError
from cellfleet.inference.served import HEADS, SHA256, PixelType, served_name
from cellfleet.inference.server_trouble import PASSING, Trouble, is_refusal, trouble_of
from cellfleet.inference.shared_memory import Region, Regions
from cellfleet.inference.triton_client import connect, is_here, library
from cellfleet.observe import metrics

_T = TypeVar("_T")

PATIENCE_SECONDS: Final = 300.0
"""For so long one request is tried; less than a task may be without a sign of life."""
_DEADLINE_SECONDS = 120.0
"""For one answer: three times what a full queue takes on a server without GPU. Later means that it hangs."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
"""Seconds, at most, between two tries."""
DATATYPES: Final[dict[str, str]] = {"uint8": "UINT8", "uint16": "UINT16", "float32": "FP32"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServedModel:
    """Which model is asked."""

    name: str
    version: str
    sha256: str
    """Of its package: a server that has another content is not asked."""


class ModelServer:
    """A connection for all models and threads of a process."""

    def __init__(self, address: str, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Take the address of a server, which need not be there yet.

        Args:
            address: ``grpc://host:port``.
            patience_seconds: How long one request is tried.

        Raises:
            UsageError: E522, this is no such address.
            DeviceError: E520, the library for gRPC is missing.
        """
        self.address = address
        self._patience_seconds = patience_seconds
        self._client = connect(address)
        self._regions = Regions(self._client) if is_here(address) else None
        self._closing = threading.Event()
        self._verified: dict[str, tuple[int, ...]] = {}
        """Name on the server → heads that it returns, since there was trouble."""

    def infer(
        self, model: ServedModel, pixels: NDArray[Any], contrast: NDArray[np.float32]
    ) -> tuple[Sequence[int], NDArray[np.uint8]]:
        """Predict one tile.

        Args:
            model: Which one.
            pixels: (R, Y, X), uint8, uint16 or float32.
            contrast: (R, 2).

        Returns:
            Which heads the server returns, by their place in the manifest; and these, (K, Y, X).

        Raises:
            DeviceError: E521 the server has another model of this name, E523 it could not be asked in time, E524 it
                refuses or fails, E525 the model did not come back to life in time.
        """
        return self._patiently(model, lambda: self._infer(model, pixels, contrast))

    def close(self) -> None:
        """End all requests, in any thread, and give back the shared memory."""
        self._closing.set()
        if self._regions:
            self._regions.close()
        self._client.close()

    def _patiently(self, model: ServedModel, ask: Callable[[], _T]) -> _T:
        """Return the server's answer, however often it has to be asked within the patience."""
        until, most, failures = time.monotonic() + self._patience_seconds, _FIRST_PAUSE, 0
        while True:
            trouble = self._try(ask)
            if not isinstance(trouble, Trouble):
                return trouble
            failures += trouble.kind == "failed"
            if trouble.is_over(failures) or self._closing.is_set() or time.monotonic() >= until:
                raise trouble.error(self.address, f"{model.name}:{model.version}", self._patience_seconds)
            metrics.model_server_waited(trouble.kind)
            if most < _LONGEST_PAUSE <= 2 * most:  # once
                _log.warning("waiting for the model server: %s", trouble.said)
            self._closing.wait(random.uniform(0, most))
            most = min(2 * most, _LONGEST_PAUSE)

    def _try(self, ask: Callable[[], _T]) -> _T | Trouble:
        try:
            return ask()
        except library().InferenceServerException as error:
            trouble = trouble_of(error)
        except ValueError as error:
            if not self._closing.is_set():
                raise
            trouble = Trouble("away", str(error))  # grpc's word for a channel that was closed
        if trouble.kind in PASSING and trouble.kind != "full":
            self._verified.clear()
            if self._regions:
                self._regions.forget()
        return trouble

    def _infer(
        self, model: ServedModel, pixels: NDArray[Any], contrast: NDArray[np.float32]
    ) -> tuple[Sequence[int], NDArray[np.uint8]]:
        kind: PixelType = pixels.dtype.name  # type: ignore[assignment]  # the caller's business
        name = served_name(model.name, model.version, model.sha256, kind)
        places = self._verified.get(name) or self._verify(name, model)
        request = _Request(self._client, name, pixels[np.newaxis], contrast[np.newaxis], len(places))
        region = self._regions.take(request.bytes) if self._regions else None
        heads = request.over_the_wire() if region is None else self._through(region, request)
        metrics.model_server_answered(pixels.nbytes, heads.nbytes)
        return places, heads[0]

    def _through(self, region: Region, request: _Request) -> NDArray[np.uint8]:
        assert self._regions, "it gave the region"
        try:
            heads = request.through(region)
        except Exception as error:
            # Unless it took no notice of the request, the server may write its answer yet.
            self._regions.give_back(region, in_use=not is_refusal(error))
            raise
        self._regions.give_back(region)
        return heads

    def _verify(self, name: str, model: ServedModel) -> tuple[int, ...]:
        """Return the heads that a model of the server returns; E521 unless it is made from the content asked for."""
        parameters = self._client.get_model_config(name, client_timeout=_DEADLINE_SECONDS).config.parameters
        found = parameters[SHA256].string_value if SHA256 in parameters else "of no package"
        if found != model.sha256:
            raise DeviceError(
                "E521",
                f"{name} on the model server is another content ({found[:12]}…) than the model "
                f"{model.name}:{model.version} ({model.sha256[:12]}…)",
                where=self.address,
                action="Let `cellfleet triton` give the server its models, or export them again",
            )
        places = tuple(map(int, parameters[HEADS].string_value.split(",")))
        self._verified[name] = places
        return places


@dataclass(frozen=True)
class _Request:
    """One tile, (1, R, Y, X)."""

    client: Any
    name: str
    pixels: NDArray[Any]
    contrast: NDArray[np.float32]
    heads: int

    @property
    def bytes(self) -> int:
        return self.pixels.nbytes + self._heads_bytes

    @property
    def _shape(self) -> tuple[int, ...]:
        return (1, self.heads, *self.pixels.shape[2:])

    @property
    def _heads_bytes(self) -> int:
        return int(np.prod(self._shape))

    def over_the_wire(self) -> NDArray[np.uint8]:
        pixels = self._input("pixels", self.pixels)
        pixels.set_data_from_numpy(self.pixels)
        heads: NDArray[np.uint8] = self._ask(pixels).as_numpy("heads")
        return heads

    def through(self, region: Region) -> NDArray[np.uint8]:
        region.array(self.pixels.shape, self.pixels.dtype)[:] = self.pixels
        pixels = self._input("pixels", self.pixels)
        pixels.set_shared_memory(region.name, self.pixels.nbytes)
        output = library().InferRequestedOutput("heads")
        output.set_shared_memory(region.name, self._heads_bytes, self.pixels.nbytes)
        self._ask(pixels, [output])
        return region.array(self._shape, np.dtype(np.uint8), self.pixels.nbytes).copy()

    def _ask(self, pixels: Any, outputs: list[Any] | None = None) -> Any:
        contrast = self._input("contrast", self.contrast)
        contrast.set_data_from_numpy(self.contrast)
        return self.client.infer(self.name, [pixels, contrast], outputs=outputs, client_timeout=_DEADLINE_SECONDS)

    @staticmethod
    def _input(name: str, array: NDArray[Any]) -> Any:
        return library().InferInput(name, array.shape, DATATYPES[array.dtype.name])
