"""Log lines of all processes of the service: one event, one line, as JSON or as text; with what it belongs to, without
secrets.

Whatever a file is called, a line stays a line: line ends, control characters and signs that turn the direction of text
are written as their numbers. Knows no image, job or request.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final, Literal, ParamSpec, TextIO, TypeVar, cast, get_args

from cellfleet.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

Form = Literal["text", "json"]
Level = Literal["debug", "info", "warning", "error"]
Field = Literal["job", "task", "image", "worker", "user", "request"]
"""What a line may belong to."""

VARIABLE: Final = "CELLFLEET_LOG"
"""Environment variable: a form, a level, or both: ``json``, ``debug``, ``text,warning``."""
_OURS: Final = ("cellfleet", "uvicorn")
"""Loggers that obey the level. Others tell warnings at most: in debug, libraries log what signs requests."""

_OF_A_REQUEST: Final = ("method", "route", "status", "ms")
"""Fields that one call gives by `extra`, as it may those of `Field`: ``_log.info("…", extra={"job": …})``."""

_fields: ContextVar[Mapping[str, str]] = ContextVar("_fields", default={})  # noqa: B039 (never changed, only replaced)


def setup_logging(
    form: Form | None = None,
    level: Level | None = None,
    *,
    stream: TextIO | None = None,
    **everywhere: str,
) -> None:
    """Write log lines from now on; replaces what an earlier call set up.

    Args:
        form: None: as the environment says (`VARIABLE`), else ``text``.
        level: Lowest that is written; None: as the environment says, else ``info``.
        stream: None: standard error.
        everywhere: Fields of every line of this process, such as ``worker``.

    Raises:
        UsageError: E980, the variable has another value.
    """
    form_there, level_there = _from_environment(os.environ.get(VARIABLE, ""))
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_FORMATTERS[form or form_there or "text"](everywhere))
    lowest = (level or level_there or "info").upper()
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, _Lines):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[lowest]))
    for name in _OURS:
        logging.getLogger(name).setLevel(lowest)


def _from_environment(text: str) -> tuple[Form | None, Level | None]:
    form: Form | None = None
    level: Level | None = None
    for word in filter(None, re.split(r"[,:\s]+", text.lower())):
        if word in get_args(Form):
            form = cast(Form, word)
        elif word in get_args(Level):
            level = cast(Level, word)
        else:
            raise UsageError(
                "E980",
                f"{word!r} is neither a form nor a level of logs",
                where=VARIABLE,
                action=f"Use {' or '.join(get_args(Form))}, and one of {', '.join(get_args(Level))}: json,info",
            )
    return form, level


# --- what a line belongs to ------------------------------------------------------------------------------------------


@contextmanager
def log_context(**fields: str | int) -> Iterator[None]:
    """Add `fields` (names: `Field`) to every line that this thread, or this asyncio task, writes inside the block."""
    assert fields.keys() <= set(get_args(Field)), "a field is one of Field"
    token = _fields.set({**_fields.get(), **{name: str(value) for name, value in fields.items()}})
    try:
        yield
    finally:
        _fields.reset(token)


def carrying(work: Callable[P, R]) -> Callable[P, R]:
    """Return `work` such that its lines have the fields of this thread wherever it runs: ``pool.submit(carrying(f))``.

    A thread begins without the fields of the thread that started it.
    """
    fields = _fields.get()

    @functools.wraps(work)
    def carried(*args: P.args, **kwargs: P.kwargs) -> R:
        token = _fields.set(fields)
        try:
            return work(*args, **kwargs)
        finally:
            _fields.reset(token)

    return carried


# --- lines -----------------------------------------------------------------------------------------------------------


class _Lines(logging.Formatter):
    """What both forms share."""

    def __init__(self, everywhere: Mapping[str, str]) -> None:
        super().__init__()
        self._everywhere = everywhere

    def fields(self, record: logging.LogRecord) -> dict[str, object]:
        """Return what the line belongs to."""
        said = {name: str(value) for name in get_args(Field) if (value := getattr(record, name, None)) is not None}
        measured = {name: value for name in _OF_A_REQUEST if (value := getattr(record, name, None)) is not None}
        return {**self._everywhere, **_fields.get(), **said, **measured}

    def exception(self, record: logging.LogRecord) -> str:
        """Return the traceback, or nothing."""
        return self.formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""


class _JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": masked(record.getMessage()),
            **{name: _masked_value(value) for name, value in self.fields(record).items()},
        }
        if exception := self.exception(record):
            line["exception"] = masked(exception)
        return printable(json.dumps(line, ensure_ascii=False))


class _TextLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        fields = " ".join(f"{name}={value}" for name, value in self.fields(record).items())
        words = (_time(record), record.levelname, record.name, record.getMessage(), f"[{fields}]" if fields else "")
        line = printable(masked(" ".join(filter(None, words))))
        told = [f"    {printable(part)}" for part in masked(self.exception(record)).splitlines()]
        return "\n".join([line, *told])


_FORMATTERS: Final[Mapping[Form, type[_Lines]]] = {"text": _TextLines, "json": _JsonLines}


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
r"""Control characters, ends of lines and paragraphs, turns of direction, and bytes of names that are no UTF-8."""


def printable(text: str) -> str:
    r"""Return `text` as one line that every terminal and every UTF-8 file can hold: others become ``\uXXXX``."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


# --- secrets ---------------------------------------------------------------------------------------------------------

_MASK: Final = "***"
_NAMES = r"password|passwd|secret|token|signature|credential|authorization|api[_-]?key|access[_-]?key|cookie"
_SECRETS: Final = (
    # user:password@ of an address
    (re.compile(r"(?<=://)[^\s/@?#'\"]*@"), f"{_MASK}@"),
    # all that follows the path of an address: signatures have many names
    (
        re.compile(r"([a-z][a-z0-9+.-]*://[^\s?#'\"]*|(?<![^\s'\"])/[^\s?#'\"]*)\?[^\s'\"]+", re.IGNORECASE),
        rf"\1?{_MASK}",
    ),
    # signed links carry their signature in the path
    (re.compile(r"(/links/)[^/\s'\"]+"), rf"\1{_MASK}"),
    # what a header of login says
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE), rf"\1 {_MASK}"),
    # our own tokens, wherever they stand
    (re.compile(r"\bcf_[\w-]{20,}"), f"cf_{_MASK}"),
    # name=value, "name": "value", with a name that tells
    (
        re.compile(rf"([\w-]*(?:{_NAMES})[\w-]*['\"]?\s*[=:]\s*['\"]?)(?!bearer|basic)[^\s'\",;&}}]+", re.IGNORECASE),
        rf"\1{_MASK}",
    ),
)


def masked(text: str) -> str:
    """Return `text` without passwords, tokens, signatures and queries of addresses."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _masked_value(value: object) -> object:
    return masked(value) if isinstance(value, str) else value
