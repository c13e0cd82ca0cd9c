"""Training runs over HTTP: whose they are, what is refused, how their curves are told, how a model comes to serve."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.packages import write_package
from tests.services import Running, running_service
from tests.trainings import add_dataset, claimed, ended_with

from cellfleet.jobs.training_claims import Claim, TrainingQueue
from cellfleet.service import trainings
from cellfleet.service import watch as watch_module
from cellfleet.service.state import Settings
from cellfleet.spec.access import Quota
from cellfleet.spec.training import TrainingEnd, TrainingProgress
from cellfleet.spec.training_http import TrainingPoint, TrainingRun

FILES = {"images/a.tif": b"", "labels/a.tif": b""}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True, settings=Settings(trains=True)) as running:
        yield running


@pytest.fixture
def ann(running: Running) -> httpx2.Client:
    return running.client("ann")


def begun(running: Running, client: httpx2.Client, owner: str = "ann", **more: Any) -> TrainingRun:
    """Begin a run over a new set."""
    body = {"name": "ours", "dataset": add_dataset(running, owner, FILES), "steps": 10, **more}
    answer = client.post("/api/v1/training", json=body)
    assert answer.status_code == 201, answer.text
    return TrainingRun.model_validate(answer.json())


def refused(answer: httpx2.Response, status: int, code: str) -> dict[str, str]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    return dict(answer.json())


def looked(queue: TrainingQueue, claim: Claim, *steps: int) -> None:
    points = [TrainingPoint(step=step, seconds=step, loss=None, scores={"f1": 0.5}) for step in steps]
    share = steps[-1] / 10
    progress = TrainingProgress(phase="training", started_ms=1, share=share, points=len(points), latest=points[-1])
    queue.tell(claim, progress, points)


def test_a_run_is_its_owners_and_the_administrators(running: Running, ann: httpx2.Client) -> None:
    run = begun(running, ann)
    path = f"/api/v1/training/{run.id}"
    assert (run.owner, run.state) == ("ann", "queued")
    for other in (running.client("bob"), running.client("bob", "viewer")):
        refused(other.get(path), 404, "E630")
        refused(other.get(f"{path}/log"), 404, "E630")
        refused(other.get(f"{path}/events"), 404, "E630")
        assert other.get("/api/v1/training", params={"owner": "ann"}).json()["runs"] == []
    refused(running.client("bob").post(f"{path}/stop"), 404, "E630")
    assert running.client().get(path).status_code == 401
    for reader in (ann, running.client("ann", "viewer"), running.client("root", "admin")):
        assert TrainingRun.model_validate(reader.get(path).json()) == run
        assert run.id in {found["id"] for found in reader.get("/api/v1/training").json()["runs"]}


def test_viewers_look_and_change_nothing(running: Running, ann: httpx2.Client) -> None:
    viewer, run = running.client("ann", "viewer"), begun(running, ann)
    refused(viewer.post("/api/v1/training", json={"name": "ours", "dataset": run.request.dataset}), 403, "E903")
    for verb in ("stop", "resume"):
        refused(viewer.post(f"/api/v1/training/{run.id}/{verb}"), 403, "E903")
    refused(viewer.post(f"/api/v1/training/{run.id}/publish", json={}), 403, "E903")
    refused(viewer.delete(f"/api/v1/training/{run.id}"), 403, "E903")


def test_requests_that_cannot_be_carried_out_are_refused_at_once(running: Running, ann: httpx2.Client) -> None:
    flat = add_dataset(running, "ann", {"a.tif": b"", "b.tif": b""})
    unlabelled = add_dataset(running, "ann", {"images/a.tif": b"", "masks/a.tif": b""})
    good = add_dataset(running, "ann", FILES)
    expected: list[tuple[dict[str, Any], int, str]] = [
        ({"dataset": flat}, 422, "E631"),
        ({"dataset": unlabelled}, 422, "E631"),
        ({"dataset": f"{good}/labels"}, 422, "E631"),
        ({"dataset": add_dataset(running, "bob", FILES)}, 404, "E921"),
        ({"dataset": f"{good}/../x"}, 409, "E817"),
        ({"dataset": "/etc"}, 403, "E818"),
        ({"dataset": good, "minutes": 1, "steps": 1}, 422, "E902"),
        ({"dataset": good, "network": "unet", "receptive_field": 41}, 422, "E902"),
        ({"dataset": good, "network": "feature-net", "receptive_field": 40}, 422, "E902"),
        ({"dataset": good, "network": "unknown"}, 422, "E902"),
        ({"dataset": good, "minutes": 0}, 422, "E902"),
        ({"dataset": good, "microns_per_pixel": "Infinity"}, 422, "E902"),
        ({"dataset": good, "name": "../ours"}, 422, "E902"),
        ({"dataset": good, "channels": ["="]}, 400, "E010"),
        ({"dataset": good, "compare_with": "nothing"}, 404, "E401"),
        ({"dataset": good, "start": "nothing"}, 404, "E401"),
        ({"dataset": good, "start": "../../secret"}, 404, "E401"),
    ]
    for more, status, code in expected:
        refused(ann.post("/api/v1/training", json={"name": "ours", **more}), status, code)


def test_labels_behind_very_many_images_are_left_to_the_trainer(
    running: Running, ann: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "_MOST_LOOKED_AT", 2)
    many = add_dataset(running, "ann", {f"images/{name}.tif": b"" for name in "abc"} | {"labels/a.tif": b""})
    assert ann.post("/api/v1/training", json={"name": "ours", "dataset": many}).status_code == 201
    flat = add_dataset(running, "ann", {f"{name}.tif": b"" for name in "abc"})
    refused(ann.post("/api/v1/training", json={"name": "ours", "dataset": flat}), 422, "E631")


@pytest.mark.parametrize("layout", ["cells/a.tif", "corrected/labels/a.tif", "corrected.zip"])
def test_other_layouts_of_a_data_set_are_taken(running: Running, ann: httpx2.Client, layout: str) -> None:
    image = layout.replace("cells", "images").replace("labels", "images")
    dataset = add_dataset(running, "ann", {layout: b"", image: b""})
    more = "/corrected.zip" if layout.endswith(".zip") else ""
    assert begun(running, ann, dataset=dataset + more).state == "queued"


def test_without_a_trainer_runs_are_refused_and_it_is_said_what_to_install(tmp_path: Path) -> None:
    with running_service(tmp_path, login=True) as running:
        ann, dataset = running.client("ann"), add_dataset(running, "ann", FILES)
        told = refused(ann.post("/api/v1/training", json={"name": "ours", "dataset": dataset}), 501, "E990")
        assert "pip install 'cellfleet[train]'" in told["action"] and "cellfleet trainer --store" in told["action"]
        assert ann.get("/api/v1/training").json()["refusal"]["code"] == "E990"
        TrainingQueue(running.store, "elsewhere").show()
        assert ann.get("/api/v1/training").json()["refusal"] is None
        assert ann.post("/api/v1/training", json={"name": "ours", "dataset": dataset}).status_code == 201


def test_a_quota_counts_jobs_and_runs(running: Running) -> None:
    carl = running.client(token=running.token("carl", quota=Quota(running_jobs=1)))
    body = {"name": "ours", "dataset": add_dataset(running, "carl", FILES)}
    first = carl.post("/api/v1/training", json=body)
    assert first.status_code == 201
    refused(carl.post("/api/v1/training", json=body), 429, "E816")
    carl.post(f"/api/v1/training/{first.json()['id']}/stop")
    assert carl.post("/api/v1/training", json=body).status_code == 201


def events(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Return kind, id and content of server-sent events."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if "data" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def test_points_are_told_as_a_log_and_as_events_and_only_new_ones_to_who_comes_back(
    running: Running, ann: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "SHORTEST_SECONDS", 0.01)
    run = begun(running, ann).id
    queue, claim = claimed(running, run)
    looked(queue, claim, 2, 5)
    path = f"/api/v1/training/{run}"
    assert [point["step"] for point in ann.get(f"{path}/log").json()["points"]] == [2, 5]
    assert [point["step"] for point in ann.get(f"{path}/log", params={"after": 2}).json()["points"]] == [5]
    told = []
    with ann.stream("GET", f"{path}/events") as answer:
        for line in answer.iter_lines():
            told.append(line)
            if '"state":"running"' in line and '"points":2' in line:
                looked(queue, claim, 2, 5, 10)
                queue.end(claim, TrainingEnd(state="done", at_ms=1))
    seen = events("\n".join(told))
    assert [content["step"] for kind, _, content in seen if kind == "point"] == [2, 5, 10]
    states = [content["state"] for kind, _, content in seen if kind == "progress"]
    assert (states[0], states[-1]) == ("running", "done")
    assert seen[-1][1] == "10"
    back = events(ann.get(f"{path}/events", headers={"Last-Event-ID": "5"}).text)
    assert [content["step"] for kind, _, content in back if kind == "point"] == [10]


def test_a_published_model_serves_and_its_name_is_its_owners(
    running: Running, ann: httpx2.Client, tmp_path: Path
) -> None:
    run = begun(running, ann, name="disks").id
    path = f"/api/v1/training/{run}"
    refused(ann.post(f"{path}/publish", json={}), 409, "E633")
    refused(ann.get(f"{path}/package.zip"), 409, "E633")
    ended_with(running, run, write_package(tmp_path / "package"))
    answer = ann.post(f"{path}/publish", json={})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["version"], answer.json()["tested"]) == ("disks", "1.0.0", True)
    assert ann.post(f"{path}/publish", json={"version": "1.1.0"}).status_code == 201
    bob = running.client("bob")
    assert bob.get("/api/v1/models/disks").json()["version"] == "1.1.0"
    assert ann.get(path).json()["published"] == ["disks:1.0.0", "disks:1.1.0"]
    # Another model under the same name.
    theirs = bob.post("/api/v1/training", json={"name": "disks", "dataset": add_dataset(running, "bob", FILES)})
    other = theirs.json()["id"]
    ended_with(running, other, write_package(tmp_path / "another", gain=0.5))
    refused(bob.post(f"/api/v1/training/{other}/publish", json={"version": "2.0.0"}), 403, "E994")
    refused(bob.post(f"/api/v1/training/{other}/publish", json={"name": "nuclei", "version": "9"}), 403, "E994")
    root = running.client("root", "admin")
    told = refused(root.post(f"/api/v1/training/{other}/publish", json={}), 409, "E993")
    assert "another version" in told["action"]
    assert root.post(f"/api/v1/training/{other}/publish", json={"version": "2.0.0"}).status_code == 201


def test_a_run_begins_with_a_run_of_ones_own_or_a_model_that_brings_weights_for_it(
    running: Running, ann: httpx2.Client, tmp_path: Path
) -> None:
    first = begun(running, ann, name="first", start="nuclei")
    # A newer one may be published before a trainer comes.
    assert first.request.start == "nuclei:1.0.0"
    run = first.id
    body = {"name": "next", "dataset": add_dataset(running, "ann", FILES), "start": run}
    refused(ann.post("/api/v1/training", json=body), 404, "E401")
    ended_with(running, run, write_package(tmp_path / "package"))
    assert begun(running, ann, start=run).request.start == run
    bobs = {"name": "next", "dataset": add_dataset(running, "bob", FILES)}
    refused(running.client("bob").post("/api/v1/training", json={**bobs, "start": run}), 404, "E401")
    ann.post(f"/api/v1/training/{run}/publish", json={})
    for bare in ("first", "otsu"):
        refused(ann.post("/api/v1/training", json={**body, "start": bare}), 422, "E995")
    (tmp_path / "package" / "weights.pt").write_bytes(b"kernels")
    other = begun(running, ann, name="second").id
    ended_with(running, other, tmp_path / "package")
    ann.post(f"/api/v1/training/{other}/publish", json={})
    assert begun(running, running.client("bob"), "bob", start="second").request.start == "second:1.0.0"


def test_a_run_is_removed_with_its_package_and_what_was_published_stays(
    running: Running, ann: httpx2.Client, tmp_path: Path
) -> None:
    run = begun(running, ann, name="kept").id
    refused(ann.delete(f"/api/v1/training/{run}"), 409, "E633")
    ended_with(running, run, write_package(tmp_path / "package"))
    ann.post(f"/api/v1/training/{run}/publish", json={})
    assert ann.delete(f"/api/v1/training/{run}").status_code == 204
    assert not list(running.store.names(f"training/{run}"))
    assert ann.get("/api/v1/models/kept").status_code == 200
