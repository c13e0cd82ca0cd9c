"""Training runs of a service: whether one can be taken, who may see it, how its model comes to serve. Knows no HTTP.

A model that is published serves all users. So a name belongs to whoever published it first (``models/.owners/<name>``
says who), and the names of models that came in another way to the administrators.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from cellfleet.errors import ModelError, ServiceError, TrainingError
from cellfleet.jobs.places import below
from cellfleet.jobs.submission import as_path
from cellfleet.jobs.training_desk import TrainingDesk, no_such_run
from cellfleet.jobs.training_files import RunFiles, damaged, is_run_id
from cellfleet.models.package import RDF, WEIGHTS
from cellfleet.models.repository import FOLDER
from cellfleet.service.access import User
from cellfleet.service.inputs import SET
from cellfleet.service.sets import folder_of
from cellfleet.service.state import Service
from cellfleet.service.watch import Seen
from cellfleet.spec.http import ModelInfo
from cellfleet.spec.job import PinnedModel
from cellfleet.spec.record import Told
from cellfleet.spec.training import TrainingOrder
from cellfleet.spec.training_http import ENDED, PublishRequest
from cellfleet.stores.listing import list_in_order
from cellfleet.stores.place import Place

_OWNERS = f"{FOLDER}/.owners"
_LABELS = frozenset({"labels", "cells", "nuclei"})
_MOST_LOOKED_AT = 20_000
"""Files of a set that are looked through for its layout."""
_LOGS_KEPT = 32
_TAKEN = "E405"


def desk_of(service: Service) -> TrainingDesk:
    """Return what can be done with the runs of a service."""
    return TrainingDesk(service.store)


def refusal(service: Service) -> Told | None:
    """Return why no run can be taken now; None: one can."""
    if service.settings.trains or desk_of(service).has_trainers():
        return None
    return Told(
        code="E990",
        what="nobody trains here: this service keeps no trainer, and none has shown life",
        action="Install PyTorch beside it (pip install 'cellfleet[train]') and start it again, or run "
        "'cellfleet trainer --store URL' where it is installed",
    )


def looks_at_runs(service: Service) -> Callable[[str], Seen]:
    """Return what looks at a run for those who watch it."""
    desk = desk_of(service)

    @lru_cache(_LOGS_KEPT)
    def lines(run: str, points: int, step: int) -> tuple[str, ...]:
        return tuple(point.model_dump_json() for point in desk.points(run) if point.step <= step)

    def look(run: str) -> Seen:
        found = desk.run(run)
        text = found.model_dump_json()
        identity = hashlib.sha256(text.encode()).hexdigest()[:16]
        log = lines(run, found.points, found.latest.step) if found.latest else ()
        return Seen(identity, text, found.state in ENDED, log)

    return look


def require_trainer(service: Service) -> None:
    """Raise `ServiceError` E990 while no run can be taken."""
    told = refusal(service)
    if told is not None:
        raise ServiceError(told.code, told.what, status=501, action=told.action)


def order_to_see(service: Service, user: User, run: str) -> TrainingOrder:
    """Return a run that the user may see. Raises `TrainingError` E630: others' runs are as good as not there."""
    found = desk_of(service).order(run)
    if not user.may_see(found.owner):
        raise no_such_run(run)
    return found


def is_finished_run(service: Service, user: User, text: str) -> bool:
    """Say whether this is the id of a run of this very user that has a model."""
    order = RunFiles(service.store, text).order() if is_run_id(text) else None
    return order is not None and order.owner == user.name and desk_of(service).run(text).state == "done"


def require_weights(service: Service, model: PinnedModel) -> None:
    """Refuse to begin with a model that brings a graph only. Raises `ServiceError` E995."""
    if WEIGHTS not in service.models.to_train_from(model):
        what = "the package of this model holds no weights that a run could begin with"
        action = "Give a model that train made, or a bundled one, such as nuclei, or add this one with weights.pt"
        raise ServiceError("E995", what, status=422, where=f"{model.name}:{model.version}", action=action)


