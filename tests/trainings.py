"""Training runs for tests: a data set of drawn discs, and settings with which a step takes no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from tests.services import Running

from cellfleet.jobs.training_claims import Claim, TrainingQueue
from cellfleet.jobs.training_files import RunFiles
from cellfleet.service.access import User
from cellfleet.service.sets import folder_of, new_set
from cellfleet.spec.training import TrainingEnd
from cellfleet.stores.place import Place

QUICK: Final[dict[str, Any]] = {
    "network": {"kind": "unet", "widths": [8, 12]},
    "optimiser": {"kind": "adamw", "learning_rate": 1e-2, "warm_up_steps": 5},
    "augmentation": {"diameter_px": [14.0, 0.2], "empty_share": 0},
    "crop_px": 32,
    "batch": 2,
    "ema_decay": 0.9,
}
"""Changes to what a request means."""


def write_dataset(folder: Path, count: int = 8, seed: int = 0) -> Path:
    """Write a data set of bright discs that do not overlap, and their labels; return its folder."""
    random, (y, x) = np.random.default_rng(seed), np.mgrid[:96, :96]
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        labels = np.zeros((96, 96), np.uint16)
        for label in range(1, 9):
            cy, cx, radius = *random.uniform(8, 88, 2), random.uniform(6, 8)
            disc = (y - cy) ** 2 + (x - cx) ** 2 <= radius**2
            if not labels[disc].any():
                labels[disc] = label
        image = 20 + 150 * (labels > 0) + random.normal(0, 6, labels.shape)
        tifffile.imwrite(folder / "images" / f"{number}.tif", image.clip(0, 255).astype(np.uint8))
        tifffile.imwrite(folder / "labels" / f"{number}.tif", labels)
    return folder


def add_dataset(running: Running, owner: str, files: dict[str, bytes]) -> str:
    """Put a data set into a new set of a user; return it as the data set of a request."""
    made = new_set(running.service, User(owner, "user"), "data")
    for path, content in files.items():
        running.store.write(f"{folder_of(made.id)}/{path}", content)
    return f"set:{made.id}"


def make_quick(store: Place, run: str) -> None:
    """Have a run train a small network: its settings stand in the store before a trainer comes."""
    from cellfleet.training.spec import TrainSpec

    files = RunFiles(store, run)
    order = files.order()
    assert order is not None
    spec = TrainSpec.model_validate({"name": order.request.name, **QUICK, **order.request.budget})
    assert store.create(files.name("train.json"), json.dumps(spec.model_dump(mode="json")).encode())


def claimed(running: Running, run: str) -> tuple[TrainingQueue, Claim]:
    """Take a run as a trainer does; those before it end."""
    queue = TrainingQueue(running.store, "a trainer")
    queue.show()
    while True:
        claim = queue.claim()
        assert claim is not None
        if claim.files.id == run:
            return queue, claim
        queue.end(claim, TrainingEnd(state="done", at_ms=1))


def ended_with(running: Running, run: str, package: Path) -> None:
    """End a run with a package that was made elsewhere."""
    queue, claim = claimed(running, run)
    for path in package.iterdir():
        running.store.write(claim.files.name("package", path.name), path.read_bytes())
    queue.end(claim, TrainingEnd(state="done", at_ms=1, scores={"validation": {"f1": 0.9}}))
