"""What split mode moves and costs: bytes per byte of pixels, types of pixels, processor time per megapixel.

    CELLFLEET_TRITON=.triton python -m benchmarks.split.run

Each set of images goes through the pipeline three times in this process, one thread: predicted here, by a Triton
through shared memory, and by it through a socket of the loopback. The Triton is that of NVIDIA's wheel, whose Python
backend calls the same ONNX Runtime on the same processor: what the network takes there says nothing of a GPU; what the
worker takes, and what moves, does.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.tritons import Triton, running_triton

from benchmarks.common import MEGAPIXEL, VALIDATION, Bar, save, table
from benchmarks.fields import synthetic_field
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array, open_image
from cellfleet.inference.model_server import ModelServer
from cellfleet.inference.served import PIXEL_TYPES, served_name
from cellfleet.models import LoadedModel, load_model
from cellfleet.models.load import read_content
from cellfleet.models.repository import Repository
from cellfleet.models.sidecar import Sidecar
from cellfleet.models.warm import WarmModels
from cellfleet.observe import metrics
from cellfleet.results.labelled import read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.samples import copy_samples
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.folder import FolderPlace

SPEC = SegmentSpec(model="nuclei")


@dataclass(frozen=True)
class Passed:
    """One set of images through the pipeline."""

    here: float
    """Processor seconds of this process."""
    server: float
    """The same of all of Triton's processes."""
    labels: list[bytes]


def main() -> None:
    """Measure, and write the result."""
    rows, details, bars = [], {}, []
    with tempfile.TemporaryDirectory() as folder, running_triton(Path(folder) / "triton") as triton:
        repository = Repository(FolderPlace(Path(folder) / "store"), Path(folder) / "cache")
        Sidecar(repository, triton.client(), triton.address, "python", ("nuclei",)).turn()
        for name, images in image_sets(Path(folder)).items():
            details[name] = measured(images, triton, repository)
            rows.append(row(name, details[name]))
            bars.append(Bar(f"labels equal, {name}", 1, None, float(details[name]["equal"]), "", True))
    header = ["images", "Mpx", "bytes sent + returned per byte of pixels", "tiles uint8 / uint16 / float32"]
    header += [
        "CPU s/Mpx fused",
        "worker, shared memory",
        "worker, network",
        "Triton, shared memory",
        "Triton, network",
    ]
    notes = [
        "Bytes of pixels: those of the channel that is used, as they stand in the image.",
        "Where the diameter is not known, some tiles are small copies from which it is estimated.",
    ]
    save("split", bars, {"sets": details}, notes, table(header, rows))


def image_sets(folder: Path) -> dict[str, list[Image]]:
    """Return what is measured, by name."""
    validation = sorted((VALIDATION / "images").iterdir())
    samples = [path for path in copy_samples(folder / "samples") if path.name != "cell_painting.ome.tif"]
    # As a camera of 12 bits would see the fields: some forty times as bright, with noise below the former steps.
    noise = np.random.default_rng(0)
    fields = [synthetic_field("dense", VALIDATION, seed).pixels for seed in range(3)]
    deep = [field.astype(np.uint16) * 16 + noise.integers(0, 16, field.shape, np.uint16) for field in fields]
    return {
        "validation set (BBBC038), 8 bits": [open_image(path, name=path.name) for path in validation],
        "samples, 8 bits": [open_image(path, name=path.name) for path in samples],
        "dense fields of 1 Mpx, 12 bits": [image_from_array(field) for field in deep],
    }


def measured(images: Sequence[Image], triton: Triton, repository: Repository) -> dict[str, Any]:
    """Return every figure of a set."""
    pixels = sum(image.shape[-1] * image.shape[-2] for image in images)
    given = sum(image.shape[-1] * image.shape[-2] * image.dtype.itemsize for image in images)
    fused = passed(images, load_model("nuclei", device="cpu"), triton)
    with remote(triton, repository, wire=False) as model:
        passed(images[:1], model, triton)  # the first call of a process sets things up
        before, moved_before = tiles(triton), moved()
        shared = passed(images, model, triton)
    counted = [after - then for after, then in zip(tiles(triton), before, strict=True)]
    bytes_moved = [after - then for after, then in zip(moved(), moved_before, strict=True)]
    with remote(triton, repository, wire=True) as model:
        wire = passed(images, model, triton)
    per = MEGAPIXEL / pixels
    return {
        "megapixels": pixels / MEGAPIXEL,
        "sent_per_byte": bytes_moved[0] / given,
        "returned_per_byte": bytes_moved[1] / given,
        "tiles": counted,
        "fused": fused.here * per,
        "worker_shared": shared.here * per,
        "worker_wire": wire.here * per,
        "triton_shared": shared.server * per,
        "triton_wire": wire.server * per,
        "equal": fused.labels == shared.labels == wire.labels,
    }


def row(name: str, found: dict[str, Any]) -> list[str]:
    """Return the cells of a set."""
    moved = f"{found['sent_per_byte']:.2f} + {found['returned_per_byte']:.2f}"
    ways = ("fused", "worker_shared", "worker_wire", "triton_shared", "triton_wire")
    seconds = [f"{found[way]:.3f}" for way in ways]
    return [name, f"{found['megapixels']:.1f}", moved, " / ".join(map(str, found["tiles"])), *seconds]


@contextlib.contextmanager
def remote(triton: Triton, repository: Repository, *, wire: bool) -> Iterator[LoadedModel]:
    """Yield the model of the server; through the socket where `wire`."""
    with contextlib.closing(ModelServer(triton.address)) as server:
        if wire and server._regions is not None:
            server._regions.refused = True
        yield WarmModels(repository, server=server).get(repository.resolve("nuclei"))


def passed(images: Sequence[Image], model: LoadedModel, triton: Triton) -> Passed:
    """Segment all images."""
    began, server = time.process_time(), triton.cpu_seconds()
    labels = []
    with Pools(1, model) as pools:
        for image in images:
            found = segment_image(image, SPEC, model, How(pools))
            assert isinstance(found, Segmented)
            labels.append(read_all(found.labels).tobytes())
    return Passed(time.process_time() - began, triton.cpu_seconds() - server, labels)


def tiles(triton: Triton) -> list[int]:
    """Return how many tiles the server predicted, by the type of their pixels."""
    package, _ = read_content("nuclei")
    names = [served_name("nuclei", package.manifest.version, package.sha256, kind) for kind in PIXEL_TYPES]
    with triton.client() as client:
        return [int(client.get_inference_statistics(name).model_stats[0].inference_count) for name in names]


def moved() -> list[float]:
    """Return the bytes that this process sent to the server, and had from it."""
    page = metrics.page()[0].decode().splitlines()
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in page if not line.startswith("#")}
    name = "cellfleet_model_server_bytes_total"
    return [found.get(f'{name}{{direction="{way}"}}', 0.0) for way in ("sent", "received")]


if __name__ == "__main__":
    main()
