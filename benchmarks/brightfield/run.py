"""How good is `brightfield-nuclei`? Trains its translation model, packs the workflows, scores all, draws a picture.

    python -m benchmarks.brightfield.run DATA --out PACKAGES [--cpu-minutes 20] [--picture PNG] [--dataset FOLDER]

DATA is the folder of transmitted-light data (benchmarks/brightfield/prepare.py says which). PACKAGES gets the folders
brightfield-dapi, brightfield-nuclei and brightfield-nuclei-detector; training goes on from a checkpoint there, if its
budget is not used up. FOLDER keeps images, targets and silver labels (``data/brightfield`` is where `benchmarks.models`
looks for them). Scores are of the validation rows, through the pipeline that users run:

* Pearson's correlation of predicted and true log intensity over all pixels, beside that of a linear model;
* F1 of the cells at IoU 0.5 against *silver* labels: what `nuclei` finds in the true stain. Nobody drew them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import cellfleet
from benchmarks.brightfield.baseline import linear_prediction
from benchmarks.brightfield.package import FINDERS, SPEC, write_cards, write_workflow
from benchmarks.brightfield.picture import draw
from benchmarks.brightfield.prepare import only, prepare, write_labels
from benchmarks.common import Bar, save, table
from cellfleet.evaluation.matching import match
from cellfleet.training.translation import pearson
from cellfleet.training.translation_run import train_translation

QUOTED_BASELINE = 0.79
"""A linear baseline that was quoted to us without its features and its scale; ours does not reach it."""
FEWER_PLANES = (9, 7, 5)


def main() -> int:
    """Train, pack, score, draw."""
    parser = argparse.ArgumentParser(description="Train and score brightfield-nuclei.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cpu-minutes", type=float, default=SPEC.cpu_minutes)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--dataset", type=Path)
    given = parser.parse_args()
    translator, workflows = given.out / "brightfield-dapi", [given.out / name for name in FINDERS]
    with tempfile.TemporaryDirectory() as temporary:
        dataset = given.dataset or Path(temporary)
        prepare(given.data, dataset)
        spec = SPEC.model_copy(update={"cpu_minutes": given.cpu_minutes})
        manifest = train_translation(dataset, translator, spec, description={}, tell=print)
        for workflow in workflows:
            write_workflow(workflow)
        scores = score(dataset, workflows)
        if given.picture:
            draw(only(dataset / "val" / "images"), only(dataset / "val" / "targets"), workflows, given.picture)
        write_cards(translator, manifest, scores)
        report(scores)
    return 0


def score(dataset: Path, workflows: Sequence[Path]) -> dict[str, Any]:
    """Return every figure."""
    stacks = {split: only(dataset / split / "images") for split in ("train", "val")}
    stains = {split: only(dataset / split / "targets") for split in ("train", "val")}
    logs = {split: np.log(stain.astype(np.float64)) for split, stain in stains.items()}
    scores: dict[str, Any] = {
        "pearson_linear": pearson(linear_prediction(stacks["train"], logs["train"], stacks["val"]), logs["val"])
    }
    for split, name in (("val", "validation"), ("train", "training")):
        silver = cellfleet.segment(stains[split], model="nuclei", device="cpu")
        write_labels(dataset / split, silver.labels)
        found = {
            workflow.name: cellfleet.segment(stacks[split], axes="ZYX", model=workflow, device="cpu")
            for workflow in workflows
        }
        (predicted, *_) = (cells.predicted for cells in found.values())
        scores[name] = {
            "pearson_log": pearson(np.log(np.maximum(predicted, 1)), logs[split]),
            "found": {workflow: _agreement(cells.labels, silver.labels) for workflow, cells in found.items()},
        }
    scores["fewer_planes"] = {
        str(count): pearson(np.log(np.maximum(_of_planes(stacks["val"], count, workflows[0]), 1)), logs["val"])
        for count in FEWER_PLANES
    }
    return scores


def _agreement(labels: np.ndarray, silver: np.ndarray) -> dict[str, Any]:
    compared = match(labels, silver)
    at_half = compared.at(0.5)
    return {
        "f1": at_half.f1,
        "ap": at_half.average_precision,
        "mean_ap": compared.mean_average_precision,
        "silver_objects": compared.n_truth,
        "objects": compared.n_pred,
        "true_positives": at_half.true_positives,
    }


def _of_planes(stack: np.ndarray, count: int, workflow: Path) -> np.ndarray:
    """Return what is predicted where only `count` evenly spread planes of a stack were taken."""
    taken = stack[np.rint(np.linspace(0, len(stack) - 1, count)).astype(int)]
    predicted = cellfleet.segment(taken, axes="ZYX", model=workflow, device="cpu").predicted
    assert predicted is not None, "a workflow predicts"
    return predicted


def report(scores: dict[str, Any]) -> None:
    """Write the figures beside those of the other benchmarks."""
    found = scores["validation"]["pearson_log"]
    bars = [
        Bar(
            "Pearson of log-DAPI, validation rows: above our linear model",
            scores["pearson_linear"],
            None,
            found,
            "",
            True,
        ),
        Bar("the same: above the linear baseline that was quoted", QUOTED_BASELINE, None, found, "", True),
    ]
    rows = [
        [f"{split}, {workflow}", f"{one:.3f}", f"{found['f1']:.3f}", found["silver_objects"], found["objects"]]
        for split in ("validation", "training")
        for one in [scores[split]["pearson_log"]]
        for workflow, found in scores[split]["found"].items()
    ]
    rows += [
        [f"validation, {count} planes", f"{value:.3f}", "", "", ""] for count, value in scores["fewer_planes"].items()
    ]
    header = ["rows, workflow", "Pearson of log-DAPI", "F1 at IoU 0.5, silver", "silver objects", "objects found"]
    notes = [
        "One field of one plate: rows 512–1023 were learned, rows 272–495 are validated. No test on other cells.",
        "Silver labels are what `nuclei` finds in the true stain: nobody drew them, and there is a handful.",
        "The quoted linear baseline (0.79) came without features and scale; ours has 104 features in squares of 4 px.",
    ]
    save("brightfield", bars, {"scores": scores}, notes, table(header, rows))


if __name__ == "__main__":
    raise SystemExit(main())
