"""The address of a kiosk job's results opens in ImageJ as a label image: its plugin for the kiosk does nothing else."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.contract.imagej_java import run_java
from tests.services import Running, running_service
from tests.worked import small_image, work_off

pytestmark = pytest.mark.slow

UPLOADS = {"well A1, µ 🦠.tif": small_image()}


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login."""
    with running_service(tmp_path_factory.mktemp("kiosk")) as running:
        yield running


def zipped(*names: str) -> bytes:
    """Return a zip of images."""
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        for name in names:
            archive.writestr(name, small_image())
    return content.getvalue()


@pytest.mark.parametrize("name", ["well A1, µ 🦠.tif", "two.zip"])
def test_imagej_opens_the_first_label_image_from_the_address(kiosk: Running, tmp_path: Path, name: str) -> None:
    client = kiosk.client()
    content = zipped("b.tif", "a.tif") if name.endswith("zip") else small_image()
    upload = client.post("/api/upload/", files={"file": (name, content)}).json()["uploadedName"]
    # As the plugin: nine texts, all empty but three.
    empty = dict.fromkeys(["imageUrl", "dataRescale", "modelVersion", "preprocessFunction", "postprocessFunction"], "")
    body = {**empty, "jobType": "segmentation", "imageName": name, "uploadedName": upload, "modelName": "otsu"}
    key = client.post("/api/predict/", json=body).json()["hash"]
    work_off(kiosk)
    assert client.post("/api/status/", json={"hash": key}).json() == {"status": "done"}
    assert client.post("/api/redis/expire/", json={"hash": key, "expireIn": 3600}).json() == {"value": 1}
    url = client.post("/api/redis/", json={"hash": key, "key": "output_url"}).json()["value"]
    with zipfile.ZipFile(io.BytesIO(client.get(url).content)) as archive:
        first = archive.infolist()[0]
        labels = np.asarray(tifffile.imread(io.BytesIO(archive.read(first))))
    assert first.filename.endswith("_labels.tif")
    said = dict(line.split(" ", 1) for line in run_java("OpenLabels", tmp_path, url).splitlines() if " " in line)
    assert (said["opened"], int(said["largest"])) == ("yes", labels.max()) and labels.max() == 4
    assert (int(said["height"]), int(said["width"])) == labels.shape
