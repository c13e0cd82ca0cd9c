"""The description of the cluster over HTTP: who sees it, what is refused, and nobody overwrites another's change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.services import Running, running_service

from cellfleet.spec.cluster_file import GRANTED, IN_STORE, parse_cluster

PATH = "/api/v1/admin/cluster"
FIELDS: dict[str, Any] = {
    "name": "lab", "where": "gke", "project": "lab-1", "region": "us-west1", "zones": ["us-west1-b"],
    "bucket": "gs://lab-cells", "gpu": {"type": "t4", "max": 4}, "cpu": {"max": 0}, "budget_per_month": 300,
}  # fmt: skip


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service without description."""
    with running_service(tmp_path_factory.mktemp("cluster"), login=True) as service:
        yield service


def test_only_administrators_see_or_change_it(running: Running) -> None:
    for client, status in ((running.client("ann"), 403), (running.client(), 401)):
        assert client.get(PATH).status_code == status
        assert client.post(f"{PATH}/diff", json={"fields": FIELDS}).status_code == status
        assert client.put(PATH, json={"fields": FIELDS}, headers={"If-Match": '"none"'}).status_code == status


def test_a_description_is_reviewed_saved_and_read_again(running: Running) -> None:
    admin = running.client("root", "admin")
    empty = admin.get(PATH).json()
    assert (empty["cluster"], empty["version"], empty["now"]["queued"]) == (None, "none", 0)
    review = admin.post(f"{PATH}/diff", json={"fields": FIELDS}).json()
    assert "+name: lab" in review["diff"].splitlines() and review["refused"] == ""
    assert "hours with every machine" in review["sentences"][0]
    assert running.store.read(IN_STORE) is None
    saved = admin.put(PATH, json={"fields": FIELDS}, headers={"If-Match": f'"{empty["version"]}"'}).json()
    kept = running.store.read(IN_STORE)
    assert kept and parse_cluster(kept).gpu and saved["text"].encode() == kept
    assert saved["money"]["idle_usd_per_hour"] == pytest.approx(0.1 + 0.097118 + 50 * 0.04 / 730)
    assert saved["now"] == {
        "workers": 0,
        "queued": 0,
        "in_flight": 0,
        "usd_per_hour": saved["money"]["idle_usd_per_hour"],
    }
    changed = admin.post(f"{PATH}/diff", json={"fields": {**FIELDS, "gpu": {"type": "t4", "max": 6}}}).json()
    assert [line for line in changed["diff"].splitlines() if line[0] in "+-"][2:] == ["-  max: 4", "+  max: 6"]


def test_of_two_who_change_it_the_second_is_told(running: Running) -> None:
    admin = running.client("root", "admin")
    first = {"If-Match": '"none"'}
    assert admin.put(PATH, json={"fields": FIELDS}, headers=first).status_code == 200
    second = admin.put(PATH, json={"fields": {**FIELDS, "name": "other"}}, headers=first)
    assert (second.status_code, second.json()["code"]) == (412, "E719")
    assert admin.get(PATH).json()["cluster"]["name"] == "lab"
    assert admin.put(PATH, json={"fields": FIELDS}).status_code == 428


def test_what_the_provider_does_not_grant_is_refused(running: Running) -> None:
    admin = running.client("root", "admin")
    running.store.write(
        GRANTED, b'{"region": "us-west1", "gpus": {"t4": {"spot": 3, "on_demand": 8}, "l4": {"spot": 0}}}'
    )
    review = admin.post(f"{PATH}/diff", json={"fields": FIELDS}).json()
    assert review["refused"] == "us-west1 grants 3 T4 spot, and 4 are wanted"
    offers = {offer["type"]: offer for offer in review["offers"]}
    assert offers["t4"]["granted"] == {"spot": 3, "on_demand": 8} and offers["l4"]["granted"]["spot"] == 0
    assert offers["t4"]["usd_per_hour_spot"] < offers["t4"]["usd_per_hour_on_demand"]
    refused = admin.put(PATH, json={"fields": FIELDS}, headers={"If-Match": '"none"'})
    assert (refused.status_code, refused.json()["code"]) == (422, "E715")
    on_demand = {**FIELDS, "gpu": {"type": "t4", "max": 4, "spot": False}}
    assert admin.put(PATH, json={"fields": on_demand}, headers={"If-Match": '"none"'}).status_code == 200


def test_a_mistake_in_the_form_is_told_as_in_the_file(running: Running) -> None:
    admin = running.client("root", "admin")
    told = admin.post(f"{PATH}/diff", json={"fields": {**FIELDS, "zonez": []}}).json()
    assert told["code"] == "E711" and "Did you mean zones?" in told["message"]


def test_a_file_that_cannot_be_read_is_shown_with_what_is_wrong(running: Running) -> None:
    running.store.write(IN_STORE, b"where: moon\n")
    found = running.client("root", "admin").get(PATH).json()
    assert (
        found["cluster"] is None and found["text"] == "where: moon\n" and "line 1: where is 'moon'" in found["problem"]
    )
