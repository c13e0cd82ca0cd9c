"""The networks of `cellfleet train` beside each other: the same processor minutes, the same data, the same scores.

    python -m benchmarks.networks.run NUCLEAR MOVIES --work FOLDER [--minutes 5] [--only unet]

NUCLEAR is a data set with train/ and val/; MOVIES a folder of NAME_tr_*/ and NAME_va_*/ with `*_images.tif` and
`*_tracks.tif`. Networks of one plane learn from single images, and beside the feature-net of several frames from the
movies. The budget is time on one processor thread: seconds of a step are measured first, and so many steps are made
as fit. What is done is kept in FOLDER, so the same command goes on after a stop; `--only` does one network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
import torch

from benchmarks.common import ONE_THREAD, Bar, circumstances, save, table
from cellfleet.training.augment import Batches
from cellfleet.training.dataset import Sample, load_dataset, with_targets
from cellfleet.training.loop import loss_of
from cellfleet.training.networks import build_network
from cellfleet.training.pace import EVERY_EPOCH
from cellfleet.training.run import train_on
from cellfleet.training.spec import HEADS, AdamW, FeatureNet, FeatureNetStack, NetworkSpec, Panoptic, TrainSpec, UNet

OTSU_F1 = 0.895
"""Otsu's threshold and a watershed on the same validation images: what no training at all gives."""
TIMED_STEPS = 4
THIRD = 3
"""Every third validation image is scored, every other third chooses the post-processing: feature-nets take minutes."""
SCORED_PLANES = 10
"""Of the movie that is scored, for the same reason."""


class Contender(NamedTuple):
    """A network, the data it learns from, and how: full-resolution networks get small crops, to make some steps."""

    data: str
    network: NetworkSpec
    crop_px: int
    batch: int
    learning_rate: float


CONTENDERS = {
    "unet": Contender("nuclear", UNet(), 160, 12, 4e-3),
    "panoptic": Contender("nuclear", Panoptic(), 160, 12, 4e-3),
    "feature-net": Contender("nuclear", FeatureNet(), 64, 4, 2e-3),
    "unet-on-movies": Contender("movies", UNet(), 160, 12, 4e-3),
    "feature-net-3d": Contender("movies", FeatureNetStack(), 64, 4, 2e-3),
}


