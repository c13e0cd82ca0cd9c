"""Every bundled model that finds objects, by its name, through every door: command, Python, server, kiosk-client.

The list is the repository's own, so no new model is forgotten. What the command writes is what all others give: label
images and tables are equal to the byte, and so, pixel by pixel, is every label.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.kiosks import kiosk_client, working
from tests.services import Running, running_service
from tests.tissue import sheet

import cellfleet
from cellfleet.cli import main
from cellfleet.models import LoadedModel, bundled_names, load_model, read_declared
from cellfleet.samples import read_sample
from cellfleet.service.kiosk_form import SAME
from cellfleet.spec.model import ClassifierManifest, TranslatorManifest

pytestmark = pytest.mark.slow
STACK = Path(__file__).parents[1] / "data" / "brightfield" / "stack.tif"
MODELS = [
    name for name in bundled_names() if not isinstance(read_declared(name), ClassifierManifest | TranslatorManifest)
]
KIOSK_NAMES = {**{name: name for name in MODELS}, **SAME}
"""What a kiosk's client may call a model → the model."""


@dataclass(frozen=True)
class Shown:
    """An image that a model can do, and how it is handed to each door."""

    file: str
    channels: tuple[int, ...] = ()
    """Counted from 0, one per role; none: there is nothing to choose."""
    pixel_size: float | None = None
    kiosk: tuple[str, ...] = ("-j", "segmentation")

    def words(self) -> tuple[str, ...]:
        """Return the options of the command."""
        size = () if self.pixel_size is None else ("--pixel-size", str(self.pixel_size))
        return (*(word for channel in self.channels for word in ("--channel", str(channel + 1))), *size)


IMAGES = {
    ("nuclear",): Shown("small_nuclei.tif"),
    ("brightfield",): Shown("stack.tif"),
    # Scale 1 is the model's own pixel size.
    ("nuclear", "membrane"): Shown("sheet.tif", (0, 1), 0.5, ("-j", "mesmer", "-s", "1")),
}
"""What a model takes → an image of that."""


def shown_to(model: LoadedModel) -> Shown:
    """Return the image for a model. One of a new kind fails here until the table has an image for it."""
    return IMAGES[(model.before[0].manifest.role,) if model.before else model.manifest.roles]


@dataclass(frozen=True)
class Done:
    """What the command made of a model's image."""

    shown: Shown
    image: Path
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All images, under the names in the table."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "small_nuclei.tif").write_bytes(read_sample("small_nuclei.tif"))
    (folder / "stack.tif").write_bytes(STACK.read_bytes())
    tifffile.imwrite(folder / "sheet.tif", sheet().pixels, metadata={"axes": "CYX"})
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login, with a worker."""
    with running_service(tmp_path_factory.mktemp("service")) as running, working(running):
        yield running


@pytest.fixture(scope="module")
def done(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """What the command makes of the image of each model."""
    found = {}
    for name in MODELS:
        shown, out = shown_to(load_model(name, device="cpu")), tmp_path_factory.mktemp("command") / "out"
        assert main(["segment", str(images / shown.file), "--model", name, "-o", str(out), *shown.words()]) == 0
        found[name] = Done(shown, images / shown.file, results(out))
    return found


def results(folder: Path) -> dict[str, bytes]:
    """Return label images and tables by name; those of a run as a whole have no such names."""
    return {path.name: path.read_bytes() for path in folder.glob("*_*.*")}


def require_equal(found: dict[str, bytes], expected: dict[str, bytes]) -> None:
    """Compare results: first pixels, which tells more where they differ."""
    assert found.keys() == expected.keys()
    for name in (name for name in found if name.endswith(".tif")):
        labels, others = (tifffile.imread(io.BytesIO(files[name])) for files in (found, expected))
        np.testing.assert_array_equal(labels, others, err_msg=name)
        assert labels.max() > 0, f"{name} shows nothing"
    assert found == expected


@pytest.mark.parametrize("name", MODELS)
def test_python_gives_what_the_command_writes(name: str, done: dict[str, Done], tmp_path: Path) -> None:
    expected = done[name]
    shown = expected.shown
    found = cellfleet.segment(
        expected.image, model=name, channels=shown.channels or None, pixel_size=shown.pixel_size, device="cpu"
    )
    found.save(tmp_path)
    require_equal(results(tmp_path), expected.files)


@pytest.mark.parametrize("name", MODELS)
def test_a_job_gives_what_the_command_writes(name: str, done: dict[str, Done], server: Running, tmp_path: Path) -> None:
    expected = done[name]
    shown = expected.shown
    with cellfleet.Client(server.url) as lab:
        job = lab.segment(
            expected.image, model=name, channels=shown.channels or None, pixel_size=shown.pixel_size
        ).wait()
        job.save(tmp_path / "client")
    require_equal(results(tmp_path / "client"), expected.files)
    words = ("--model", name, *shown.words(), "-o", str(tmp_path / "on"), "--on", server.url)
    assert main(["segment", str(expected.image), *words]) == 0
    require_equal(results(tmp_path / "on"), expected.files)


@pytest.mark.parametrize("asked", KIOSK_NAMES)
def test_the_kiosks_client_gets_the_labels_that_the_command_writes(
    asked: str, done: dict[str, Done], server: Running, tmp_path: Path
) -> None:
    expected = done[KIOSK_NAMES[asked]]
    version = server.client().get("/api/models").json()["models"][asked][0]
    words = (*expected.shown.kiosk, "-m", f"{asked}:{version}")
    ran = kiosk_client(tmp_path / "client", server.url, str(expected.image), *words)
    (job,) = ran.jobs
    assert (job["status"], job["reason"]) == ("done", None)
    with zipfile.ZipFile(ran.files[str(expected.image)]) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name.endswith(".tif")}
    # Of cells and nuclei a job of the type `mesmer` asks for the cells.
    wanted = f"{expected.image.stem}_labels.tif"
    require_equal(found, {wanted: expected.files[wanted]})
