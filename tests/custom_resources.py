"""What KEDA (2.20) and the Prometheus operator (0.82) take: names and types of the fields, and nothing beside them.

Written down from the types that they publish (kedacore/keda apis/keda/v1alpha1; prometheus-operator/prometheus-operator
pkg/apis/monitoring/v1), as far as a chart may use them. An API server drops or refuses other fields; so do these.
"""

from __future__ import annotations

from typing import Any

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer"}
_FLAG = {"type": "boolean"}
_TEXTS = {"type": "array", "items": _TEXT}
_MAP = {"type": "object", "additionalProperties": _TEXT}
_DURATION = {
    "type": "string",
    "pattern": "^(0|([0-9]+y)?([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?)$",
}


def _object(fields: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(required), "additionalProperties": False}


def _list(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


_METADATA = _object({"name": _TEXT, "labels": _MAP, "annotations": _MAP}, "name")
_BEHAVIOUR = {"type": "object"}
"""Kubernetes' own: checked as part of a HorizontalPodAutoscaler."""
_SECRET_KEY = _object({"name": _TEXT, "key": _TEXT, "optional": _FLAG}, "key")
_SELECTOR = _object({"matchLabels": _MAP, "matchExpressions": _list({"type": "object"})})

_TRIGGER = _object(
    {
        "type": _TEXT,
        "name": {"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9_]*$"},
        "metadata": _MAP,
        "metricType": {"enum": ["AverageValue", "Value", "Utilization"]},
        "useCachedMetrics": _FLAG,
        "authenticationRef": _object({"name": _TEXT, "kind": _TEXT}, "name"),
    },
    "type",
    "metadata",
)
_SCALED_OBJECT = _object(
    {
        "scaleTargetRef": _object(
            {"name": _TEXT, "apiVersion": _TEXT, "kind": _TEXT, "envSourceContainerName": _TEXT}, "name"
        ),
        "pollingInterval": _NUMBER,
        "initialCooldownPeriod": _NUMBER,
        "cooldownPeriod": _NUMBER,
        "idleReplicaCount": _NUMBER,
        "minReplicaCount": _NUMBER,
        "maxReplicaCount": _NUMBER,
        "fallback": _object(
            {"failureThreshold": _NUMBER, "replicas": _NUMBER, "behavior": _TEXT}, "failureThreshold", "replicas"
        ),
        "advanced": _object(
            {
                "horizontalPodAutoscalerConfig": _object({"name": _TEXT, "behavior": _BEHAVIOUR}),
                "restoreToOriginalReplicaCount": _FLAG,
                "scalingModifiers": _object(
                    {
                        "formula": _TEXT,
                        "target": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
                        "activationTarget": _TEXT,
                        "metricType": {"enum": ["AverageValue", "Value"]},
                    }
                ),
            }
        ),
        "triggers": _list(_TRIGGER),
    },
    "scaleTargetRef",
    "triggers",
)
_ENDPOINT = {
    "port": _TEXT,
    "path": _TEXT,
    "interval": _DURATION,
    "scrapeTimeout": _DURATION,
    "scheme": {"enum": ["http", "https"]},
    "honorLabels": _FLAG,
    "params": {"type": "object"},
    "authorization": _object({"type": _TEXT, "credentials": _SECRET_KEY}),
    "relabelings": _list({"type": "object"}),
    "metricRelabelings": _list({"type": "object"}),
}
_MONITOR = {"jobLabel": _TEXT, "podTargetLabels": _TEXTS, "sampleLimit": _NUMBER, "selector": _SELECTOR}
_RULE = _object(
    {
        "alert": _TEXT,
        "record": {"type": "string", "pattern": "^[a-zA-Z_:][a-zA-Z0-9_:]*$"},
        "expr": {"type": ["string", "integer"]},
        "for": _DURATION,
        "keep_firing_for": _DURATION,
        "labels": _MAP,
        "annotations": _MAP,
    },
    "expr",
)
_GROUP = _object(
    {"name": _TEXT, "interval": _DURATION, "limit": _NUMBER, "labels": _MAP, "rules": _list(_RULE)}, "name"
)

SPECIFICATIONS: dict[str, dict[str, Any]] = {
    "keda.sh/v1alpha1 ScaledObject": _SCALED_OBJECT,
    "keda.sh/v1alpha1 TriggerAuthentication": _object(
        {
            "secretTargetRef": _list(
                _object({"parameter": _TEXT, "name": _TEXT, "key": _TEXT}, "parameter", "name", "key")
            )
        }
    ),
    "monitoring.coreos.com/v1 ServiceMonitor": _object(
        {**_MONITOR, "targetLabels": _TEXTS, "endpoints": _list(_object({**_ENDPOINT, "targetPort": {}}))},
        "selector",
        "endpoints",
    ),
    "monitoring.coreos.com/v1 PodMonitor": _object(
        {**_MONITOR, "podMetricsEndpoints": _list(_object({**_ENDPOINT, "portNumber": _NUMBER}))}, "selector"
    ),
    "monitoring.coreos.com/v1 PrometheusRule": _object({"groups": _list(_GROUP)}),
}
"""API version and kind → schema of its spec."""


def schema_of(found: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a custom resource. Raises `KeyError` for another object."""
    spec = SPECIFICATIONS[f"{found['apiVersion']} {found['kind']}"]
    return _object({"apiVersion": _TEXT, "kind": _TEXT, "metadata": _METADATA, "spec": spec}, "metadata", "spec")
