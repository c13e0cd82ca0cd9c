"""How fast models are on this machine, kept for plans: seconds per megapixel as running sums, in small files.

    speeds/<model>/<hardware>-<slot>.json        a `Speed`

`cellfleet segment` keeps them in the user's cache, workers in the store. A worker writes a file of one of a few slots,
the one its name falls on, so that workers that come and go leave no files behind; of two in one slot that write at once
one loses what it measured since. Nothing depends on it: what cannot be read or written is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from cellfleet.errors import CellfleetError, OutputError
from cellfleet.inference.hardware import cpu_name, gpu_name
from cellfleet.models import AnyModel
from cellfleet.planning.speeds import plus
from cellfleet.spec.plan import Hardware, Speed
from cellfleet.spec.record import ImageRecord
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.place import FolderPlace, Place

SPEEDS = "speeds"
EVERY_SECONDS = 60.0
SLOTS = 16
KEPT_MEGAPIXELS = 100_000.0
"""Above this all sums are halved: what was measured lately counts more."""
_MOST_FILES = 4096

_log = logging.getLogger(__name__)


def hardware_here(device: str, threads: int, machine: str = "") -> Hardware:
    """Return what computes here: `device` as a loaded model tells it."""
    return Hardware(cpu=cpu_name(), threads=threads, gpu=gpu_name() if device == "cuda" else "", machine=machine)


def pixels_of(axes: str, shape: Sequence[int]) -> int:
    """Return the pixels of all planes of an image; channels are not counted."""
    return math.prod(length for axis, length in zip(axes, shape, strict=True) if axis not in "CS")


def own_speeds() -> Place | None:
    """Return where this user's machine keeps speeds; None where there is no home."""
    try:
        return FolderPlace(cache_folder())
    except RuntimeError:
        return None


@dataclass
class _Account:
    speed: Speed
    """What stands in the file, and what came since."""
    changed: bool = False


@dataclass
class SpeedLog:
    """Sums of one process. May be used from any thread."""

    store: Place
    writer: str
    """Name of the process, unique among all."""
    threads: int
    machine: str = ""
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    _accounts: dict[tuple[str, str], _Account] = field(default_factory=dict, init=False, repr=False)
    _running: int = field(default=0, init=False, repr=False)
    _since: float = field(default=0.0, init=False, repr=False)
    """Up to then the time of those that run is counted."""
    _written_at: float = field(default=float("-inf"), init=False, repr=False)

    _done: int = field(default=0, init=False, repr=False)
    _written_done: int = field(default=0, init=False, repr=False)
    """Images, in all and when it was written last."""

    @contextlib.contextmanager
    def working(self, model: AnyModel) -> Iterator[None]:
        """Count the time of the block as the machine's; of blocks beside each other it counts once."""
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._since = self.clock()
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                since, self._since = self._since, self.clock()
                passed = self._since - since
            self._add(model, seconds=passed)
            self.write_now_and_then()

    def done(self, model: AnyModel, pixels: int, seconds: float) -> None:
        """Add an image that is done: its pixels, and what threads spent on it."""
        megapixels = pixels / 1e6
        with self._lock:
            self._done += 1
        self._add(
            model,
            images=1,
            megapixels=megapixels,
            squared_megapixels=megapixels**2,
            weighted_seconds=megapixels * seconds,
        )

    def stages(self, model: AnyModel, seconds: Mapping[str, float]) -> None:
        """Add what threads spent in the stages of an image."""
        self._add(model, stage_seconds=dict(seconds))

    def ran(self, model: AnyModel, seconds: float) -> None:
        """Add machine time that the caller measured itself."""
        self._add(model, seconds=seconds)

    def loaded(self, model: AnyModel, load_seconds: float, warm_up_seconds: float = 0.0) -> None:
        """Add that a model was loaded."""
        self._add(model, loads=1, load_seconds=load_seconds, warm_up_seconds=warm_up_seconds)

    def write_now_and_then(self) -> None:
        """Write what has changed, if the last time was a while ago or twice as many images are done as then."""
        if self.clock() - self._written_at >= EVERY_SECONDS or self._done >= 2 * max(1, self._written_done):
            self.write()

    def write(self) -> None:
        """Write what has changed."""
        with self._lock:
            self._written_at, self._written_done = self.clock(), self._done
            changed = [account for account in self._accounts.values() if account.changed]
            contents = [(self._name(account.speed), account.speed.model_dump_json().encode()) for account in changed]
            for account in changed:
                account.changed = False
        for name, content in contents:
            try:
                self.store.write(name, content)
            except OutputError as error:
                _log.debug("speeds are not kept: %s", error)

    def _account(self, model: str, device: str) -> _Account:
        with self._lock:
            known = self._accounts.get((model, device))
        if known is not None:
            return known
        speed = Speed(model=model, hardware=hardware_here(device, self.threads, self.machine))
        stands = _read(self.store, self._name(speed))
        if stands is not None and (stands.model, stands.hardware) == (speed.model, speed.hardware):
            speed = stands
        with self._lock:
            return self._accounts.setdefault((model, device), _Account(speed))

    def _add(self, model: AnyModel, **more: Any) -> None:
        if model.device not in {"cpu", "cuda"}:  # a model server predicts, and others with it
            return
        account = self._account(model.sha256, model.device)
        with self._lock:
            speed = Speed(model=account.speed.model, hardware=account.speed.hardware, **more)
            account.speed = _faded(plus(account.speed, speed))
            account.changed = True

    def _name(self, speed: Speed) -> str:
        hardware = hashlib.sha256(speed.hardware.model_dump_json().encode()).hexdigest()[:12]
        slot = int(hashlib.sha256(self.writer.encode()).hexdigest(), 16) % SLOTS
        return f"{SPEEDS}/{speed.model[:16]}/{hardware}-{slot}.json"


