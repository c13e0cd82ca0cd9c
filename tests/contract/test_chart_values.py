"""The values of the chart: schema, defaults and page agree, slips of the pen are refused, each value does something."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from collections.abc import Iterator
from typing import Any

import helm_python
import kubernetes_validate
import pytest
import yaml
from tests.charts import CHART, VALUE_SETS, chart, one, rendered, texts

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
HOW_TO = CHART.parents[1] / "docs" / "how-to" / "kubernetes.md"
SCRIPT = CHART.parents[1] / "scripts" / "chart_reference.py"

FUSED = {
    **VALUE_SETS["everything"],
    "mode": "fused",
    "platform": "gke",
    "autoscaling": {},
    "workers": {"gpu": {"enabled": True, "type": "nvidia-l4"}},
}
OUTSIDE = {**VALUE_SETS["a Redis and a bucket of one's own"], "api": {"ingress": {"enabled": True, "host": "a.b"}}}
OTHERS: dict[str, Any] = {
    "nameOverride": "other",
    "platform": "aks",
    "store.url": "s3://other",
    "store.existingClaim": "other",
    "ledger.url": "redis://other",
    "ledger.existingSecret": "other",
    "api.publicUrl": "https://other",
    "api.ingress.host": "other.example",
    "autoscaling.prometheus": "http://other",
    "autoscaling.policy": "work",
    "autoscaling.paper.reading": "paper-plain",
    "image.pullSecrets": ["other"],
    "api.allowInput": ["s3://other/"],
    "api.userHeader.trust": ["10.9.9.9"],
    "networkPolicies.ports": [8443],
    "store.environment": {"AWS_REGION": "other"},
    "api.retentionDays": 30,
    "billing.budgetPerMonth": 25,
    "ledger.server.image": {"repository": "other", "tag": "1"},
    "triton.models": ["another"],
    "triton.image": {"repository": "other", "tag": "1"},
}
"""Path → another value than any that is used, where its type alone does not give one."""


def groups(schema: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Yield path and schema of every group of settings."""
    yield above, schema
    for name, part in schema["properties"].items():
        if part.get("properties"):
            yield from groups(part, (*above, name))


