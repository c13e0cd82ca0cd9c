"""The scores of every bundled model on its validation images, by the commands that users have.

    python -m benchmarks.models.run [--data FOLDER] [--only NAME…]

For each row of `SETS` whose model and images are there: ``cellfleet segment`` and ``cellfleet evaluate``, in processes
of their own. The table goes into docs/reference/models.md. Exit code 1 where a package states other scores, by more
than rounding: its `rdf.yaml`, which pages and ``cellfleet models list`` read, and its card are then to be corrected.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.common import ONE_THREAD, ROOT, save, table
from cellfleet.models import bundled_names
from cellfleet.models.load import read_declared

PAGE: Final = ROOT / "docs" / "reference" / "models.md"
BEGIN: Final = "<!-- scores: written by benchmarks.models.run -->\n"
END: Final = "<!-- end of scores -->\n"
HEADER: Final = ("model", "data", "images", "objects", "F1 at IoU 0.5", "AP at IoU 0.5", "mean AP 0.5…0.9")
TOLERANCE: Final = 0.001
"""Processors round differently by less."""


@dataclass(frozen=True)
class ValidationSet:
    """What a model is scored on."""

    model: str
    folder: str
    """Below the data: images/ beside labels/, or beside cells/ and nuclei/."""
    name: str
    """For people."""
    options: tuple[str, ...] = ()
    """Of ``cellfleet segment``."""
    key: str = "validation"
    """Of the scores in the package."""


SETS: Final = (
    ValidationSet("nuclei", "nuclear/val", "BBBC038, fluorescence"),
    ValidationSet("otsu", "nuclear/val", "BBBC038, fluorescence"),
    ValidationSet("detector", "nuclear/val", "BBBC038, fluorescence"),
    ValidationSet(
        "tissue",
        "tissue/val",
        "drawn tissue, not biological accuracy",
        ("--channel", "nuclear=1", "--channel", "membrane=2", "--pixel-size", "0.5"),
    ),
    ValidationSet(
        "brightfield-nuclei", "brightfield/val", "stacks of transmitted light", key="validation, silver truth"
    ),
    ValidationSet(
        "brightfield-nuclei-detector", "brightfield/val", "stacks of transmitted light", key="validation, silver truth"
    ),
)


@dataclass(frozen=True)
class Scored:
    """One row."""

    model: str
    version: str
    data: str
    key: str
    """Of the scores in the package."""
    images: int
    objects: int
    f1: float
    ap: float
    mean_ap: float

    def cells(self) -> list[str]:
        """Return the cells of its row."""
        kind = self.key.partition(", ")[2]
        named = f"{self.data}, {kind}" if kind else self.data
        numbers = (f"{number:.3f}" for number in (self.f1, self.ap, self.mean_ap))
        return [f"`{self.model}` {self.version}", named, str(self.images), str(self.objects), *numbers]


def main() -> int:
    """Score all, write the table, say what differs."""
    parser = argparse.ArgumentParser(description="Score every bundled model on its validation images.")
    parser.add_argument("--data", type=Path, default=ROOT / "data", help="folder with the validation sets")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="these models alone")
    given = parser.parse_args()
    rows = list(scores(given.data, given.only))
    insert(rows)
    details = {"data": [row.__dict__ for row in rows]}
    save("models", [], details, ["By the commands of the models' cards."], table(HEADER, [row.cells() for row in rows]))
    different = [text for row in rows for text in disagreement(row)]
    for text in different:
        print(text)
    return 1 if different else 0


def scores(data: Path, only: list[str] | None) -> Iterator[Scored]:
    """Yield the scores of all models whose package and images are there; tell of the others."""
    for one in SETS:
        if only and one.model not in only:
            continue
        if one.model not in bundled_names() or not (data / one.folder / "images").is_dir():
            print(f"not scored: {one.model}, for which the package or {data / one.folder} is not here")
            continue
        began = time.perf_counter()
        yield from scored(one, data / one.folder)
        print(f"{one.model}: {time.perf_counter() - began:.0f} s", flush=True)


def scored(one: ValidationSet, folder: Path) -> Iterator[Scored]:
    """Yield the scores of one model, one row per compartment."""
    truth = folder / "labels" if (folder / "labels").is_dir() else folder
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as out:
        call("segment", str(folder / "images"), "-o", out, "--model", one.model, *one.options, "--progress", "none")
        call("evaluate", out, str(truth), "--json", f"{out}/evaluate.json")
        result = json.loads(Path(out, "evaluate.json").read_text(encoding="utf-8"))
    version = read_declared(one.model).version
    found = result.get("compartments") or {"": result}
    names = {"": one.key, "whole-cell": "validation, whole cells", "nuclear": "validation, nuclei"}
    for compartment, each in found.items():
        yield row(one, version, names[compartment], each)


def row(one: ValidationSet, version: str, key: str, result: Mapping[str, Any]) -> Scored:
    """Return a row of what ``cellfleet evaluate`` says."""
    pooled = result["pooled"]
    at_half = pooled["scores"][0]
    return Scored(
        model=one.model,
        version=version,
        data=one.name,
        key=key,
        images=len(result["images"]),
        objects=pooled["n_truth"],
        f1=at_half["f1"],
        ap=at_half["average_precision"],
        mean_ap=pooled["mean_average_precision"],
    )


def disagreement(row: Scored) -> Iterator[str]:
    """Yield what the package states otherwise."""
    stated = read_declared(row.model).scores.get(row.key, {})
    for name in ("f1", "ap", "mean_ap"):
        measured, said = getattr(row, name), stated.get(name)
        if said is None or abs(said - measured) > TOLERANCE:
            yield f"{row.model}, {row.key}: {name} is {measured:.4f}, its package says {said}"


def insert(rows: list[Scored]) -> None:
    """Put the table in the place of the last one; of models that were not scored now the former rows stay."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    former, _, after = rest.partition(END)
    new = table(HEADER, [row.cells() for row in rows]).splitlines(keepends=True)
    scored_now = {row.model for row in rows}
    kept = [line for line in former.splitlines(keepends=True)[2:] if line.split("`")[1] not in scored_now]
    order = [one.model for one in SETS]
    lines = sorted([*new[2:], *kept], key=lambda line: order.index(line.split("`")[1]))
    PAGE.write_text(before + BEGIN + "".join([*new[:2], *lines]) + END + after, encoding="utf-8")


def call(*words: str) -> None:
    """Run a command of cellfleet."""
    subprocess.run(
        [sys.executable, "-m", "cellfleet", *words], env=os.environ | ONE_THREAD, check=True, stdout=subprocess.DEVNULL
    )


if __name__ == "__main__":
    sys.exit(main())