def main() -> int:
    """Train and score what is missing; report when all is there."""
    parser = argparse.ArgumentParser(description="Compare the networks of cellfleet train.")
    parser.add_argument("nuclear", type=Path)
    parser.add_argument("movies", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--only", choices=CONTENDERS)
    given = parser.parse_args()
    os.environ.update(ONE_THREAD)
    torch.set_num_threads(1)
    given.work.mkdir(parents=True, exist_ok=True)
    for name, contender in CONTENDERS.items():
        done = given.work / f"{name}.json"
        if not done.exists() and given.only in {None, name}:
            data = given.nuclear if contender.data == "nuclear" else movie_set(given.movies, given.work / "movies")
            told = compare(name, contender, data, given.work / name, given.minutes)
            done.write_text(json.dumps(told | {"circumstances": circumstances()}, indent=1), encoding="utf-8")
    found = {name: given.work / f"{name}.json" for name in CONTENDERS}
    if all(path.exists() for path in found.values()):
        report({name: json.loads(path.read_text(encoding="utf-8")) for name, path in found.items()}, given.minutes)
    return 0


def movie_set(movies: Path, out: Path) -> Path:
    """Lay the movies out as a data set."""
    for split, mark in (("train", "_tr_"), ("val", "_va_")):
        for folder in sorted(movies.glob(f"*{mark}*")):
            for sub, ending in (("images", "_images.tif"), ("labels", "_tracks.tif")):
                (out / split / sub).mkdir(parents=True, exist_ok=True)
                movie = tifffile.imread(folder / f"{folder.name}{ending}")
                kept = movie if split == "train" else movie[:SCORED_PLANES]
                tifffile.imwrite(out / split / sub / f"{folder.name}.tif", kept, imagej=True, metadata={"axes": "TYX"})
    return out


def third_of(validation: Path, out: Path) -> Path:
    """Copy the validation images that are scored: every third, or the only one."""
    for sub in ("images", "labels"):
        (out / sub).mkdir(parents=True, exist_ok=True)
        for path in sorted((validation / sub).iterdir())[::THIRD]:
            shutil.copyfile(path, out / sub / path.name)
    return out


def compare(name: str, contender: Contender, data: Path, work: Path, minutes: float) -> dict[str, Any]:
    """Train one network and score it; return the cells of its row."""
    spec = TrainSpec(
        name=name,
        network=contender.network,
        optimiser=AdamW(learning_rate=contender.learning_rate),
        crop_px=contender.crop_px,
        batch=contender.batch,
    )
    samples, held_out = load_dataset(data, frames=spec.frames)
    seconds = seconds_per_step(spec, samples)
    steps = max(1, int(60 * minutes / seconds))
    # A fifth of a short run warms up, and it is looked at once.
    recipe = AdamW(learning_rate=contender.learning_rate, warm_up_steps=max(1, min(200, steps // 5)))
    spec = spec.model_copy(update={"optimiser": recipe, "steps": steps, "steps_per_epoch": steps})
    package = work / name
    manifest = train_on(
        samples, held_out[1::THIRD], package, spec, device="cpu", tell=lambda entry: None, pace=EVERY_EPOCH
    )
    validation = third_of(data / "val", work / "scored")
    scores, processor = scored(package, validation, work)
    megapixels = sum(tifffile.TiffFile(path).series[0].size for path in (validation / "images").iterdir()) / 1e6
    return {
        "parameters": manifest.training["parameters"],
        "steps": steps,
        "seconds_per_step": seconds,
        "scores": scores,
        "seconds_per_megapixel": processor / megapixels,
        "weights_bytes": (package / f"{name}.onnx").stat().st_size,
    }


def seconds_per_step(spec: TrainSpec, samples: list[Sample]) -> float:
    """Return processor seconds of one step, the making of its batch not counted: that is done beside it."""
    targets = [with_targets(sample) for sample in samples[:: max(1, len(samples) // 12)]]
    batches = Batches(targets, spec.augmentation, crop_px=spec.crop_px, batch=spec.batch, seed=1)
    network = build_network(spec.network, len(samples[0].pixels), len(HEADS))
    optimiser = torch.optim.AdamW(network.parameters(), 1e-5)
    taken = []
    for step in range(TIMED_STEPS + 1):
        pixels, distances, kinds = batches[step]
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16):
            maps = network(pixels.to(memory_format=torch.channels_last))
        optimiser.zero_grad()
        loss_of(maps.float(), distances, kinds).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        taken.append(time.process_time() - began)
    # The first one warms up.
    return float(np.median(taken[1:]))


def scored(package: Path, validation: Path, work: Path) -> tuple[dict[str, float], float]:
    """Segment and evaluate by the commands that users have; return F1, AP, mean AP, and processor seconds."""
    out, pred, truth = (work / part for part in ("results", "pred", "truth"))
    began = os.times()
    command("segment", validation / "images", "-o", out, "--model", package, "--format", "labels-tiff", "--threads", 1)
    ended = os.times()
    planes_of(sorted(out.glob("*_labels.tif")), "_labels", pred)
    planes_of(sorted((validation / "labels").iterdir()), "", truth)
    command("evaluate", pred, truth, "--json", work / "evaluate.json")
    content = json.loads((work / "evaluate.json").read_text(encoding="utf-8"))
    spent = ended.children_user + ended.children_system - began.children_user - began.children_system
    return scores_in(content), spent


def planes_of(files: list[Path], ending: str, out: Path) -> None:
    """Write every plane as a label image of its own: numbers of one plane say nothing of the next."""
    out.mkdir(exist_ok=True)
    for path in files:
        for index, plane in enumerate(_planes(path)):
            tifffile.imwrite(out / f"{path.stem.removesuffix(ending)}-{index:03}.tif", plane)


def _planes(path: Path) -> Iterator[Any]:
    labels = tifffile.imread(path)
    yield from labels[np.newaxis] if labels.ndim == 2 else labels


def command(*words: object) -> None:
    """Run `cellfleet`."""
    subprocess.run([sys.executable, "-m", "cellfleet", *map(str, words)], check=True)


def scores_in(content: dict[str, Any]) -> dict[str, float]:
    """Return F1 and AP at IoU 0.5 and the mean AP of what `cellfleet evaluate` wrote."""
    pooled = content["pooled"]
    half = next(score for score in pooled["scores"] if score["iou_threshold"] == 0.5)
    return {"f1": half["f1"], "ap": half["average_precision"], "mean_ap": pooled["mean_average_precision"]}


def report(found: dict[str, dict[str, Any]], minutes: float) -> None:
    """Write the results."""
    rows = [row(name, told) for name, told in found.items()]
    bars = [
        Bar(f"{name}, F1 at IoU 0.5", OTSU_F1, None, told["scores"]["f1"], "", True)
        for name, told in found.items()
        if CONTENDERS[name].data == "nuclear"
    ]
    notes = [
        f"{minutes:g} minutes of one processor thread for each network; validation and the choice of post-processing "
        "come on top. None is near what it can reach, least the feature-nets: 921 GFLOP per megapixel and plane.",
        "The bar is Otsu's threshold with a watershed. The movies are semi-synthetic: no biological accuracy.",
        "F1 and AP at IoU 0.5, mean AP over 0.5…0.9, by `cellfleet segment` and `cellfleet evaluate` on every third of "
        f"the validation images, and {SCORED_PLANES} planes of the validation movie; another third chose the "
        "post-processing.",
    ]
    header = ["network", "data", "parameters", "crops", "steps", "F1", "AP", "mean AP", "CPU-s/Mpx", "weights, MB"]
    save("networks", bars, {"found": found}, notes, table(header, rows))


def row(name: str, told: dict[str, Any]) -> list[str]:
    """Return the cells of one network."""
    contender, scores = CONTENDERS[name], told["scores"]
    return [
        contender.network.kind,
        contender.data,
        f"{told['parameters']:,}".replace(",", " "),
        f"{contender.batch} × {contender.crop_px} px",
        f"{told['steps']}",
        *(f"{scores[score]:.3f}" for score in ("f1", "ap", "mean_ap")),
        f"{told['seconds_per_megapixel']:.2g}",
        f"{told['weights_bytes'] / 1e6:.1f}",
    ]


if __name__ == "__main__":
    sys.exit(main())
