"""`cellfleet training`: look at the training runs of a server, change them. Words only; see `cellfleet.client`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from cellfleet.errors import UsageError

if TYPE_CHECKING:
    from cellfleet.client.client import Client

Action = Literal["list", "show", "watch", "fetch", "stop", "resume", "compare", "publish", "delete"]
_PATIENCE_SECONDS = 15.0
"""For a question whose answer somebody waits for; watching waits longer for a server that is away."""


@Parameter(name="*")
@dataclass(frozen=True)
class Words:
    """What some of the actions need."""

    out: Annotated[
        Path | None, Parameter(name=("--out", "-o"), metavar="DIR", help="watch, fetch: folder for the model package.")
    ] = None
    model: Annotated[
        str | None, Parameter(help="compare: published model. [default: as the run says, else the server's first]")
    ] = None
    name: Annotated[str | None, Parameter(help="publish: of the model. [default: as the run calls it]")] = None
    version: Annotated[str | None, Parameter(help="publish: of the model. [default: 1.0.0]")] = None
    json: Annotated[bool, Parameter(show_default=False, help="list, show, compare: one JSON object per line.")] = False
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1), help="list: at most so many runs.")] = 50


def training(
    action: Annotated[Action, Parameter(name="ACTION", help="What to do; see above.")] = "list",
    run: Annotated[
        str | None,
        Parameter(name="RUN", show_default=False, help="Its id, the beginning of it, or the name of its model."),
    ] = None,
    /,
    *,
    on: Annotated[
        str | None,
        Parameter(
            metavar="SERVER", help="Address, or name in the settings. [default: CELLFLEET_SERVER, else this machine]"
        ),
    ] = None,
    words: Words = Words(),
) -> int:
    """Look at training runs and change them; the text of its help stands in `cellfleet.cli.help`."""
    asked = _Asked(action, run or "", on, words)
    asked.check()
    return _ACTIONS[action](asked)


@dataclass(frozen=True)
class _Asked:
    action: Action
    run: str
    on: str | None
    words: Words

    def check(self) -> None:
        """Raise `UsageError` E991 for words that do not go together."""
        if self.action == "list" and self.run:
            raise UsageError("E991", "'training list' takes no run", where=self.run, action="Leave it out")
        if self.action != "list" and not self.run:
            action = "'cellfleet training list' shows yours"
            raise UsageError("E991", f"'training {self.action}' needs the id of a run", action=action)
        if self.action == "fetch" and self.words.out is None:
            action = "Say where with -o, for example -o our-model"
            raise UsageError("E991", "'training fetch' needs a folder", action=action)
        meant: Mapping[str, tuple[Action, ...]] = {
            "out": ("watch", "fetch"),
            "model": ("compare",),
            "name": ("publish",),
            "version": ("publish",),
        }
        for option, actions in meant.items():
            if getattr(self.words, option) is not None and self.action not in actions:
                what = f"means something to 'training {' and '.join(actions)}' only"
                raise UsageError("E991", what, where=f"--{option}", action="Leave it out")


def _list(asked: _Asked) -> int:
    from itertools import islice

    from cellfleet.cli.training_words import write_json, write_runs

    with _client(asked) as client:
        runs = [run.info for run in islice(client.training_runs(), asked.words.limit)]
        if asked.words.json:
            write_json(runs, sys.stdout)
        elif runs:
            write_runs(runs, sys.stdout)
        else:
            sys.stderr.write(f"You have no training runs on {client.connection.name}.\n")
    return 0


def _show(asked: _Asked) -> int:
    from cellfleet.cli.training_words import write_json, write_run

    with _client(asked) as client:
        run = client.training_run(asked.run).info
        if asked.words.json:
            write_json([run], sys.stdout)
        else:
            write_run(run, sys.stdout)
    return 0


def _watch(asked: _Asked) -> int:
    from cellfleet.cli.session import Interrupt
    from cellfleet.cli.training_session import watch_run

    with Interrupt(what="watching; the run goes on") as interrupt:
        from cellfleet.client.client import Client

        with Client(asked.on, stop=interrupt.stop) as client:
            return watch_run(client.training_run(asked.run), asked.on, asked.words.out)


def _fetch(asked: _Asked) -> int:
    assert asked.words.out is not None, "it was checked"
    with _client(asked) as client:
        client.training_run(asked.run).save(asked.words.out)
    sys.stderr.write(f"The model is in {asked.words.out}; use it with --model {asked.words.out}\n")
    return 0


def _compare(asked: _Asked) -> int:
    from cellfleet.cli.session import EXIT_STOPPED, Interrupt
    from cellfleet.cli.training_words import write_comparison, write_json
    from cellfleet.client.connection import StoppedError, as_error

    with Interrupt(what="waiting; a trainer goes on") as interrupt:
        from cellfleet.client.client import Client

        with Client(asked.on, stop=interrupt.stop) as client:
            run = client.training_run(asked.run)
            try:
                found = run.comparison(asked.words.model)
            except StoppedError:
                return EXIT_STOPPED
    if found.problem:
        raise as_error(found.problem)
    if asked.words.json:
        write_json([found], sys.stdout)
    else:
        write_comparison(found, run.info.request.name, sys.stdout)
    return 0


def _publish(asked: _Asked) -> int:
    with _client(asked) as client:
        made = client.training_run(asked.run).publish(asked.words.name, asked.words.version or "1.0.0")
        called = f"{made.name}:{made.version}"
        sys.stderr.write(f"{called} serves on {client.connection.name}: use it with --model {called}\n")
    return 0


def _stop(asked: _Asked) -> int:
    with _client(asked) as client:
        run = client.training_run(asked.run).stop()
    sys.stderr.write(f"{run.id} is {run.state}.\n")
    return 0


def _resume(asked: _Asked) -> int:
    with _client(asked) as client:
        run = client.training_run(asked.run).resume()
    sys.stderr.write(f"{run.id} is {run.state}.\n")
    return 0


def _delete(asked: _Asked) -> int:
    with _client(asked) as client:
        run = client.training_run(asked.run)
        run.delete()
    sys.stderr.write(f"{run.id} is deleted.\n")
    return 0


_ACTIONS: Mapping[Action, Callable[[_Asked], int]] = {
    "list": _list,
    "show": _show,
    "watch": _watch,
    "fetch": _fetch,
    "stop": _stop,
    "resume": _resume,
    "compare": _compare,
    "publish": _publish,
    "delete": _delete,
}


def _client(asked: _Asked) -> Client:
    from cellfleet.client.client import Client

    return Client(asked.on, patience_seconds=_PATIENCE_SECONDS)
