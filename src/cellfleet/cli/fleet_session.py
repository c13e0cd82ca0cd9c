"""A job of a fleet as seen from a terminal: what is said meanwhile, the exit code, and how to stop it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellfleet.cli.session import EXIT_DONE, EXIT_SOME_FAILED, EXIT_STOPPED, Interrupt
from cellfleet.errors import UsageError

if TYPE_CHECKING:
    from cellfleet.spec.choices import Format
    from cellfleet.spec.fleet import FleetSpec
    from cellfleet.spec.segment import SegmentSpec


def run_fleet_session(
    order: tuple[Sequence[str], str, SegmentSpec, tuple[Format, ...]],
    fleet: FleetSpec,
    interrupt: Interrupt,
    *,
    detach: bool,
    dry_run: bool,
) -> int:
    """Have a fleet do an order (inputs, out, spec, formats); tell about it on stderr. Raises CellfleetError."""
    from cellfleet.cluster.batch.launch import FleetOrder, launch, render

    inputs, out, spec, formats = order
    wanted = FleetOrder(tuple(inputs), out, spec, formats, detach)
    if dry_run:
        sys.stdout.write(render(wanted, fleet).rstrip() + "\n")
        return EXIT_DONE
    outcome = launch(wanted, fleet, _say, interrupt.stop)
    return {"done": EXIT_DONE, "detached": EXIT_DONE, "some failed": EXIT_SOME_FAILED, "stopped": EXIT_STOPPED}[outcome]


def change_fleet_job(store: str, action: str, job: str) -> None:
    """Pause, resume or cancel a job of the fleet whose jobs are in a store.

    Raises:
        UsageError: E970, a fleet knows no such action.
        JobError: E810, E812, there is no such job, or it has ended.
        OutputError: The store does not answer.
    """
    from cellfleet.jobs.ends import Ends
    from cellfleet.stores.place import open_place

    jobs = Ends(open_place(store))
    if action == "resume":
        jobs.retry_failed(job)
    elif action in {"pause", "cancel"}:
        jobs.hold(job, "paused" if action == "pause" else "cancelled")
    else:
        what = "can be done on a server only; jobs of a fleet are paused, resumed and cancelled"
        raise UsageError("E970", what, where=action, action="Leave --store out")
    _say(f"{job} is {jobs.progress(job).state}.")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
