"""Compare cellfleet's deep watershed with deepcell_toolbox's, in one run, on the same heads, one thread each.

    python benchmarks/postprocess/run.py [--data data/nuclear/val] [--repeats 3]

Needs cellfleet with its `train` extra. The peer is installed on the first run into .venv-bench-deepcell, with
Python 3.10 if there is one (the peer's own limit), else with this Python. Both sides see the same uint8 heads, the
peer as float32; rounds alternate; processor seconds are taken, the median is reported. Results go to
benchmarks/results/postprocess-DATE.json and .md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import fields
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.measure import label
from skimage.morphology import disk, h_maxima
from skimage.segmentation import relabel_sequential, watershed

from cellfleet.evaluation.matching import match
from cellfleet.pipeline.measure import measure
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.spec.postprocess import DeepWatershed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEER_VENV = ROOT / ".venv-bench-deepcell"
# Its pins (Cython < 3, numpy < 2) do not all resolve any more: installed without, its real imports beside it.
PEER = ("deepcell_toolbox==0.12.1",)
PEER_NEEDS = (
    "numpy<2",
    "scipy<1.16",
    "scikit-image<0.26",
    "scikit-learn",
    "opencv-python-headless<4.12",
    "pandas",
    "tqdm",
)

MESMER = DeepWatershed(
    radius=2,
    maxima_threshold=0.075,
    maxima_smooth=0,
    interior_threshold=0.2,
    interior_smooth=2,
    small_objects_threshold=15,
    fill_holes_threshold=15,
)
NUCLEAR = DeepWatershed(radius=10, maxima_threshold=0.1, maxima_smooth=0, interior_threshold=0.01, interior_smooth=1)


@dataclass(frozen=True)
class Case:
    """One row of the result."""

    name: str
    side: int
    per_megapixel: float
    spec: DeepWatershed
    repeats: int


def cases(repeats: int) -> list[Case]:
    return [
        Case("Mesmer settings, dense, 1024²", 1024, 2000, MESMER, repeats),
        Case("Mesmer settings, sparse, 1024²", 1024, 500, MESMER, repeats),
        Case("Mesmer settings, dense, 4096²", 4096, 2000, MESMER, 1),
        Case("nuclear settings (radius 10), dense, 1024²", 1024, 2000, NUCLEAR, 1),
    ]


def peer_python() -> Path:
    python = PEER_VENV / "bin" / "python"
    if not python.exists():
        interpreter = shutil.which("python3.10") or sys.executable
        subprocess.run([interpreter, "-m", "venv", str(PEER_VENV)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *PEER], check=True)
        subprocess.run([*pip, *PEER_NEEDS], check=True)
    return python


class Peer:
    """The peer's process, warm: its imports are not part of any number."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        command = [str(peer_python()), "-W", "ignore", str(HERE / "peer.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise RuntimeError("the peer stopped: see its traceback above")
        return dict(json.loads(line))

    def run(self, spec: DeepWatershed) -> tuple[float, NDArray[np.uint32]]:
        """Processor seconds and labels for the heads that lie in the scratch folder."""
        names = set(DeepWatershed.model_fields) - {"method", "maxima_head", "interior_head"}
        settings = {name: getattr(spec, name) for name in names} | {"pixel_expansion": spec.pixel_expansion or None}
        request = {"settings": settings} | {n: str(self.scratch / f"{n}.npy") for n in ("heads", "labels")}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()["seconds"], np.load(self.scratch / "labels.npy")


