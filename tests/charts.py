"""The chart as a real Helm renders it, for value sets that people use, and how to find something in it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

CHART = Path(__file__).parents[1] / "deploy" / "chart"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RELEASE, NAMESPACE = "lab", "cells"

_BUCKET = {"store": {"url": "gs://lab-images/cellfleet"}}
_SPLIT = {**_BUCKET, "mode": "split", "platform": "gke"}
_PROMETHEUS = "http://prometheus.monitoring:9090"

VALUE_SETS: dict[str, dict[str, Any]] = {
    "minimal": _BUCKET,
    "fused, CPU": {
        **_BUCKET,
        "platform": "gke",
        "workers": {"cpu": {"spot": True, "max": 40}},
        "serviceAccount": {"annotations": {"iam.gke.io/gcp-service-account": "cellfleet@lab.iam.gserviceaccount.com"}},
        "networkPolicies": {"ports": [443, 80, 988]},
    },
    "fused, spot GPUs": {
        **_BUCKET,
        "platform": "gke",
        "workers": {"cpu": {"enabled": False}, "gpu": {"enabled": True, "type": "nvidia-l4", "max": 8}},
    },
    "split": {**_SPLIT, "triton": {"type": "nvidia-tesla-t4"}},
    "split, the paper's policy": {**_SPLIT, "autoscaling": {"policy": "paper", "prometheus": _PROMETHEUS}},
    "a Redis and a bucket of one's own": {
        "store": {
            "url": "s3://lab/cellfleet",
            "existingSecret": "bucket",
            "environment": {"AWS_ENDPOINT_URL": "https://minio.lab.example", "AWS_REGION": "us-east-1"},
        },
        "ledger": {"url": "rediss://cellfleet@redis.lab.example:6380/3", "existingSecret": "redis"},
        "autoscaling": {"enabled": False},
        "workers": {"cpu": {"min": 3}},
    },
    "a volume in place of a bucket": {"store": {"existingClaim": "images"}, "networkPolicies": {"enabled": False}},
    "everything": {
        **_SPLIT,
        "nameOverride": "cells",
        "platform": "eks",
        "log": "text",
        "billing": {"region": "eu-west-1", "pricesConfigMap": "prices", "budgetPerMonth": 0},
        "image": {"tag": "1.2.3", "pullSecrets": ["registry"]},
        "serviceAccount": {
            "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/cellfleet"},
            "podLabels": {"team": "imaging"},
        },
        "api": {
            "replicas": 2,
            "allowInput": ["s3://lab/microscope/"],
            "kioskUser": "kiosk",
            "userHeader": {"name": "X-Forwarded-User", "trust": ["10.0.0.7"]},
            "nodeSelector": {"pool": "small"},
            "tolerations": [{"key": "small", "operator": "Exists"}],
            "ingress": {"enabled": True, "className": "nginx", "host": "cells.lab.example", "tlsSecret": "cells-tls"},
        },
        "ledger": {
            "existingSecret": "ledger",
            "server": {
                "program": "redis-server",
                "image": {"repository": "redis", "tag": "7.2"},
                "storage": {"size": "8Gi", "className": "fast"},
                "nodeSelector": {"pool": "small"},
                "tolerations": [{"key": "small", "operator": "Exists"}],
            },
        },
        "workers": {
            "cpu": {
                "spot": True,
                "machine": "c6i.2xlarge",
                "nodeSelector": {"pool": "workers"},
                "tolerations": [{"key": "workers", "operator": "Equal", "value": "true", "effect": "NoSchedule"}],
            }
        },
        "triton": {
            "models": ["nuclei", "ours:2"],
            "gpus": 2,
            "nodeSelector": {"gpu": "a10g"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        },
        "trainers": {
            "replicas": 2,
            "image": "registry.lab.example/cellfleet-train:1.2.3",
            "nodeSelector": {"gpu": "a10g"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
        },
        "autoscaling": {"policy": "paper", "prometheus": _PROMETHEUS, "paper": {"reading": "paper-tenth"}},
        "networkPolicies": {"ingressNamespace": "ingress-nginx"},
        "monitoring": {
            "monitors": True,
            "rules": True,
            "dashboards": True,
            "labels": {"release": "prometheus"},
            "tokenSecret": "metrics-token",
        },
    },
}
"""What it is for → values."""


@cache
def chart() -> helm_python.Chart:
    """Return the chart, loaded once: it never changes."""
    return helm_python.Chart.load(CHART)


def texts(values: dict[str, Any]) -> dict[str, str]:
    """Return template → what Helm makes of it, the notes included."""
    files: dict[str, str] = chart().render(values, name=RELEASE, namespace=NAMESPACE)
    return {name.rpartition("templates/")[2]: text for name, text in sorted(files.items())}


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that Helm would install."""
    parsed = (yaml.load_all(text, _Loader) for name, text in texts(values).items() if name != "NOTES.txt")
    return [found for objects in parsed for found in objects if found]


def one(objects: list[dict[str, Any]], kind: str, end: str = "") -> dict[str, Any]:
    """Return the only object of that kind whose name ends so."""
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"].endswith(end))
    return found


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and pod template of everything that runs pods."""
    for each in objects:
        if each["kind"] in {"Deployment", "StatefulSet"}:
            yield each["metadata"]["name"], each["spec"]["template"]


def containers(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``pod/container`` and container."""
    for name, pod in pods(objects):
        for container in pod["spec"]["containers"]:
            yield f"{name}/{container['name']}", container


def environment(container: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that stand in the chart, without those of secrets."""
    return {each["name"]: each["value"] for each in container.get("env", ()) if "value" in each}
