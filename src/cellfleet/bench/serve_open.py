"""Which configurations are measured, and how each is opened: servers, files, packages, networks. Measures nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cellfleet.bench.endpoint import Endpoint, Replicas, Served
from cellfleet.bench.networks import build_package
from cellfleet.bench.serve import Configuration
from cellfleet.errors import OutputError, UsageError
from cellfleet.inference.graph import Graph
from cellfleet.models.load import read_content
from cellfleet.models.package import RDF
from cellfleet.spec.choices import Device
from cellfleet.stores.cache import cache_folder


def grid(
    models: Sequence[str],
    replicas: Sequence[int],
    concurrency: Sequence[int],
    device: Literal["cpu", "cuda", "both"],
    servers: int,
) -> list[Configuration]:
    """Return all combinations, those of one model together.

    Raises:
        UsageError: E771, more replicas than servers.
    """
    if servers > 1 and max(replicas) > servers:
        raise UsageError(
            "E771",
            f"{max(replicas)} replicas, and {servers} servers",
            action="Give a --url for each, or fewer replicas",
        )
    if servers == 1 and len(replicas) > 1:
        raise UsageError(
            "E771",
            "one address has one number of replicas, which it shares the requests out to",
            action="Say with --replicas how many it has, or give a --url for each",
        )
    devices = ("server",) if servers else ("cpu", "cuda") if device == "both" else (device,)
    return [Configuration(*cell) for cell in itertools.product(models, devices, replicas, concurrency)]


@dataclass(frozen=True)
class Opener:
    """Opens what a configuration names."""

    urls: tuple[str, ...] = ()
    """Empty: in this process."""
    token: str | None = None
    right: Path | None = None
    """ONNX file whose answers are right."""
    networks: Path | None = None
    """Where the packages of networks are; None: a cache."""

    def endpoint(self, configuration: Configuration) -> Endpoint:
        """Open who is asked. Raises `CellfleetError`."""
        if self.urls:
            urls = self.urls if len(self.urls) == 1 else self.urls[: configuration.replicas]
            return Served(urls, configuration.model, self.token)
        weights = self.weights(configuration.model)
        device: Device = "cuda" if configuration.device == "cuda" else "cpu"
        return Replicas([Graph(weights, configuration.model, device=device) for _ in range(configuration.replicas)])

    def reference(self, configuration: Configuration, endpoint: Endpoint) -> Endpoint:
        """Open who says what is right: the file that was given, else a graph of its own here, else who was asked, who
        is then alone with one request.
        """
        if self.right is not None:
            return Replicas([Graph(self.weights(str(self.right)), str(self.right), device="cpu")])
        if self.urls:
            return endpoint
        return Replicas([Graph(self.weights(configuration.model), configuration.model, device="cpu")])

    def weights(self, model: str) -> bytes:
        """Return the ONNX file that a path or the name of a network means. Raises `CellfleetError`."""
        path = Path(model)
        if path.suffix == ".onnx":
            try:
                return path.read_bytes()
            except OSError as error:
                what = f"cannot be read ({error.strerror or error})"
                raise OutputError("E767", what, where=model, action="Choose another path") from error
        folder = path if (path / RDF).is_file() else build_package(model, self.networks or cache_folder() / "networks")
        return read_content(folder)[1]
