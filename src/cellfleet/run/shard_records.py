"""The records of a run that several machines share: each keeps its own, so that no file is written by two of them.

``.cellfleet/shards/2-of-8.json`` is a `RunRecord`. `merge.py` makes one result of them.
"""

from __future__ import annotations

from cellfleet import __version__
from cellfleet.errors import UsageError
from cellfleet.results.record import FOLDER, load_run_record, write_run_record
from cellfleet.spec.record import RunRecord
from cellfleet.spec.segment import Shard
from cellfleet.stores.place import Place

_SHARDS = f"{FOLDER}/shards"


def begin_shard(out: Place, record: RunRecord, shard: Shard) -> None:
    """Write that a shard has begun.

    Raises:
        UsageError: E032, E036 or E039, the shards that are there belong to another run.
    """
    for other in load_shards(out):
        refuse_other_settings(other, out, record.key)
        _refuse_other_division(other, shard, out)
    write_run_record(out, record, _name(str(shard)))


def end_shard(out: Place, record: RunRecord) -> None:
    """Write that a shard has ended."""
    assert record.shard, "only shards end so"
    write_run_record(out, record, _name(record.shard))


def load_shards(out: Place) -> list[RunRecord]:
    """Return the records of all shards that have begun, in order."""
    found = (load_run_record(out, name) for name in out.names(_SHARDS))
    return sorted((record for record in found if record and record.shard), key=lambda record: _shard(record).number)


def finished_shards(out: Place) -> list[RunRecord]:
    """Return the records of all shards.

    Raises:
        UsageError: E045, there are none, or some have not finished.
    """
    records = load_shards(out)
    if not records:
        raise UsageError(
            "E045",
            "holds no parts of a shared run",
            where=out.url,
            action="Give the folder that `cellfleet segment --shard` wrote to",
        )
    count = _shard(records[0]).count
    ended = {_shard(record).number for record in records if record.status in {"done", "done-with-failures"}}
    missing = [number for number in range(1, count + 1) if number not in ended]
    if missing:
        shown = ", ".join(f"{number}/{count}" for number in missing[:10]) + (" …" if len(missing) > 10 else "")
        raise UsageError(
            "E045",
            f"{len(missing)} of {count} shards have not finished: {shown}",
            where=out.url,
            action="Run these again; what they have done is kept",
        )
    return records


def refuse_other_settings(run: RunRecord, out: Place, key: str) -> None:
    """Raise UsageError E032 or E036 where `out` holds results of other settings or of another version."""
    action = "Choose another folder with -o, or replace them with --overwrite"
    if run.cellfleet != __version__:
        what = f"holds results of cellfleet {run.cellfleet}; those of {__version__} could differ"
        raise UsageError("E036", what, where=out.url, action=action)
    if run.key != key:
        what = f"holds results that were made with other settings ({run.command})"
        raise UsageError("E032", what, where=out.url, action=action)


def _refuse_other_division(other: RunRecord, shard: Shard, out: Place) -> None:
    if _shard(other).count != shard.count:
        raise UsageError(
            "E039",
            f"the run was divided into {_shard(other).count} shards, not {shard.count}",
            where=out.url,
            action=f"Use --shard i/{_shard(other).count}, or another folder with -o",
        )


def _shard(record: RunRecord) -> Shard:
    return Shard.parse(record.shard or "")


def _name(shard: str) -> str:
    return f"{_SHARDS}/{shard.replace('/', '-of-')}.json"
