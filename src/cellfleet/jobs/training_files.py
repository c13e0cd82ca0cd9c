"""Training runs as files in a store: names, reading and writing. Knows no rule of what may follow what.

    training/<id>/request.json                what was asked; written and removed first: it makes the run
    training/<id>/hold                        the user asked to stop
    training/<id>/claims/<n>                  the n-th claim: which trainer. Made by a conditional write, so one gets it
    training/<id>/claims/<n>.back             it was given back
    training/<id>/train.json                  the settings as the first trainer understood them
    training/<id>/progress.json               how far it is
    training/<id>/log.jsonl                   a `TrainingPoint` per line
    training/<id>/checkpoints/<step>          to go on from: the newest counts; gone when the run is done
    training/<id>/package/…                   the model
    training/<id>/comparisons/<sha256>.json   beside the published model of this hash
    training/<id>/published/<name>/<version>  the model serves under this name
    training/<id>/end.json                    how it ended
    training/.open/<id>                       there is something to do; whose the run is
    training/.wanted/<id>/<sha256>            a comparison that somebody waits for
    training/.keys/<hash>                     the run of a request with this key
    training/.beats/<trainer>                 signs of life

Ids begin with the time, so that their order is that of the runs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from cellfleet.errors import TrainingError
from cellfleet.spec.newer import read_order
from cellfleet.spec.training import TrainingClaimed, TrainingEnd, TrainingOrder, TrainingProgress, WantedComparison
from cellfleet.spec.training_http import Comparison, TrainingPoint
from cellfleet.stores.place import Place

FOLDER = "training"
OPEN, WANTED, KEYS, BEATS = (f"{FOLDER}/.{kind}" for kind in ("open", "wanted", "keys", "beats"))
_STEP_DIGITS = 9
_BACK = ".back"

_M = TypeVar("_M", bound=BaseModel)


@dataclass(frozen=True)
class RunFiles:
    """The files of one run. Every method may be called from any thread, and fails as `Place`.

    Raises:
        TrainingError: E634, a file is damaged.
        JobError: E821, a newer cellfleet wrote it.
    """

    store: Place
    id: str

    def name(self, *parts: str) -> str:
        """Return the name of a file or folder of the run, in the store."""
        return "/".join((FOLDER, self.id, *parts))

    @property
    def marker(self) -> str:
        """Stands where trainers look, while there is something to do."""
        return f"{OPEN}/{self.id}"

    def order(self) -> TrainingOrder | None:
        """Return what was asked; None: there is no such run."""
        return self._read("request.json", TrainingOrder)

    def progress(self) -> TrainingProgress | None:
        """Return how far it is; None: nobody has begun."""
        return self._read("progress.json", TrainingProgress)

    def end(self) -> TrainingEnd | None:
        """Return how it ended; None: it has not."""
        return self._read("end.json", TrainingEnd)

    def claimed(self, n: int) -> TrainingClaimed | None:
        """Return who made the n-th claim."""
        return self._read(f"claims/{n}", TrainingClaimed)

    def comparison(self, sha256: str) -> Comparison | None:
        """Return how it compares with the published model of this hash; None: nobody has looked."""
        return self._read(f"comparisons/{sha256}.json", Comparison)

    def points(self) -> list[TrainingPoint]:
        """Return the points of the log."""
        return [self._parsed(TrainingPoint, line, "log.jsonl") for line in self.log().splitlines()]

    def log(self) -> bytes:
        """Return the log, a JSON per line."""
        return self.store.read(self.name("log.jsonl")) or b""

    def write(self, name: str, content: BaseModel) -> None:
        """Write a file of the run."""
        self.store.write(self.name(name), as_json(content))

    def open(self, owner: str) -> None:
        """Have trainers look at it."""
        self.store.write(self.marker, owner.encode())

    def close(self) -> None:
        """Have trainers pass it by."""
        self.store.remove(self.marker)

    def claims(self) -> Claims:
        """Return who took it, as far as names of files tell."""
        return Claims.of(self.store.names(self.name("claims")))

    def checkpoint_step(self) -> int:
        """Return the step of the newest checkpoint; 0: there is none."""
        return max((int(PurePosixPath(name).name) for name in self.store.names(self.name("checkpoints"))), default=0)

    def checkpoint(self, step: int) -> str:
        """Return the name of the checkpoint of a step, in the store."""
        return self.name("checkpoints", f"{step:0{_STEP_DIGITS}}")

    def _read(self, name: str, model: type[_M]) -> _M | None:
        content = self.store.read(self.name(name))
        return None if content is None else self._parsed(model, content, name)

    def _parsed(self, model: type[_M], content: bytes, name: str) -> _M:
        try:
            return read_order(model, content, f"{self.store.url}/{self.name(name)}")
        except ValidationError as error:
            raise damaged(f"{self.store.url}/{self.name(name)}") from error


@dataclass(frozen=True)
class Claims:
    """The claims of a run."""

    latest: int = 0
    """0: nobody has claimed it."""
    back: frozenset[int] = frozenset()
    """Claims that were given back."""

    @classmethod
    def of(cls, names: Iterator[str]) -> Claims:
        """Read them from names of files."""
        leaves = [PurePosixPath(name).name for name in names]
        taken = [int(leaf) for leaf in leaves if leaf.isdigit()]
        back = (leaf.removesuffix(_BACK) for leaf in leaves if leaf.endswith(_BACK))
        return cls(max(taken, default=0), frozenset(int(leaf) for leaf in back if leaf.isdigit()))

    @property
    def held(self) -> bool:
        """Whether somebody took it and has not given it back; it may be dead."""
        return self.latest > 0 and self.latest not in self.back


def is_run_id(text: str) -> bool:
    """Say whether this may be the id of a run, and so a part of a name in the store."""
    return re.fullmatch("[0-9a-z][0-9a-z-]{0,62}", text) is not None


def all_ids(store: Place) -> list[str]:
    """Return the ids of all runs, newest first."""
    folders = {PurePosixPath(name).parts[1] for name in store.names(FOLDER)}
    return sorted((name for name in folders if not name.startswith(".")), reverse=True)


def open_runs(store: Place) -> dict[str, str]:
    """Return the runs that trainers look at, and whose they are; the oldest first."""
    names = sorted(store.names(OPEN))
    return {PurePosixPath(name).name: (store.read(name) or b"").decode() for name in names}


def wanted_comparisons(store: Place) -> list[str]:
    """Return the names of the files that ask for comparisons."""
    return sorted(store.names(WANTED))


def wanted_name(run: str, sha256: str) -> str:
    """Return the name of the file that asks for a comparison."""
    return f"{WANTED}/{run}/{sha256}"


def read_wanted(store: Place, name: str) -> WantedComparison | None:
    """Return what is asked for; None: nothing any more."""
    content = store.read(name)
    try:
        return None if content is None else WantedComparison.model_validate_json(content)
    except ValidationError as error:
        raise damaged(f"{store.url}/{name}") from error


def key_name(owner: str, key: str) -> str:
    """Return the name of the file that holds the run of a request with this key."""
    return f"{KEYS}/{hashlib.sha256(f'{owner} {key}'.encode()).hexdigest()[:40]}"


def as_json(content: BaseModel) -> bytes:
    """Return what is written of a record."""
    return content.model_dump_json().encode()


def damaged(where: str) -> TrainingError:
    """Return the error of a file that cannot be understood."""
    action = "Restore this file from a copy, or remove the run and train again"
    return TrainingError("E634", "a file of the training run is damaged", where=where, action=action)
