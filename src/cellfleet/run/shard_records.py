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
        # --overwrite is no way out here: the others may be at work just now.
        refuse_other_settings(other, out, record.key, action=_ELSEWHERE)
        _refuse_other_division(other, record, out)
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
        UsageError: E039, they are not of one run; E045, there are none, or some have not finished.
    """
    records = load_shards(out)
    if not records:
        raise UsageError(
            "E045",
            "holds no parts of a shared run",
            where=out.url,
            action="Give the folder that `cellfleet segment --shard` wrote to",
        )
    for other in records[1:]:
        _refuse_other_division(records[0], other, out)
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


_ELSEWHERE = f"Choose another folder with -o; or, when no shard is running any more, remove {_SHARDS} in this one"


def refuse_other_settings(
    run: RunRecord,
    out: Place,
    key: str,
    *,
    action: str = "Choose another folder with -o, or replace them with --overwrite",
) -> None:
    """Raise UsageError E032 or E036 where `out` holds results of other settings or of another version."""
    if run.cellfleet != __version__:
        what = f"holds results of cellfleet {run.cellfleet}; those of {__version__} could differ"
        raise UsageError("E036", what, where=out.url, action=action)
    if run.key != key:
        what = f"holds results that were made with other settings ({run.command})"
        raise UsageError("E032", what, where=out.url, action=action)


def _refuse_other_division(one: RunRecord, other: RunRecord, out: Place) -> None:
    """Raise UsageError E039 where two shards do not divide the same images into the same parts."""
    first, second = _shard(one).count, _shard(other).count
    if first != second:
        raise UsageError(
            "E039",
            f"the run was divided into {first} shards, not {second}",
            where=out.url,
            action=f"Use --shard i/{first}, or another folder with -o",
        )
    if set(one.inputs) != set(other.inputs):
        raise UsageError(
            "E039",
            f"shards were given different images: {_shown(one)}, and {_shown(other)}",
            where=out.url,
            action="Give all shards the same inputs, or another folder with -o",
        )


def _shown(record: RunRecord) -> str:
    inputs = " ".join(record.inputs)
    return f"{record.shard} {inputs[:200]}{' …' * (len(inputs) > 200)}"


def _shard(record: RunRecord) -> Shard:
    return Shard.parse(record.shard or "")


def _name(shard: str) -> str:
    return f"{_SHARDS}/{shard.replace('/', '-of-')}.json"
