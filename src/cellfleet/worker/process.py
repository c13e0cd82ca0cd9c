"""The process of a worker: what `cellfleet worker` runs until it is stopped or idle. Knows no command line."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import lru_cache

from cellfleet.inference.threads import usable_threads
from cellfleet.jobs.ledger import Ledger
from cellfleet.jobs.work import Patience, Worked, work, worker_name
from cellfleet.models.repository import Repository
from cellfleet.models.warm import WarmModels
from cellfleet.observe import metrics
from cellfleet.run.resources import fair_share
from cellfleet.spec.choices import Device
from cellfleet.spec.usage import Machine
from cellfleet.stores.cache import cache_folder
from cellfleet.stores.place import open_place
from cellfleet.worker.bench import Bench
from cellfleet.worker.meter import Meter
from cellfleet.worker.tasks import Runner

_FIRST_MODEL = "nuclei"
"""Loaded before the first task: a device that is not there is found at once."""
_JOBS_KEPT = 64


@dataclass(frozen=True)
class WorkerOptions:
    """How a worker goes about it."""

    ledger: str
    """Address of the Redis or Valkey server."""
    store: str
    """Folder or address."""
    device: Device = "auto"
    threads: int | None = None
    memory_bytes: int | None = None
    machine: Machine = field(default_factory=Machine)
    """What this runs on, for the bill."""
    patience: Patience = field(default_factory=Patience)
    name: str = field(default_factory=worker_name)
    """Unique among all workers."""


def run_worker(options: WorkerOptions, stop: threading.Event) -> Worked:
    """Run tasks until `stop` is set or none came for `options.patience.idle` seconds.

    Raises:
        DeviceError: The device that was asked for is not there.
        LedgerError, InputError, OutputError: Ledger or store cannot be reached.
    """
    store = open_place(options.store)
    models = Repository(store, cache_folder())
    warm = WarmModels(models, options.device)
    first = warm.get(models.resolve(_FIRST_MODEL))
    machine = options.machine.model_copy(update={"gpus": options.machine.gpus or int(first.device == "cuda")})
    threads = options.threads or usable_threads()
    metrics.worker_began(threads)
    bench = Bench(warm, threads, options.memory_bytes or fair_share())
    ledger = Ledger(options.ledger)
    try:
        meter = Meter(store, options.name, machine)
        runner = Runner(store, lru_cache(_JOBS_KEPT)(ledger.spec), bench, meter)
        return work(ledger, runner, stop=stop, worker=options.name, patience=options.patience, at_once=threads)
    finally:
        bench.clear()
        ledger.close()
