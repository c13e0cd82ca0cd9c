"""End to end, paired with StarDist 2D 0.9.2: image file → label TIFF and table, one thread, both processes warm.

    python -m benchmarks.end_to_end.run [--model nuclei] [--rounds 7] [--quick]

Both workers live as long as the run and take turns on the same files, so that whatever disturbs the machine disturbs
both. Seconds are processor seconds of the whole worker process unless they are called wall seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import VALIDATION, Bar, Worker, median, peer_python, ratios, save, table, workers
from benchmarks.fields import Field, real_field, synthetic_field

HERE = Path(__file__).parent
REAL = ("175dbb364bfefc95", "61dc249314d7b965")
"""The two 520 × 696 images of the validation set with the most nuclei of normal size."""
NOTES = (
    "StarDist's weights cannot be downloaded here: its network (configuration of 2D_versatile_fluo: 32 rays, grid 2, "
    "U-Net of depth 3 from 32 filters) has random weights. What follows it gets ideal heads made from the true labels, "
    "through the unchanged `predict_instances` with the thresholds of 2D_versatile_fluo; making them is not timed.",
    "cellfleet runs as its users run it: the bundled weights, the scale estimated unless said otherwise, and all that "
    "`cellfleet segment` does for an image (hash of the input, thumbnail, record, flush to the disk) is in its time.",
    "StarDist's table: *basic* is label, area, centroid, box and mean intensity by scikit-image's `regionprops_table`; "
    "*equal* holds what our table holds. The bar takes the basic one.",
    "Sparse and dense fields are made of real nuclei (benchmarks/fields.py); the real ones are 520 × 696 as they are.",
)
PEER_TOTALS: dict[str, tuple[str, ...]] = {
    "no table": ("read", "preprocess", "predict+postprocess", "write labels"),
    "basic table": ("read", "preprocess", "predict+postprocess", "write labels", "basic table"),
    "equal table": ("read", "preprocess", "predict+postprocess", "write labels", "table"),
}
OUR_STAGES = ("read", "survey", "preprocess", "predict", "postprocess", "measure", "write")

MODEL_DIAMETER_PX = 22.0
"""Given as --diameter, the bundled model leaves the image as it is: nothing is estimated or resampled."""

Run = dict[str, Any]


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="End to end against StarDist 2D.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--rounds", type=int, default=7, help="timed repetitions; one more warms up")
    parser.add_argument("--quick", action="store_true", help="two fields, two rounds")
    given = parser.parse_args()
    fields = list(make_fields(given.quick))
    peer = peer_python("stardist", HERE / "requirements.txt")
    commands: list[Sequence[str | Path]] = [
        [sys.executable, "-m", "benchmarks.end_to_end.cellfleet_worker", given.model],
        [peer, HERE / "stardist_worker.py"],
    ]
    with tempfile.TemporaryDirectory() as temporary, workers(*commands) as (ours, theirs):
        about = {"cellfleet": ours.about, "stardist": theirs.about}
        runs = {
            field.name: measure(field, Path(temporary), ours, theirs, 2 if given.quick else given.rounds)
            for field in fields
        }
    report(fields, runs, about)
    return 0


def make_fields(quick: bool) -> Iterator[Field]:
    """Yield the fields."""
    for kind in ("sparse", "dense"):
        for seed in range(1 if quick else 2):
            yield synthetic_field(kind, VALIDATION, seed)
    for name in () if quick else REAL:
        yield real_field(VALIDATION, name)


def measure(field: Field, folder: Path, ours: Worker, theirs: Worker, rounds: int) -> list[dict[str, Run]]:
    """Time both by turns; the first round warms up and is dropped."""
    image, truth = field.write(folder)
    runs = []
    for turn in range(rounds + 1):
        out = folder / field.name
        run = {
            "ours": ours.ask(image=str(image), out=str(out / "ours"), diameter=None),
            "theirs": theirs.ask(image=str(image), truth=str(truth), out=str(out / "theirs")),
            "ours_scale_given": ours.ask(image=str(image), out=str(out / "known"), diameter=MODEL_DIAMETER_PX),
        }
        if turn:
            runs.append(run)
    print(f"{field.name}: {field.objects} objects, done", flush=True)
    return runs


def report(fields: list[Field], runs: dict[str, list[dict[str, Run]]], about: dict[str, Any]) -> None:
    """Sum up, and write the results."""
    everything = [run for field in fields for run in runs[field.name]]
    ours = [run["ours"]["cpu"] for run in everything]
    bars = []
    for name in PEER_TOTALS:
        ratio, spread = ratios(ours, [peer_total(run["theirs"], name) for run in everything])
        is_bar = name == "basic table"
        what = f"end to end against StarDist 2D, {name}" + ("" if is_bar else " (for comparison)")
        bars.append(Bar(what, 3, 8, ratio, "×", True, spread))
    rest = [100 * (1 - run["ours"]["steps"]["network"] / run["ours"]["cpu"]) for run in everything]
    bars.append(Bar("everything but the network", 25, 10, median(rest), "%", False, (min(rest), max(rest))))
    bare = [100 * (1 - run["ours"]["steps"]["network"] / run["ours"]["cpu_like_peer"]) for run in everything]
    what = "the same without hash, thumbnail and record (for comparison)"
    bars.append(Bar(what, 25, 10, median(bare), "%", False, (min(bare), max(bare))))
    rows, stages = [], []
    for field in fields:
        rows += [field_row(field, runs[field.name])]
        stages += [stage_row(field, runs[field.name])]
    header = [
        "field",
        "objects: true · ours · StarDist",
        "zoom",
        "ours, s/Mpx",
        "scale given",
        "StarDist: no · basic · equal table",
        "ratio",
    ]
    tables = "Processor seconds per megapixel, medians; ratio: basic table ÷ ours.\n\n" + table(header, rows)
    tables += "\nWhere ours goes, ms per megapixel (*network* wherever it is called from, also in *survey*):\n\n"
    tables += table(["field", "network", *OUR_STAGES, "of write: labels", "csv", "picture", "record", "other"], stages)
    tables += "\nWhere StarDist's goes, ms per megapixel:\n\n"
    tables += table(["field", *PEER_STAGES], [peer_row(field, runs[field.name]) for field in fields])
    details = {"about": about, "runs": runs, "fields": {field.name: field.objects for field in fields}}
    save("end_to_end", bars, details, NOTES, tables)


def peer_total(run: Run, name: str) -> float:
    """Return StarDist's processor seconds with the table `name`."""
    return sum(run["stages"][stage] for stage in PEER_TOTALS[name])


