"""Where the time of a run went, a row per image, as tables of benchmarks have it. Made from records; runs nothing."""

from __future__ import annotations

import math
from typing import Any, Final

import pyarrow as pa

from cellfleet.errors import InputError
from cellfleet.observe.table import STAGES
from cellfleet.results.record import load_records, load_run_record
from cellfleet.spec.record import ImageRecord, RunRecord
from cellfleet.spec.usage import Machine
from cellfleet.stores.place import Place

KINDS: Final = {"seconds": "s", "cpu_seconds": "cpu_s", "waiting_seconds": "waiting_s"}
"""Field of a record → end of the columns' names: ``predict_s``, ``predict_cpu_s``, ``predict_waiting_s``."""


def timings(out: Place) -> pa.Table:
    """Return a row per image: how large it is, seconds in each stage, and what computed it.

    Seconds are those of threads, added up: stages of one image may pass at the same time. `machine`, `region` and
    `spot` are missing where the bill of the run knows no machine, or several.

    Args:
        out: Where a run wrote its results, on whatever machines.

    Raises:
        InputError: E040, these are no results.
        OutputError: They cannot be read.
    """
    run = load_run_record(out)
    if run is None:
        what = "there are no results of cellfleet segment here (run.json is missing or damaged)"
        raise InputError("E040", what, where=out.url, action="Give the folder that segment wrote with -o")
    ran = _ran(run)
    rows = [{**_image(record), **ran} for _, record in sorted(load_records(out).items())]
    return pa.Table.from_pylist(rows, schema=_schema())


def _image(record: ImageRecord) -> dict[str, Any]:
    pixels = math.prod(size for axis, size in zip(record.axes, record.shape, strict=False) if axis not in "CS")
    spent = {
        f"{stage}_{unit}": getattr(record, kind).get(stage, 0.0) for kind, unit in KINDS.items() for stage in STAGES
    }
    return {
        "image": record.image,
        "status": record.status,
        "megapixels": pixels / 1e6 if record.shape else None,
        "bytes": record.input.size_bytes if record.input else None,
        "dtype": record.dtype,
        "blocks": record.blocks,
        "objects": record.objects,
        **spent,
        "total_s": sum(record.seconds.values()),
        "total_cpu_s": sum(record.cpu_seconds.values()),
    }


def _ran(run: RunRecord) -> dict[str, Any]:
    kinds = {line.machine for line in run.bill.lines} if run.bill else set()
    machine = kinds.pop() if len(kinds) == 1 else Machine()
    return {
        "model": f"{run.model.name}:{run.model.version}",
        "device": run.device,
        "machine": machine.name or None,
        "region": machine.region or None,
        "spot": machine.spot if machine.name else None,
        "started": run.started,
        "cellfleet": run.cellfleet,
    }


def _schema() -> pa.Schema:
    spent = [f"{stage}_{unit}" for unit in KINDS.values() for stage in STAGES]
    types = {
        **dict.fromkeys(("image", "status"), pa.string()),
        "megapixels": pa.float64(),
        "bytes": pa.int64(),
        "dtype": pa.string(),
        **dict.fromkeys(("blocks", "objects"), pa.int64()),
        **dict.fromkeys((*spent, "total_s", "total_cpu_s"), pa.float64()),
        **dict.fromkeys(("model", "device", "machine", "region"), pa.string()),
        "spot": pa.bool_(),
        **dict.fromkeys(("started", "cellfleet"), pa.string()),
    }
    return pa.schema(list(types.items()))
