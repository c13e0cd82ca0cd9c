"""Requests to one server: tried again while it is away, answers turned into objects, errors into ours.

What a server sends is believed only as far as it fits `spec/http.py`. The token goes to the server's own origin and
nowhere else. Knows no route.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self, TypeVar
from urllib.parse import urljoin

import httpx2
from pydantic import BaseModel, ValidationError

import cellfleet
from cellfleet import errors
from cellfleet.client.servers import HERE, Server, is_loopback
from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.spec.http import Problem
from cellfleet.spec.record import Told
from cellfleet.stores.url import without_secrets

PATIENCE_SECONDS = 120.0
AT_ONCE = 8
"""Requests under way at the same time."""
_SILENCE_SECONDS, _CONNECT_SECONDS = 60.0, 10.0
PUT_TOGETHER_SECONDS = 600.0
"""So long a server may take to put a large file together before it answers."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0
"""Seconds between two tries: doubled each time."""
_BUSY = {429, 502, 503, 504}
"""Statuses with which the server, or what stands before it, asks to come again."""
_TOO_MANY_JOBS = "E816"
"""A quota: that may take days to change."""
_MOVED = {301, 302, 303, 307, 308}

_HINT = "Jobs that it has taken go on there; run this again when it is back"
_HINT_HERE = "Start it with 'cellfleet serve', or say which server you mean with --on"

Answer = TypeVar("Answer", bound=BaseModel)
Content = bytes | Iterable[bytes]


class StoppedError(Exception):
    """The user asked to stop while something was under way."""


class Patience:
    """Goes on trying until the time is used up; one per request."""

    def __init__(self, seconds: float, server: Server, stop: threading.Event) -> None:
        """Begin to count."""
        self._seconds, self._server, self._stop = seconds, server, stop
        self._began, self._tries = time.monotonic(), 0

    def pause(self, reason: str, *, asked: float | None = None) -> None:
        """Wait before the next try, longer each time.

        Args:
            reason: Why the last one failed.
            asked: Seconds that the server asks to wait; None: there was no answer.

        Raises:
            ServiceError: E960, the time is used up.
            StoppedError: The user does not want to wait.
        """
        self._tries += 1
        # Many clients that lost the same server do not all come back in the same moment.
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._tries, 10)) * random.uniform(0.5, 1)
        pause = max(pause, asked or 0)
        spent = time.monotonic() - self._began
        if spent + pause > self._seconds:
            what = "cannot be reached" if asked is None else "answers, but cannot serve"
            raise ServiceError(
                "E960",
                f"{what} ({reason}; tried {self._tries} times in {spent:.0f} s)",
                status=503,
                where=str(self._server),
                action=_HINT_HERE if asked is None and self._server.url == HERE else _HINT,
            )
        if self._stop.wait(pause):
            raise StoppedError


