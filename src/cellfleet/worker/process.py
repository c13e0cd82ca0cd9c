"""The process of a worker: what `cellfleet worker` runs until it is stopped or idle. Knows no command line."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache, partial

from cellfleet.inference.model_server import ModelServer
from cellfleet.inference.threads import usable_threads
from cellfleet.jobs.claims import SCHEME, StoreLedger
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.work import Patience, Worked, work, worker_name
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.observe import metrics
from cellfleet.run.resources import fair_share
from cellfleet.run.speed_log import SpeedLog
from cellfleet.spec.choices import Device
from cellfleet.spec.usage import Machine
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.place import Place, open_place
from cellfleet.worker.bench import Bench
from cellfleet.worker.closing import close_job
from cellfleet.worker.meter import Meter
from cellfleet.worker.tasks import Runner

_FIRST_MODEL = "nuclei"
"""Loaded before the first task: a device that is not there is found at once."""
_JOBS_KEPT = 64
_TASKS_PER_THREAD = 2
"""Where a model server predicts: while one task waits for it, another one needs the processor."""


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker goes about it."""

    ledger: str
    """Address of the Redis or Valkey server; ``store:``: tasks are claimed in the store itself."""
    store: str
    """Folder or address."""
    device: Device = "auto"
    threads: int | None = None
    memory_bytes: int | None = None
    model_server: str | None = None
    """Address of the server that predicts; None: this process does."""
    machine: Machine = field(default_factory=Machine)
    """What this runs on, for the bill."""
    patience: Patience = field(default_factory=Patience)
    name: str = field(default_factory=worker_name)
    """Unique among all workers."""


def run_worker(options: WorkerOptions, stop: threading.Event) -> Worked:
    """Run tasks until `stop` is set or none came for `options.patience.idle` seconds.

    Raises:
        DeviceError: The device that was asked for is not there.
        UsageError: E522, the address of the model server is none.
        LedgerError, InputError, OutputError: Ledger or store cannot be reached.
    """
    store = open_place(options.store)
    models = Repository(store, cache_folder())
    server = ModelServer(options.model_server) if options.model_server else None
    threads = options.threads or usable_threads()
    speeds = SpeedLog(store, options.name, threads, options.machine.name)
    warm = WarmModels(models, "cpu" if server else options.device, server=server, took=speeds.loaded)
    # With a model server nothing is loaded here, and whether it is there yet shows with the first task.
    first = None if server else warm.get(models.resolve(_FIRST_MODEL))
    on_gpu = first is not None and first.device == "cuda"
    machine = options.machine.model_copy(update={"gpus": options.machine.gpus or int(on_gpu)})
    at_once = threads * (_TASKS_PER_THREAD if server else 1)
    metrics.worker_began(at_once)
    bench = Bench(warm, threads, options.memory_bytes or fair_share())
    ledger = _open_ledger(options.ledger, store, models)
    try:
        meter = Meter(store, options.name, machine)
        runner = Runner(store, lru_cache(_JOBS_KEPT)(ledger.spec), bench, meter, speeds)
        return work(ledger, runner, stop=stop, worker=options.name, patience=options.patience, at_once=at_once)
    finally:
        if server:
            server.close()
        speeds.write()
        bench.clear()
        ledger.close()


def _open_ledger(address: str, store: Place, models: Repository) -> Ledger | StoreLedger:
    if address == SCHEME:
        return StoreLedger(store, summarise=partial(close_job, store, models))
    return Ledger(address)
