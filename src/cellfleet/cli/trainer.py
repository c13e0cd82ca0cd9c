"""`cellfleet trainer`: options → one trainer. Words only; see `cellfleet.jobs.training_work`."""

from __future__ import annotations

import importlib.util
import os
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from cellfleet.spec.choices import Device

if TYPE_CHECKING:
    from cellfleet.jobs.training_claims import TrainingQueue
    from cellfleet.training.job import Trainer

_POSITIVE = validators.Number(gt=0)


def trainer(
    *,
    store: Annotated[str, Parameter(metavar="URL", help="Folder or bucket of the service.")],
    idle_timeout: Annotated[
        float | None, Parameter(metavar="S", validator=_POSITIVE, help="End after S seconds without a run.")
    ] = None,
    device: Annotated[Device, Parameter(help="What computes; auto takes a GPU where there is one.")] = "auto",
    first_look: Annotated[
        float, Parameter(metavar="S", validator=_POSITIVE, help="Train S seconds before the first point of the curves.")
    ] = 5.0,
    log: Annotated[
        Literal["text", "json"] | None, Parameter(help="Log every run. [default: problems, as text]")
    ] = None,
    with_parent: Annotated[
        bool, Parameter(show=False, help="End when standard input is closed, as it is when the parent has died.")
    ] = False,
) -> int:
    """Carry out the training runs of a service; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.cli.session import Interrupt
    from cellfleet.cli.worker import stop_at_end_of_input

    with Interrupt() as interrupt:
        from cellfleet.jobs.training_claims import TrainingQueue
        from cellfleet.jobs.training_work import work_off
        from cellfleet.jobs.work import worker_name
        from cellfleet.observe.logs import VARIABLE, setup_logging
        from cellfleet.stores.place import open_place

        _require_pytorch()
        if with_parent:
            threading.Thread(target=stop_at_end_of_input, args=(interrupt.stop,), daemon=True).start()
        name = worker_name()
        setup_logging(log, None if log or os.environ.get(VARIABLE) else "warning", worker=name)
        queue = TrainingQueue(open_place(store), name)
        if device == "cuda":
            from cellfleet.training.run import require_device

            require_device(device)
        rounds = work_off(
            queue, lambda: _trainer(queue, device, first_look), stop=interrupt.stop, idle_seconds=idle_timeout
        )
    sys.stderr.write(f"Trainer ended: {rounds.ended} runs carried out.\n")
    return 0


def _trainer(queue: TrainingQueue, device: Device, first_look_seconds: float) -> Trainer:
    """Load what trains: PyTorch takes seconds and memory."""
    from cellfleet.models.repository import Repository
    from cellfleet.stores.atomic import sweep_scratch
    from cellfleet.stores.cache import cache_folder
    from cellfleet.training.job import Trainer

    folder = cache_folder() / "training"
    folder.mkdir(parents=True, exist_ok=True)
    sweep_scratch(folder)
    return Trainer(queue, Repository(queue.store, cache_folder()), folder, device, first_look_seconds)


def _require_pytorch() -> None:
    if importlib.util.find_spec("torch") is None:
        from cellfleet.errors import TrainingError

        action = "Install it with: pip install 'cellfleet[train]'"
        raise TrainingError("E606", "training needs PyTorch, which is not installed", action=action)
