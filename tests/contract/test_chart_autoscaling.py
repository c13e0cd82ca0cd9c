"""What KEDA and the HPA make of the chart's formulas is what `cellfleet.planning.policies` says, number by number."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.charts import VALUE_SETS, one, rendered
from tests.expressions import evaluated
from tests.ledgers import a_job, redis_of, submitted

from cellfleet.jobs.keys import GROUP, PRIORITIES, STREAM
from cellfleet.jobs.ledger import Ledger
from cellfleet.planning.policies import (
    CODE,
    PAPER_PLAIN,
    PAPER_TENTH,
    Hpa,
    KioskReplicas,
    KioskSigns,
    PaperPolicy,
    Reading,
    WorkPolicy,
    ceil,
    consumer_metric,
    hpa_replicas,
    kiosk_replicas,
    work_replicas,
)
from cellfleet.spec.job import Done

READINGS = {"code": CODE, "paper-tenth": PAPER_TENTH, "paper-plain": PAPER_PLAIN}
WAITING, LEASED = (0, 1, 2, 9, 10, 35, 85, 400, 10_000), (0, 1, 7, 150)
GPU = (0.0, 0.4, 30.0, 63.0, 69.9, 77.0, 85.0, 99.0, 100.0)
SERVERS, CONSUMERS = (0, 1, 2, 4), (0, 1, 5, 149, 150, 151, 300, 600)


def scaled(values: dict[str, Any], end: str) -> dict[str, Any]:
    spec: dict[str, Any] = one(rendered(values), "ScaledObject", end)["spec"]
    return spec


def words(waiting: int, leased: int, **others: float) -> dict[str, float]:
    """Return what triggers tell when tasks are spread over the priorities; some of a lease's entries are older."""
    told: dict[str, float] = dict(others)
    for place, priority in enumerate(PRIORITIES):
        share = waiting // 3 + (place < waiting % 3), leased // 3 + (place < leased % 3)
        told |= {priority: sum(share), f"{priority}Taken": share[1]}
    return told


def decided(spec: dict[str, Any], metric: float, pods: int) -> int:
    """Return how many pods KEDA and the HPA want after one step, when nothing has been to do for long."""
    modifiers = spec["advanced"]["scalingModifiers"]
    if metric <= 0:
        return int(spec["minReplicaCount"])
    if pods == 0:
        return 1  # KEDA starts one; the HPA sleeps until there is one
    hpa = Hpa(
        target=float(modifiers["target"]),
        min_replicas=max(1, spec["minReplicaCount"]),
        max_replicas=spec["maxReplicaCount"],
        per_replica=modifiers["metricType"] == "AverageValue",
    )
    return hpa_replicas(hpa, metric=metric, current=pods)


def paper(reading: str = "code", **more: int) -> dict[str, Any]:
    autoscaling = {"policy": "paper", "prometheus": "http://p:9090", "paper": {"reading": reading, **more}}
    return {
        **VALUE_SETS["split"],
        "autoscaling": autoscaling,
        "workers": {"cpu": {"max": 10_000}},
        "triton": {"max": 4},
    }


@pytest.mark.parametrize(("end", "kind"), [("-worker-cpu", "cpu"), ("-worker-gpu", "gpu")])
def test_workers_follow_the_work(end: str, kind: str) -> None:
    pool = {"enabled": True, "max": 8, "tasksPerWorker": 10}
    spec = scaled({**VALUE_SETS["minimal"], "workers": {kind: pool}}, end)
    policy = WorkPolicy(max_workers=8, tasks_per_worker=10)
    formula = spec["advanced"]["scalingModifiers"]["formula"]
    for waiting, leased, workers in itertools.product(WAITING, LEASED, range(9)):
        metric = evaluated(formula, words(waiting, leased))
        if waiting + leased and not workers:
            assert decided(spec, metric, workers) == 1
        else:
            wanted = work_replicas(policy, waiting=waiting, leased=leased, workers=workers, idle_seconds=1e9)
            assert decided(spec, metric, workers) == wanted, (waiting, leased, workers)


def test_the_hpa_leaves_a_tenth_alone() -> None:
    spec = scaled({**VALUE_SETS["minimal"], "workers": {"cpu": {"tasksPerWorker": 10, "max": 50}}}, "-worker-cpu")
    # 85 tasks, 10 to a worker: 9 would be right, 8 it stays.
    assert decided(spec, evaluated("interactive", {"interactive": 85}), pods=8) == 8
    assert decided(spec, 89, pods=8) == 9 and decided(spec, 72, pods=8) == 8 and decided(spec, 71, pods=8) == 8
    assert decided(spec, 70, pods=8) == 7


def test_a_task_in_flight_keeps_its_worker() -> None:
    for name in ("minimal", "split", "split, the paper's policy"):
        spec = scaled(VALUE_SETS[name], "-worker-cpu")
        told = words(0, 1, gpu=100.0, consumers=1, servers=1)
        assert decided(spec, evaluated(spec["advanced"]["scalingModifiers"]["formula"], told), pods=1) == 1, name


def test_servers_follow_the_paper() -> None:
    spec = scaled(paper(), "-triton")
    formula, policy = spec["advanced"]["scalingModifiers"]["formula"], PaperPolicy(max_gpus=4)
    for waiting, leased, gpu, servers in itertools.product(WAITING, LEASED, GPU, SERVERS):
        signs = KioskSigns(waiting=waiting, processing=leased, gpu_percent=gpu if servers else 0.0)
        metric = evaluated(formula, words(waiting, leased, gpu=signs.gpu_percent))
        wanted = kiosk_replicas(policy, signs, KioskReplicas(servers, 1)).servers
        assert decided(spec, metric, servers) == wanted, (signs, servers)