def field_row(field: Field, runs: list[dict[str, Run]]) -> list[Any]:
    """Return one field's totals."""
    scale = field.megapixels
    ours = [run["ours"]["cpu"] for run in runs]
    known = median([run["ours_scale_given"]["cpu"] for run in runs])
    peer = {name: [peer_total(run["theirs"], name) for run in runs] for name in PEER_TOTALS}
    ratio, spread = ratios(ours, peer["basic table"])
    first = runs[0]
    return [
        field.name,
        f"{field.objects} · {first['ours']['objects']} · {first['theirs']['objects']}",
        f"{first['ours']['zoom']:.2g}",
        f"{median(ours) / scale:.3f}",
        f"{known / scale:.3f}",
        " · ".join(f"{median(values) / scale:.2f}" for values in peer.values()),
        f"{ratio:.2f} ({spread[0]:.2f}–{spread[1]:.2f})",
    ]


def stage_row(field: Field, runs: list[dict[str, Run]]) -> list[Any]:
    """Return where our time goes."""

    def ms(seconds: list[float]) -> str:
        return f"{1000 * median(seconds) / field.megapixels:.1f}"

    ours = [run["ours"] for run in runs]
    steps = ("labels-tiff", "csv", "outline_picture", "write_image_record")
    return [
        field.name,
        ms([run["steps"]["network"] for run in ours]),
        *(ms([run["stages"].get(stage, 0) for run in ours]) for stage in OUR_STAGES),
        *(ms([run["steps"].get(step, 0) for run in ours]) for step in steps),
        ms([run["cpu"] - sum(run["stages"].values()) - run["steps"]["write_image_record"] for run in ours]),
    ]


PEER_STAGES = ("network", *PEER_TOTALS["no table"], "basic table", "table")


def peer_row(field: Field, runs: list[dict[str, Run]]) -> list[Any]:
    """Return where StarDist's time goes."""
    stages = [run["theirs"]["stages"] for run in runs]
    return [field.name, *(f"{1000 * median([s[name] for s in stages]) / field.megapixels:.0f}" for name in PEER_STAGES)]


if __name__ == "__main__":
    sys.exit(main())
