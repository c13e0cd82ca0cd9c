"""Previews over HTTP: the labels of a job for a region, at once, and not for too many at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile
from tests.looks import OTSU, a_set, picture, tiff, try_out
from tests.services import Running, running_service, wait_until
from tests.support import discs, segment
from tests.tus import Tus

from cellfleet.samples import copy_samples
from cellfleet.service.routes import preview


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture
def tus(running: Running) -> Tus:
    return Tus(running.client())


def same_objects(found: np.ndarray, expected: np.ndarray) -> bool:
    """Say whether two label images show the same objects, whatever their numbers."""
    pairs = set(zip(found.ravel().tolist(), expected.ravel().tolist(), strict=True))
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) and (0, 0) in pairs


def field(height: int, width: int) -> np.ndarray:
    """Many discs."""
    return np.tile(discs(), (height // 64, width // 80))


@pytest.mark.slow
def test_a_preview_shows_the_labels_that_a_job_would_give(tus: Tus, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", field(1280, 1600))
    assert segment(tmp_path / "a.tif", "-o", tmp_path / "out") == 0
    whole = tifffile.imread(tmp_path / "out" / "a_labels.tif")
    into = a_set(tus, **{"a.tif": (tmp_path / "a.tif").read_bytes()})
    for region in (
        None,
        {"y": 0, "x": 0, "height": 100, "width": 130},
        {"y": 1000, "x": 1501, "height": 280, "width": 99},
    ):
        found = try_out(tus, f"set:{into}", region=region)
        assert found.status_code == 200, found.text
        answer = found.json()
        at = answer["region"]
        if region is None:
            assert at == {"y": 384, "x": 544, "height": 512, "width": 512}
        labels = picture(answer["labels"])
        crop = whole[at["y"] : at["y"] + at["height"], at["x"] : at["x"] + at["width"]]
        assert same_objects(labels, crop)
        assert answer["objects"] == labels.max() == len(np.unique(crop)) - 1
        assert picture(answer["picture"]).shape == (*labels.shape, 3)
    assert answer["median_diameter_px"] == pytest.approx(14, abs=2)
    assert len(answer["contrast"]) == 1


@pytest.mark.slow
def test_a_preview_by_the_bundled_model_shows_the_labels_that_a_job_would_give(tus: Tus, tmp_path: Path) -> None:
    from cellfleet.cli import main

    sample = next(path for path in copy_samples(tmp_path) if path.name == "dense_nuclei.tif")
    assert main(["segment", str(sample), "-o", str(tmp_path / "out")]) == 0
    whole = tifffile.imread(tmp_path / "out" / "dense_nuclei_labels.tif")
    into = a_set(tus, **{"a.tif": sample.read_bytes()})
    region = {"y": 30, "x": 40, "height": 150, "width": 170}
    answer = try_out(tus, f"set:{into}", region=region, segment={"model": "nuclei"}).json()
    assert same_objects(picture(answer["labels"]), whole[30:180, 40:210])


def test_planes_and_axes_are_those_that_were_asked_for(tus: Tus) -> None:
    stack = np.full((2, 3, 64, 80), 100, np.uint16)
    stack[1, 2] = discs()
    into = a_set(tus, **{"a.tif": tiff(stack, photometric="minisblack")})
    spec = {**OTSU, "axes": "TZYX"}
    counts = {
        (t, z): try_out(tus, f"set:{into}", t=t, z=z, segment=spec).json()["objects"]
        for t in range(2)
        for z in range(3)
    }
    assert counts[1, 2] == 4
    assert sum(counts.values()) == 4
    assert try_out(tus, f"set:{into}", t=1, segment=spec).json()["objects"] == 0, "the middle plane of three"


@pytest.mark.parametrize(
    "wrong",
    [
        {"region": {"y": 0, "x": 0, "height": 65, "width": 80}},
        {"region": {"y": 60, "x": 0, "height": 5, "width": 5}},
        {"region": {"y": 0, "x": 0, "height": 1, "width": 1025}},
        {"t": 1},
        {"z": 1},
    ],
)
def test_a_region_that_is_not_there_is_refused(tus: Tus, wrong: dict[str, Any]) -> None:
    answer = try_out(tus, f"set:{a_set(tus, **{'a.tif': tiff(discs())})}", **wrong)
    assert (answer.status_code, answer.json()["code"]) == (422, "E935")


@pytest.mark.parametrize("model", ["none", "/etc/passwd", "../../models/x"])
def test_a_model_that_is_not_offered_is_refused(tus: Tus, model: str) -> None:
    answer = try_out(tus, f"set:{a_set(tus, **{'a.tif': tiff(discs())})}", segment={"model": model})
    assert (answer.status_code, answer.json()["code"]) == (422, "E401")


def test_many_who_want_previews_wait_or_are_told_to_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "_WAITING", 1)
    monkeypatch.setattr(preview, "_WAIT_SECONDS", 30.0)
    go, at_work, most = threading.Event(), [0], [0]
    real = preview.previews.preview

    def slow(*words: Any) -> Any:
        at_work[0] += 1
        most[0] = max(most)
        go.wait(30)
        at_work[0] -= 1
        return real(*words)

    monkeypatch.setattr(preview.previews, "preview", slow)
    with running_service(tmp_path) as running:
        tus = Tus(running.client())
        into = a_set(tus, **{"a.tif": tiff(discs())})
        answers: list[httpx2.Response] = []
        threads = [
            threading.Thread(target=lambda: answers.append(try_out(Tus(running.client()), f"set:{into}")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: answers, "one is told to come back")
        assert (answers[0].status_code, answers[0].json()["code"]) == (503, "E933")
        assert int(answers[0].headers["Retry-After"]) > 0
        assert at_work[0] <= preview.AT_ONCE
        go.set()
        for thread in threads:
            thread.join()
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 503]
