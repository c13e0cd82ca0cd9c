"""A run as seen from a terminal: Ctrl-C, what is said at the start and at the end, and the exit code."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from cellfleet.spec.choices import Progress
    from cellfleet.spec.record import RunRecord
    from cellfleet.spec.segment import RunOptions, SegmentSpec

EXIT_DONE, EXIT_SOME_FAILED, EXIT_STOPPED = 0, 3, 130


class Interrupt:
    """Ctrl-C and SIGTERM while the block runs: the first asks the run to stop, the second ends the program."""

    def __init__(self, what: str = "") -> None:
        """Take over nothing yet; `what` follows the word "Stopping"."""
        self.stop = threading.Event()
        self._said = f"\nStopping{' ' + what if what else ''}. Press Ctrl-C again to stop at once.\n".encode()
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Take over the signals (only the main thread can)."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._asked)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if self.stop.is_set():
            # Results are only ever renamed into place, so ending here leaves none half-written.
            os._exit(EXIT_STOPPED)
        self.stop.set()
        # Not print: the handler may interrupt a print that holds the stream's lock.
        os.write(2, self._said)


def run_session(inputs: Sequence[str], out: str, spec: SegmentSpec, options: RunOptions, interrupt: Interrupt) -> int:
    """Run, tell about it on stderr, and return the exit code. Raises CellfleetError."""
    from cellfleet.cli.progress import narrator
    from cellfleet.run.run import run

    with narrator(options.progress, out, sys.stderr, sys.stdout) as tell:
        record = run(inputs, out, spec, options, tell=tell, stop=interrupt.stop)
    return exit_code(record)


def run_session_there(
    inputs: Sequence[str],
    out: str,
    spec: SegmentSpec,
    options: RunOptions,
    interrupt: Interrupt,
    *,
    server: str,
    detach: bool,
) -> int:
    """Run on a server as `run_session` does here. Raises CellfleetError."""
    from cellfleet.cli.progress import narrator
    from cellfleet.client.client import Client
    from cellfleet.client.connection import StoppedError
    from cellfleet.client.order import Order
    from cellfleet.client.segment_on import segment_on

    order = Order(tuple(inputs), out, spec, options, detach)
    with Client(server, stop=interrupt.stop) as client:
        with narrator(options.progress, out, sys.stderr, sys.stdout) as tell:
            try:
                ended = segment_on(order, client, tell)
            except StoppedError:
                sys.stderr.write("Stopped before the server had a job. Run the same command again to go on.\n")
                return EXIT_STOPPED
        if ended.status == "detached":
            _tell_way_back(ended.job, client.connection.name, options.progress)
    return {"done": EXIT_DONE, "detached": EXIT_DONE, "some failed": EXIT_SOME_FAILED, "stopped": EXIT_STOPPED}[
        ended.status
    ]


def _tell_way_back(job: str, server: str, progress: Progress) -> None:
    sys.stdout.write(json.dumps({"event": "submitted", "job": job}) + "\n" if progress == "json" else f"{job}\n")
    if progress != "json":
        sys.stderr.write(
            f"The job runs on {server}. To look: cellfleet jobs watch {job} --on {shlex.quote(server)}\n"
            "To get the results: run the same command again without --detach.\n"
        )


def exit_code(record: RunRecord) -> int:
    """Return what a finished run means for the shell."""
    if record.status == "stopped":
        return EXIT_STOPPED
    return EXIT_SOME_FAILED if any(image.status == "failed" for image in record.images) else EXIT_DONE
