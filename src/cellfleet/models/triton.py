"""Model package → what Triton serves: for each type of pixels a graph and its configuration. Asks no server.

The graph is the package's own between two small steps: integer pixels become float32 on the server, and of the heads
only those leave it that the pipeline reads. So two or three bytes per pixel travel instead of eight, and what is
computed stays the same to the last bit (docs/decisions/0024-split.md). Needs the packages of ``cellfleet[triton]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cellfleet.errors import ModelError
from cellfleet.inference.batching import LARGEST_BATCH
from cellfleet.inference.served import HEADS, PIXEL_TYPES, SHA256, PixelType, served_name
from cellfleet.inference.triton_client import library
from cellfleet.models.package import Package

Backend = Literal["onnxruntime", "python"]
"""Triton's own ONNX Runtime; or a Python process that imports it, for builds of Triton that have no other."""

VERSION = "1"
"""Triton counts versions; ours are told apart by their names, so there is never another one."""
_QUEUE = 32
"""Requests that wait at a model; those that come then are refused at once, and their workers ask again later."""
_GATHERING_MICROSECONDS = 2000
"""For so long a tile waits for others; on a GPU it takes some ten times as long to predict it."""
_MODEL_PY = Path(__file__).with_name("triton_backend.py")


@dataclass(frozen=True)
class ServedModel:
    """A package as it is served for one type of pixels."""

    name: str
    config: Any
    """A ``ModelConfig`` of Triton's."""
    files: Mapping[str, bytes]
    """Path in the model's folder → content."""

    @property
    def config_text(self) -> str:
        """Content of its ``config.pbtxt``."""
        text: str = library("google.protobuf.text_format").MessageToString(self.config)
        return text

    @property
    def config_json(self) -> str:
        """The same as JSON, as a request to load a model carries it."""
        text: str = library("google.protobuf.json_format").MessageToJson(self.config, preserving_proto_field_name=True)
        return text


def served_models(package: Package, weights: bytes, backend: Backend = "onnxruntime") -> Iterator[ServedModel]:
    """Yield a package as it is served, for each type of pixels.

    Args:
        package: With a graph of our own; other models need no server.
        weights: Content of its graph.
        backend: What runs it.

    Raises:
        ModelError: E528, the package has no such graph.
        DeviceError: E520, libraries that this needs are not installed.
    """
    if not package.is_servable:
        raise ModelError(
            "E528",
            "has no graph that a model server can be given",
            where=package.declared.name,
            action="Choose a model with ONNX weights of cellfleet's own; this one every worker computes itself",
        )
    for pixels in PIXEL_TYPES:
        yield served_model(package, weights, pixels, backend)


def served_model(package: Package, weights: bytes, pixels: PixelType, backend: Backend) -> ServedModel:
    """Return a package as it is served for one type of pixels; see `served_models`."""
    config = _config(package, pixels, backend)
    files = {f"{VERSION}/model.onnx": served_graph(weights, pixels, package.manifest.heads_read)}
    if backend == "python":
        files[f"{VERSION}/model.py"] = _MODEL_PY.read_bytes()
    return ServedModel(config.name, config, files)


def write_repository(folder: Path, models: Iterator[ServedModel]) -> list[str]:
    """Write models as a folder that Triton can serve; return their names.

    A configuration comes last: a Triton that looks at the folder meanwhile finds a model whole or not at all.
    """
    names = []
    for model in models:
        for path, content in model.files.items():
            place = folder / model.name / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        (folder / model.name / "config.pbtxt").write_text(model.config_text, encoding="utf-8")
        names.append(model.name)
    return names


def served_graph(weights: bytes, pixels: PixelType, heads: Sequence[int]) -> bytes:
    """Return an ONNX graph that takes pixels of a type, and returns some of its heads.

    Args:
        weights: A graph: ``pixels`` float32 (N, R, Y, X), ``contrast`` → ``heads`` (N, H, Y, X).
        pixels: Type of ``pixels`` of the new graph.
        heads: Those that are wanted, by their place along the axis H.
    """
    onnx = library("onnx")
    model = onnx.load_from_string(weights)
    graph, make, types = model.graph, onnx.helper, onnx.TensorProto
    _rename(graph, "pixels", "cellfleet_pixels")
    _rename(graph, "heads", "cellfleet_heads")
    taken = next(value for value in graph.input if value.name == "pixels")
    taken.type.tensor_type.elem_type = make.np_dtype_to_tensor_dtype(library("numpy").dtype(pixels))
    graph.node.insert(0, make.make_node("Cast", ["pixels"], ["cellfleet_pixels"], to=types.FLOAT))
    graph.initializer.append(make.make_tensor("cellfleet_wanted", types.INT64, [len(heads)], list(heads)))
    graph.node.append(make.make_node("Gather", ["cellfleet_heads", "cellfleet_wanted"], ["heads"], axis=1))
    returned = next(value for value in graph.output if value.name == "heads")
    returned.type.tensor_type.shape.dim[1].dim_value = len(heads)
    content: bytes = model.SerializeToString()
    return content


def _rename(graph: Any, old: str, new: str) -> None:
    """Give a tensor another name inside a graph; its inputs and outputs keep theirs."""
    for node in graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new


def _config(package: Package, pixels: PixelType, backend: Backend) -> Any:
    manifest, pb2 = package.manifest, library("tritonclient.grpc.model_config_pb2")
    channels, heads = manifest.channels, len(manifest.heads_read)
    types = {"uint8": pb2.TYPE_UINT8, "uint16": pb2.TYPE_UINT16, "float32": pb2.TYPE_FP32}
    config = pb2.ModelConfig(
        name=served_name(manifest.name, manifest.version, package.sha256, pixels),
        backend=backend,
        max_batch_size=LARGEST_BATCH,
        input=[
            pb2.ModelInput(name="pixels", data_type=types[pixels], dims=[channels, -1, -1]),
            pb2.ModelInput(name="contrast", data_type=pb2.TYPE_FP32, dims=[channels, 2]),
        ],
        output=[pb2.ModelOutput(name="heads", data_type=pb2.TYPE_UINT8, dims=[heads, -1, -1])],
        # One per GPU, or one on the processor where there is none.
        instance_group=[pb2.ModelInstanceGroup(count=1, kind=pb2.ModelInstanceGroup.KIND_AUTO)],
    )
    batching = config.dynamic_batching
    batching.preferred_batch_size.extend([LARGEST_BATCH // 2, LARGEST_BATCH])
    batching.max_queue_delay_microseconds = _GATHERING_MICROSECONDS
    batching.default_queue_policy.max_queue_size = _QUEUE
    config.parameters[SHA256].string_value = package.sha256
    config.parameters[HEADS].string_value = ",".join(map(str, manifest.heads_read))
    return config
