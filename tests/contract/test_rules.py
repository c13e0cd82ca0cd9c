"""Alerts and recording rules: Prometheus takes them, they fire when they are to, and the how-to knows each of them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

from cellfleet.observe.table import METRICS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "chart" / "files" / "rules" / "cellfleet.rules.yml"
CASES = Path(__file__).with_name("cellfleet.rules.test.yml")
HOW_TO = ROOT / "docs" / "how-to" / "watch-a-service.md"
TRITON = frozenset(
    {
        "nv_gpu_memory_used_bytes",
        "nv_gpu_utilization",
        "nv_inference_compute_infer_duration_us",
        "nv_inference_count",
        "nv_inference_exec_count",
        "nv_inference_queue_duration_us",
        "nv_inference_request_failure",
        "nv_inference_request_success",
    }
)
"""Those of its metrics that we look at."""


def rules() -> list[dict[str, str]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_metrics() -> set[str]:
    """Return every name that a query may use."""
    ours = {metric.name for metric in METRICS}
    histograms = [each.name for each in METRICS if each.type == "histogram"]
    parts = {f"{name}_{end}" for name in histograms for end in ("bucket", "count", "sum")}
    return ours | parts | TRITON | {"up"} | {rule["record"] for rule in rules() if "record" in rule}


def named_metrics(query: str) -> set[str]:
    """Return the metrics that a query names, known or not."""
    bare = re.sub(r'"[^"]*"', "", query)
    return set(re.findall(r"\b(?:cellfleet[\w:]*|nv_\w+|up)\b", re.sub(r"\{[^}]*\}", "", bare)))


def test_prometheus_takes_the_rules() -> None:
    subprocess.run(["promtool", "check", "rules", RULES], check=True, capture_output=True)


def test_alerts_fire_when_they_are_to_and_not_otherwise() -> None:
    done = subprocess.run(["promtool", "test", "rules", CASES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    cases = yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]
    checks = [check for case in cases for check in case.get("alert_rule_test", ())]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == {
        rule["alert"] for rule in rules() if "alert" in rule
    }


def test_rules_name_only_metrics_that_exist() -> None:
    named = {name for rule in rules() for name in named_metrics(rule["expr"])}
    assert named and named <= known_metrics()
    assert named_metrics('rate(cellfleet_nothing{job="up"}[5m]) > nv_nothing') == {"cellfleet_nothing", "nv_nothing"}


def test_the_how_to_says_what_to_do_for_each_alert() -> None:
    section = HOW_TO.read_text(encoding="utf-8").partition("\n## Alerts\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [rule["alert"] for rule in rules() if "alert" in rule]
