"""What all benchmarks share: the machine, the bars, peers in environments of their own, workers, result files.

A benchmark is a module `benchmarks.NAME.run` that ends in `save(NAME, …)`; `benchmarks.run` runs them all. Knows
nothing of what is measured.
"""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
VALIDATION = ROOT / "data" / "nuclear" / "val"
MEGAPIXEL = 2**20
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclasses.dataclass(frozen=True)
class Bar:
    """One promise and what was measured."""

    what: str
    bar: float
    stretch: float | None
    measured: float
    unit: str
    at_least: bool
    """Whether larger is better."""
    range: tuple[float, float] | None = None
    """Least and most over the repetitions."""

    @property
    def verdict(self) -> str:
        """Return ``no``, ``yes`` or ``stretch``."""
        if self.stretch is not None and self._reaches(self.stretch):
            return "stretch"
        return "yes" if self._reaches(self.bar) else "no"

    def _reaches(self, mark: float) -> bool:
        return self.measured >= mark if self.at_least else self.measured <= mark

    def row(self) -> list[str]:
        """Return the cells of a table row."""
        sign = "≥" if self.at_least else "≤"
        marks = [f"{sign} {mark:g} {self.unit}".strip() for mark in (self.bar, self.stretch) if mark is not None]
        spread = f" ({figure(self.range[0])}–{figure(self.range[1])})" if self.range else ""
        measured = f"{figure(self.measured)} {self.unit}{spread}"
        cells = [self.what, marks[0], marks[1] if len(marks) > 1 else "–", measured]
        return [*(cell.strip() for cell in cells), self.verdict]


def figure(value: float) -> str:
    """Return three significant digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


HEADER = ["what", "bar", "stretch", "measured (min–max)", "met"]


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def save(name: str, bars: Sequence[Bar], details: Mapping[str, Any], notes: Sequence[str], tables: str = "") -> None:
    """Write ``results/NAME.json`` and ``.md`` and print the latter.

    Args:
        name: Of the benchmark.
        bars: What was promised.
        details: Every figure, for the JSON.
        notes: What a reader has to know to judge the figures.
        tables: More Markdown.
    """
    where = circumstances()
    RESULTS.mkdir(exist_ok=True)
    content = {"circumstances": where, "bars": [dataclasses.asdict(bar) for bar in bars], "notes": notes, **details}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    told = "".join(f"- {note}\n" for note in notes)
    text = f"# {name}\n\n{described(where)}\n\n{table(HEADER, [bar.row() for bar in bars])}\n{told}"
    text += f"\n{tables}" if tables else ""
    (RESULTS / f"{name}.md").write_text(text, encoding="utf-8")
    print(text, flush=True)


def load_bars(name: str) -> tuple[list[Bar], dict[str, Any]]:
    """Read back the bars and circumstances of a benchmark."""
    content = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return [Bar(**{**bar, "range": bar["range"] and tuple(bar["range"])}) for bar in content["bars"]], content[
        "circumstances"
    ]


def circumstances() -> dict[str, Any]:
    """Return date, commit, machine and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": _commit(),
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def described(where: Mapping[str, Any]) -> str:
    """Return the circumstances in one line."""
    return (
        f"{where['date']}, commit {where['commit']}, {where['processors']} × {where['processor']}, "
        f"load {where['load_average']} at the end, Python {where['python']}"
    )


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peer_python(name: str, requirements: Path) -> Path:
    """Return the interpreter of the environment ``.venv-bench-NAME``, made where it is missing or out of date.

    Args:
        name: Of the peer.
        requirements: Complete pinned list; where it has hashes, pip checks them.
    """
    folder = ROOT / f".venv-bench-{name}"
    python, stamp = folder / "bin" / "python", folder / "requirements.txt"
    wanted = requirements.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"installing {requirements.relative_to(ROOT)} into {folder.name}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", "--no-deps", "-r", str(requirements)], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python


class Worker:
    """A long-lived process that answers one JSON line with another; only one worker computes at a time."""

    def __init__(self, command: Sequence[str | Path]) -> None:
        """Start it and wait until it is ready."""
        self._process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **ONE_THREAD},
        )
        self.about = self._answer()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._process.args!r} ended with {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def peak_rss_mb(self) -> float:
        """Return the most memory that it held so far, MB (2^20 bytes). Linux only."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)


@contextmanager
def workers(*commands: Sequence[str | Path]) -> Iterator[list[Worker]]:
    """Start one worker per command; end them all afterwards."""
    started: list[Worker] = []
    try:
        for command in commands:
            started.append(Worker(command))
        yield started
    finally:
        for worker in started:
            worker.close()


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, tuple[float, float]]:
    """Return the median of theirs ÷ ours over paired runs, and the least and the most."""
    found = [b / a for a, b in zip(ours, theirs, strict=True)]
    return median(found), (min(found), max(found))
