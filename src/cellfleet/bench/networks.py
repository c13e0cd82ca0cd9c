"""The five networks of the serving talk, built here with random weights. Knows no server.

"GPUs vs CPUs for deployment of deep learning models" (2018) served MobileNetV2, NASNet-Mobile, ResNet-50, ResNet-152
and NASNet-Large. What they cost does not depend on their weights, so random ones will do. keras (extra `bench`) and
torch (extra `train`) are imported only when one is built.
"""

from __future__ import annotations

import importlib
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cellfleet.errors import UsageError
from cellfleet.models.classifier_package import package_classifier
from cellfleet.models.package import RDF

OPSET: Final = 17
_LIBRARIES: Final = ("torch", "onnx", "keras")


class _Filters(NamedTuple):
    """Of a NASNet, as Zoph et al. 2018 describe N @ penultimate filters."""

    penultimate_filters: int
    num_blocks: int
    stem_block_filters: int
    skip_reduction: bool


@dataclass(frozen=True)
class Network:
    """One of the five."""

    maker: str
    """In ``keras.applications``."""
    side: int
    """Of its input, px."""
    printed_millions: tuple[float, float]
    """Parameters as the talk and the papers print them: least and most, millions."""
    stated_parameters: int
    """As keras builds it."""
    filters: _Filters | None = None
    """Of a NASNet."""


NETWORKS: Final[Mapping[str, Network]] = MappingProxyType(
    {
        "mobilenet-v2": Network("MobileNetV2", 224, (3.4, 3.4), 3_538_984),
        "nasnet-mobile": Network("NASNetMobile", 224, (4.2, 5.3), 5_326_716, _Filters(1056, 4, 32, False)),
        "resnet-50": Network("ResNet50", 224, (23.5, 25.6), 25_636_712),
        "resnet-152": Network("ResNet152", 224, (58.0, 60.0), 60_419_944),
        "nasnet-large": Network("NASNetLarge", 331, (84.0, 89.0), 88_949_818, _Filters(4032, 6, 96, True)),
    }
)
"""Name here → network, smallest first."""


def build_package(name: str, folder: Path) -> Path:
    """Return the model package of a network, ``folder/NAME``; it is built where it is not there yet.

    Raises:
        UsageError: E768, a library is missing; E769, there is no such network.
        OutputError: E767, it cannot be written.
    """
    network = _network(name)
    package = folder / name
    if (package / RDF).is_file():
        return package
    folder.mkdir(parents=True, exist_ok=True)
    graph = folder / f"{name}.onnx"
    try:
        _export(make_network(name), network.side, graph)
        package_classifier(graph, package, name=name)
    finally:
        graph.unlink(missing_ok=True)
    return package


def make_network(name: str) -> Any:
    """Return the keras model of a network, with random weights. Raises `UsageError` E768, E769."""
    network = _network(name)
    # Keras settles its backend when it is first imported; the exporter is PyTorch's.
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        for library in _LIBRARIES:
            importlib.import_module(library)
        if network.filters is not None:
            return _nasnet(network.side, **network.filters._asdict())
        applications = importlib.import_module("keras.applications")
    except ImportError as error:
        raise UsageError(
            "E768",
            f"networks are built with keras, torch and onnx, and {error.name} is not installed",
            where=name,
            action="pip install 'cellfleet[bench,train]', or measure an ONNX file of your own",
        ) from error
    return getattr(applications, network.maker)(weights=None)


def _nasnet(side: int, **filters: Any) -> Any:
    """Build as ``keras.applications.NASNetMobile`` and ``NASNetLarge`` do, which refuse PyTorch for a fault they do
    not name (keras 3.15). Their parameters are those of the other backends, and random weights score nothing anyway.
    """
    make = importlib.import_module("keras.src.applications.nasnet").NASNet
    return make(
        input_shape=(side, side, 3),
        filter_multiplier=2,
        weights=None,
        include_top=True,
        classes=1000,
        pooling=None,
        default_size=side,
        **filters,
    )


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise UsageError(
            "E769",
            "is neither a file, a folder with a model package, nor one of the networks",
            where=name,
            action=f"Choose one of {', '.join(NETWORKS)}",
        )
    return NETWORKS[name]


def _export(network: Any, side: int, graph: Path) -> None:
    import torch  # noqa: PLC0415

    class Scoring(torch.nn.Module):
        """The network as it is used, not as it is trained."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, image: torch.Tensor) -> Any:
            """Map (N, Y, X, 3) to (N, 1000)."""
            return self.network(image, training=False)

    with torch.no_grad(), warnings.catch_warnings():
        # The exporter says of itself that a newer one is coming, and of constants what it does with them.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Scoring().eval(),
            (torch.zeros(1, side, side, 3),),
            str(graph),
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {0: "n"}, "scores": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