def check_layout(service: Service, dataset: str) -> None:
    """Refuse a set, or a folder of one, without images and labels. What is elsewhere or behind, the trainer sees.

    Raises:
        TrainingError: E631.
        JobError: E817, it leads out of its set.
    """
    identity, _, inside = dataset.removeprefix(SET).partition("/")
    as_path(dataset, service.store)
    if not dataset.startswith(SET) or inside.lower().endswith(".zip"):
        return
    folder = f"{folder_of(identity)}/{inside}".rstrip("/")
    files = list(islice(list_in_order(service.store, folder), _MOST_LOOKED_AT))
    folders = {name for file in files for name in PurePosixPath(file.name).parts[:-1]}
    if len(files) == _MOST_LOOKED_AT and "images" in folders:
        return  # labels may come behind so many images
    if "images" not in folders or not folders & _LABELS:
        what = "there are no images/ and labels/ in it" if folders else "there are no folders in it"
        action = "Upload images/ and labels/ (or cells/ and nuclei/) with files of equal stems, or a zip of them"
        raise TrainingError("E631", what, where=dataset, action=action)


def package_of(files: RunFiles) -> Place:
    """Return the folder of the model package of a run."""
    return below(files.store, files.name("package"))


def publish(service: Service, user: User, run: str, wanted: PublishRequest) -> ModelInfo:
    """Have the model of a run serve under a name and a version.

    Raises:
        TrainingError: E633, it has no model.
        ServiceError: E993, name and version stand for another model; E994, the name is somebody else's.
    """
    desk = desk_of(service)
    files = desk.require_done(run)
    name = wanted.name or desk.order(run).request.name
    _require_name(service, user, name)
    with tempfile.TemporaryDirectory(prefix="cellfleet-") as folder:
        _fetch(files, Path(folder))
        _rename(Path(folder) / RDF, name, wanted.version)
        try:
            made = service.models.add(folder)
        except ModelError as error:
            if error.code != _TAKEN:
                raise
            taken = f"{name}:{wanted.version}"
            action = "Choose another version, such as 1.0.1, or another name"
            what = "name and version stand for another model"
            raise ServiceError("E993", what, status=409, where=taken, action=action) from error
    desk.note_published(run, name, wanted.version)
    return made


def _require_name(service: Service, user: User, name: str) -> None:
    """Take a name for a user, where that is his or hers to take. Raises `ServiceError` E994."""
    place = f"{_OWNERS}/{name}"
    foreign = any(model.name == name for model in service.models.list()) and not service.store.exists(place)
    if not foreign:
        service.store.create(place, user.name.encode())
    owner = "" if foreign else (service.store.read(place) or b"").decode()
    if user.role != "admin" and owner != user.name:
        what = "a model of this name is there already, and it is not yours"
        action = "Choose another name, or ask an administrator to publish it"
        raise ServiceError("E994", what, status=403, where=name, action=action)


def _fetch(files: RunFiles, folder: Path) -> None:
    """Copy the package of a run, which is flat. Raises `TrainingError` E634: it is not there."""
    place = package_of(files)
    for name in place.names():
        (folder / PurePosixPath(name).name).write_bytes(place.read(name) or b"")
    if not (folder / RDF).is_file():
        raise damaged(f"{place.url}/{RDF}")


def _rename(rdf: Path, name: str, version: str) -> None:
    described: dict[str, Any] = yaml.safe_load(rdf.read_text(encoding="utf-8"))
    ours = {**described["config"]["cellfleet"], "name": name, "version": version}
    described |= {"name": name, "version": version, "config": {**described["config"], "cellfleet": ours}}
    rdf.write_text(yaml.safe_dump(described, sort_keys=False, allow_unicode=True), encoding="utf-8")
