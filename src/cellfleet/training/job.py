"""A training run of a service, carried out: its data set fetched, trained on, its state kept in the store all along.

After each look the log goes into the store and then the checkpoint, so that whoever goes on from the checkpoint has
all points before it. A thread shows life meanwhile, and sees whether the user has stopped the run, or another has it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import ValidationError

from cellfleet.errors import CellfleetError, OutputError, TrainingError
from cellfleet.jobs.places import below
from cellfleet.jobs.submission import as_path
from cellfleet.jobs.training_claims import Claim, TrainingQueue
from cellfleet.jobs.training_files import RunFiles, damaged, is_run_id
from cellfleet.models import load_model
from cellfleet.models.repository import Repository
from cellfleet.spec.choices import Device
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.record import Told
from cellfleet.spec.training import TrainingEnd, TrainingOrder, TrainingProgress, WantedComparison
from cellfleet.spec.training_http import (
    USUAL_MINUTES,
    ComparedObjects,
    Comparison,
    Phase,
    TrainingData,
    TrainingPoint,
    TrainingRequest,
)
from cellfleet.stores.atomic import output_error, scratch
from cellfleet.training.compare import compare
from cellfleet.training.dataset import Sample, load_dataset
from cellfleet.training.fetch import fetch_dataset
from cellfleet.training.loop import CHECKPOINT, LOG, SPEC
from cellfleet.training.pace import Pace, StoppedError
from cellfleet.training.run import train_on
from cellfleet.training.spec import TrainSpec, train_spec, with_channels
from cellfleet.training.start import gentler

FIRST_LOOK_SECONDS = 5.0
_WATCH_SECONDS = 3.0
"""Between two looks at what the user or other trainers have done."""
_MAY_PASS = frozenset({"E301", "E323"})
"""The store does not answer, or is full."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trainer:
    """Carries out runs: the `Trains` of `jobs.training_work`."""

    queue: TrainingQueue
    models: Repository
    folder: Path
    """For data sets and what is being made; exists."""
    device: Device = "auto"
    first_look_seconds: float = FIRST_LOOK_SECONDS

    def carry_out(self, claim: Claim, stop: threading.Event) -> bool:
        """Carry out a run until it has ended, was stopped, or is another trainer's."""
        with scratch(self.folder) as folder:
            return _Attempt(self, claim, folder, stop).carried_out()

    def compare(self, files: RunFiles, wanted: WantedComparison) -> None:
        """Compare the model of a run with a published one, and write the answer."""

        def made() -> tuple[ComparedObjects, ...]:
            order, end = files.order(), files.end()
            assert order is not None and end is not None, "it was done when it was asked for"
            with scratch(self.folder) as folder:
                held_out = self._validation_images(order, end, folder)
                return self.compared(held_out, _fetched(files, folder), order.request, wanted.present)

        self.queue.answer(files, _answer(wanted.present, made, self.folder))

    def compared(
        self, held_out: Sequence[Sample], package: Path, request: TrainingRequest, present: PinnedModel
    ) -> tuple[ComparedObjects, ...]:
        """Return how a package compares with a published model. Raises `TrainingError` E635, `ModelError`."""
        new, other = load_model(package, device=self.device), self.models.load(present, device=self.device)
        spec = _spec_of(request)
        return compare(held_out, new, other, spec.roles, spec.microns_per_pixel)

    def _validation_images(self, order: TrainingOrder, end: TrainingEnd, folder: Path) -> list[Sample]:
        spec = _spec_of(order.request)
        root = fetch_dataset(as_path(order.request.dataset, self.queue.store), _new(folder / "data"))
        _, held_out = load_dataset(root, spec.seed, spec.channels, spec.frames)
        if _hash_of(held_out) != end.validation:
            action = "Train again, so that both models are scored on images that neither was trained on"
            what = "the data set is not the one any more that the run was trained on"
            raise TrainingError("E636", what, where=order.request.dataset, action=action)
        return held_out


