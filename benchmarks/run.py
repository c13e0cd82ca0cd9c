"""Run every benchmark, then say in one table which bars are met; `make bench`.

    python -m benchmarks.run [--quick] [--model nuclei] [--only NAME…]

Each benchmark is a process of its own. Results go to ``benchmarks/results/``; the table also into
``benchmarks/README.md``, where those that are not run here (`ELSEWHERE`) stand with their last results, and without
its circumstances into ``README.md``. Takes 20 minutes on two cores after the peers are installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import HEADER, RESULTS, ROOT, Bar, described, load_bars, table

OWN = ("network", "blocks", "cellpose", "startup", "end_to_end", "throughput", "sizes", "counts")
ELSEWHERE = ("large", "quantise", "end_to_end_int8", "brightfield")
"""Take too long, or need what is not in the repository; see ``benchmarks/README.md``."""
README, FRONT = ROOT / "benchmarks" / "README.md", ROOT / "README.md"
BEGIN, END = "<!-- results: written by benchmarks.run -->\n", "<!-- end of results -->\n"


def main() -> int:
    """Run all; return 1 when one of them fails (a missed bar is no failure: it is told)."""
    parser = argparse.ArgumentParser(description="Run all benchmarks.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for trying the scripts")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="run these alone; no name: only make the table")
    given = parser.parse_args()
    wanted = dict(commands(given))
    names = wanted if given.only is None else given.only
    failed = [name for name in names if not run(name, wanted[name])]
    text = summary()
    print(text)
    insert(README, text)
    insert(FRONT, f"\n{table(['what', 'bar', 'measured', 'met'], list(in_short()))}\n")
    for name in failed:
        print(f"FAILED: {name}")
    return 1 if failed else 0


def insert(page: Path, text: str) -> None:
    """Put the text in the place of the last one."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")


def commands(given: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the command of each benchmark."""
    yield "postprocess", ["benchmarks/postprocess/run.py", "--repeats", "1" if given.quick else "3"]
    quick = {
        "network": ["--rounds", "3"],
        "blocks": ["--side", "2048", "--rounds", "1"],
        "cellpose": ["--rounds", "1"],
        "startup": ["--rounds", "3"],
        "end_to_end": ["--quick"],
        "throughput": ["--images", "20"],
        "sizes": ["--rounds", "1", "--largest", "16"],
        "counts": ["--rounds", "1", "--quick"],
    }
    for name in OWN:
        yield name, ["-m", f"benchmarks.{name}.run", "--model", given.model, *(quick[name] if given.quick else [])]


def run(name: str, command: list[str]) -> bool:
    """Run one benchmark and say how long it took; return whether it ended well."""
    print(f"--- {name}", flush=True)
    began = time.monotonic()
    ended = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
    print(f"--- {name}: {time.monotonic() - began:.0f} s\n", flush=True)
    return ended.returncode == 0


def results() -> Iterator[tuple[str, list[Bar], str]]:
    """Yield name, bars and circumstances of every benchmark for which there are results."""
    for path in sorted(RESULTS.glob("postprocess-*.json"))[-1:]:
        yield path.stem, list(postprocess_bars(path)), postprocess_circumstances(path)
    for name in (*OWN, *ELSEWHERE):
        if (RESULTS / f"{name}.json").exists():
            bars, circumstances = load_bars(name)
            yield name, list(bars), described(circumstances)


def summary() -> str:
    """Return the table of all bars, and when and where each was measured."""
    rows, where = [], ""
    for name, bars, circumstances in results():
        rows += [[*bar.row(), name] for bar in bars]
        where += f"- {name}: {circumstances}\n"
    missed = [f"{row[0]} ({row[3]}, bar {row[1]})" for row in rows if row[len(HEADER) - 1] == "no"]
    told = f"Missed: {'; '.join(missed)}." if missed else "No bar is missed."
    return f"\n{told}\n\n{table([*HEADER, 'results/'], rows)}\n{where}\n"


def in_short() -> Iterator[list[str]]:
    """Yield the rows of the table for users: what, bar, measured, met."""
    for _, bars, _ in results():
        for bar in bars:
            what, least, _, measured, met = bar.row()
            yield [what, least, measured, "**no**" if met == "no" else met]


def postprocess_bars(path: Path) -> Iterator[Bar]:
    """Yield the bars of the post-processing from its own form of results."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for case in content["results"]:
        if "Mesmer settings, dense" in case["case"]:
            bar, stretch = (100, 150) if "4096" in case["case"] else (50, 80)
            spread = (min(case["ratios"]), max(case["ratios"]))
            yield Bar(f"deepcell_toolbox, {case['case']}", bar, stretch, case["ratio"], "×", True, spread)
            yield Bar(f"post-processing, {case['case']}", 35, 20, case["ours_ms_per_megapixel"], "ms/Mpx", False)
    yield Bar("objects equal to the definition, F1@0.9", 0.99, 1, content["definition"]["f1_at_0.9"], "", True)


def postprocess_circumstances(path: Path) -> str:
    """Return machine, date and commit from its own form of results."""
    machine: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))["machine"]
    return (
        f"{machine['date']}, commit {machine['commit']}, {machine['cores']} × {machine['cpu']}, "
        f"load {machine['load']} at the beginning, Python {machine['python']}"
    )


if __name__ == "__main__":
    sys.exit(main())
