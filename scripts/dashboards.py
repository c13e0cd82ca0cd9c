"""Write the Grafana dashboards to deploy/dashboards, from what is said here about rows, panels and queries.

Run as `python scripts/dashboards.py`; a test compares. Needs grafana-foundation-sdk, which only developers have. Every
query takes metrics of `cellfleet.observe.table`, sums recorded by deploy/rules, or metrics of Triton. Knows no server.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parents[1] / "deploy" / "chart" / "files" / "dashboards"
_HEIGHT = 8
_WIDTH = 24


@dataclass(frozen=True)
class Panel:
    """One question and its answer over time."""

    title: str
    unit: str
    """In Grafana's words."""
    queries: dict[str, str]
    """Legend → query."""
    says: str
    """What a healthy one looks like, or what to do about another."""
    number: bool = False
    """The present value, large, in place of a curve."""


@dataclass(frozen=True)
class Board:
    """One dashboard: rows of panels that share their row's width."""

    name: str
    """Of the file, and in addresses."""
    title: str
    rows: dict[str, tuple[Panel, ...]]


_SERVICE = Board(
    "service",
    "cellfleet: service",
    {
        "Now": (
            Panel("Tasks that wait", "short", {"": "sum(cellfleet:tasks_queued:max)"}, "Falls, or stands at 0.", True),
            Panel("Tasks in flight", "short", {"": "sum(cellfleet:tasks_leased:max)"}, "Up to the slots.", True),
            Panel("Workers", "short", {"": "sum(cellfleet_workers) or vector(0)"}, "0 when nothing is to do.", True),
            Panel("Dead tasks", "short", {"": "max(cellfleet_tasks_dead)"}, "0. See `cellfleet jobs show`.", True),
            Panel("Ledger", "bool_on_off", {"": "max(cellfleet_ledger_up)"}, "On.", True),
        ),
        "Requests": (
            Panel(
                "Requests by status",
                "reqps",
                {"{{status}}": "sum by (status) (rate(cellfleet_http_requests_total[5m]))"},
                "A 5xx is a fault of the service; 429 a quota that is used up.",
            ),
            Panel(
                "Time to answer, 95 %",
                "s",
                {
                    "{{route}}": "histogram_quantile(0.95, sum by (le, route) (rate("
                    'cellfleet_http_request_seconds_bucket{route!~".*events.*"}[5m])))'
                },
                "Below a second, but for uploads and downloads.",
            ),
            Panel(
                "Errors told",
                "short",
                {"{{code}}": "sum by (code) (increase(cellfleet_http_errors_total[5m]))"},
                "The codes are explained in docs/reference/errors.md.",
            ),
        ),
        "Bytes": (
            Panel(
                "In and out",
                "Bps",
                {
                    "in": "sum(rate(cellfleet_http_received_bytes_total[5m]))",
                    "out": "sum(rate(cellfleet_http_sent_bytes_total[5m]))",
                },
                "Results fetched from a bucket directly are not in here.",
            ),
            Panel(
                "Uploads",
                "Bps",
                {"{{way}}": "sum by (way) (rate(cellfleet_uploaded_bytes_total[5m]))"},
                "`direct`: straight to the bucket.",
            ),
            Panel("Watchers", "short", {"watchers": "sum(cellfleet_event_watchers)"}, "Open streams of progress."),
        ),
    },
)

_WORKERS = Board(
    "workers",
    "cellfleet: workers",
    {
        "Work": (
            Panel(
                "Tasks by priority",
                "short",
                {"waiting, {{priority}}": "cellfleet:tasks_queued:max", "in flight": "sum(cellfleet:tasks_leased:max)"},
                "What the autoscaler follows: their sum.",
            ),
            Panel(
                "Workers and slots",
                "short",
                {"workers": "sum(cellfleet_workers) or vector(0)", "slots": "sum(cellfleet_worker_slots) or vector(0)"},
                "Follows the work within a minute or two, and goes back to 0.",
            ),
            Panel("Busy", "percentunit", {"busy": "cellfleet:worker_busy:ratio"}, "Near 1 while tasks wait."),
        ),
        "Speed": (
            Panel("Pixels", "short", {"pixels/s": "cellfleet:pixels:rate5m"}, "As on other days."),
            Panel("Images", "short", {"{{status}}/s": "cellfleet:images:rate5m"}, "Few that failed."),
            Panel(
                "Time of a task",
                "s",
                {
                    "50 %": "histogram_quantile(0.5, sum by (le) (rate(cellfleet_task_seconds_bucket[5m])))",
                    "99 %, one day": "cellfleet:task_seconds:p99",
                },
                "`graceSeconds` of the workers should be above the 99 %.",
            ),
        ),
        "Where the time goes": (
            Panel(
                "Stages", "short", {"{{stage}}": "cellfleet:stage_seconds:rate5m"}, "predict and postprocess in front."
            ),
            Panel(
                "Processor share of a stage",
                "percentunit",
                {"{{stage}}": "cellfleet:stage_cpu:ratio"},
                "Far below 1, it waits: read and write for the store, predict for a GPU.",
            ),
            Panel(
                "Memory", "bytes", {"{{pod}}": "sum by (pod) (cellfleet_worker_memory_bytes)"}, "Below the pod's limit."
            ),
        ),
        "What goes wrong": (
            Panel(
                "How attempts end",
                "short",
                {"{{outcome}}": "sum by (outcome) (increase(cellfleet_tasks_total[5m]))"},
                "`released` at scale-in and on spot machines; `lost` hardly ever.",
            ),
            Panel(
                "Renewals of leases",
                "short",
                {"{{answer}}": "sum by (answer) (increase(cellfleet_lease_renewals_total[5m]))"},
                "`held`.",
            ),
            Panel(
                "Models loaded",
                "short",
                {"{{model}}": "sum by (model) (increase(cellfleet_model_loads_total[15m]))"},
                "Once per worker and model.",
            ),
        ),
    },
)

