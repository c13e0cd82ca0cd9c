"""Metrics: the table is the truth, sums survive the processes that counted, a dead ledger does not break the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cellfleet.errors import UsageError
from cellfleet.observe import metrics
from cellfleet.observe.metrics import Levels
from cellfleet.observe.table import METRICS
from cellfleet.spec.record import ImageRecord, InputFile

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE, HOW_TO = DOCS / "reference" / "metrics.md", DOCS / "how-to" / "watch-a-service.md"
HEADINGS = {"service": "The service", "ledger": "The ledger", "worker": "Workers", "sidecar": "Beside a Triton"}
LEVELS = Levels(queued={"interactive": 0, "batch": 12}, leased={"interactive": 1, "batch": 2}, dead=3)


def samples(page: bytes) -> dict[str, float]:
    """Return ``name{label=value}`` → value of all samples."""
    found = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def now() -> dict[str, float]:
    return samples(metrics.page(LEVELS, ledger=True)[0])


def grown(before: dict[str, float], name: str) -> float:
    # Rounded: earlier tests counted, too, and a difference of floats is rarely exact.
    return round(now().get(name, 0) - before.get(name, 0), 9)


def test_the_reference_shows_the_table() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    for part, heading in HEADINGS.items():
        section = text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        rows = [line for line in section.splitlines() if line.startswith("|")][2:]
        assert rows == [row(metric) for metric in METRICS if metric.part == part]


def test_the_how_to_names_only_metrics_that_exist() -> None:
    named = set(re.findall(r"\bcellfleet_\w+", HOW_TO.read_text(encoding="utf-8")))
    assert named and named <= {metric.name for metric in METRICS}


def test_prometheus_finds_nothing_wrong_with_the_page() -> None:
    subprocess.run(["promtool", "check", "metrics"], input=metrics.page(LEVELS, ledger=True)[0], check=True)


def row(metric: metrics.Metric) -> str:
    labels = [f"`{name}`" + (f" ({', '.join(values)})" if values else "") for name, values in metric.labels.items()]
    return f"| `{metric.name}` | {metric.type} | {', '.join(labels) or '–'} | {metric.unit} | {metric.meaning} |"


def test_the_page_tells_what_the_table_says_and_no_more() -> None:
    metrics.prepare("service")
    metrics.prepare("sidecar")
    metrics.model_reloaded("nuclei:1.0.0")
    metrics.worker_began(2)
    metrics.request_ended("GET", "/x", 200, seconds=0.1, received=1, sent=2)
    metrics.error_told("E810")
    metrics.model_loaded("otsu:1")
    page = metrics.page(LEVELS, ledger=True)[0].decode()
    told = {family.name: family for family in text_string_to_metric_families(page)}
    ours = {name: family for name, family in told.items() if name.startswith("cellfleet_")}
    expected = {metric.name.removesuffix("_total"): metric for metric in METRICS}
    assert ours.keys() == expected.keys()
    for name, family in ours.items():
        assert (family.type, family.documentation) == (
            expected[name].type,
            expected[name].meaning.replace("\\", "\\\\"),
        )
        assert all(sample.labels.keys() - {"le"} == expected[name].labels.keys() for sample in family.samples)
    assert told.keys() - ours.keys() <= {name for name in told if name.startswith("process_")}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_customs(metric: metrics.Metric) -> None:
    assert metric.name.startswith("cellfleet_") and metric.meaning.endswith((".", "*"))
    assert metric.name.endswith("_total") == (metric.type == "counter")
    for unit in ("seconds", "bytes"):
        assert (f"_{unit}" in metric.name) == (metric.unit == unit)
    assert bool(metric.buckets) == (metric.type == "histogram") and list(metric.buckets) == sorted(metric.buckets)


def test_an_image_is_counted_with_its_pixels_objects_and_stages() -> None:
    before = now()
    source = InputFile(path="a.tif", size_bytes=1000, mtime_ns=0, sha256="")
    done = ImageRecord(
        image="a", status="done", key="k", input=source, axes="CZYX", shape=(3, 2, 30, 40), objects=5,
        seconds={"read": 2.0, "predict": 1.0}, cpu_seconds={"read": 0.5},
    )  # fmt: skip
    metrics.image_ended(done)
    metrics.image_ended(ImageRecord(image="b", status="failed", key="k"))
    assert grown(before, "cellfleet_images_total{status=done}") == 1
    assert grown(before, "cellfleet_images_total{status=failed}") == 1
    assert grown(before, "cellfleet_pixels_total") == 2400
    assert grown(before, "cellfleet_objects_total") == 5
    assert grown(before, "cellfleet_read_bytes_total") == 1000
    assert grown(before, "cellfleet_stage_seconds_total{stage=read}") == 2
    assert grown(before, "cellfleet_stage_seconds_total{stage=predict}") == 1
    assert grown(before, "cellfleet_stage_cpu_seconds_total{stage=read}") == 0.5


def test_what_workers_do_is_counted() -> None:
    metrics.worker_began(2)
    before = now()
    metrics.task_began()
    metrics.busy(0.25)
    metrics.lease_renewed("unanswered")
    metrics.task_ended("released", 4.0)
    for name in (
        "cellfleet_task_attempts_total",
        "cellfleet_lease_renewals_total{answer=unanswered}",
        "cellfleet_tasks_total{outcome=released}",
        "cellfleet_task_seconds_bucket{le=5.0}",
    ):
        assert grown(before, name) == 1, name
    assert grown(before, "cellfleet_task_seconds_bucket{le=1.0}") == 0
    assert grown(before, "cellfleet_worker_busy_seconds_total") == 0.25
    assert (now()["cellfleet_workers"], now()["cellfleet_worker_slots"]) == (1, 2)
    assert now()["cellfleet_worker_memory_bytes"] > 1e6


def test_uploads_and_watchers_are_counted() -> None:
    before = now()
    metrics.upload_ended("direct", 10)
    metrics.watchers_changed(1)
    assert grown(before, "cellfleet_uploads_total{way=direct}") == 1
    assert grown(before, "cellfleet_uploaded_bytes_total{way=direct}") == 10
    assert grown(before, "cellfleet_event_watchers") == 1
    metrics.watchers_changed(-1)
    assert grown(before, "cellfleet_event_watchers") == 0


def test_the_ledger_is_told_as_it_is_now() -> None:
    found = now()
    assert found["cellfleet_tasks_queued{priority=batch}"] == 12
    assert found["cellfleet_tasks_leased{priority=interactive}"] == 1
    assert (found["cellfleet_tasks_dead"], found["cellfleet_ledger_up"]) == (3, 1)


def test_a_dead_ledger_does_not_break_the_page() -> None:
    found = samples(metrics.page(None, ledger=True)[0])
    assert found["cellfleet_ledger_up"] == 0
    assert not any(name.startswith("cellfleet_tasks_queued") for name in found)
    assert "cellfleet_ledger_up" not in samples(metrics.page()[0])


def test_a_worker_answers_prometheus() -> None:
    metrics.worker_began(2)
    with metrics.serving_metrics("127.0.0.1:0") as address:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
            assert samples(answer.read())["cellfleet_workers"] == 1
        with pytest.raises(UsageError, match="E981"), metrics.serving_metrics(address):
            pass


@pytest.mark.parametrize("address", ["", "localhost", "9100", "127.0.0.1:x", "127.0.0.1:70000", "256.0.0.1:9100"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match="E981"), metrics.serving_metrics(address):
        pass


CHILD = """
import os, signal, sys
from cellfleet.observe import metrics
metrics.worker_began(2)
metrics.task_began()
metrics.task_ended("done", 2.0)
print("counted", flush=True)
sys.stdin.read()
"""
PARENT = """
import json, os, subprocess, sys
from cellfleet.observe import metrics
pages = []
with metrics.sharing_metrics():
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    metrics.prepare("service")
    metrics.model_loaded("otsu:1")
    for _ in range(3):
        children = [subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=-1, stdout=-1) for _ in range(2)]
        for child in children:
            child.stdout.readline()
        pages.append(metrics.page()[0].decode())
        for child in children:
            child.kill()
            child.communicate()
            metrics.child_ended(child.pid)
        pages.append(metrics.page()[0].decode())
    files = sorted(name.replace(str(os.getpid()), "PID") for name in os.listdir(folder))
