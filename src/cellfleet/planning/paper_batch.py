"""The figures of "Running DeepCell on Google Batch with node pools" (Haley, Langit, Ge, 2024), with cellfleet beside.

Their measured times and the phases of their benchmark (github.com/dchaley/deepcell-imaging, benchmarking/README.md)
stand here as they print them; what is simulated or from a formula says so. cellfleet's phases are those of
benchmarks/results/end_to_end.md. Knows no price.
"""

from __future__ import annotations

from typing import Final

from cellfleet.planning.formulas import Jobs, StartUp, set_up_share
from cellfleet.planning.paper import Cell, Table, table
from cellfleet.planning.simulator import FixedPool, Fleet, Outcome, simulate, uploaded

JOBS: Final = 15
NODES: Final = 4
IDEAL: Final = Jobs(JOBS, NODES, allocate_seconds=0, set_up_seconds=108, run_seconds=72)
"""Their thought: jobs of 3 minutes, 60 % of it set-up."""
RUN_SECONDS: Final = 37.5
"""Of a job in a warm pool: 2.5 min ÷ 4 waves."""
COLD_SECONDS: Final = 300.0
"""Allocation and set-up in a pool: (7.5 - 2.5) min."""
ALONE_SECONDS: Final = 450.0
"""The same of a job with a node of its own: (32.5 min ÷ 4 waves) - 37.5 s. More than in a pool, because allocation
repeats and varies."""
SET_UP_SECONDS: Final = 180.0
"""What they call set-up: about three minutes, most of it to fetch and unpack 3 GB."""
LOAD_SECONDS: Final = 13.0
"""Of a job's run: load the model (10 s) and the first inference's extra."""
MEASURED_MINUTES: Final = {"no pool": 32.5, "cold pool": 7.5, "warm pool": 2.5}


def pools() -> Table:
    """15 images on 4 nodes: theirs measured and by formula, ours simulated; and what the machines are paid for."""
    without = Jobs(JOBS, NODES, 0, ALONE_SECONDS, RUN_SECONDS)
    pool = Jobs(JOBS, NODES, 0, COLD_SECONDS, RUN_SECONDS)
    alone = SET_UP_SECONDS + RUN_SECONDS
    rows = [
        _pool("DeepCell, no pool", MEASURED_MINUTES["no pool"], without.no_pool_seconds, JOBS * alone),
        _pool(
            "DeepCell, cold pool",
            MEASURED_MINUTES["cold pool"],
            pool.cold_pool_seconds,
            NODES * (SET_UP_SECONDS + pool.waves * RUN_SECONDS),
        ),
        _pool("DeepCell, warm pool", MEASURED_MINUTES["warm pool"], pool.warm_pool_seconds, NODES * 4 * RUN_SECONDS),
    ]
    for system, start_up, warm in _OURS:
        outcome = _run(start_up, warm)
        rows.append(_pool(system, "", outcome.makespan_seconds, outcome.billed_seconds))
    return table("batch-pools", "15 images of 512 × 512 on 4 T4", rows)


_OURS: Final = (
    ("cellfleet, cold", StartUp(120, 180, load_seconds=10, warm_up_seconds=3), 0),
    ("cellfleet, cold, small image", StartUp(60, 60, load_seconds=10, warm_up_seconds=3), 0),
    ("cellfleet, warm", StartUp(), NODES),
)


def _run(start_up: StartUp, warm: int) -> Outcome:
    fleet = Fleet(FixedPool(NODES), RUN_SECONDS - LOAD_SECONDS, start_up=start_up, warm_workers=warm)
    return simulate(uploaded(JOBS, per_task=1), fleet)


def _pool(system: str, measured: Cell, seconds: float, billed: float) -> dict[str, Cell]:
    # They count as billed the work alone, n r; machines are paid from the moment they are there.
    run = RUN_SECONDS if system.startswith("DeepCell") else RUN_SECONDS - LOAD_SECONDS
    return {
        "system": system,
        "measured_min": measured,
        "end_to_end_min": seconds / 60,
        "work_node_min": JOBS * run / 60,
        "paid_node_min": billed / 60,
    }


def savings() -> Table:
    """Time of 1 to 16 jobs of 3 minutes, 60 % set-up, on 4 nodes: without a pool, and with one."""
    rows: list[dict[str, Cell]] = []
    for count in range(1, 17):
        jobs = Jobs(count, NODES, IDEAL.allocate_seconds, IDEAL.set_up_seconds, IDEAL.run_seconds)
        rows.append(
            {
                "jobs": count,
                "no_pool_min": jobs.no_pool_seconds / 60,
                "pool_min": jobs.cold_pool_seconds / 60,
                "saved_min": jobs.saved_seconds / 60,
            }
        )
    return table("batch-savings", "What a pool of nodes saves", rows)


def shares() -> Table:
    """Share of set-up in jobs of 0.1 to 300 minutes: 3 minutes of it, and the model load that a worker does once."""
    rows: list[dict[str, Cell]] = []
    for step in range(71):
        minutes = round(0.1 * 10 ** (step / 20), 4)
        rows.append(_share(minutes))
    return table("batch-set-up-share", "Share of set-up", rows + [_share(minutes) for minutes in (1.0, 30.0, 100.0)])


def _share(minutes: float) -> dict[str, Cell]:
    return {
        "job_min": minutes,
        "set_up_3_min_percent": 100 * set_up_share(SET_UP_SECONDS, 60 * minutes),
        "set_up_13_s_percent": 100 * set_up_share(LOAD_SECONDS, 60 * minutes),
    }


PHASES: Final = ("preprocess", "inference", "postprocess")
MEGAPIXELS: Final = 14239 * 9777 / 1e6
"""Of the image that they timed."""
_THEIRS: Final = (
    ("DeepCell, 6 cores", (53.0, 928.0, 275.0)),
    ("DeepCell, 16 vCPU + T4", (43.0, 193.0, 264.0)),
)
"""Seconds of the whole machine for that image."""
_OURS_MS: Final = (24.9, 238.4, 61.2)
"""Of one thread per 2²⁰ pixels: dense_1 of benchmarks/results/end_to_end.md (2026-11-22). Read, survey and preprocess;
predict; postprocess, measure and write."""


def phases() -> Table:
    """Where the time of an image goes, per megapixel and as shares."""
    rows = [_phases(system, [value / MEGAPIXELS for value in seconds]) for system, seconds in _THEIRS]
    rows.append(_phases("cellfleet, 1 thread", [value / 1000 / 1.048576 for value in _OURS_MS]))
    return table("phases", "Phases of an image", rows)


def _phases(system: str, seconds: list[float]) -> dict[str, Cell]:
    total = sum(seconds)
    row: dict[str, Cell] = {"system": system, "s_per_megapixel": total}
    for phase, value in zip(PHASES, seconds, strict=True):
        row[f"{phase}_s"] = value
        row[f"{phase}_percent"] = 100 * value / total
    return row