_SPLIT = Board(
    "model-servers",
    "cellfleet: model servers",
    {
        "GPUs": (
            Panel("Use", "percentunit", {"mean": "cellfleet:triton_gpu:ratio"}, "The policy `paper` aims at 70 %."),
            Panel(
                "Memory",
                "bytes",
                {"{{pod}}": "sum by (pod) (nv_gpu_memory_used_bytes)"},
                "Below that of the GPU: models that are not asked for can be unloaded.",
            ),
        ),
        "Models": (
            Panel(
                "Models by their last canary",
                "short",
                {"{{state}}": "sum by (state) (cellfleet_served_models)"},
                "All `ready`; others for seconds.",
            ),
            Panel(
                "Loaded",
                "short",
                {"{{model}}": "sum by (model) (increase(cellfleet_model_reloads_total[15m]))"},
                "At the start of a server; later only if a model's process has died.",
            ),
            Panel(
                "Requests put off by workers",
                "short",
                {"{{reason}}": "sum by (reason) (increase(cellfleet_model_server_waits_total[5m]))"},
                "`full` now and then: the GPUs are busy. Others only while servers come and go.",
            ),
        ),
        "Requests": (
            Panel(
                "Answered",
                "reqps",
                {"{{model}}": "sum by (model) (rate(nv_inference_request_success[5m]))"},
                "As many as workers ask for.",
            ),
            Panel(
                "Not answered",
                "reqps",
                {"{{model}}, {{reason}}": "sum by (model, reason) (rate(nv_inference_request_failure[5m]))"},
                "`REJECTED`: the queue was full, and the worker asks again.",
            ),
            Panel(
                "Requests per execution",
                "short",
                {
                    "{{model}}": "sum by (model) (rate(nv_inference_count[5m]))"
                    " / (sum by (model) (rate(nv_inference_exec_count[5m])) > 0)"
                },
                "Above 1: tiles of several jobs go through the network together.",
            ),
        ),
        "Time": (
            Panel("Wait in the queue", "s", {"mean": "cellfleet:triton_queue_seconds:mean5m"}, "Below a few tenths."),
            Panel(
                "Time in the network",
                "s",
                {
                    "{{model}}": "sum by (model) (rate(nv_inference_compute_infer_duration_us[5m])) / 1e6"
                    " / (sum by (model) (rate(nv_inference_exec_count[5m])) > 0)"
                },
                "Per execution.",
            ),
        ),
    },
)

BOARDS = (_SERVICE, _WORKERS, _SPLIT)


def built(board: Board) -> str:
    """Return one dashboard as JSON, the same at every call."""
    source = DataSourceRef(type_val="prometheus", uid="${source}")
    builder = (
        dashboard.Dashboard(board.title)
        .uid(f"cellfleet-{board.name}")
        .tags(["cellfleet"])
        .refresh("30s")
        .time("now-6h", "now")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    )
    number = 0
    for title, panels in board.rows.items():
        builder = builder.with_row(dashboard.Row(title))
        for panel in panels:
            number += 1
            builder = builder.with_panel(_panel(panel, source, _WIDTH // len(panels)).id(number))
    said = json.loads(JSONEncoder(sort_keys=True).encode(builder.build()))
    return json.dumps(_without_nothing(said), indent=1, ensure_ascii=False) + "\n"


def _panel(panel: Panel, source: DataSourceRef, width: int) -> stat.Panel | timeseries.Panel:
    builder = stat.Panel() if panel.number else timeseries.Panel()
    builder.title(panel.title).description(panel.says).unit(panel.unit).datasource(source).min(0)
    builder.span(width).height(_HEIGHT // 2 if panel.number else _HEIGHT)
    for name, (legend, query) in zip("ABCDEF", panel.queries.items(), strict=False):
        builder.with_target(prometheus.Dataquery().expr(query).legend_format(legend).ref_id(name))
    return builder


def _without_nothing(said: object) -> object:
    """Leave out what is null: the library writes it, and Grafana's own files do not."""
    if isinstance(said, dict):
        return {name: _without_nothing(value) for name, value in said.items() if value is not None}
    return [_without_nothing(value) for value in said] if isinstance(said, list) else said


def main() -> None:
    """Write all dashboards."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for board in BOARDS:
        (FOLDER / f"{board.name}.json").write_text(built(board), encoding="utf-8")


if __name__ == "__main__":
    main()