class Connection:
    """One server. May be used from several threads."""

    def __init__(
        self, server: Server, *, patience_seconds: float = PATIENCE_SECONDS, stop: threading.Event | None = None
    ) -> None:
        """Take the server; nothing is asked yet.

        Args:
            server: Whom to ask.
            patience_seconds: How long to go on trying while it does not answer.
            stop: Set it to give up waiting.
        """
        self.server, self.stop = server, stop or threading.Event()
        self._patience_seconds = patience_seconds
        login = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        limits = httpx2.Limits(max_connections=2 * AT_ONCE, max_keepalive_connections=2 * AT_ONCE)
        common: dict[str, Any] = {
            "limits": limits,
            "follow_redirects": False,
            "timeout": _timeout(_SILENCE_SECONDS),
            # A proxy for the world cannot reach this very machine.
            "trust_env": not is_loopback(server.url),
        }
        agent = {"User-Agent": f"cellfleet/{cellfleet.__version__}"}
        self._http = httpx2.Client(headers=agent | login, **common)
        self._elsewhere = httpx2.Client(headers=agent, **common)
        """For buckets: without the token."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        self._elsewhere.close()

    @property
    def name(self) -> str:
        """The server as the user calls it."""
        return str(self.server)

    def patience(self) -> Patience:
        """Return a new count of tries."""
        return Patience(self._patience_seconds, self.server, self.stop)

    def ask(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        body: BaseModel | None = None,
        params: Mapping[str, Any] | None = None,
        once: bool = False,
    ) -> Answer:
        """Send a request and return its answer. It may be sent again: what is asked twice must be as good as once.

        Args:
            method: ``GET``, ``POST`` and so on.
            path: From ``/`` on.
            answer: Class of the answer.
            body: Sent as JSON.
            params: Of the query; None is left out.
            once: Whether to give up when the first try fails.

        Raises:
            CellfleetError: What the server says.
            ServiceError: E960, not reached; E962, it is no answer of a cellfleet server; E963, it points elsewhere.
        """
        said = self.send(method, path, body=body, params=params, once=once)
        return understood(said.content, answer, self.server)

    def send(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | None = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        fine: frozenset[int] = frozenset(),
        once: bool = False,
        seconds: float = _SILENCE_SECONDS,
    ) -> httpx2.Response:
        """Send a request and return the whole response; one above 400 is an error unless it is among `fine`.

        `seconds`: how long the server may be silent.
        """
        content = None if body is None else body.model_dump_json().encode()
        more = {"Content-Type": "application/json"} if content is not None else {}
        query = {key: value for key, value in (params or {}).items() if value is not None}

        def attempt() -> httpx2.Response:
            request = self._http.build_request(
                method,
                self._url(path),
                content=content,
                params=query,
                headers={**more, **(headers or {})},
                timeout=_timeout(seconds),
            )
            return self._http.send(request)

        said = self._with_patience(attempt, once=once)
        if said.status_code in fine:
            return said
        self.refuse(said)
        return said

    def send_once(self, method: str, path: str, content: Content, headers: Mapping[str, str]) -> httpx2.Response:
        """Send content that the caller may have to make anew: tried only once. Raises `httpx2.TransportError`."""
        timeout = _timeout(PUT_TOGETHER_SECONDS)
        return self._http.request(method, self._url(path), content=content, headers=headers, timeout=timeout)

    def put_elsewhere(self, url: str, content: Callable[[], Content], size: int) -> httpx2.Response:
        """Put content to a signed address of a bucket, without the token."""
        headers = {"Content-Length": str(size)}
        return self._with_patience(lambda: self._elsewhere.request("PUT", url, content=content(), headers=headers))

    @contextlib.contextmanager
    def stream(
        self, path: str, *, headers: Mapping[str, str] | None = None, seconds: float = _SILENCE_SECONDS
    ) -> Iterator[httpx2.Response]:
        """Yield a response whose content is still to come; a signed address elsewhere is followed without the token.

        Tried only once: the caller knows where to go on. `seconds`: the longest silence.
        """
        timeout = _timeout(seconds)
        url, client = self._url(path), self._http
        for _ in range(3):
            with client.stream("GET", url, headers=headers, timeout=timeout) as said:
                if said.status_code not in _MOVED:
                    yield said
                    return
                url = urljoin(url, said.headers.get("location", ""))
                client = self._http if _same_origin(url, self.server.url) else self._elsewhere
        raise _moved(url, self.server)

    def refuse(self, said: httpx2.Response) -> None:
        """Raise what a response says, unless it is fine."""
        if said.status_code in _MOVED:
            raise _moved(urljoin(str(said.request.url), said.headers.get("location", "")), self.server)
        if said.status_code >= 400:
            said.read()
            raise _as_error(said, self.server)

    def _url(self, path: str) -> str:
        if path.startswith("/"):
            return self.server.url + path
        # An address that the server gave, for an upload: may be relative, must be its own.
        url = urljoin(self.server.url + "/", path)
        if not _same_origin(url, self.server.url):
            raise _moved(url, self.server)
        return url

    def _with_patience(self, attempt: Callable[[], httpx2.Response], *, once: bool = False) -> httpx2.Response:
        patience = Patience(0, self.server, self.stop) if once else self.patience()
        asked: float | None
        while True:
            try:
                said = attempt()
            except httpx2.TransportError as error:
                reason, asked = why(error), None
            else:
                if not is_busy(said):
                    return said
                reason, asked = _excuse(said), _seconds(said.headers.get("retry-after"))
            patience.pause(reason, asked=asked)


def understood(content: bytes, answer: type[Answer], server: Server) -> Answer:
    """Return what the server says as an object. Raises `ServiceError` E962 where it makes no sense."""
    try:
        return answer.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise ServiceError(
            "E962",
            f"its answer is not understood ({place}: {first['msg']}): it is no cellfleet server, or of another version",
            status=502,
            where=str(server),
            action="Check the address; bring client and server to the same version",
        ) from error


def is_busy(said: httpx2.Response) -> bool:
    """Say whether the server, or what stands before it, asks to come again soon."""
    return said.status_code in _BUSY and _code(said) != _TOO_MANY_JOBS


def _code(said: httpx2.Response) -> str:
    with contextlib.suppress(ValidationError, httpx2.StreamError):
        return Problem.model_validate_json(said.content).code
    return ""


def _excuse(said: httpx2.Response) -> str:
    """Return what a busy server says of itself."""
    with contextlib.suppress(ValidationError):
        return Problem.model_validate_json(said.content).what
    return f"it answers {said.status_code}"


def why(error: httpx2.TransportError) -> str:
    """Say in few words why a request failed."""
    text = " ".join(str(error).split())
    if isinstance(error, httpx2.TimeoutException):
        return "no answer in time"
    if "refused" in text.lower():
        return "connection refused"
    return text[:200] or type(error).__name__


def _seconds(text: str | None) -> float:
    """Return what a ``Retry-After`` asks for, seconds; a date is not worth the trouble."""
    return min(float(text), 60.0) if text and text.isdigit() else 0.0


def _timeout(silence: float) -> httpx2.Timeout:
    return httpx2.Timeout(_SILENCE_SECONDS, connect=_CONNECT_SECONDS, read=silence, pool=None)


def _same_origin(url: str, other: str) -> bool:
    first, second = httpx2.URL(url), httpx2.URL(other)
    return (first.scheme, first.host, first.port) == (second.scheme, second.host, second.port)


_KINDS: tuple[tuple[str, type[CellfleetError]], ...] = (
    ("E0", errors.UsageError),
    ("E1", errors.InputError),
    ("E2", errors.ImageError),
    ("E3", errors.OutputError),
    ("E4", errors.ModelError),
    ("E5", errors.DeviceError),
    ("E6", errors.TrainingError),
    ("E80", errors.LedgerError),
    ("E81", errors.JobError),
)
"""Beginning of a code → class, so that what the server says ends a command as it would here."""


def _as_error(said: httpx2.Response, server: Server) -> CellfleetError:
    try:
        problem = Problem.model_validate_json(said.content)
    except ValidationError:
        what = f"answers {said.status_code} as no cellfleet server does"
        action = "Check the address, and what stands between you and the server"
        return ServiceError("E962", what, status=said.status_code, where=str(server), action=action)
    return as_error(problem, said.status_code)


def as_error(told: Problem | Told, status: int = 422) -> CellfleetError:
    """Return what a server tells as the error that it would be here."""
    for beginning, kind in _KINDS:
        if told.code.startswith(beginning):
            return kind(told.code, told.what, where=told.where, action=told.action)
    return ServiceError(told.code, told.what, status=status, where=told.where, action=told.action)


def _moved(url: str, server: Server) -> ServiceError:
    return ServiceError(
        "E963",
        f"sends you on to {without_secrets(url)}, which is another server: it is not given your token",
        status=502,
        where=str(server),
        action="If that is the right one, give its address",
    )
