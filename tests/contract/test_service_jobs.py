"""Jobs over HTTP: who may do what with which, and what is answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services import Running, running_service
from tests.worked import NAMES, add_job, add_set, broken_image, small_image, work_off


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


def test_a_job_is_taken_in_worked_off_and_shown(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann"), name="first", formats=["labels-tiff", "csv"])
    waiting = client.get(f"/api/v1/jobs/{job}").json()
    assert (waiting["state"], waiting["owner"], waiting["name"]) == ("queued", "ann", "first")
    assert (waiting["progress"]["images"], waiting["progress"]["images_done"]) == (3, 0)
    work_off(running)
    done = client.get(f"/api/v1/jobs/{job}").json()
    assert (done["state"], done["summarised"]) == ("done", True)
    assert (done["progress"]["images_done"], done["progress"]["objects"]) == (3, 12)


def test_the_images_of_a_job_are_listed_in_its_order_page_by_page(running: Running) -> None:
    client = running.client("ann")
    images = {**dict.fromkeys(NAMES, small_image()), "d.tif": broken_image()}
    job = add_job(client, add_set(running, "ann", images))
    waiting = client.get(f"/api/v1/jobs/{job}/images").json()
    assert [(image["number"], image["status"]) for image in waiting["images"]] == [(i, "waiting") for i in range(4)]
    assert waiting["after"] is None
    work_off(running)
    pages, after = [], None
    while not pages or after is not None:
        query = {"limit": 3} if after is None else {"limit": 3, "after": after}
        page = client.get(f"/api/v1/jobs/{job}/images", params=query).json()
        pages.append([(image["number"], image["image"], image["status"]) for image in page["images"]])
        after = page["after"]
    names = [image["image"] for image in waiting["images"]]
    assert sorted(names) == sorted(images)
    status = {name: "failed" if name == "d.tif" else "done" for name in names}
    listed = [(number, name, status[name]) for number, name in enumerate(names)]
    assert pages == [listed[:3], listed[3:]]
    for number, name, expected in listed:
        assert client.get(f"/api/v1/jobs/{job}/images/{number}").json()["record"]["image"] == name
        found = client.get(f"/api/v1/jobs/{job}/images", params={"status": expected}).json()["images"]
        assert number in [image["number"] for image in found]
    failed = client.get(f"/api/v1/jobs/{job}/images", params={"status": "failed"}).json()
    assert [image["record"]["error"]["code"] for image in failed["images"]] == ["E106"]
    missing = client.get(f"/api/v1/jobs/{job}/images/4")
    assert (missing.status_code, missing.json()["code"]) == (404, "E942")


def test_looking_at_jobs_costs_the_same_for_one_and_for_a_page_of_them(running: Running, sent: list[object]) -> None:
    jobs = [add_job(running.client("eve"), add_set(running, "eve")) for _ in range(3)]
    desk = running.service.desk
    assert [job.id for job in desk.page("eve")[0]] == jobs[::-1], "and the server has all scripts now"
    for look, round_trips in ((lambda: [desk.job(jobs[0])], 1), (lambda: desk.page("eve")[0], 3)):
        sent.clear()
        assert look()[0].owner == "eve" and len(sent) == round_trips


def test_a_page_ends_after_a_bounded_search(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellfleet.service.routes.images._LOOKED_AT", 2)
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", [f"{number}.tif" for number in range(5)]))
    seen, after = [], -1
    while after is not None:
        query = {"status": "failed"} if after < 0 else {"status": "failed", "after": after}
        page = client.get(f"/api/v1/jobs/{job}/images", params=query).json()
        assert page["images"] == []
        after = page["after"]
        seen.append(after)
    assert seen == [1, 3, None]


def test_a_picture_of_an_image_is_there_when_it_is_done(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    early = client.get(f"/api/v1/jobs/{job}/images/0/thumbnail")
    assert (early.status_code, early.json()["code"]) == (404, "E943")
    work_off(running)
    picture = client.get(f"/api/v1/jobs/{job}/images/0/thumbnail")
    assert (picture.status_code, picture.headers["content-type"], picture.content[:3]) == (
        200,
        "image/jpeg",
        b"\xff\xd8\xff",
    )
    again = client.get(f"/api/v1/jobs/{job}/images/0/thumbnail", headers={"If-None-Match": picture.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_what_failed_stands_among_the_dead_and_is_tried_again(running: Running) -> None:
    client = running.client("ann")
    set_id = add_set(running, "ann", {"good.tif": small_image(), "bad.tif": broken_image()})
    job = add_job(client, set_id)
    work_off(running)
    assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "failed"
    dead = client.get(f"/api/v1/jobs/{job}/dead").json()
    assert [task["code"] for task in dead["tasks"]] == ["E106"] and not dead["more"]
    running.store.write(f"uploads/{set_id}/bad.tif", small_image())
    assert client.post(f"/api/v1/jobs/{job}/retry").json()["state"] == "queued"
    work_off(running)
    assert client.get(f"/api/v1/jobs/{job}").json()["state"] == "done"
    assert client.get(f"/api/v1/jobs/{job}/dead").json()["tasks"] == []


def test_a_job_is_paused_resumed_cancelled_and_removed(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann"))
    states = [client.post(f"/api/v1/jobs/{job}/{verb}").json()["state"] for verb in ("pause", "resume", "cancel")]
    assert states == ["paused", "queued", "cancelled"]
    refused = client.post(f"/api/v1/jobs/{job}/pause")
    assert (refused.status_code, refused.json()["code"]) == (409, "E812")
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
    assert client.get(f"/api/v1/jobs/{job}").status_code == 404


def test_a_job_is_found_by_its_name_among_many_that_are_searched_part_by_part(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellfleet.jobs.desk._SEARCHED", 2)
    client = running.client("gil")
    jobs = [add_job(client, add_set(running, "gil", ["a.tif"]), name=f"Plate {number} µ") for number in range(5)]
    found, after, requests = [], None, 0
    while requests == 0 or after is not None:
        query = {"text": " pLATE 1 Μ"} | ({} if after is None else {"after": after})
        page = client.get("/api/v1/jobs", params=query).json()
        found += [job["id"] for job in page["jobs"]]
        after, requests = page["after"], requests + 1
    assert (found, requests) == ([jobs[1]], 3)
    assert client.get("/api/v1/jobs", params={"text": "no such job", "after": jobs[2]}).json()["after"] is None


def test_jobs_are_listed_newest_first_and_only_ones_own(running: Running) -> None:
    cleo, dora = running.client("cleo"), running.client("dora")
    of_cleo = [add_job(cleo, add_set(running, "cleo", ["a.tif"])) for _ in range(3)]
    of_dora = add_job(dora, add_set(running, "dora", ["a.tif"]))
    cleo.post(f"/api/v1/jobs/{of_cleo[1]}/cancel")
    first = cleo.get("/api/v1/jobs", params={"limit": 2}).json()
    second = cleo.get("/api/v1/jobs", params={"limit": 2, "after": first["after"]}).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == of_cleo[::-1]
    assert second["after"] is None
    cancelled = cleo.get("/api/v1/jobs", params={"state": "cancelled"}).json()["jobs"]
    assert [job["id"] for job in cancelled] == [of_cleo[1]]
    assert cleo.get("/api/v1/jobs", params={"ended": True}).json()["jobs"] == cancelled
    assert len(cleo.get("/api/v1/jobs", params={"ended": False}).json()["jobs"]) == 2
    assert cleo.get("/api/v1/jobs", params={"owner": "dora"}).json() == {"jobs": [], "after": None}
    admin = running.client("root", "admin")
    assert [job["id"] for job in admin.get("/api/v1/jobs", params={"limit": 2}).json()["jobs"]] == [of_dora, of_cleo[2]]
    assert [job["id"] for job in admin.get("/api/v1/jobs", params={"owner": "dora"}).json()["jobs"]] == [of_dora]


def test_inputs_are_ones_own_or_allowed(running: Running) -> None:
    client = running.client("ann")
    foreign = add_set(running, "bob", ["a.tif"])
    request = {"segment": {"model": "otsu"}}
    others = client.post("/api/v1/jobs", json={**request, "inputs": [f"set:{foreign}"]})
    nobodys = client.post("/api/v1/jobs", json={**request, "inputs": [f"set:{'0' * len(foreign)}"]})
    assert others.status_code == nobodys.status_code == 404
    assert others.json()["code"] == nobodys.json()["code"] == "E921"
    own = f"set:{add_set(running, 'ann', ['a.tif'])}"
    for given in ({"inputs": ["/etc"]}, {"inputs": ["s3://bucket/a"]}, {"inputs": [own], "out": "/tmp/results"}):
        refused = client.post("/api/v1/jobs", json={**request, **given})
        assert (refused.status_code, refused.json()["code"]) == (403, "E818"), given


ROUTES = (
    ("GET", ""),
    ("DELETE", ""),
    *(("POST", f"/{verb}") for verb in ("pause", "resume", "cancel", "retry")),
    ("GET", "/events"),
    ("GET", "/images"),
    ("GET", "/images/0"),
    ("GET", "/images/0/thumbnail"),
    ("GET", "/dead"),
    ("GET", "/files/run.json"),
    ("HEAD", "/files/run.json"),
    ("GET", "/zip"),
    ("HEAD", "/zip"),
    ("POST", "/links"),
)
CHANGES = [route for route in ROUTES if route[0] in {"POST", "DELETE"}]


@pytest.fixture(scope="module")
def job_of_ann(running: Running) -> str:
    job = add_job(running.client("ann"), add_set(running, "ann"))
    work_off(running)
    return job


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_anothers_job_is_answered_like_one_that_is_not_there(
    running: Running, job_of_ann: str, method: str, route: str
) -> None:
    bob = running.client("bob")
    nobodys = job_of_ann[:-1] + ("0" if job_of_ann[-1] != "0" else "1")
    body = {"json": {}} if route == "/links" else {}
    there, missing = (bob.request(method, f"/api/v1/jobs/{job}{route}", **body) for job in (job_of_ann, nobodys))
    assert there.status_code == missing.status_code == 404
    assert there.text == missing.text.replace(nobodys, job_of_ann)
    assert method == "HEAD" or there.json()["code"] == "E810"
    assert running.client("root", "admin").get(f"/api/v1/jobs/{job_of_ann}").status_code == 200


@pytest.mark.parametrize(("method", "route"), CHANGES)
def test_a_viewer_may_look_and_not_change(running: Running, job_of_ann: str, method: str, route: str) -> None:
    viewer = running.client("ann", "viewer")
    body = {"json": {}} if route == "/links" else {}
    refused = viewer.request(method, f"/api/v1/jobs/{job_of_ann}{route}", **body)
    assert (refused.status_code, refused.json()["code"]) == (403, "E903")
    assert viewer.get(f"/api/v1/jobs/{job_of_ann}").status_code == 200


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_without_a_token_nothing_is_told(running: Running, job_of_ann: str, method: str, route: str) -> None:
    answer = running.client().request(method, f"/api/v1/jobs/{job_of_ann}{route}")
    assert answer.status_code == 401
    assert method == "HEAD" or answer.json()["code"] == "E904"


def test_a_viewer_hands_in_nothing(running: Running) -> None:
    request = {"inputs": [f"set:{add_set(running, 'ann', ['a.tif'])}"]}
    assert running.client("ann", "viewer").post("/api/v1/jobs", json=request).status_code == 403


@pytest.mark.parametrize("route", ["", "/images", "/files/run.json", "/events", "/zip"])
@pytest.mark.parametrize("job", ["..", "%2e%2e", "A", "a" * 64, "x%2f..%2fy", "%00"])
def test_what_is_no_id_is_no_job(running: Running, job: str, route: str) -> None:
    answer = running.client("ann").get(f"/api/v1/jobs/{job}{route}")
    assert answer.status_code in {404, 422}
    assert answer.json()["code"] in {"E900", "E902"}