def test_prometheus_says_how_busy_our_gpus_are_and_0_without_any(tmp_path: Path) -> None:
    (trigger,) = (each for each in scaled(paper(), "-triton")["triggers"] if each["type"] == "prometheus")
    series = {
        'nv_gpu_utilization{namespace="cells", pod="lab-cellfleet-triton-a"}': "0.5x5",
        'nv_gpu_utilization{namespace="cells", pod="lab-cellfleet-triton-b"}': "0.9x5",
        'nv_gpu_utilization{namespace="cells", pod="other-triton-a"}': "0.1x5",
        'nv_gpu_utilization{namespace="others", pod="lab-cellfleet-triton-a"}': "0.1x5",
    }
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in told.items()],
            "promql_expr_test": [
                {
                    "expr": f"round({trigger['metadata']['query']}, 0.1)",
                    "eval_time": "3m",
                    "exp_samples": [{"labels": "{}", "value": value}],
                }
            ],
        }
        for told, value in ((series, 70), ({}, 0))
    ]
    file = tmp_path / "gpu.test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def situations() -> Iterator[tuple[int, int, float, int, int]]:
    yield from itertools.product(WAITING, LEASED, GPU, SERVERS, CONSUMERS)


@pytest.mark.parametrize(("name", "reading"), READINGS.items())
def test_consumers_follow_the_paper(name: str, reading: Reading) -> None:
    spec = scaled(paper(name), "-worker-cpu")
    formula, policy = spec["advanced"]["scalingModifiers"]["formula"], PaperPolicy(max_gpus=4, reading=reading)
    assert spec["maxReplicaCount"] == policy.consumers.max_replicas == 600
    for waiting, leased, gpu, servers, consumers in situations():
        told = words(waiting, leased, gpu=gpu, servers=servers, consumers=consumers)
        metric = evaluated(formula, told)
        signs = KioskSigns(waiting=waiting, processing=leased, gpu_percent=gpu)
        wanted = consumer_metric(policy, signs, KioskReplicas(servers, consumers))
        wanted = int(wanted * 1000) / 1000
        if waiting + leased == 0 or servers == 0:
            assert metric == 0.0, told
        elif wanted < 0.001:
            # Lifted off zero, or the last consumer would be taken away with a task in its hands.
            assert metric == 0.001 and decided(spec, metric, consumers) <= max(1, ceil(consumers / 150)), told
        else:
            assert metric == pytest.approx(wanted, abs=1e-9), told
            assert decided(spec, metric, max(1, consumers)) == hpa_replicas(
                policy.consumers, metric=wanted, current=max(1, consumers)
            )


def test_the_step_is_capped_where_the_law_runs_away() -> None:
    alone, capped = PaperPolicy(max_gpus=4).consumers, PaperPolicy(max_gpus=4, max_growth=2.0).consumers
    assert hpa_replicas(alone, metric=1.0, current=30) == 200
    for percent in (50, 100):
        for end in ("-worker-cpu", "-triton"):
            behaviour = scaled(paper(stepPercent=percent), end)["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
            assert behaviour["scaleUp"]["policies"] == [{"type": "Percent", "value": percent, "periodSeconds": 60}]
        growth = 1 + percent / 100
        for current, metric in itertools.product((1, 2, 30, 77, 599), (0.01, 0.14, 0.2, 0.5, 1.0)):
            free = hpa_replicas(alone, metric=metric, current=current)
            limited = min(free, ceil(current * growth))  # as the HPA rounds a policy of percents
            assert limited == hpa_replicas(replace(capped, max_growth=growth), metric=metric, current=current)


@pytest.mark.parametrize(
    ("formula", "problem"),
    [("1", "no float"), ("servers > 0 ? 1 : 0", "no float"), ("nobody", "no trigger"), ("1.0 % 2.0", "grammar")],
)
def test_what_keda_would_stumble_over_is_seen(formula: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        evaluated(formula, {"servers": 1})


def depths(ledger: Ledger) -> dict[str, float]:
    """Ask the ledger's server what KEDA's triggers ask it."""
    client, told = redis_of(ledger), {}
    for priority in PRIORITIES:
        told[priority] = client.xlen(STREAM(priority=priority))
        told[f"{priority}Taken"] = client.xpending(STREAM(priority=priority), GROUP)["pending"]
    return told


def test_the_real_ledger_tells_what_the_formulas_take_it_for(ledger: Ledger) -> None:
    work = scaled(VALUE_SETS["minimal"], "-worker-cpu")["advanced"]["scalingModifiers"]["formula"]
    waiting = "interactive + normal + batch - interactiveTaken - normalTaken - batchTaken"
    assert waiting in scaled(paper(), "-worker-cpu")["advanced"]["scalingModifiers"]["formula"]
    assert evaluated(work, depths(ledger)) == 0.0
    submitted(ledger, a_job("one"), 5)
    submitted(ledger, a_job("two", priority="batch"), 2)
    assert evaluated(work, depths(ledger)) == 7.0  # no worker yet: pending entries alone would be none
    leases = [ledger.claim("w") for _ in range(3)]
    assert (evaluated(work, depths(ledger)), evaluated(waiting, depths(ledger))) == (7.0, 4.0)
    newest = leases[-1]
    assert newest is not None and ledger.acknowledge(newest, Done())
    assert (evaluated(work, depths(ledger)), evaluated(waiting, depths(ledger))) == (6.0, 4.0)
    # Why not the group's lag: Redis has forgotten it now, and what KEDA then reads is 0.
    group = redis_of(ledger).xinfo_groups(STREAM(priority="normal"))[0]
    assert group.get("lag") is None