def timed(heads: NDArray[np.uint8], spec: DeepWatershed, rounds: int) -> tuple[float, NDArray[np.uint32]]:
    """Median processor seconds of `rounds` calls."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        labels = deep_watershed(heads[0], heads[1], spec)
        seconds.append(time.process_time() - start)
    return statistics.median(seconds), labels


def adjusted_rand_index(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    """ARI of two partitions of the pixels that either calls foreground (Hubert and Arabie 1985)."""
    pixels = (a > 0) | (b > 0)
    a, b = a[pixels].astype(np.int64), b[pixels].astype(np.int64)

    def pairs(labels: NDArray[np.int64]) -> float:
        counts = np.unique(labels, return_counts=True)[1].astype(np.float64)
        return float((counts * (counts - 1) / 2).sum())

    together, of_a, of_b = pairs(a * (int(b.max()) + 1) + b), pairs(a), pairs(b)
    expected = of_a * of_b / (a.size * (a.size - 1) / 2)
    return (together - expected) / ((of_a + of_b) / 2 - expected)


def f1(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    return match(a, b, (0.9,)).at(0.9).f1


def run_case(case: Case, nuclei: list[fields.Mask], peer: Peer) -> dict[str, Any]:
    random = np.random.default_rng(2026)
    heads = np.stack(fields.predict(fields.pack(nuclei, case.side, case.per_megapixel, random), random))
    np.save(peer.scratch / "heads.npy", heads)
    ours_seconds, peer_seconds = [], []
    for run in (lambda: timed(heads, case.spec, 2), lambda: peer.run(case.spec)) if case.side <= 1024 else ():
        run()  # not counted: first calls touch new memory
    for _ in range(case.repeats):
        seconds, ours = timed(heads, case.spec, 9 if case.side <= 1024 else 3)
        ours_seconds.append(seconds)
        seconds, theirs = peer.run(case.spec)
        peer_seconds.append(seconds)
    megapixels = case.side**2 / fields.MEGAPIXEL
    start = time.process_time()
    measure(ours, heads[:1], ["inner"], None)
    measure_seconds = time.process_time() - start
    ours_median, peer_median = statistics.median(ours_seconds), statistics.median(peer_seconds)
    return {
        "case": case.name,
        "objects": int(ours.max()),
        "peer_objects": int(np.unique(theirs).size - 1),
        "foreground": float(np.mean(ours > 0)),
        "ours_ms_per_megapixel": 1000 * ours_median / megapixels,
        "peer_ms_per_megapixel": 1000 * peer_median / megapixels,
        "ratio": peer_median / ours_median,
        "ratios": [p / o for p, o in zip(peer_seconds, ours_seconds, strict=True)],
        "ari": adjusted_rand_index(ours, theirs),
        "f1_at_0.9": f1(ours, theirs),
        "pixels_different": float(np.mean((ours > 0) != (theirs > 0))),
        "measure_ms_per_megapixel": 1000 * measure_seconds / megapixels,
    }


def against_definition(nuclei: list[fields.Mask]) -> dict[str, Any]:
    """h-maxima and marker watershed by scikit-image in float64, on heads without ties: how many pixels differ."""
    random = np.random.default_rng(2026)
    heads = fields.predict(fields.pack(nuclei, 1024, 2000, random), random)
    maxima, interior = (gaussian_filter(head / np.float32(255), 1.0) for head in heads)
    spec = MESMER.model_copy(update={"interior_smooth": 0, "small_objects_threshold": 0, "fill_holes_threshold": 0})
    mask = interior > np.float32(spec.interior_threshold)
    peaks = h_maxima(maxima.astype(np.float64), spec.maxima_threshold, footprint=disk(spec.radius))
    expected = watershed(-interior.astype(np.float64), label(peaks), mask=mask)
    ours = deep_watershed(maxima, interior, spec)
    # Different numbers for the same objects do not count.
    renumbered = relabel_sequential(expected)[0]
    names = np.zeros(int(ours.max()) + 1, np.int64)
    names[ours.ravel()] = renumbered.ravel()
    return {
        "objects": int(ours.max()),
        "reference_objects": int(renumbered.max()),
        "pixels_different": int(np.count_nonzero(names[ours] != renumbered)),
        "f1_at_0.9": f1(ours, renumbered.astype(np.uint32)),
    }


def machine() -> dict[str, str]:
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        cpu = next((x.split(":")[1].strip() for x in info.read_text().splitlines() if "model name" in x), cpu)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "peer": PEER[0],
    }


def row(r: dict[str, Any]) -> str:
    return (
        f"| {r['case']} | {r['objects']} ({r['peer_objects']}) | {r['ours_ms_per_megapixel']:.1f} "
        f"| {r['peer_ms_per_megapixel']:.0f} | **{r['ratio']:.0f}×** | {r['ari']:.5f} | {r['f1_at_0.9']:.4f} "
        f"| {r['measure_ms_per_megapixel']:.1f} |"
    )


def report(where: dict[str, str], results: list[dict[str, Any]], exact: dict[str, Any]) -> str:
    lines = [
        "# Post-processing: cellfleet against deepcell_toolbox",
        "",
        "One thread each, processor time, medians of alternating rounds (`python benchmarks/postprocess/run.py`).",
        "Heads: real nuclei packed to 500 (sparse) or 2 000 (dense) per megapixel (2^20 px), noisy, uint8.",
        "ARI over the foreground; F1 of objects at IoU 0.9; both against the peer's labels.",
        "",
        ", ".join(f"{key} {value}" for key, value in where.items()),
        "",
        "| case | objects (peer) | cellfleet ms/Mpx | peer ms/Mpx | ratio | ARI | F1@0.9 | measure ms/Mpx |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(r) for r in results]
    lines += [
        "",
        "Against the definition (scikit-image's h_maxima and watershed in float64; Mesmer settings, 1024², dense, no "
        f"ties): {exact['pixels_different']} of 1048576 pixels differ; {exact['objects']} objects, "
        f"{exact['reference_objects']} by definition; F1@0.9 {exact['f1_at_0.9']:.4f}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "nuclear" / "val")
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    nuclei = fields.load_nuclei(options.data)
    where = machine()
    with tempfile.TemporaryDirectory() as scratch:
        peer = Peer(Path(scratch))
        results = []
        for case in cases(options.repeats):
            results.append(run_case(case, nuclei, peer))
            print(row(results[-1]), flush=True)
    exact = against_definition(nuclei)
    options.results.mkdir(parents=True, exist_ok=True)
    target = options.results / f"postprocess-{where['date']}"
    target.with_suffix(".json").write_text(
        json.dumps({"machine": where, "results": results, "definition": exact}, indent=1) + "\n"
    )
    target.with_suffix(".md").write_text(report(where, results, exact))


if __name__ == "__main__":
    main()