def keep_speed(
    model: AnyModel, threads: int, images: Sequence[ImageRecord], seconds: float, load_seconds: float
) -> None:
    """Remember in the user's cache how fast a run on this machine was.

    Args:
        model: Which.
        threads: Of the run.
        images: What was done in it.
        seconds: It took.
        load_seconds: Loading the model took.
    """
    place = own_speeds()
    if place is None:
        return
    log = SpeedLog(place, "segment", threads)
    log.loaded(model, load_seconds)
    if images and all(image.status == "done" for image in images):  # failures say little of the speed
        for image in images:
            log.stages(model, image.seconds)
            log.done(model, pixels_of(image.axes, image.shape), sum(image.seconds.values()))
        log.ran(model, seconds)
    log.write()


def _faded(speed: Speed) -> Speed:
    if speed.megapixels <= KEPT_MEGAPIXELS:
        return speed
    return speed.model_copy(
        update={
            "images": speed.images // 2,
            "megapixels": speed.megapixels / 2,
            "seconds": speed.seconds / 2,
            "stage_seconds": {stage: seconds / 2 for stage, seconds in speed.stage_seconds.items()},
            "squared_megapixels": speed.squared_megapixels / 2,
            "weighted_seconds": speed.weighted_seconds / 2,
        }
    )


def read_speeds(store: Place, model: str = "") -> list[Speed]:
    """Return what was measured, of one model by its hash or of all; nothing where it cannot be read."""
    folder = f"{SPEEDS}/{model[:16]}" if model else SPEEDS
    found: list[Speed] = []
    try:
        for count, name in enumerate(store.names(folder)):
            speed = _read(store, name) if name.endswith(".json") else None
            if speed is not None and model in {"", speed.model}:
                found.append(speed)
            if count == _MOST_FILES:
                break
    except CellfleetError as error:
        _log.debug("speeds cannot be read: %s", error)
    return found


def _read(store: Place, name: str) -> Speed | None:
    try:
        content = store.read(name)
        return None if content is None else Speed.model_validate_json(content)
    except (CellfleetError, ValidationError) as error:
        _log.debug("speeds cannot be read: %s: %s", name, error)
        return None
