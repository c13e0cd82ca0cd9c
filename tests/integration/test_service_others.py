"""Somebody else's things: every route answers as if they were not there. A route that is new must be added here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.routing import APIRoute
from tests.packages import write_package
from tests.services import Running, running_service
from tests.trainings import add_dataset, ended_with
from tests.worked import add_job, add_set, work_off

from cellfleet.service.app import make_app
from cellfleet.service.state import Settings

ABSENT = "0" * 27
"""An id that nobody has."""

OF_NOBODY = {
    "/links/": "whoever has the link may open it: its signature is the right to",
    "/assets/": "the page's own files",
    "/jobs/{rest:path}": "the page, the same for everybody",
    "/training/{rest:path}": "the page, the same for everybody",
    "/api/v1/models/": "models are everybody's",
    "/v2/models/": "models are everybody's",
    "/api/v1/samples/": "samples come with the package",
    "/api/v1/admin/": "administrators see everything; others get 403",
    "/api/{rest:": "answers that nothing is there",
    "/kiosk/{token}": "the token is the login; ids are in bodies, see IN_BODIES",
}
"""Routes with an id that is no user's → why."""

BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/sets/{set_id}/direct": {"json": {"path": "a.tif", "size": 1}},
    "POST /api/v1/sets/{set_id}/direct/{upload_id}/addresses": {"json": {"numbers": [1]}},
    "POST /api/v1/sets/{set_id}/direct/{upload_id}/complete": {"json": {"parts": [{"number": 1, "etag": "x"}]}},
    "POST /api/v1/jobs/{job}/links": {"json": {}},
    "POST /api/v1/training/{run}/publish": {"json": {}},
    "PATCH /api/v1/uploads/{upload_id}": {
        "headers": {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"},
        "content": b"12345",
    },
    "POST /api/v1/uploads/{upload_id}": {"headers": {"X-HTTP-Method-Override": "DELETE"}},
}
"""What a request needs beside the id. The last ones end the thing, so they come last."""
NO_DIRECT_UPLOADS = re.compile(r"/direct(/|$)")
"""A folder takes none, so not even the owner has one."""
ENDS = re.compile(r"^DELETE |^POST /api/v1/uploads/\{upload_id\}$|/cancel$")


@dataclass(frozen=True)
class Others:
    """A service with things of ann, and clients."""

    running: Running
    ann: httpx2.Client
    bob: httpx2.Client
    viewer: httpx2.Client
    """A token of ann that may only look."""
    ids: dict[str, str]


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Others]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, login=True, settings=Settings(trains=True)) as running:
        ann = running.client("ann")
        made = add_set(running, "ann")
        job = add_job(ann, made)
        work_off(running)
        run = trained(running, ann, write_package(folder / "package"))
        upload = new_upload(ann, made).headers["Location"].rpartition("/")[2]
        ids = {"set_id": made, "job": job, "upload_id": upload, "run": run}
        yield Others(running, ann, running.client("bob"), running.client("ann", "viewer"), ids)


def trained(running: Running, client: httpx2.Client, package: Path) -> str:
    """Return the id of a training run that ended with a package."""
    dataset = add_dataset(running, "ann", {"images/a.tif": b"", "labels/a.tif": b""})
    run = client.post("/api/v1/training", json={"name": "ours", "dataset": dataset}).json()["id"]
    ended_with(running, run, package)
    return str(run)


def new_upload(client: httpx2.Client, set_id: str) -> httpx2.Response:
    metadata = f"set {_base64(set_id)},path {_base64('new.tif')}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": metadata}
    return client.post("/api/v1/uploads", headers=headers)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def routes_with_ids(others: Others) -> list[str]:
    """Return method and path of all routes that have a user's id in their address; those that end things come last."""
    app = make_app(others.running.service)
    found = [f"{method} {route.path}" for route in api_routes(app.routes) for method in sorted(route.methods)]
    found = [name for name in found if "{" in name and not any(path in name for path in OF_NOBODY)]
    return sorted(found, key=lambda name: bool(ENDS.search(name)))


