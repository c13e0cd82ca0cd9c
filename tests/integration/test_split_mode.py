"""Split mode on a real Triton: labels are those of fused mode, tiles of many meet in batches, a full server is waited
for, and nobody gets another model than the one that was asked for. What happens when something dies: test_split_faults.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.support import discs
from tests.tritons import Triton, running_triton

from cellfleet.errors import DeviceError
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array, open_image
from cellfleet.inference.model_server import ModelServer, ServedModel
from cellfleet.inference.served import PIXEL_TYPES, PixelType, served_name
from cellfleet.inference.triton_client import connect
from cellfleet.models import LoadedModel, load_model
from cellfleet.models.load import read_content
from cellfleet.models.repository import Repository
from cellfleet.models.sidecar import Sidecar
from cellfleet.models.triton import served_model
from cellfleet.models.warm import WarmModels
from cellfleet.observe import metrics
from cellfleet.results.labelled import all_columns, read_all
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.samples import copy_samples
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.stores.folder import FolderPlace

pytestmark = pytest.mark.slow

THREADS = 2
NUCLEI = read_content("nuclei")[0]
SERVED = ServedModel("nuclei", NUCLEI.manifest.version, NUCLEI.sha256)


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    """A Triton to which a sidecar gave the model `nuclei`."""
    folder = tmp_path_factory.mktemp("split")
    with running_triton(folder / "triton") as triton:
        sidecar = Sidecar(Repository(FolderPlace(folder / "store"), folder / "cache"), triton.client(), triton.address)
        sidecar.backend, sidecar.names = "python", ("nuclei",)
        assert sidecar.not_ready() == "no model is served"
        sidecar.turn()
        assert (sidecar.not_ready(), sidecar.not_live()) == ("", ""), triton.log[-4000:]
        yield triton


@pytest.fixture
def server(triton: Triton) -> Iterator[ModelServer]:
    with contextlib.closing(ModelServer(triton.address, patience_seconds=60)) as server:
        yield server
    with triton.client() as client:
        assert not client.get_system_shared_memory_status().regions, "nothing is left of a connection that was closed"


def remote(server: ModelServer, tmp_path: Path) -> LoadedModel:
    repository = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    return WarmModels(repository, server=server).get(repository.resolve("nuclei"))


# --- labels ----------------------------------------------------------------------------------------------------------


def mosaic(height: int, width: int) -> NDArray[np.uint16]:
    """Two megapixels of discs of 22 px, unevenly lit: several blocks and tiles, none of which is as another."""
    one = np.kron(discs(), np.ones((2, 2), np.uint16))
    light = np.linspace(0.4, 1.6, width)[np.newaxis] * np.linspace(0.7, 1.3, height)[:, np.newaxis]
    many = np.tile(one, (-(-height // one.shape[0]), -(-width // one.shape[1])))[:height, :width]
    return np.asarray(many * light).astype(np.uint16)


def sample(name: str) -> Callable[[Path], Image]:
    def read(folder: Path) -> Image:
        return open_image(next(path for path in copy_samples(folder) if path.name == name), name=name)

    return read


def array(pixels: NDArray[Any]) -> Callable[[Path], Image]:
    return lambda folder: image_from_array(pixels)


ANY = SegmentSpec(model="nuclei")
IMAGES: dict[str, tuple[Callable[[Path], Image], SegmentSpec, set[PixelType]]] = {
    "of 8 bits": (sample("dense_nuclei.tif"), ANY, {"uint8"}),
    "of 16 bits": (array(mosaic(200, 310)), ANY, {"uint16"}),
    "that is enlarged": (sample("small_nuclei.tif"), SegmentSpec(model="nuclei", diameter_px=9), {"float32"}),
    "that is made smaller": (sample("large_nuclei.tif"), ANY, {"float32"}),
    "of which channels are summed": (
        sample("cell_painting.ome.tif"),
        SegmentSpec(model="nuclei", channels=(ChannelChoice(channels=(1, 2)),)),
        {"uint16"},
    ),
    "of fractions and negative numbers": (array((discs(90, 130) / 7 - 40).astype(np.float32)), ANY, {"float32"}),
    "whose diameter is given": (array(discs()), SegmentSpec(model="nuclei", diameter_px=20), {"uint16"}),
    "of several blocks": (array(mosaic(1180, 1500)), SegmentSpec(model="nuclei", diameter_px=28), {"uint16"}),
}


@pytest.mark.parametrize("case", IMAGES)
def test_labels_and_tables_of_an_image_are_those_of_fused_mode(
    case: str, triton: Triton, server: ModelServer, tmp_path: Path
) -> None:
    read, spec, types = IMAGES[case]
    image, before = read(tmp_path / "samples"), counts(triton)
    fused = segmented(image, spec, load_model("nuclei", device="cpu"))
    split = segmented(image, spec, remote(server, tmp_path))
    assert np.array_equal(read_all(fused.labels), read_all(split.labels))
    expected, found = all_columns(fused.rows), all_columns(split.rows)
    assert expected.keys() == found.keys() and len(expected["label"]) >= 4
    assert all(expected[name].tobytes() == found[name].tobytes() for name in expected)
    # What the estimate of the scale looks at is resampled.
    used = {kind for kind in PIXEL_TYPES if counts(triton)[kind] > before[kind]}
    assert types <= used <= types | {"float32"}


def segmented(image: Image, spec: SegmentSpec, model: LoadedModel) -> Segmented:
    with Pools(THREADS, model) as pools:
        found = segment_image(image, spec, model, How(pools, block=512))
        assert isinstance(found, Segmented)
        return found


def counts(triton: Triton) -> dict[PixelType, int]:
    """Return how many tiles the server has predicted, by the type of their pixels."""
    return {kind: statistics(triton, kind)[0] for kind in PIXEL_TYPES}


def statistics(triton: Triton, kind: PixelType) -> tuple[int, int]:
    """Return inferences and executions."""
    with connect(triton.address) as client:
        (found,) = client.get_inference_statistics(name_of(kind)).model_stats
    return found.inference_count, found.execution_count


def name_of(kind: PixelType) -> str:
    return served_name(SERVED.name, SERVED.version, SERVED.sha256, kind)


# --- many ------------------------------------------------------------------------------------------------------------


def tile(kind: PixelType, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return pixels (1, 144, 160) that travel as `kind`, and a contrast for them."""
    most = {"uint8": 255, "uint16": 5000, "float32": 0.5}[kind]
    pixels = np.random.default_rng(seed).random((1, 144, 160)) * most
    return (pixels if kind == "float32" else np.rint(pixels)).astype(np.float32), np.array([[0, most]], np.float32)


