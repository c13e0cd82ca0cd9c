"""The unmodified kiosk-client of the DeepCell Kiosk drives the service from start to finish."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.kiosks import kiosk_client, working
from tests.services import Running, running_service

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without login, with a worker."""
    with (
        running_service(tmp_path_factory.mktemp("kiosk")) as running,
        working(running),
    ):
        yield running


def picture(objects: int) -> bytes:
    """Return a PNG with so many bright discs."""
    pixels = np.full((64, 64 * objects), 20, np.uint8)
    rows, columns = np.ogrid[:64, : 64 * objects]
    for number in range(objects):
        pixels[(rows - 32) ** 2 + (columns - 64 * number - 32) ** 2 < 200] = 200
    Image.fromarray(pixels).save(content := io.BytesIO(), "PNG")
    return content.getvalue()


def broken() -> bytes:
    """Return a PNG of which the last third is missing."""
    content = picture(3)
    return content[: len(content) * 2 // 3]


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip."""
    with zipfile.ZipFile(content := io.BytesIO(), "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def labels(path: Path) -> dict[str, int]:
    """Return the number of objects in each label image of a result."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if name.endswith(".tif")]
        return {name: int(tifffile.imread(io.BytesIO(archive.read(name))).max()) for name in names}


def test_an_image_comes_back_as_labels(kiosk: Running, tmp_path: Path) -> None:
    image = tmp_path / "well A1, µ 🦠.png"
    image.write_bytes(picture(3))
    ran = kiosk_client(tmp_path / "client", kiosk.url, str(image), "-l", "0", "-s", "0.5")
    (job,) = ran.jobs
    assert (job["status"], job["reason"], job["total_jobs"]) == ("done", None, 1)
    assert labels(ran.files[str(image)]) == {"well A1, µ 🦠_labels.tif": 3}


def test_a_zip_of_many_comes_back_as_one_zip(kiosk: Running, tmp_path: Path) -> None:
    members = {f"plate/well A{number}, field 0.png": picture(1 + number % 3) for number in range(12)}
    plate = tmp_path / "plate.zip"
    plate.write_bytes(zipped(members))
    ran = kiosk_client(tmp_path / "client", kiosk.url, str(plate))
    (job,) = ran.jobs
    assert (job["status"], job["total_jobs"]) == ("done", 12)
    found = labels(ran.files[str(plate)])
    assert sorted(found.values()) == [1] * 4 + [2] * 4 + [3] * 4
    assert len(found) == 12


def test_a_zip_with_a_bad_image_is_done_and_says_which(kiosk: Running, tmp_path: Path) -> None:
    plate = tmp_path / "plate.zip"
    plate.write_bytes(zipped({"a, good.png": picture(2), "b, bad.png": broken()}))
    ran = kiosk_client(tmp_path / "client", kiosk.url, str(plate))
    (job,) = ran.jobs
    assert job["status"] == "done" and "1 of 2 images" in job["reason"]
    assert list(labels(ran.files[str(plate)]).values()) == [2]
    told = kiosk.client().post("/api/redis", json={"hash": job["job_id"], "key": ["failures", "progress"]}).json()
    failures, progress = told["value"]
    assert [name.rpartition("/")[2] for name, _ in parse_qsl(failures)] == ["b, bad.png"]
    assert progress == "100"


@pytest.mark.parametrize("as_zip", [False, True], ids=["image", "zip"])
def test_what_cannot_be_read_at_all_fails_with_the_reason(kiosk: Running, tmp_path: Path, as_zip: bool) -> None:
    image = tmp_path / ("bad.zip" if as_zip else "bad.png")
    image.write_bytes(zipped({"a.png": broken(), "b.png": broken()}) if as_zip else broken())
    ran = kiosk_client(tmp_path / "client", kiosk.url, str(image), "--benchmark", "-U")
    (job,) = ran.jobs
    assert job["status"] == "failed" and not ran.files
    assert "[E1" in job["reason"], job["reason"]


def test_a_file_that_is_no_image_fails_with_the_reason(kiosk: Running, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no pixels")
    (job,) = kiosk_client(tmp_path / "client", kiosk.url, str(text), "--benchmark", "-U").jobs
    assert job["status"] == "failed" and "notes.txt" in job["reason"]


@pytest.mark.parametrize("words", [("-m", "CytoplasmSegmentation:1"), ("-s", "-2"), ("-m", "otsu:7")], ids=" ".join)
def test_what_is_not_to_be_had_ends_as_a_failed_job(kiosk: Running, tmp_path: Path, words: tuple[str, ...]) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(picture(1))
    (job,) = kiosk_client(tmp_path / "client", kiosk.url, str(image), *words).jobs
    assert job["status"] == "failed" and "[E957]" in job["reason"]


def test_a_folder_becomes_a_job_for_each_file_with_results_of_their_own(kiosk: Running, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for number in range(1, 4):
        (folder / str(number)).mkdir(parents=True)
        (folder / str(number) / "same.png").write_bytes(picture(number))
    ran = kiosk_client(tmp_path / "client", kiosk.url, str(folder))
    assert [job["status"] for job in ran.jobs] == ["done"] * 3
    objects = {name: sum(labels(path).values()) for name, path in ran.files.items()}
    assert objects == {str(folder / str(number) / "same.png"): number for number in range(1, 4)}


def test_the_benchmark_of_many_jobs_at_once_finishes(kiosk: Running, tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(picture(2))
    ran = kiosk_client(tmp_path / "client", kiosk.url, str(image), "--benchmark", "-U", "-c", "5")
    assert [job["status"] for job in ran.jobs] == ["done"] * 5
    results = list((tmp_path / "client" / "out").glob("*.zip"))
    assert [list(labels(path).values()) for path in results] == [[2]] * 5


def test_the_benchmark_of_an_upload_that_is_there_finishes(kiosk: Running, tmp_path: Path) -> None:
    upload = kiosk.client().post("/api/upload/", files={"file": ("a.png", picture(2))}).json()["uploadedName"]
    name = upload.removeprefix("uploads/")
    ran = kiosk_client(tmp_path / "client", kiosk.url, name, "--benchmark", "-c", "3")
    assert [job["status"] for job in ran.jobs] == ["done"] * 3


def test_a_token_in_the_address_is_all_that_the_client_needs(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(picture(2))
    with running_service(tmp_path / "service", login=True) as running, working(running):
        address = f"{running.url}/kiosk/{running.token('ann')}"
        ran = kiosk_client(tmp_path / "client", address, str(image))
        assert list(labels(ran.files[str(image)]).values()) == [2]
        assert [job.owner for job in running.service.desk.page()[0]] == ["ann"]
