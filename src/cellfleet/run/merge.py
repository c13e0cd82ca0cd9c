"""The end of a run that several machines shared: their parts become one result, as if one machine had done it."""

from __future__ import annotations

import threading
from collections import Counter

from cellfleet.run import summary
from cellfleet.run.events import Tell
from cellfleet.run.run import Given, run
from cellfleet.run.shard_records import finished_shards
from cellfleet.spec.record import RunRecord
from cellfleet.spec.segment import RunOptions
from cellfleet.stores.place import open_place


def merge(
    out: Given, options: RunOptions, *, tell: Tell = lambda event: None, stop: threading.Event | None = None
) -> RunRecord:
    """Stitch the images that were shared by blocks, and write `run.json`, `failures.csv` and `report.html`.

    Blocks that a shard could not do are done here, so that their images end as done or with the reason.

    Args:
        out: Where the shards wrote to.
        options: Threads and memory; the formats are those of the shards.
        tell: Called with every event.
        stop: Set it to stop.

    Raises:
        UsageError: E045, there are no shards or some have not finished.
    """
    place = open_place(out)
    shards = finished_shards(place)
    first = shards[0]
    whole = options.model_copy(update={"formats": first.formats, "shard": None})
    ended = run(first.inputs, out, first.spec, whole, tell=tell, stop=stop)
    if ended.status == "stopped":
        return ended
    together = _together(shards, ended)
    summary.write_summary(place, together)
    return together


def _together(shards: list[RunRecord], ended: RunRecord) -> RunRecord:
    """Return the record of the whole run: the times of all machines."""
    seconds, waiting, busy = Counter[str](), Counter[str](), Counter[str]()
    available = 0.0
    for record in (*shards, ended):
        own = record.wall_seconds * record.threads
        available += own
        seconds.update(record.seconds)
        waiting.update(record.waiting_seconds)
        busy.update({stage: share * own for stage, share in record.busy_share.items()})
    return ended.model_copy(
        update={
            "command": shards[0].command,
            "started": min(record.started for record in shards),
            "shards": len(shards),
            "threads": sum(record.threads for record in shards),
            "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
            "waiting_seconds": {stage: round(value, 4) for stage, value in waiting.items()},
            "busy_share": {stage: round(value / max(available, 1e-9), 4) for stage, value in busy.items()},
            "wall_seconds": round(max(record.wall_seconds for record in shards) + ended.wall_seconds, 3),
        }
    )
