"""A cluster of Google's from nothing and back, against a stand-in that answers in the programs' own words."""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import pytest
from tests.clouds import Cloud, CutOffError

from cellfleet.cluster import plan
from cellfleet.cluster.checks import QuotaError, refuse
from cellfleet.cluster.steps import Carrier, Clock
from cellfleet.errors import ClusterError
from cellfleet.planning.cluster_costs import cluster_costs
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool

CHART = "deploy/chart"
SPEC = ClusterSpec(
    name="lab",
    where="gke",
    project="lab-1",
    region="us-west1",
    zones=("us-west1-b",),
    bucket="gs://lab-cells/cellfleet",
    gpu=GpuPool(max=4),
    cpu=CpuPool(max=2),
)
STEPS = 16
"""Of the way up: each changes something once."""


def carrier(cloud: Cloud) -> Carrier:
    seconds = itertools.count(0, 10)
    return Carrier(
        cloud.run, lambda event, step, detail: None, plan.advise(SPEC), Clock(lambda: next(seconds), lambda _: None)
    )


def go_up(cloud: Cloud, folder: Path, spec: ClusterSpec = SPEC) -> int:
    files = plan.Files(folder)
    plan.write_files(spec, files, cloud.run)
    return carrier(cloud).carry_out(plan.up_steps(spec, cluster_costs(spec), CHART, files))


def go_down(cloud: Cloud) -> int:
    return carrier(cloud).carry_out(plan.down_steps(SPEC))


def test_from_nothing_to_a_cluster_and_a_second_time_nothing_is_done(tmp_path: Path) -> None:
    cloud = Cloud()
    # Nothing is old in a new cluster, so that step has nothing to do.
    assert go_up(cloud, tmp_path) == STEPS - 1
    made = len(cloud.changes)
    assert cloud.state["clusters"]["lab"]["status"] == "RUNNING"
    assert set(cloud.state["clusters"]["lab"]["pools"]) == {"gpu-t4-n1-standard-8-spot", "cpu-n2-standard-8-spot"}
    assert cloud.state["releases"]["lab/cellfleet"]["config"]["store"]["url"] == SPEC.bucket
    assert go_up(cloud, tmp_path) == 0
    assert len(cloud.changes) == made