@pytest.mark.parametrize("way", ["shared memory", "network"])
def test_tiles_of_two_workers_meet_in_one_batch(way: str, triton: Triton, tmp_path: Path) -> None:
    local = load_model("nuclei", device="cpu").predictor
    read = list(NUCLEI.manifest.heads_read)
    tiles = [tile("uint16", seed) for seed in range(32)]
    before = statistics(triton, "uint16")
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(contextlib.closing(ModelServer(triton.address))) for _ in range(2)]
        for server in servers:
            assert server._regions is not None
            server._regions.refused |= way == "network"
        models = [remote(server, tmp_path) for server in servers]
        pool = stack.enter_context(ThreadPoolExecutor(16))
        asked = [pool.submit(models[number % 2].predictor.predict, *tiles[number]) for number in range(32)]
        found = [future.result() for future in asked]
        assert all(server._regions and server._regions.refused == (way == "network") for server in servers)
    inferences, executions = (after - then for after, then in zip(statistics(triton, "uint16"), before, strict=True))
    assert inferences == 32 and executions < 32
    for one, heads in zip(tiles, found, strict=True):
        assert np.array_equal(heads[read], local.predict(*one)[read])


def test_a_full_server_is_asked_again_until_all_is_done(triton: Triton, server: ModelServer, tmp_path: Path) -> None:
    narrow(triton, "uint8", queue=1)
    model, before = remote(server, tmp_path), waits("full")
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda seed: model.predictor.predict(*tile("uint8", seed)), range(36)))
    assert waits("full") > before
    assert all(heads.shape == (4, 144, 160) for heads in found)


