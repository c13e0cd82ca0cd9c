"""`cellfleet segment` as its users run it: a process, what it took, and what the machine did meanwhile. POSIX only.

Knows neither the images nor what is to be shown with them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ran:
    """One run of the command; seconds and MB (2^20 bytes)."""

    wall: float
    cpu: float
    """Processor seconds of the process, start-up and report included."""
    first: float
    """Wall seconds until the first image was finished; until the end where none was to do."""
    peak_rss_mb: float
    stolen: float
    """Processor seconds that the host gave to other machines meanwhile."""
    others: float
    """Processor seconds that other processes of this machine used meanwhile."""
    load: float
    """Load average at the end."""
    status: str
    busy_share: dict[str, float] = field(default_factory=dict)
    waiting_seconds: dict[str, float] = field(default_factory=dict)
    blocks_done: int = 0
    """Of large images, in this run alone."""
    blocks_total: int = 0
    """Of large images, those of earlier runs included."""
    blocks: int = 0
    """Over all images that are finished."""
    redone: int = 0
    zooms: tuple[float, ...] = ()
    objects: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return it for a result file."""
        return asdict(self)


def segment(inputs: Sequence[Path], out: Path, *options: str, limit_seconds: float | None = None) -> Ran:
    """Segment `inputs` into `out`, and say what it took.

    Args:
        inputs: As the command takes them.
        out: Folder of results, made or gone on with.
        options: More of the command's own.
        limit_seconds: Stop it then as Ctrl-C does; the same call goes on with it.
    """
    command = [str(Path(sys.executable).with_name("cellfleet")), "segment", *map(str, inputs), "-o", str(out)]
    before, began = system_seconds(), time.perf_counter()
    process = subprocess.Popen([*command, *options, "--progress", "json"], stdout=subprocess.PIPE, text=True)
    first: float | None = None
    blocks: list[tuple[int, int]] = []
    assert process.stdout
    for line in process.stdout:
        now, event = time.perf_counter() - began, json.loads(line)
        if event["event"] == "blocks":
            blocks.append((event["done"], event["total"]))
        if event["event"] == "image" and first is None:
            first = now
        if limit_seconds and now > limit_seconds:
            process.terminate()
            limit_seconds = None
    _, status, usage = os.wait4(process.pid, 0)
    wall, after = time.perf_counter() - began, system_seconds()
    record = json.loads((out / "run.json").read_text(encoding="utf-8"))
    if status and record["status"] != "stopped":
        raise SystemExit(f"{command} ended with {status}: {record['status']}")
    cpu = usage.ru_utime + usage.ru_stime
    images = [image for image in record["images"] if image["status"] == "done"]
    return Ran(
        wall=wall,
        cpu=cpu,
        first=wall if first is None else first,
        peak_rss_mb=usage.ru_maxrss / 1024,
        stolen=after["stolen"] - before["stolen"],
        others=max(0.0, after["used"] - before["used"] - cpu),
        load=round(os.getloadavg()[0], 2),
        status=record["status"],
        busy_share=record["busy_share"],
        waiting_seconds=record["waiting_seconds"],
        blocks_done=max(done for done, _ in blocks) - min(done for done, _ in blocks) if blocks else 0,
        blocks_total=max((total for _, total in blocks), default=0),
        blocks=sum(image["blocks"] for image in images),
        redone=sum(image["blocks_redone"] for image in images),
        zooms=tuple(sorted({image["scale"]["zoom"] for image in images if image["scale"]})),
        objects=sum(image["objects"] for image in images),
    )


def system_seconds() -> dict[str, float]:
    """Return the processor seconds that all processes used, and those that the host gave to other machines."""
    line = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _iowait, interrupt, soft_interrupt, stolen = (
        int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in line[:8]
    )
    return {"used": user + nice + system + interrupt + soft_interrupt, "stolen": stolen}
