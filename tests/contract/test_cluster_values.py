"""A description of a cluster, through the chart as a real Helm renders it: pods are where it wants them."""

from __future__ import annotations

from typing import Any

import pytest
from helm_python import HelmError
from tests import charts

from cellfleet.cluster.values import helm_values, values_yaml
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool, ImageRef

GKE = ClusterSpec(
    name="lab", where="gke", project="lab-1", region="us-west1", zones=("us-west1-b",), bucket="gs://lab-cells/a",
    gpu=GpuPool(max=6), cpu=CpuPool(max=3, spot=False), budget_per_month=50.0,
)  # fmt: skip
SPECS = {
    "gke": GKE,
    "gke, CPUs alone": GKE.model_copy(update={"gpu": None}),
    "gke, GPUs alone, on demand": GKE.model_copy(update={"cpu": CpuPool(max=0), "gpu": GpuPool(spot=False, max=1)}),
    "gke, split": GKE.model_copy(update={"mode": "split", "models": ("nuclei",)}),
    "gke, the paper's policy": GKE.model_copy(update={"mode": "split", "autoscaling": "paper"}),
    "gke, with a name": GKE.model_copy(update={"address": "cells.lab.example", "image": ImageRef(tag="1.2")}),
    "eks": ClusterSpec(name="lab", where="eks", region="us-west-2", bucket="s3://lab-cells", gpu=GpuPool(type="a10g")),
    "aks": ClusterSpec(
        name="lab",
        where="aks",
        project="lab",
        region="westus2",
        bucket="az://cells@lab.blob.core.windows.net",
        gpu=GpuPool(),
    ),
    "a Kubernetes of one's own": ClusterSpec(
        where="kubeconfig", context="admin@lab", bucket="s3://lab/cells", secret="bucket", cpu=CpuPool(spot=False)
    ),
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))
def test_helm_takes_the_values_and_what_it_installs_fits_the_description(spec: ClusterSpec) -> None:
    objects = charts.rendered(helm_values(spec))
    kinds = {each["metadata"]["name"].rpartition("worker-")[2] for each in objects if each["kind"] == "Deployment"}
    assert ("cpu" in kinds) == (spec.cpu.max > 0)
    assert ("gpu" in kinds) == (spec.gpu is not None and spec.mode == "fused")
    scaled = {each["metadata"]["name"]: each["spec"] for each in objects if each["kind"] == "ScaledObject"}
    bounds = {(it["minReplicaCount"], it["maxReplicaCount"]) for it in scaled.values()}
    assert spec.gpu is None or (spec.gpu.min, spec.gpu.max) in bounds
    if spec.where != "kubeconfig":
        for name, pod in charts.pods(objects):
            pool = next((kind for kind in ("cpu", "gpu", "triton") if name.endswith(kind)), None)
            wanted = {"cellfleet-pool": "gpu" if pool == "triton" else pool} if pool else {}
            assert wanted.items() <= pod["spec"].get("nodeSelector", {}).items()
            keys = {toleration.get("key") for toleration in pod["spec"].get("tolerations", [])}
            assert ("cellfleet-pool" in keys) == (pool is not None)


def test_values_that_the_chart_does_not_know_would_be_noticed() -> None:
    values: dict[str, Any] = helm_values(GKE)
    with pytest.raises(HelmError, match="additional properties 'maximum' not allowed"):
        charts.rendered({**values, "workers": {**values["workers"], "gpu": {"maximum": 3}}})


def test_the_file_says_what_it_is_and_holds_no_anchors() -> None:
    text = values_yaml(GKE)
    assert text.startswith("# Values of the chart cellfleet for the cluster lab.") and "&id" not in text


def test_pods_use_the_bucket_through_their_account_and_no_key() -> None:
    values = helm_values(GKE)
    account = values["serviceAccount"]["annotations"]["iam.gke.io/gcp-service-account"]
    assert account == "lab-pods@lab-1.iam.gserviceaccount.com"
    assert values["billing"] == {"region": "us-west1", "budgetPerMonth": 50.0}
    own = helm_values(SPECS["a Kubernetes of one's own"])
    assert own["store"] == {"url": "s3://lab/cells", "existingSecret": "bucket"}
