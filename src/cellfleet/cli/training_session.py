"""A training run on a server as seen from a terminal: begun, its points told as they come, its package fetched."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cellfleet.cli.session import EXIT_DONE, EXIT_STOPPED, Interrupt
from cellfleet.cli.training_words import point_line, score_lines

if TYPE_CHECKING:
    from cellfleet.client.events import FilesSent
    from cellfleet.client.training import RemoteTraining


def train_there(
    server: str, dataset: str, name: str, settings: Mapping[str, object], out: Path | None, *, detach: bool
) -> int:
    """Have a model trained on a server; return the exit code.

    Args:
        server: Address, or name in the settings.
        dataset: Folder or zip of this machine, or an address.
        name: Of the model.
        settings: Fields of the request that differ from what is usual.
        out: Folder for the package; None: it stays on the server.
        detach: Whether to leave as soon as the server has the run; its id goes to stdout.

    Raises:
        CellfleetError: As `cellfleet.Client.train`.
    """
    from cellfleet.client.client import Client
    from cellfleet.client.connection import StoppedError

    with (
        Interrupt(what="watching; the run goes on") as interrupt,
        Client(server, stop=interrupt.stop) as client,
    ):
        try:
            run = client.train(dataset, name=name, tell=_tell_files, **settings)
        except StoppedError:
            _say("Stopped before the server had a run. Run the same command again to go on.")
            return EXIT_STOPPED
        if detach:
            sys.stdout.write(f"{run.id}\n")
            return EXIT_DONE
        _say(f"Training run {run.id} is on {client.connection.name}; it goes on there if this stops.")
        return watch_run(run, server, out)


def watch_run(run: RemoteTraining, server: str | None, out: Path | None) -> int:
    """Tell the points of a run as they come, until it has ended, and fetch its package; return the exit code."""
    from cellfleet.client.connection import StoppedError, as_error

    on = "" if server is None else f" --on {shlex.quote(server)}"
    phase = None
    try:
        for seen in run.watch():
            for point in seen.points:
                entry = {"step": point.step, "seconds": point.seconds, "loss": point.loss, **point.scores}
                _say(point_line(entry).rstrip("\n"))
            if seen.run.state == "queued" and phase != "queued":
                _say("  waiting for a trainer")
            if seen.run.phase in {"exporting", "comparing"} and seen.run.phase != phase:
                _say(f"  {seen.run.phase}")
            phase = "queued" if seen.run.state == "queued" else seen.run.phase
    except StoppedError:
        _say(f"The run goes on. To look: cellfleet training watch {run.id}{on}")
        _say(f"To stop it: cellfleet training stop {run.id}{on}")
        return EXIT_STOPPED
    if run.info.problem:
        raise as_error(run.info.problem)
    if run.state == "stopped":
        _say(f"The run was stopped. To go on: cellfleet training resume {run.id}{on}")
        return EXIT_STOPPED
    _tell_end(run, on, out)
    return EXIT_DONE


def _tell_end(run: RemoteTraining, on: str, out: Path | None) -> None:
    if out is not None:
        run.save(out)
        _say(f"Done: {run.info.request.name} in {out}. The model card is {out / 'README.md'}")
    else:
        _say(f"Done: {run.info.request.name}. To fetch it: cellfleet training fetch {run.id} -o MODEL{on}")
    sys.stderr.writelines(score_lines(run.info.scores))
    _say(f"To have it serve there: cellfleet training publish {run.id}{on}")


def _tell_files(sent: FilesSent) -> None:
    _say(f"  {sent.files} of {sent.of_files} files sent")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
