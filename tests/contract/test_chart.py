"""The chart: what a real Helm makes of it is what Kubernetes, KEDA and the Prometheus operator take, and is safe."""

from __future__ import annotations

import copy
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.charts import CHART, NAMESPACE, RELEASE, VALUE_SETS, containers, environment, one, pods, rendered, texts
from tests.custom_resources import schema_of

import cellfleet
from cellfleet.jobs.keys import GROUP, PRIORITIES, STREAM

VERSIONS = ("1.28", kubernetes_validate.latest_version())
SETS = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


@SETS
def test_every_object_is_one_that_its_api_takes(values: dict[str, Any]) -> None:
    objects = rendered(values)
    for found in objects:
        if "." in found["apiVersion"] and not found["apiVersion"].startswith("networking.k8s.io/"):
            jsonschema.validate(found, schema_of(found))
        else:
            for version in VERSIONS:
                kubernetes_validate.validate(found, version, strict=True)
    names = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(set(names)) == len(names)
    assert all(len(name) <= 63 for _, name in names)


@SETS
def test_kubernetes_takes_how_fast_keda_is_to_scale(values: dict[str, Any]) -> None:
    for found in rendered(values):
        if found["kind"] == "ScaledObject":
            behaviour = found["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            spec = {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 2, "behavior": behaviour}
            autoscaler = {
                "apiVersion": "autoscaling/v2",
                "kind": "HorizontalPodAutoscaler",
                "metadata": {"name": "x"},
                "spec": spec,
            }
            for version in VERSIONS:
                kubernetes_validate.validate(autoscaler, version, strict=True)


def test_the_checks_above_see_a_slip_of_the_pen() -> None:
    objects = rendered(VALUE_SETS["everything"])
    deployment = copy.deepcopy(one(objects, "Deployment", "-api"))
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolicyy"] = "Always"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)
    scaled = copy.deepcopy(one(objects, "ScaledObject", "-triton"))
    scaled["spec"]["minReplicas"] = scaled["spec"].pop("minReplicaCount")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(scaled, schema_of(scaled))
    scaled = copy.deepcopy(one(objects, "ScaledObject", "-triton"))
    scaled["spec"]["advanced"]["scalingModifiers"]["target"] = 70
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(scaled, schema_of(scaled))


@SETS
def test_helm_finds_nothing_to_complain_of(values: dict[str, Any]) -> None:
    report = helm_python.lint(CHART, values, strict=True)
    assert report["errors"] == []
    assert [each["error"] for each in report["messages"] if each["severity"] > 1] == []


@SETS
def test_nobody_is_root_and_nothing_but_volumes_can_be_written(values: dict[str, Any]) -> None:
    objects = rendered(values)
    for name, pod in pods(objects):
        security = pod["spec"]["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] == 1000, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        # Kubernetes would set CELLFLEET_…_PORT and the like, which the commands would read as options.
        assert pod["spec"]["enableServiceLinks"] is False, name
    for name, container in containers(objects):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name
        mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert "/tmp" in mounted and environment(container).get("HOME", "/tmp") == "/tmp", name


@SETS
def test_each_pod_says_whether_it_lives_and_whether_it_is_ready(values: dict[str, Any]) -> None:
    objects = rendered(values)
    for name, pod in pods(objects):
        if name.endswith("-trainer"):
            continue  # it shows life in the store
        known = {port["name"] for each in pod["spec"]["containers"] for port in each["ports"]}
        numbers = {port["containerPort"] for each in pod["spec"]["containers"] for port in each["ports"]}
        first = pod["spec"]["containers"][0]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = first[probe].get("httpGet") or first[probe].get("tcpSocket")
            assert asked is None or asked["port"] in known | numbers, (name, probe)
    if values.get("mode") == "split":
        triton = one(objects, "Deployment", "-triton")["spec"]["template"]["spec"]["containers"]
        asked = {triton[0][probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
        # Triton's own answer stays true when a model's process has died: the container beside it tries.
        assert asked == {port["containerPort"] for port in triton[1]["ports"]}


@SETS
def test_services_budgets_policies_and_monitors_find_the_pods_that_they_mean(values: dict[str, Any]) -> None:
    objects = rendered(values)
    labels = {name: pod["metadata"]["labels"].items() for name, pod in pods(objects)}
    for found in objects:
        spec = found.get("spec", {})
        if found["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget", "PodMonitor"}:
            wanted = spec["selector"]["matchLabels"]
        elif found["kind"] == "Service":
            wanted = spec["selector"]
        elif found["kind"] == "NetworkPolicy":
            wanted = spec["podSelector"]["matchLabels"]
        else:
            continue
        assert [name for name in labels if wanted.items() <= labels[name]] == [found["metadata"]["name"]], found["kind"]
    targets = {found["spec"]["scaleTargetRef"]["name"] for found in objects if found["kind"] == "ScaledObject"}
    assert targets <= {found["metadata"]["name"] for found in objects if found["kind"] == "Deployment"}


@SETS
def test_kubernetes_kills_later_than_the_worker_gives_back(values: dict[str, Any]) -> None:
    for name, pod in pods(rendered(values)):
        if "-worker-" in name:
            grace = next(word for word in pod["spec"]["containers"][0]["args"] if word.startswith("--grace="))
            assert pod["spec"]["terminationGracePeriodSeconds"] == int(grace.removeprefix("--grace=")) + 15


def test_an_upgrade_leaves_the_number_of_scaled_pods_alone() -> None:
    for name, values in VALUE_SETS.items():
        objects = rendered(values)
        scaled = {found["spec"]["scaleTargetRef"]["name"] for found in objects if found["kind"] == "ScaledObject"}
        for found in objects:
            if found["kind"] == "Deployment":
                assert ("replicas" in found["spec"]) != (found["metadata"]["name"] in scaled), name


def test_a_new_version_of_the_chart_alone_restarts_nothing() -> None:
    for _, pod in pods(rendered(VALUE_SETS["everything"])):
        assert not {"helm.sh/chart", "app.kubernetes.io/version"} & pod["metadata"]["labels"].keys()


def test_the_chart_is_of_this_version() -> None:
    metadata = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert metadata["version"] == metadata["appVersion"] == cellfleet.__version__


def test_secrets_are_named_and_never_told() -> None:
    objects = rendered(VALUE_SETS["a Redis and a bucket of one's own"])
    worker = one(objects, "Deployment", "-worker-cpu")["spec"]["template"]["spec"]["containers"][0]
    assert environment(worker)["CELLFLEET_WORKER_LEDGER"] == (
        "rediss://cellfleet:$(LEDGER_PASSWORD)@redis.lab.example:6380/3"
    )
    names = [each["name"] for each in worker["env"]]
    # Kubernetes puts in only variables that stand further up.
    assert names.index("LEDGER_PASSWORD") < names.index("CELLFLEET_WORKER_LEDGER")
    assert worker["envFrom"] == [{"secretRef": {"name": "bucket"}}]
    assert not any("PASSWORD" in word for word in worker["args"])
    assert not any(found["kind"] == "Secret" for values in VALUE_SETS.values() for found in rendered(values))


def test_keda_finds_the_ledger_that_the_workers_use() -> None:
    values = {**VALUE_SETS["a Redis and a bucket of one's own"], "autoscaling": {"enabled": True}}
    (first, *_) = one(rendered(values), "ScaledObject", "-worker-cpu")["spec"]["triggers"]
    assert first["metadata"] == {
        "address": "redis.lab.example:6380",
        "databaseIndex": "3",
        "enableTLS": "true",
        "username": "cellfleet",
        "stream": STREAM(priority=PRIORITIES[0]),
        "streamLength": "1",
    }
    reference = one(rendered(values), "TriggerAuthentication")
    assert first["authenticationRef"]["name"] == reference["metadata"]["name"]


def test_keda_looks_at_every_stream_and_at_the_group_of_the_workers() -> None:
    triggers = one(rendered(VALUE_SETS["split, the paper's policy"]), "ScaledObject", "-cpu")["spec"]["triggers"]
    asked = [each["metadata"] for each in triggers if each["type"] == "redis-streams"]
    streams = {STREAM(priority=priority) for priority in PRIORITIES}
    assert {each["stream"] for each in asked if "streamLength" in each} == streams
    taken = [each for each in asked if "pendingEntriesCount" in each]
    assert {each["stream"] for each in taken} == streams and {each["consumerGroup"] for each in taken} == {GROUP}


def test_spot_gpus_are_found_and_their_taints_borne() -> None:
    spec = one(rendered(VALUE_SETS["fused, spot GPUs"]), "Deployment", "-worker-gpu")["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "cloud.google.com/gke-spot", "operator": "In", "values": ["true"]}]
    borne = {each["key"]: each.get("tolerationSeconds") for each in spec["tolerations"]}
    assert borne["node.kubernetes.io/unreachable"] == 30
    assert {"nvidia.com/gpu", "cloud.google.com/gke-spot"} <= borne.keys()
    (container,) = spec["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith("-gpu") and "--device=cuda" in container["args"]


def test_trainers_have_their_own_image_and_device_and_no_ledger() -> None:
    image = {"replicas": 1, "image": "registry.lab.example/cellfleet-train:1"}
    for gpus, device in ((1, "cuda"), (0, "cpu")):
        values = {**VALUE_SETS["fused, spot GPUs"], "trainers": {**image, "type": "nvidia-l4", "gpus": gpus}}
        spec = one(rendered(values), "Deployment", "-trainer")["spec"]["template"]["spec"]
        (container,) = spec["containers"]
        assert container["args"] == ["trainer", f"--device={device}"] and container["image"] == image["image"]
        assert container["resources"]["limits"].get("nvidia.com/gpu", 0) == gpus
        assert spec.get("nodeSelector") == ({"cloud.google.com/gke-accelerator": "nvidia-l4"} if gpus else None)
        assert "CELLFLEET_TRAINER_LEDGER" not in environment(container)
    assert not any("trainer" in name for name, _ in pods(rendered(VALUE_SETS["minimal"])))
    (api,) = one(rendered(values), "Deployment", "-api")["spec"]["template"]["spec"]["containers"]
    assert "--trainers=0" in api["args"]


def test_only_those_who_need_it_reach_the_ledger() -> None:
    spec = one(rendered(VALUE_SETS["minimal"]), "NetworkPolicy", "-ledger")["spec"]
    (rule,) = spec["ingress"]
    ours, keda = rule["from"]
    assert ours["podSelector"]["matchLabels"]["app.kubernetes.io/instance"] == RELEASE
    assert keda == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}
    assert spec["egress"] == []


def test_nothing_is_said_of_a_namespace_so_that_helm_chooses_it() -> None:
    for values in VALUE_SETS.values():
        assert not any("namespace" in found["metadata"] for found in rendered(values))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "store.url"),
        ({"store": {"url": "s3://a"}, "autoscaling": {"policy": "paper"}}, "split mode"),
        ({**VALUE_SETS["split"], "autoscaling": {"policy": "paper"}}, "autoscaling.prometheus"),
        ({**VALUE_SETS["split"], "workers": {"gpu": {"enabled": True}}}, "workers.gpu.enabled"),
        ({"store": {"url": "s3://a"}, "workers": {"cpu": {"min": 3, "max": 2}}}, "workers.cpu.min"),
        ({"store": {"url": "s3://a"}, "trainers": {"replicas": 1}}, "trainers.image"),
    ],
)
def test_what_cannot_work_is_refused_with_the_way_out(values: dict[str, Any], says: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match=says):
        rendered(values)


def test_the_notes_tell_what_to_do_next() -> None:
    notes = texts(VALUE_SETS["everything"])["NOTES.txt"]
    assert "https://cells.lab.example" in notes
    assert "password" not in notes
    notes = texts(VALUE_SETS["minimal"])["NOTES.txt"]
    assert f"kubectl --namespace {NAMESPACE} port-forward service/lab-cellfleet-api" in notes
    assert "ledger.existingSecret" in notes  # it has no password


def test_prometheus_is_told_of_the_api_only_with_the_token_that_it_needs() -> None:
    values = {**VALUE_SETS["minimal"], "monitoring": {"monitors": True}}
    assert [found["kind"] for found in rendered(values) if found["kind"].endswith("Monitor")] == ["PodMonitor"]
    assert "monitoring.tokenSecret" in texts(values)["NOTES.txt"]
    (endpoint,) = one(rendered(VALUE_SETS["everything"]), "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "metrics-token", "key": "token"}}
    assert "monitoring.tokenSecret" not in texts(VALUE_SETS["everything"])["NOTES.txt"]


def test_rules_and_dashboards_reach_the_cluster_whole() -> None:
    objects = rendered(VALUE_SETS["everything"])
    rules = yaml.safe_load((CHART / "files" / "rules" / "cellfleet.rules.yml").read_text(encoding="utf-8"))
    assert one(objects, "PrometheusRule")["spec"] == rules
    boards = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "files" / "dashboards").glob("*.json")}
    told = [found["data"] for found in objects if "grafana_dashboard" in found["metadata"].get("labels", {})]
    assert boards and {name: text for data in told for name, text in data.items()} == boards
