"""A job of a fleet as seen from a terminal: what is said meanwhile, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellfleet.cli.session import EXIT_DONE, EXIT_SOME_FAILED, EXIT_STOPPED, Interrupt

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


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
