"""Log lines: one event is one line, says what it belongs to, and gives no secret away."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import UsageError
from cellfleet.observe.logs import VARIABLE, Field, Form, Level, carrying, log_context, masked, printable, setup_logging

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "logs.md"
LOG = logging.getLogger("cellfleet.test")


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., io.StringIO]]:
    """Return what sets logging up and returns where lines go; all is as before afterwards."""
    monkeypatch.delenv(VARIABLE, raising=False)
    loggers = [logging.getLogger(name) for name in ("", "cellfleet", "uvicorn")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]

    def setup(form: Form | None = None, level: Level | None = None, **everywhere: str) -> io.StringIO:
        stream = io.StringIO()
        setup_logging(form, level, stream=stream, **everywhere)
        return stream

    yield setup
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_when_where_and_what_it_belongs_to(logged: Callable[..., io.StringIO]) -> None:
    stream = logged("json", worker="w-1")
    with log_context(job="j-1", task=3), log_context(image="well A1, µ.png"):
        LOG.warning("%d pixels are gone", 7)
    LOG.info("later")
    first, second = lines(stream)
    assert first.pop("time").endswith("Z") and second.pop("time")
    assert first == {
        "level": "warning",
        "logger": "cellfleet.test",
        "message": "7 pixels are gone",
        "worker": "w-1",
        "job": "j-1",
        "task": "3",
        "image": "well A1, µ.png",
    }
    assert second == {"level": "info", "logger": "cellfleet.test", "message": "later", "worker": "w-1"}


def test_text_says_the_same(logged: Callable[..., io.StringIO]) -> None:
    stream = logged("text", worker="w-1")
    with log_context(job="j-1"):
        LOG.warning("%d pixels", 7)
    time, rest = stream.getvalue().split(" ", 1)
    assert time.endswith("Z") and rest == "WARNING cellfleet.test 7 pixels [worker=w-1 job=j-1]\n"


def test_the_context_reaches_threads_that_carry_it(logged: Callable[..., io.StringIO]) -> None:
    stream = logged("json")
    together = threading.Barrier(2)

    def work(number: int) -> None:
        together.wait(10)
        LOG.info("%d", number)

    with ThreadPoolExecutor(2) as pool:
        with log_context(job="j-1", image="a.tif"):
            carried = carrying(work)
            futures = [pool.submit(carried, number) for number in range(2)]
            assert [future.result() for future in futures] == [None, None]
        pool.submit(LOG.info, "none").result()
    *inside, outside = lines(stream)
    assert [(line["job"], line["image"]) for line in inside] == [("j-1", "a.tif")] * 2
    assert "job" not in outside


def test_an_exception_is_one_field(logged: Callable[..., io.StringIO]) -> None:
    stream = logged("json")
    try:
        raise ValueError("redis://:hunter2@host/0\nsecond line")
    except ValueError:
        LOG.exception("it broke")
    (line,) = lines(stream)
    assert "Traceback" in line["exception"] and "ValueError: redis://***@host/0\nsecond line" in line["exception"]


def test_an_exception_in_text_follows_its_line_indented(logged: Callable[..., io.StringIO]) -> None:
    stream = logged("text")
    try:
        raise ValueError("a\n2026-01-01T00:00:00Z INFO forged")
    except ValueError:
        LOG.exception("it broke")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("it broke") and rest and all(line.startswith("    ") for line in rest)


@pytest.mark.parametrize("form", get_args(Form))
@given(name=st.text())
def test_no_name_makes_a_second_line(form: Form, name: str) -> None:
    for forged in (name, f"{name}\n2026-01-01T00:00:00Z INFO forged\r\n", f"\u2028{name}\x85\udcff\u202e\x1b[2J"):
        stream = io.BytesIO()
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="\n")
        root = logging.getLogger()
        before = root.handlers[:], root.level
        setup_logging(form, "info", stream=text)
        try:
            with log_context(image=forged):
                LOG.info("%s", forged)
            text.flush()
        finally:
            root.handlers[:], _ = before
            root.setLevel(before[1])
        written = stream.getvalue().decode()
        assert written.endswith("\n") and len(written.splitlines()) == 1
        assert written[:-1].isprintable() or not any(ord(character) < 32 for character in written[:-1])


SECRETS = {
    "redis://:hunter2@host:6379/0": "redis://***@host:6379/0",
    "s3 says no: https://b.s3.example/a%20b.tif?X-Amz-Signature=0f0f&X-Amz-Date=1 (403)": (
        "s3 says no: https://b.s3.example/a%20b.tif?*** (403)"
    ),
    "GET /api/v1/jobs?token=abc HTTP/1.1": "GET /api/v1/jobs?*** HTTP/1.1",
    "GET /links/eyJhIjoxfQ.c2ln/files/a.tif": "GET /links/***/files/a.tif",
    "{'Authorization': 'Bearer abc.def-_~+/='}": "{'Authorization': 'Bearer ***'}",
    "authorization: Basic dTpw": "authorization: Basic ***",
    "the token cf_0123456789abcdefghijABCDEFGHIJ is new": "the token cf_*** is new",
    "AWS_SECRET_ACCESS_KEY=abc/def+g, AWS_REGION=x": "AWS_SECRET_ACCESS_KEY=***, AWS_REGION=x",
    '{"aws_session_token": "abc", "b": 1}': '{"aws_session_token": "***", "b": 1}',
    "password: swordfish": "password: ***",
    "x-amz-security-token=zzz&part=1": "x-amz-security-token=***&part=1",
}


@pytest.mark.parametrize("text", SECRETS)
@pytest.mark.parametrize("form", get_args(Form))
def test_secrets_are_masked(logged: Callable[..., io.StringIO], form: Form, text: str) -> None:
    stream = logged(form)
    with log_context(image=text):
        LOG.info("%s", text)
    assert masked(text) == SECRETS[text]
    written = stream.getvalue()
    expected = json.dumps(SECRETS[text])[1:-1] if form == "json" else SECRETS[text]
    assert written.count(expected) == 2


@pytest.mark.parametrize(
    "text",
    [
        "well A1, field µ 3 🦠.png: 7 objects? yes",
        "E806: Another cellfleet serves from /data/x. [E806]",
        "tokens are needed: no",
        "GET /api/v1/jobs/{job} 200",
        "mail a@b.example",
    ],
)
def test_other_text_is_left_alone(text: str) -> None:
    assert masked(text) == text and printable(text) == text


def test_libraries_tell_warnings_at_most(logged: Callable[..., io.StringIO]) -> None:
    stream = logged("json", "debug")
    logging.getLogger("botocore.auth").debug("StringToSign: …")
    logging.getLogger("botocore.auth").warning("slow")
    LOG.debug("ours")
    logging.getLogger("uvicorn.error").info("started")
    assert [line["message"] for line in lines(stream)] == ["slow", "ours", "started"]


def test_the_environment_is_the_default(logged: Callable[..., io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "JSON, warning")
    stream = logged()
    LOG.info("no")
    LOG.warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]
    stream = logged("text", "info")
    LOG.info("said")
    assert "INFO cellfleet.test said" in stream.getvalue()
    monkeypatch.setenv(VARIABLE, "xml")
    with pytest.raises(UsageError, match="E980"):
        logged()


def test_setting_up_twice_writes_once(logged: Callable[..., io.StringIO]) -> None:
    first, second = logged("json"), logged("json")
    LOG.info("once")
    assert first.getvalue() == "" and len(lines(second)) == 1


def test_the_reference_names_all_fields() -> None:
    table = REFERENCE.read_text(encoding="utf-8").partition("## Fields")[2].partition("\n## ")[0]
    documented = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    always = {"time", "level", "logger", "message", "exception"}
    assert documented == always | set(get_args(Field)) | {"method", "route", "status", "ms"}