print(json.dumps([pages, files, os.path.exists(folder)]))
"""


@pytest.mark.slow
def test_sums_outlive_killed_children_and_their_files_do_not() -> None:
    command = [sys.executable, "-c", PARENT, CHILD]
    said = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    pages, files, left_behind = json.loads(said)
    assert not left_behind
    found = [samples(page.encode()) for page in pages]
    assert [page["cellfleet_tasks_total{outcome=done}"] for page in found] == [2, 2, 4, 4, 6, 6]
    assert [page["cellfleet_task_seconds_bucket{le=5.0}"] for page in found] == [2, 2, 4, 4, 6, 6]
    assert [page["cellfleet_task_seconds_count"] for page in found] == [2, 2, 4, 4, 6, 6]
    assert [page.get("cellfleet_workers", 0) for page in found] == [2, 0, 2, 0, 2, 0]
    assert {page["cellfleet_model_loads_total{model=otsu:1}"] for page in found} == {1}
    assert files == [
        "counter_PID.db", "counter_ended.db", "gauge_livesum_PID.db", "histogram_ended.db",
    ]  # fmt: skip


@pytest.mark.slow
def test_neither_logs_nor_tables_load_the_library() -> None:
    code = "import sys, cellfleet.observe.logs, cellfleet.observe.metrics; print('prometheus_client' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said == "False\n"