@pytest.mark.parametrize("how", ["before", "after", "refused"])
@pytest.mark.parametrize("at", range(1, STEPS))
def test_cut_off_at_any_step_the_same_command_goes_on_and_repeats_nothing(at: int, how: str, tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.state["fault"] = {"at": at, "how": how, "words": "ERROR: (gcloud) UNAVAILABLE: The service is unavailable."}
    # Some steps try again by themselves where Google refuses.
    told = ClusterError if how == "refused" else CutOffError
    with contextlib.suppress(told):
        go_up(cloud, tmp_path)
    assert len(cloud.changes) >= at
    go_up(cloud, tmp_path)
    assert cloud.state["clusters"]["lab"]["status"] == "RUNNING"
    carried_out = [tuple(command) for command in cloud.changes]
    repeated = [command for command in set(carried_out) if carried_out.count(command) > 1]
    # Only what had taken no effect is called again.
    assert repeated == ([] if how == "after" else [carried_out[at - 1]])


@pytest.mark.parametrize("at", range(1, STEPS))
def test_a_command_that_took_effect_and_says_that_it_failed_is_believed_by_what_is_there(
    at: int, tmp_path: Path
) -> None:
    cloud = Cloud()
    cloud.state["fault"] = {"at": at, "how": "lost"}
    assert go_up(cloud, tmp_path) == STEPS - 1
    assert go_up(cloud, tmp_path) == 0


def test_down_leaves_nothing_but_the_bucket_and_may_be_repeated(tmp_path: Path) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    assert go_down(cloud) == 7
    assert not any(cloud.state[kind] for kind in ("clusters", "accounts", "project_policy", "releases", "namespaces"))
    assert set(cloud.state["buckets"]) == {"gs://lab-cells"} and not cloud.state["buckets"]["gs://lab-cells"]["policy"]
    assert go_down(cloud) == 0


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("at", range(1, 8))
def test_down_goes_on_where_it_was_cut_off(at: int, how: str, tmp_path: Path) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    cloud.state["fault"] = {"at": len(cloud.changes) + at, "how": how}
    with pytest.raises(CutOffError):
        go_down(cloud)
    go_down(cloud)
    assert not any(cloud.state[kind] for kind in ("clusters", "accounts", "project_policy"))


def test_down_finds_disks_and_load_balancers_that_outlived_the_cluster(tmp_path: Path) -> None:
    cloud = Cloud()
    told = '{"kubernetes.io/created-for/pvc/name":"data","kubernetes.io/created-for/pvc/namespace":"lab"}'
    cloud.state["disks"] = [
        {"name": "pvc-1", "zone": "https://www.googleapis.com/zones/us-west1-b", "sizeGb": "4", "description": told},
        {"name": "others", "zone": "zones/us-west1-b", "sizeGb": "500", "labels": {"goog-k8s-cluster-name": "lab2"}},
    ]
    cloud.state["rules"] = [
        {"name": "a1", "region": "regions/us-west1", "description": '{"kubernetes.io/service-name":"lab/api"}'}
    ]
    left = {looked.kind: looked.found for looked in plan.look_for_leftovers(SPEC, cloud.run)}
    assert list(left) == ["clusters", "machines", "disks", "addresses", "load balancers"]
    assert [(each.name, each.place, each.size_gb) for each in left["disks"]] == [("pvc-1", "us-west1-b", 4.0)]
    assert left["disks"][0].delete[:5] == ("gcloud", "compute", "disks", "delete", "pvc-1")
    assert [each.name for each in left["load balancers"]] == ["a1"]
    assert not (left["clusters"] or left["machines"] or left["addresses"])


def test_another_maximum_changes_the_pool_and_other_machines_make_a_new_one_before_the_old_one_goes(
    tmp_path: Path,
) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    before = len(cloud.changes)
    more = SPEC.model_copy(update={"gpu": GpuPool(max=7)})
    go_up(cloud, tmp_path, more)
    verbs = [command[:4] for command in cloud.changes[before:]]
    assert verbs[0] == ["gcloud", "container", "node-pools", "update"]
    # The chart's bound and the kept description follow.
    assert [verb[0] for verb in verbs] == ["gcloud", "helm", "gcloud"]
    before = len(cloud.changes)
    go_up(cloud, tmp_path, SPEC.model_copy(update={"gpu": GpuPool(max=7, spot=False)}))
    names = [command[3] for command in cloud.changes[before:] if command[2] == "node-pools"]
    assert names == ["create", "delete"]
    assert set(cloud.state["clusters"]["lab"]["pools"]) == {"gpu-t4-n1-standard-8", "cpu-n2-standard-8-spot"}


def test_another_zone_more_changes_the_pools_that_there_are(tmp_path: Path) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    zones = ("us-west1-b", "us-west1-a")
    go_up(cloud, tmp_path, SPEC.model_copy(update={"zones": zones, "gpu": GpuPool(max=5)}))
    for pool in cloud.state["clusters"]["lab"]["pools"].values():
        assert set(pool["locations"]) == set(zones)
    # Google takes one change of a pool at a time.
    assert cloud.state["clusters"]["lab"]["pools"]["gpu-t4-n1-standard-8-spot"]["autoscaling"]["totalMaxNodeCount"] == 5


def test_a_cluster_of_the_same_name_elsewhere_is_not_forgotten(tmp_path: Path) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    moved = SPEC.model_copy(update={"zones": ("us-west1-a",)})
    with pytest.raises(ClusterError, match="us-west1-b too, and it costs"):
        go_up(cloud, tmp_path, moved)


@pytest.mark.parametrize(
    ("status", "version", "mended_by"), [("pending-install", 1, "uninstall"), ("pending-upgrade", 2, "rollback")]
)
def test_a_helm_that_was_cut_off_does_not_block_the_next(
    status: str, version: int, mended_by: str, tmp_path: Path
) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    release = cloud.state["releases"]["lab/cellfleet"]
    release["info"]["status"], release["version"] = status, version
    before = len(cloud.changes)
    go_up(cloud, tmp_path)
    assert cloud.changes[before][:2] == ["helm", mended_by]
    assert cloud.state["releases"]["lab/cellfleet"]["info"]["status"] == "deployed"


def test_a_keda_that_somebody_else_has_installed_is_left_alone(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.state["kinds"] = ["scaledobjects.keda.sh"]
    go_up(cloud, tmp_path)
    assert set(cloud.state["releases"]) == {"lab/cellfleet"}


def test_on_a_kubernetes_that_is_there_nothing_is_touched_but_cellfleet_and_keda(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.state["contexts"] = ["admin@lab"]
    own = ClusterSpec(name="cells", where="kubeconfig", context="admin@lab", bucket="s3://lab/cells", secret="keys")
    assert go_up(cloud, tmp_path, own) == 2
    assert set(cloud.state["releases"]) == {"keda/keda", "cells/cellfleet"}
    assert {command[0] for command in cloud.state["log"]} == {"helm", "kubectl"}
    assert carrier(cloud).carry_out(plan.down_steps(own)) == 2
    # Others may use it.
    assert set(cloud.state["releases"]) == {"keda/keda"}


def test_what_google_has_broken_is_said_and_nothing_is_done_about_it(tmp_path: Path) -> None:
    cloud = Cloud()
    go_up(cloud, tmp_path)
    cloud.state["clusters"]["lab"] |= {"status": "ERROR", "statusMessage": "Instance creation failed"}
    before = len(cloud.changes)
    with pytest.raises(ClusterError, match="ERROR: Instance creation failed") as raised:
        go_up(cloud, tmp_path)
    assert raised.value.code == "E714" and len(cloud.changes) == before


def test_a_cluster_that_never_gets_ready_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.state["slow"] = 10**9
    with pytest.raises(ClusterError, match="still not ready after 45 minutes"):
        go_up(cloud, tmp_path)


def test_a_quota_below_the_maximum_is_refused_before_anything_is_made() -> None:
    cloud = Cloud()
    refuse(check for check in plan.check(SPEC, cloud.run) if check.code == "E715")
    cloud.state["quotas"]["PREEMPTIBLE_NVIDIA_T4_GPUS"] = 2
    with pytest.raises(QuotaError, match="PREEMPTIBLE_NVIDIA_T4_GPUS in us-west1 is 2, but the file wants 4") as raised:
        refuse(check for check in plan.check(SPEC, cloud.run) if check.code == "E715")
    assert raised.value.exit_code == 6 and "gpu.max to 2" in raised.value.action
    # Without a quota of their own, spare GPUs count against that of the others.
    cloud.state["quotas"]["PREEMPTIBLE_NVIDIA_T4_GPUS"] = 0
    refuse(check for check in plan.check(SPEC, cloud.run) if check.code == "E715")
    assert not cloud.changes


def test_a_gpu_that_a_zone_lacks_is_refused_with_the_zones_that_have_it() -> None:
    cloud = Cloud()
    spec = SPEC.model_copy(update={"zones": ("us-west1-c",)})
    (found,) = [check for check in plan.check(spec, cloud.run) if check.name == "GPU"]
    assert found.state == "wrong" and "us-west1-a, us-west1-b" in found.action