def api_routes(routes: list[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from api_routes(route.original_router.routes)


def asked(client: httpx2.Client, name: str, ids: dict[str, str]) -> httpx2.Response:
    """Send the request of a route."""
    method, path = name.split(" ", 1)
    where = {"path": "run.json", "x": "0", "y": "0", "z": "0", "c": "0", "t": "0", "level": "0", "number": "0", **ids}
    missing = set(re.findall(r"\{(\w+)", path)) - where.keys()
    assert not missing, f"{name} is new: say here whose its {missing} is, or in OF_NOBODY why it is nobody's"
    address = re.sub(r"\{(\w+)(:\w+)?\}", lambda found: where[found[1]], path)
    more = {**BODIES.get(name, {})}
    headers = {"Tus-Resumable": "1.0.0", **more.pop("headers", {})}
    with client.stream(method, address, headers=headers, **more) as answer:
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            return answer
        answer.read()
        return answer


def test_somebody_elses_things_are_answered_like_things_that_are_not_there(others: Others) -> None:
    names = routes_with_ids(others)
    assert len(names) > 25
    absent = dict.fromkeys(others.ids, ABSENT)
    for name in names:
        theirs, nothing = asked(others.bob, name, others.ids), asked(others.bob, name, absent)
        assert (name, theirs.status_code) == (name, 404)
        assert nothing.status_code == 404
        text = theirs.text
        for key, made in others.ids.items():
            text = text.replace(made, absent[key])
        assert text == nothing.text, name


def test_a_viewer_sees_and_changes_nothing(others: Others) -> None:
    for name in routes_with_ids(others):
        answer = asked(others.viewer, name, others.ids)
        if name.startswith("HEAD /api/v1/uploads/"):
            assert (name, answer.status_code) == (name, 403)  # who asks where an upload ends is about to go on
        elif name.startswith(("GET", "HEAD")):
            assert (name, answer.status_code) == (name, 200)
        elif not NO_DIRECT_UPLOADS.search(name):
            assert (name, answer.status_code, answer.json()["code"]) == (name, 403, "E903")


@pytest.mark.parametrize("path", ["", "/c.tif"])
def test_a_job_takes_no_images_of_others(others: Others, path: str) -> None:
    def sent(set_id: str) -> httpx2.Response:
        return others.bob.post("/api/v1/jobs", json={"inputs": [f"set:{set_id}{path}"]})

    theirs, nothing = sent(others.ids["set_id"]), sent(ABSENT)
    assert (theirs.status_code, nothing.status_code) == (404, 404)
    assert theirs.text.replace(others.ids["set_id"], ABSENT) == nothing.text


def test_nothing_is_uploaded_into_somebody_elses_set(others: Others) -> None:
    theirs, nothing = new_upload(others.bob, others.ids["set_id"]), new_upload(others.bob, ABSENT)
    assert (theirs.status_code, nothing.status_code) == (404, 404)
    assert theirs.text.replace(others.ids["set_id"], ABSENT) == nothing.text


def test_lists_hold_nothing_of_others(others: Others) -> None:
    assert others.bob.get("/api/v1/jobs").json()["jobs"] == []
    assert others.bob.get("/api/v1/sets").json() == []
    assert others.bob.get("/api/v1/training").json()["runs"] == []
    after = others.bob.get("/api/v1/jobs", params={"after": others.ids["job"]})
    assert after.status_code == others.bob.get("/api/v1/jobs", params={"after": ABSENT}).status_code == 404


def test_the_kiosks_routes_tell_nothing_of_others(others: Others) -> None:
    token = others.running.token("bob")
    key = f"segmentation:c.tif:{others.ids['job']}"
    said = others.ann.post(f"/kiosk/{others.running.token('ann')}/api/status", json={"hash": key}).json()
    assert said == {"status": "done"}
    for name, body in (("status", {}), ("redis", {"key": ["status", "output_url"]}), ("expire", {})):
        where = f"/kiosk/{token}/api/{'redis/expire' if name == 'expire' else name}"
        theirs = others.bob.post(where, json={"hash": key, **body})
        nothing = others.bob.post(where, json={"hash": f"segmentation:c.tif:{ABSENT}", **body})
        assert (theirs.status_code, theirs.text) == (nothing.status_code, nothing.text)


def test_the_owner_gets_what_others_do_not(others: Others) -> None:
    for name in routes_with_ids(others):
        if not NO_DIRECT_UPLOADS.search(name):
            assert asked(others.ann, name, others.ids).status_code != 404 or ENDS.search(name), name
