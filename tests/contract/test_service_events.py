"""Progress of jobs as server-sent events: what a watcher is told, and what watching costs."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing

import httpx2
import pytest
from tests.services import Running, running_service, wait_until
from tests.worked import add_job, add_set, work_off

from cellfleet.errors import LedgerError
from cellfleet.jobs.users import no_such_job
from cellfleet.service import watch as watch_module
from cellfleet.service.watch import Seen, Watch, seen_of
from cellfleet.spec.http import Job, JobProgress
from cellfleet.spec.job import JobState, PinnedModel
from cellfleet.spec.segment import SegmentSpec


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


def events(answer: httpx2.Response) -> Iterator[dict[str, str]]:
    """Yield events as they arrive; comments as ``{"comment": …}``."""
    event: dict[str, str] = {}
    for line in answer.iter_lines():
        if not line and event:
            yield event
            event = {}
        elif line:
            name, _, value = line.partition(":")
            event[name or "comment"] = value.strip()


def test_a_watcher_is_told_each_change_until_the_summary_is_written(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann"))
    worker = threading.Thread(target=work_off, args=[running])
    with client.stream("GET", f"/api/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        told = []
        for event in events(answer):
            if not told:
                worker.start()
            told.append(event)
    worker.join()
    jobs = [json.loads(event["data"]) for event in told]
    assert {event["event"] for event in told} == {"progress"}
    assert len({event["id"] for event in told}) == len(told), "a state was told twice"
    assert jobs[0]["state"] == "queued" and jobs[0]["progress"]["images_done"] == 0
    assert (jobs[-1]["state"], jobs[-1]["summarised"]) == ("done", True)
    assert jobs[-1] == client.get(f"/api/v1/jobs/{job}").json()


def test_who_comes_back_is_told_only_what_is_new(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    with client.stream("GET", f"/api/v1/jobs/{job}/events") as answer:
        first = next(events(answer))
    with client.stream("GET", f"/api/v1/jobs/{job}/events", headers={"Last-Event-ID": first["id"]}) as answer:
        client.post(f"/api/v1/jobs/{job}/pause")
        assert json.loads(next(events(answer))["data"])["state"] == "paused"
    with client.stream("GET", f"/api/v1/jobs/{job}/events", headers={"Last-Event-ID": "of another time"}) as answer:
        assert json.loads(next(events(answer))["data"])["state"] == "paused"


def test_a_silent_stream_is_kept_alive(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    with client.stream("GET", f"/api/v1/jobs/{job}/events") as answer:
        told = events(answer)
        assert "data" in next(told)
        assert next(told) == {"comment": "ping"}


def test_two_hundred_watchers_cost_one_look_and_no_threads(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    looks: list[Watch] = []
    look = Watch._seen

    async def counted(self: Watch, name: str) -> Seen | None:
        looks.append(self)
        return await look(self, name)

    monkeypatch.setattr(Watch, "_seen", counted)
    before = threading.active_count()
    received = asyncio.run(_many_watchers(running, job, 200))
    assert received == ["queued"] * 200
    assert threading.active_count() - before < 50, "as many as the pool has for all routes"
    assert len(looks) < 60, "two a second, however many watch"
    wait_until(lambda: not looks[0]._feeds, "nobody is watching any more")


async def _many_watchers(running: Running, job: str, count: int) -> list[str]:
    """Open `count` streams; when all have had their first event, drop them; return the states."""
    headers = {"Authorization": f"Bearer {running.token('ann')}"}
    limits = httpx2.Limits(max_connections=None)
    all_here = asyncio.Barrier(count)

    async def watcher(client: httpx2.AsyncClient) -> str:
        async with client.stream("GET", f"{running.url}/api/v1/jobs/{job}/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    await all_here.wait()
                    return str(json.loads(line.removeprefix("data:"))["state"])
        raise AssertionError("the stream ended")

    async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=60) as client:
        return await asyncio.gather(*(watcher(client) for _ in range(count)))


def test_streams_end_when_the_service_stops(running: Running) -> None:
    client = running.client("ann")
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    try:
        with client.stream("GET", f"/api/v1/jobs/{job}/events") as answer:
            told = events(answer)
            next(told)
            running.service.stopping.set()
            assert list(told) == []
    finally:
        running.service.stopping.clear()


# --- without a server ------------------------------------------------------------------------------------------------


_ESTIMATES = itertools.count(0.0)


def a_job(done: int, state: JobState = "running", *, summarised: bool = False) -> Job:
    progress = JobProgress(
        images=9,
        listed=True,
        images_done=done,
        images_failed=0,
        objects=0,
        pixels=0,
        tasks=9,
        tasks_done=done,
        tasks_running=1,
        tasks_dead=0,
        submitted_ms=0,
        started_ms=0,
        finished_ms=None,
        seconds_left=next(_ESTIMATES),
    )
    return Job(
        id="job",
        name="",
        owner="ann",
        state=state,
        priority="normal",
        inputs=(),
        segment=SegmentSpec(),
        model=PinnedModel(name="otsu", version="1", sha256=""),
        formats=("csv",),
        out=None,
        progress=progress,
        summarised=summarised,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "SHORTEST_SECONDS", 0.001)


def told_by(look: Callable[[str], Job]) -> list[int]:
    """Watch a job to its end; return how many images were done each time."""

    async def run() -> list[Seen]:
        return [seen async for seen in Watch(lambda job: seen_of(look(job)), lambda: False).states("job")]

    told = asyncio.run(asyncio.wait_for(run(), 30))
    return [Job.model_validate_json(seen.text).progress.images_done for seen in told]


@pytest.mark.usefixtures("quick")
def test_a_watcher_is_told_when_something_changed_not_when_an_estimate_did() -> None:
    looks = iter([a_job(1), a_job(1), a_job(1), a_job(2), a_job(2, "done"), a_job(2, "done", summarised=True)])
    assert told_by(lambda job: next(looks)) == [1, 2, 2, 2]


@pytest.mark.usefixtures("quick")
def test_a_ledger_that_is_away_for_a_while_ends_no_stream() -> None:
    looks = iter([a_job(1), None, None, a_job(9, "failed", summarised=True)])

    def look(job: str) -> Job:
        found = next(looks)
        if found is None:
            raise LedgerError("E801", "the ledger does not answer")
        return found

    assert told_by(look) == [1, 9]


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [no_such_job("job"), ZeroDivisionError("a bug")])
def test_a_stream_ends_when_its_job_is_gone_or_cannot_be_told(error: Exception) -> None:
    looks = iter([a_job(1), None])

    def look(job: str) -> Job:
        found = next(looks)
        if found is None:
            raise error
        return found

    assert told_by(look) == [1]


@pytest.mark.usefixtures("quick")
def test_a_slow_watcher_gets_the_latest_state_and_holds_nobody_up() -> None:
    done = 0

    def look(job: str) -> Job:
        nonlocal done
        done += 1
        return a_job(done) if done < 30 else a_job(done, "done", summarised=True)

    async def run() -> tuple[list[str], list[str]]:
        watch = Watch(lambda job: seen_of(look(job)), lambda: False)
        async with aclosing(watch.states("job")) as slow:
            first = await anext(slow)
            quick = [seen.text async for seen in watch.states("job")]
            return quick, [first.text] + [seen.text async for seen in slow]

    quick, slow = asyncio.run(asyncio.wait_for(run(), 30))
    assert len(quick) > 10 and slow == [slow[0], quick[-1]]