def narrow(triton: Triton, kind: PixelType, queue: int) -> None:
    """Load a model anew, with room for so many requests that wait."""
    package, weights = read_content("nuclei")
    model = served_model(package, weights, kind, "python")
    model.config.dynamic_batching.default_queue_policy.max_queue_size = queue
    files = {f"file:{path}": content for path, content in model.files.items()}
    with connect(triton.address) as client:
        client.unload_model(model.name)
        client.load_model(model.name, config=model.config_json, files=files)


def waits(reason: str) -> float:
    """Return how often requests of this process were put off."""
    name = f'cellfleet_model_server_waits_total{{reason="{reason}"}}'
    lines = [line for line in metrics.page()[0].decode().splitlines() if line.startswith(name)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def test_a_server_that_has_forgotten_the_shared_memory_is_told_again(
    triton: Triton, server: ModelServer, tmp_path: Path
) -> None:
    model, before = remote(server, tmp_path), waits("forgotten")
    expected = model.predictor.predict(*tile("uint16"))
    with triton.client() as client:
        names = list(client.get_system_shared_memory_status().regions)
        client.unregister_system_shared_memory()  # all, as a server that was started anew
        assert np.array_equal(model.predictor.predict(*tile("uint16")), expected)
        again = list(client.get_system_shared_memory_status().regions)
    assert again and set(again) <= set(names), "the same memory as before"
    assert waits("forgotten") == before + 1


# --- what is not answered --------------------------------------------------------------------------------------------


def test_another_content_under_the_name_of_a_model_is_refused(server: ModelServer) -> None:
    other = ServedModel(SERVED.name, SERVED.version, SERVED.sha256[:12] + "0" * 52)
    pixels, contrast = tile("uint16")
    with pytest.raises(DeviceError, match=r"another content .*\[E521\]"):
        server.infer(other, pixels.astype(np.uint16), contrast)


def test_a_tile_with_which_the_graph_fails_is_tried_three_times(server: ModelServer) -> None:
    pixels, contrast = tile("uint16")
    before = waits("failed")
    with pytest.raises(DeviceError, match=r"cannot predict a tile with nuclei:1.0.0: the graph fails.*\[E524\]"):
        server.infer(SERVED, pixels[:, :99].astype(np.uint16), contrast)  # no multiple of 16
    assert waits("failed") == before + 2


def test_a_request_that_does_not_fit_the_model_is_not_made_again(server: ModelServer) -> None:
    pixels, contrast = tile("uint16")
    with pytest.raises(DeviceError, match=r"\[E524\]"):
        server.infer(SERVED, np.repeat(pixels, 3, axis=0).astype(np.uint16), contrast)


def test_a_model_that_does_not_come_is_waited_for_and_the_work_given_back(triton: Triton) -> None:
    unknown = ServedModel("nowhere", "1", "0" * 64)
    with (
        contextlib.closing(ModelServer(triton.address, patience_seconds=0.3)) as server,
        pytest.raises(DeviceError, match=r"nowhere:1 in 0 s: it does not have the model .*\[E523\]"),
    ):
        server.infer(unknown, np.zeros((1, 16, 16), np.uint8), np.array([[0, 1]], np.float32))


def test_who_waits_is_let_go_when_the_connection_closes() -> None:
    server = ModelServer("grpc://127.0.0.1:9", patience_seconds=600)  # nobody listens there
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.infer, SERVED, np.zeros((1, 16, 16), np.uint8), np.array([[0, 1]], np.float32))
        before = waits("away")
        while waits("away") == before:
            assert not waiting.done()
        server.close()
        with pytest.raises(DeviceError, match=r"\[E523\]"):
            waiting.result(20)