def settings(schema: dict[str, Any], values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path, schema and default of every setting."""
    for name, part in schema["properties"].items():
        if part.get("properties"):
            yield from settings(part, values[name], f"{above}{name}.")
        elif name != "global":
            yield above + name, part, values[name]


def within(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return values of which only the one at the path is said."""
    for name in reversed(path):
        value = {name: value}
    return value


def test_the_page_is_the_one_that_the_schema_makes() -> None:
    spec = importlib.util.spec_from_file_location("chart_reference", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run python scripts/chart_reference.py"


def test_whatever_has_a_default_is_described_and_the_other_way_round() -> None:
    for path, schema in groups(SCHEMA):
        values = DEFAULTS
        for name in path:
            values = values[name]
        assert list(values) == [name for name in schema["properties"] if name != "global"], path
        assert all(part["description"].endswith((".", ")")) for part in schema["properties"].values()), path


def test_the_defaults_are_allowed() -> None:
    chart().validate_schema({})


def test_a_name_that_is_not_known_is_refused_everywhere() -> None:
    paths = [path for path, _ in groups(SCHEMA)]
    paths += [("workers", "cpu", "resources"), ("workers", "cpu", "resources", "limits"), ("triton", "image")]
    for path in paths:
        with pytest.raises(helm_python.HelmValuesError, match="replikas"):
            chart().validate_schema(within((*path, "replikas"), 1))


@pytest.mark.parametrize(
    "values",
    [
        {"mode": "both"},
        {"api": {"replicas": "2"}},
        {"api": {"replicas": 0}},
        {"api": {"scratchSize": "20 GB"}},
        {"api": {"ingress": {"host": "https://cells.lab.example"}}},
        {"workers": {"cpu": {"resources": {"limits": {"cpu": "many"}}}}},
        {"workers": {"gpu": {"tolerations": [{"keyy": "a"}]}}},
        {"store": {"url": "ftp://lab"}},
        {"store": {"existingSecret": "Not A Name"}},
        {"store": {"environment": {"AWS_SECRET_ACCESS_KEY": "told"}}},
        {"store": {"environment": {"AZURE_STORAGE_ACCOUNT_KEY": "told"}}},
        {"ledger": {"url": "redis://user:password@host:6379/0"}},
        {"ledger": {"url": "memcached://host"}},
        {"autoscaling": {"paper": {"consumersTarget": 15}}},
        {"networkPolicies": {"ports": [70000]}},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmValuesError):
        chart().validate_schema(values)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_value_set_is_allowed(name: str) -> None:
    chart().validate_schema(VALUE_SETS[name])


def test_the_how_to_shows_values_that_work() -> None:
    text = HOW_TO.read_text(encoding="utf-8")
    values = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    objects = rendered(values)
    asked = {"cpu": 0.0, "memory": 0.0}
    for end in ("Deployment", "-api"), ("StatefulSet", "-ledger"):
        for container in one(objects, *end)["spec"]["template"]["spec"]["containers"]:
            for name, amount in container["resources"]["requests"].items():
                asked[name] += float(amount[: -1 if name == "cpu" else -2]) / (1000 if name == "cpu" else 1024)
    assert f"{asked['cpu']:.1f} of a processor and {asked['memory']:.1f} GiB" in text
    assert f"{sum(1 for _ in VALUE_SETS)} sets of values".replace("8", "eight") in text
    assert f"1.28 and {kubernetes_validate.latest_version().rpartition('.')[0]}" in text
    named = set(
        re.findall(r"`((?:api|autoscaling|ledger|monitoring|networkPolicies|store|trainers|triton)\.[\w.]+)`", text)
    )
    known = {path for path, _, _ in settings(SCHEMA, DEFAULTS)} | {".".join(path) for path, _ in groups(SCHEMA)}
    assert named and {name for name in named if name not in known and name.rpartition(".")[0] not in known} == set()


def another(path: str, schema: dict[str, Any], default: Any) -> Any:
    """Return another allowed value of a setting."""
    kind = schema.get("$ref", "").rpartition("/")[2] or schema.get("type")
    if path in OTHERS:
        return OTHERS[path]
    if "enum" in schema:
        return next(each for each in schema["enum"] if each not in {default, ""})
    if kind == "resources":
        return {"requests": {"cpu": "7"}}
    return {
        "boolean": lambda: not default,
        "integer": lambda: default + 1,
        "number": lambda: default * 0.9,
        "size": lambda: "7Gi",
        "tolerations": lambda: [{"key": "another", "operator": "Exists"}],
        "labels": lambda: {"another": "label"},
        "object": lambda: {"ANOTHER": "variable"},
    }.get(str(kind), lambda: "another")()


def put(values: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(values)
    *above, last = path.split(".")
    inner = changed
    for name in above:
        inner = inner.setdefault(name, {})
    inner[last] = value
    return changed


def test_every_setting_changes_what_is_installed() -> None:
    sets = [VALUE_SETS["everything"], FUSED, OUTSIDE, VALUE_SETS["split"], VALUE_SETS["minimal"]]
    before = [texts(values) for values in sets]
    idle = []
    for path, schema, default in settings(SCHEMA, DEFAULTS):
        other = another(path, schema, default)
        if not any(changes(values, plain, path, other) for values, plain in zip(sets, before, strict=True)):
            idle.append(path)
    assert idle == []


def changes(values: dict[str, Any], plain: dict[str, str], path: str, other: Any) -> bool:
    try:
        return texts(put(values, path, other)) != plain
    except helm_python.HelmRenderError:
        return False  # it does not fit the rest of this set; another one says what it changes
