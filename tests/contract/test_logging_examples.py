"""The examples for shippers of logs: they can be read, and name only fields that a line of the log has."""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "logging"
TIME = "2026-11-22T21:07:03.125Z"
"""As the reference shows it."""


def documented() -> set[str]:
    text = (ROOT / "docs" / "reference" / "logs.md").read_text(encoding="utf-8")
    section = text.partition("\n## Fields\n")[2].partition("\n## ")[0]
    assert f'"time": "{TIME}"' in section
    return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))


def example(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def fields_of_promtail() -> set[str]:
    (job,) = example("promtail.yaml")["scrape_configs"]
    (read,) = (stage["json"]["expressions"] for stage in job["pipeline_stages"] if "json" in stage)
    (labels,) = (stage["labels"] for stage in job["pipeline_stages"] if "labels" in stage)
    (time,) = (stage["timestamp"]["source"] for stage in job["pipeline_stages"] if "timestamp" in stage)
    assert labels.keys() <= read.keys() and time in read
    return set(read.values())


def fields_of_alloy() -> set[str]:
    text = (FOLDER / "alloy.alloy").read_text(encoding="utf-8")
    assert text.count("{") == text.count("}") and text.count('"') % 2 == 0
    blocks = set(re.findall(r'^([\w.]+) "(\w+)" \{$', text, re.MULTILINE))
    used = set(re.findall(r"\b((?:discovery|loki)\.\w+)\.(\w+)\.(?:targets|output|receiver)\b", text))
    assert used <= blocks  # nothing is sent to a part that is not there
    found = re.search(r"stage\.json \{\s+expressions\s+= (\{.*\})", text)
    assert found is not None
    read = dict(re.findall(r'(\w+) = "(\w+)"', found[1]))
    labels = re.search(r"stage\.labels \{\s+values = (\{.*\})", text)
    assert labels is not None and set(re.findall(r'= "(\w+)"', labels[1])) <= read.keys()
    return set(read.values())


def fields_of_filebeat() -> set[str]:
    settings = example("filebeat.yaml")
    (config,) = settings["filebeat.autodiscover"]["providers"][0]["templates"][0]["config"]
    (lines,) = (parser["ndjson"] for parser in config["parsers"] if "ndjson" in parser)
    (time,) = (each["timestamp"] for each in settings["processors"] if "timestamp" in each)
    (renamed,) = (each["rename"]["fields"] for each in settings["processors"] if "rename" in each)
    assert time["test"] == [TIME] and len(time["layouts"][0]) == len(TIME)
    prefix = f"{lines['target']}."
    named = [time["field"], *(each["from"] for each in renamed)]
    assert all(name.startswith(prefix) for name in named)
    return {lines["message_key"], *(name.removeprefix(prefix) for name in named)}


def fields_of_fluent_bit() -> set[str]:
    settings = example("fluent-bit.yaml")
    (parser,) = settings["parsers"]
    (used,) = (each["parser"] for each in settings["pipeline"]["filters"] if each["name"] == "parser")
    assert used == parser["name"]
    # Fluent Bit's %S.%L is what Python calls %S.%f.
    datetime.datetime.strptime(TIME, parser["time_format"].replace("%L", "%f"))
    return {parser["time_key"]}


@pytest.mark.parametrize("fields", [fields_of_promtail, fields_of_alloy, fields_of_filebeat, fields_of_fluent_bit])
def test_an_example_names_only_fields_that_a_line_has(fields: Any) -> None:
    assert {"time"} <= fields() <= documented()


def test_every_example_is_listed_and_holds_no_secret() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(.+?)` \|", readme, re.MULTILINE))
    assert listed == {path.name for path in FOLDER.iterdir() if path.name != "README.md"}
    for name in listed:
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert all("${" in line for line in text.splitlines() if "passw" in line), name
