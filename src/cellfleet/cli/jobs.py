"""`cellfleet jobs`: look at the jobs of a server, change them, fetch results. Words only; see `cellfleet.client`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from cellfleet.errors import UsageError
from cellfleet.spec.choices import Progress

if TYPE_CHECKING:
    from cellfleet.client.client import Client
    from cellfleet.client.job import RemoteJob

Action = Literal["list", "show", "watch", "fetch", "pause", "resume", "cancel", "retry", "delete", "costs", "recover"]
State = Literal["queued", "running", "paused", "done", "failed", "cancelled"]
_PATIENCE_SECONDS = 15.0
"""For a question whose answer somebody waits for; watching and fetching wait longer for a server that is away."""


@Parameter(name="*")
@dataclass(frozen=True)
class Shown:
    """What is shown, and how."""

    json: Annotated[bool, Parameter(show_default=False, help="list, show: one JSON object per job and line.")] = False
    state: Annotated[State | None, Parameter(help="list: only jobs in this state.")] = None
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1), help="list: at most so many jobs.")] = 50
    month: Annotated[str | None, Parameter(metavar="YYYY-MM", help="costs: which. [default: this month]")] = None
    progress: Annotated[
        Progress, Parameter(help="watch, fetch: auto is a bar on a terminal, else a line per 30 s; json: lines.")
    ] = "auto"


@Parameter(name="*")
@dataclass(frozen=True)
class Service:
    """The parts of a service, for `recover`; and the store of a fleet, which has no server."""

    store: Annotated[
        str | None,
        Parameter(metavar="URL", help="recover: store of the service; pause, resume, cancel: store of a fleet."),
    ] = None
    ledger: Annotated[str | None, Parameter(metavar="URL", help="recover: its ledger, redis://…")] = None


def jobs(
    action: Annotated[Action, Parameter(name="ACTION", help="What to do; see above.")] = "list",
    ids: Annotated[
        tuple[str, ...], Parameter(name="ID...", show_default=False, help="Jobs; the beginning of an id is enough.")
    ] = (),
    /,
    *,
    on: Annotated[
        str | None,
        Parameter(
            metavar="SERVER", help="Address, or name in the settings. [default: CELLFLEET_SERVER, else this machine]"
        ),
    ] = None,
    out: Annotated[
        str | None,
        Parameter(name=("--out", "-o"), metavar="PATH", help="fetch: folder for the results; costs: .csv or .parquet."),
    ] = None,
    uploads: Annotated[
        bool, Parameter(show_default=False, help="delete: remove the files that were sent for the job, too.")
    ] = False,
    shown: Shown = Shown(),
    service: Service = Service(),
) -> int:
    """Look at jobs and change them; the text of its help stands in `cellfleet.cli.help`."""
    asked = _Asked(action, ids, on, out, uploads, shown, service)
    asked.check()
    return _ACTIONS.get(action, _change)(asked)


@dataclass(frozen=True)
class _Asked:
    action: Action
    ids: tuple[str, ...]
    on: str | None
    out: str | None
    uploads: bool
    shown: Shown
    service: Service

    def check(self) -> None:
        """Raise `UsageError` E970 or E971 for words that do not go together."""
        single = self.action in {"show", "watch", "fetch"}
        if self.action in {"list", "costs", "recover"}:
            if self.ids:
                raise UsageError("E970", f"'jobs {self.action}' takes no id", where=self.ids[0], action="Leave it out")
        elif not self.ids or (single and len(self.ids) > 1):
            what = f"'jobs {self.action}' needs the id of {'one job' if single else 'a job'}"
            raise UsageError("E971", what, action="'cellfleet jobs list' shows yours")
        if self.action == "fetch" and self.out is None:
            raise UsageError("E971", "'jobs fetch' needs a folder", action="Say where with -o, for example -o results")
        given = {"out": self.out, "uploads": self.uploads or None, "month": self.shown.month}
        for name, actions in {"out": ("fetch", "costs"), "uploads": ("delete",), "month": ("costs",)}.items():
            if given[name] is not None and self.action not in actions:
                what = f"means something to 'jobs {' and '.join(actions)}' only"
                raise UsageError("E970", what, where=f"--{name}", action="Leave it out")


def _list(asked: _Asked) -> int:
    from itertools import islice

    from cellfleet.cli.jobs_table import write_json, write_table

    with _client(asked) as client:
        found = [job.info for job in islice(client.jobs(asked.shown.state), asked.shown.limit + 1)]
        shown = found[: asked.shown.limit]
        if asked.shown.json:
            write_json(shown, sys.stdout)
            return 0
        if not shown:
            state = f"{asked.shown.state} " if asked.shown.state else ""
            sys.stderr.write(f"You have no {state}jobs on {client.connection.name}.\n")
            return 0
        write_table(shown, sys.stdout)
        if len(found) > len(shown):
            sys.stderr.write(f"There are older ones; --limit {10 * asked.shown.limit} shows more.\n")
    return 0


def _show(asked: _Asked) -> int:
    from cellfleet.cli.jobs_table import write_job, write_json

    with _client(asked) as client:
        job = client.job(asked.ids[0])
        if asked.shown.json:
            write_json([job.info], sys.stdout)
        else:
            write_job(job.info, job.bill(), job.dead_tasks(), _way(client), sys.stdout)
    return 0


def _costs(asked: _Asked) -> int:
    from cellfleet.cli.jobs_costs import save_bills, write_costs

    with _client(asked) as client:
        costs = client.costs(asked.shown.month)
        if asked.shown.json:
            sys.stdout.write(f"{costs.model_dump_json()}\n")
        else:
            write_costs(costs, sys.stdout)
        if asked.out is not None:
            save_bills(client.bills(costs.month), asked.out)
            sys.stderr.write(f"The bill of every job is in {asked.out}\n")
    return 0


def _watch(asked: _Asked) -> int:
    from cellfleet.cli.progress import job_line, narrator
    from cellfleet.cli.session import Interrupt
    from cellfleet.client.arrivals import watched
    from cellfleet.client.connection import StoppedError
    from cellfleet.client.events import JobSeen, Remark
    from cellfleet.client.order import way_back

    with Interrupt(what="watching; the job goes on") as interrupt:
        from cellfleet.client.client import Client

        with Client(asked.on, stop=interrupt.stop) as client:
            job = client.job(asked.ids[0]).info
            with narrator(asked.shown.progress, "", sys.stderr, sys.stdout) as tell:
                try:
                    for seen in watched(client.connection, job.id, tell):
                        tell(JobSeen(seen))
                        job = seen
                except StoppedError:
                    tell(way_back(client, job.id))
                    return _STOPPED
                tell(Remark(job_line(job)))
    return _exit_code(job.state)


def _fetch(asked: _Asked) -> int:
    from cellfleet.cli.progress import narrator
    from cellfleet.cli.session import Interrupt
    from cellfleet.client.connection import StoppedError
    from cellfleet.client.events import Remark
    from cellfleet.client.run_there import Flow
    from cellfleet.spec.job import FINAL_JOB_STATES

    assert asked.out is not None, "it was checked"
    with Interrupt() as interrupt:
        from cellfleet.client.client import Client

        with Client(asked.on, stop=interrupt.stop) as client:
            job = client.job(asked.ids[0])
            seen = job.progress
            with narrator(asked.shown.progress, asked.out, sys.stderr, sys.stdout) as tell:
                flow = Flow(tell, seen.images_done + seen.images_failed, job.info.segment)
                try:
                    job.save(asked.out, tell=flow.finished)
                except StoppedError:
                    tell(Remark(f"Stopped. {len(flow.records)} images are here; run the same command again to go on."))
                    return _STOPPED
                failed = sum(record.status == "failed" for record in flow.records)
                tell(Remark(f"{len(flow.records) - failed} images with results, {failed} failed: all in {asked.out}"))
                if job.state not in FINAL_JOB_STATES:
                    left = seen.images - len(flow.records)
                    tell(Remark(f"The job is {job.state}: {left} images are to come. Run the same command again then."))
    return _SOME_FAILED if failed else 0


def _change(asked: _Asked) -> int:
    if asked.service.store is not None:
        from cellfleet.cli.fleet_session import change_fleet_job

        for given in asked.ids:
            change_fleet_job(asked.service.store, asked.action, given)
        return 0
    with _client(asked) as client:
        for job in [client.job(given) for given in asked.ids]:
            _CHANGES[asked.action](job, asked)
    return 0


def _delete(job: RemoteJob, asked: _Asked) -> None:
    job.delete(uploads=asked.uploads)
    sys.stderr.write(f"{job.id} is deleted.\n")


def _told(change: Callable[[RemoteJob], RemoteJob]) -> Callable[[RemoteJob, _Asked], None]:
    def changed(job: RemoteJob, asked: _Asked) -> None:
        sys.stderr.write(f"{job.id} is {change(job).state}.\n")

    return changed


def _recover(asked: _Asked) -> int:
    from cellfleet.jobs.desk import Desk
    from cellfleet.jobs.keeper import recover_all
    from cellfleet.jobs.ledger import Ledger
    from cellfleet.models.repository import Repository
    from cellfleet.stores.cache import cache_folder
    from cellfleet.stores.place import open_place

    if asked.service.store is None or asked.service.ledger is None:
        action = "Write cellfleet jobs recover --store URL --ledger redis://…"
        raise UsageError("E971", "'jobs recover' needs the store and the ledger of the service", action=action)
    store, ledger = open_place(asked.service.store), Ledger(asked.service.ledger)
    built = recover_all(Desk(store, ledger, Repository(store, cache_folder())))
    sys.stdout.writelines(f"{job}\n" for job in built)
    sys.stderr.write(f"{len(built)} jobs were not, or not wholly, in the ledger; they are now.\n")
    return 0


_STOPPED, _SOME_FAILED = 130, 3
_ACTIONS: Mapping[str, Callable[[_Asked], int]] = {
    "list": _list,
    "show": _show,
    "watch": _watch,
    "fetch": _fetch,
    "costs": _costs,
    "recover": _recover,
}
_CHANGES: Mapping[str, Callable[[RemoteJob, _Asked], None]] = {
    "pause": _told(lambda job: job.pause()),
    "resume": _told(lambda job: job.resume()),
    "cancel": _told(lambda job: job.cancel()),
    "retry": _told(lambda job: job.retry()),
    "delete": _delete,
}


def _client(asked: _Asked) -> Client:
    from cellfleet.client.client import Client

    return Client(asked.on, patience_seconds=_PATIENCE_SECONDS)


def _way(client: Client) -> str:
    """Return the words that lead to the same server again."""
    from cellfleet.client.servers import HERE

    name = client.connection.name
    return "" if name == HERE else f" --on {shlex.quote(name)}"


def _exit_code(state: State) -> int:
    return {"failed": _SOME_FAILED, "cancelled": _STOPPED}.get(state, 0)
