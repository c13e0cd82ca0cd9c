"""Dashboards: the files are what the script makes, and their queries are ones that Prometheus takes and can answer."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from tests.contract.test_rules import known_metrics, named_metrics

SCRIPT = Path(__file__).parents[2] / "scripts" / "dashboards.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dashboards", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def panels(script: ModuleType) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(script.FOLDER.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            if panel["type"] != "row":
                yield f"{path.stem}: {panel['title']}", panel


def test_the_files_are_what_the_script_makes(script: ModuleType) -> None:
    kept = {path.stem: path.read_text(encoding="utf-8") for path in script.FOLDER.glob("*.json")}
    assert kept == {board.name: script.built(board) for board in script.BOARDS}, "run python scripts/dashboards.py"


def test_every_query_is_one_that_prometheus_takes_and_can_answer(script: ModuleType, tmp_path: Path) -> None:
    queries = [target["expr"] for _, panel in panels(script) for target in panel["targets"]]
    assert len(queries) > 30
    named = {name for query in queries for name in named_metrics(query)}
    assert named <= known_metrics(), named - known_metrics()
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_panel_says_what_a_healthy_one_looks_like(script: ModuleType) -> None:
    for name, panel in panels(script):
        assert panel["description"].endswith("."), name
        assert panel["fieldConfig"]["defaults"]["unit"], name
        assert {target["refId"] for target in panel["targets"]} == set("ABCDEF"[: len(panel["targets"])]), name
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24, name


def test_every_dashboard_lets_its_reader_choose_the_prometheus(script: ModuleType) -> None:
    assert {panel["datasource"]["uid"] for _, panel in panels(script)} == {"${source}"}