class _Attempt:
    """One claim of a run."""

    def __init__(self, trainer: Trainer, claim: Claim, folder: Path, stop: threading.Event) -> None:
        self._trainer, self._queue, self._claim, self._folder = trainer, trainer.queue, claim, folder
        self._request, self._files = claim.order.request, claim.files
        self._ending = stop
        self._standing: Literal["held", "stopped", "lost"] = "held"
        self._points: list[TrainingPoint] = []
        before = claim.files.progress()
        self._progress = before or TrainingProgress(phase="reading", started_ms=_now_ms())
        self._out = _new(folder / "package")

    def carried_out(self) -> bool:
        """Train and write down how it ended; return whether it has."""
        _log.info("training run %s goes on from step %d", self._files.id, self._claim.step)
        with self._watched():
            try:
                end = self._trained()
            except StoppedError as stopped:
                self._leave(stopped.step)
                return False
            except Exception as error:  # noqa: BLE001 (the boundary of a run: a bug costs this run, not the trainer)
                end = TrainingEnd(state="failed", at_ms=_now_ms(), problem=_problem(error, self._folder))
            if self._queue.standing(self._claim) == "lost":
                return False
            self._queue.end(self._claim, end)
        _log.info("training run %s: %s", self._files.id, end.state)
        return True

    def _trained(self) -> TrainingEnd:
        self._note(phase="reading")
        spec = self._restored()
        root = fetch_dataset(as_path(self._request.dataset, self._queue.store), _new(self._folder / "data"))
        samples, held_out = load_dataset(root, spec.seed, spec.channels, spec.frames)
        self._note(phase="training", data=_data(samples, held_out))
        pace = Pace(self._trainer.first_look_seconds, lambda: self._ending.is_set() or self._standing != "held")
        device = self._trainer.device
        manifest = train_on(
            samples, held_out, self._out, spec, device=device, tell=self._looked, pace=pace, start=self._start()
        )
        for path in self._out.iterdir():
            if path.name != CHECKPOINT:
                self._queue.store.write(self._files.name("package", path.name), path.read_bytes())
        self._note(phase="comparing")
        self._compare(held_out)
        scores = {data: dict(values) for data, values in manifest.scores.items()}
        return TrainingEnd(state="done", at_ms=_now_ms(), scores=scores, validation=_hash_of(held_out))

    def _start(self) -> Path | None:
        """Return the folder with the weights to begin with. Raises `ModelError` E401, `TrainingError` E613: none."""
        if self._request.start is None:
            return None
        files = RunFiles(self._queue.store, self._request.start)
        order = files.order() if is_run_id(self._request.start) else None
        folder = _new(self._folder / "start")
        if order is not None and order.owner == self._claim.order.owner:
            return _fetched(files, folder)
        models = self._trainer.models
        for name, content in models.to_train_from(models.resolve(self._request.start)).items():
            (folder / name).write_bytes(content)
        return folder

    def _restored(self) -> TrainSpec:
        """Bring back what the attempt before this one left; return the settings."""
        spec = self._agreed_spec()
        if self._claim.step:
            checkpoint = self._queue.store.read(self._files.checkpoint(self._claim.step)) or b""
            (self._out / CHECKPOINT).write_bytes(checkpoint)
            (self._out / SPEC).write_text(spec.model_dump_json(indent=2), encoding="utf-8")
            self._points = [point for point in self._files.points() if point.step <= self._claim.step]
            lines = (json.dumps(_entry(point)) + "\n" for point in self._points)
            (self._out / LOG).write_text("".join(lines), encoding="utf-8")
        return spec

    def _agreed_spec(self) -> TrainSpec:
        """Return the settings of the first attempt: a newer cellfleet may make others of the same request."""
        name = self._files.name(SPEC)
        self._queue.store.create(name, _spec_of(self._request).model_dump_json(indent=2).encode())
        try:
            return TrainSpec.model_validate_json(self._queue.store.read(name) or b"")
        except ValidationError as error:
            raise damaged(name) from error

    def _looked(self, entry: dict[str, Any]) -> None:
        """Keep a point of the curves, then the checkpoint; where the store takes none now, those of the next look."""
        self._points.append(_point(entry))
        share = _share(self._request, entry["step"], entry["seconds"])
        phase: Phase = "exporting" if share >= 1 else "training"
        self._note(phase=phase, step=entry["step"], seconds=entry["seconds"], share=min(1.0, share))
        with _patient():
            self._keep(entry["step"])
            # The time is none of the run's; whoever waits need not wait until it ends.
            if asked := self._queue.wanted():
                self._trainer.compare(*asked)

    def _note(self, **change: Any) -> None:
        """Write how far the run is."""
        latest = self._points[-1] if self._points else None
        self._progress = self._progress.model_copy(update={**change, "points": len(self._points), "latest": latest})
        with _patient():
            if self._standing != "lost":
                self._queue.tell(self._claim, self._progress, self._points)

    def _keep(self, step: int) -> None:
        if self._queue.standing(self._claim) != "lost":
            self._queue.keep(self._claim, self._out / CHECKPOINT, step)

    def _leave(self, step: int) -> None:
        """Leave the run to whoever goes on with it."""
        with _patient():
            self._keep(step)
            self._queue.give_back(self._claim)
        _log.info("training run %s is left at step %d: %s", self._files.id, step, self._standing)

    def _compare(self, held_out: Sequence[Sample]) -> None:
        """Compare with the model that the user named, or that pages offer first."""
        models = self._trainer.models
        try:
            present = models.resolve(self._request.compare_with or models.first())
        except CellfleetError as error:
            _log.warning("training run %s is compared with nothing: %s", self._files.id, error)
            return

        def made() -> tuple[ComparedObjects, ...]:
            return self._trainer.compared(held_out, self._out, self._request, present)

        self._queue.answer(self._files, _answer(present, made, self._folder))

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Show life, and look what others do to the run, while the block runs."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(min(_WATCH_SECONDS, self._queue.lease_seconds / 4)):
                with contextlib.suppress(OutputError):
                    self._queue.show()
                    self._standing = self._queue.standing(self._claim)

        thread = threading.Thread(target=watch, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextlib.contextmanager
def _patient() -> Iterator[None]:
    """Pass over a store that does not answer now, or is full: the training goes on meanwhile."""
    try:
        yield
    except OutputError as error:
        if error.code not in _MAY_PASS:
            raise
        _log.warning("not kept in the store: %s", error)


def _answer(present: PinnedModel, make: Callable[[], tuple[ComparedObjects, ...]], folder: Path) -> Comparison:
    """Make a comparison in a folder, or say why there is none."""
    try:
        return Comparison(state="done", present=present, results=make())
    except Exception as error:  # noqa: BLE001 (a bug costs this comparison, not the run at whose look it is made)
        return Comparison(state="failed", present=present, problem=_problem(error, folder))


def _spec_of(request: TrainingRequest) -> TrainSpec:
    """Return the settings that a request means. Raises `UsageError` E010, E018, E610: it means none."""
    spec = train_spec(
        request.name,
        network=request.network,
        receptive_field=request.receptive_field,
        frames=request.frames,
        recipe=request.recipe,
        seed=request.seed,
        steps=request.steps,
        minutes=None if request.steps else request.minutes or USUAL_MINUTES,
    )
    if request.channels or request.microns_per_pixel is not None:
        spec = with_channels(spec, request.channels or ("nuclear=1",), request.microns_per_pixel)
    return spec if request.start is None else gentler(spec)


def _share(request: TrainingRequest, step: int, seconds: float) -> float:
    """Return how much of the budget is used: 1 and above, when all is."""
    return step / request.steps if request.steps else seconds / (60 * (request.minutes or USUAL_MINUTES))


def _point(entry: dict[str, Any]) -> TrainingPoint:
    """Return a line of the local log as the service tells it."""
    scores = {name: _finite(value) for name, value in entry.items() if name not in {"step", "seconds", "loss"}}
    return TrainingPoint(step=entry["step"], seconds=entry["seconds"], loss=_finite(entry["loss"]), scores=scores)


def _entry(point: TrainingPoint) -> dict[str, Any]:
    """Return the line of the local log that a point was made of."""
    values = {"loss": point.loss, **point.scores}
    numbers = {name: math.nan if value is None else value for name, value in values.items()}
    return {"step": point.step, "seconds": point.seconds, **numbers}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _data(samples: Sequence[Sample], held_out: Sequence[Sample]) -> TrainingData:
    objects = sum(np.unique(sample.labels[sample.labels > 0]).size for sample in samples)
    return TrainingData(train_images=len(samples), validation_images=len(held_out), objects=objects)


def _hash_of(samples: Sequence[Sample]) -> str:
    """Return a hash of names and labels, by which the same images are known again."""
    digest = hashlib.sha256()
    for sample in sorted(samples, key=lambda one: one.name):
        digest.update(sample.name.encode())
        for labels in sample.compartments:
            digest.update(labels.tobytes())
    return digest.hexdigest()


def _fetched(files: RunFiles, folder: Path) -> Path:
    """Copy the package of a run, which is flat, from the store."""
    package, out = below(files.store, files.name("package")), _new(folder / "package")
    for name in package.names():
        (out / Path(name).name).write_bytes(package.read(name) or b"")
    return out


def _problem(error: Exception, folder: Path) -> Told:
    """Return what is told of an error that ended the work in a folder. Raises it if it may pass."""
    if isinstance(error, CellfleetError) and error.code in _MAY_PASS:
        raise error
    if isinstance(error, OSError):
        error = output_error(error, folder)
    if isinstance(error, CellfleetError):
        return Told(code=error.code, what=error.what, where=error.where, action=error.action)
    if isinstance(error, MemoryError):
        return Told(code="E510", what="not enough memory", action="Train on fewer or smaller images")
    _log.error("this is a bug", exc_info=error)
    action = "Report it with what the log of the trainer says"
    return Told(code="E599", what=f"this is a bug in cellfleet ({error!r:.200})", action=action)


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
