"""A connection to the server that keeps the ledger, and what its refusals mean. Knows no job.

Nothing is repeated here: whoever asks knows whether asking twice does harm.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from cellfleet.errors import LedgerError

OLDEST = (6, 2)
"""The first Redis with XPENDING IDLE and LPOP with a count. Every Valkey has them."""
ANSWER_SECONDS = 15.0
"""A server that is silent for longer counts as gone. Waiting for tasks takes less at a time."""
_CONNECT_SECONDS = 5.0
ONCE = Retry(NoBackoff(), 0)
"""redis-py would ask again by itself, after seconds."""
_NO_WRITES = (redis.OutOfMemoryError, redis.ReadOnlyError)
_NO_WRITES_IN_SCRIPT = re.compile(r"\b(OOM|MISCONF|READONLY|NOREPLICAS)\b")
"""What a script was refused stands somewhere in the message; at its first write, so that nothing is half done."""


def connect(url: str) -> redis.Redis:
    """Return a client of ``redis://``, ``rediss://`` or ``unix://``, once the server answered and is new enough.

    Raises:
        LedgerError: E801, it cannot be reached; E802, it is too old or no Redis; E809, it is set up to forget.
    """
    with asking(url):
        try:
            client = redis.Redis.from_url(
                url,
                decode_responses=True,
                socket_timeout=ANSWER_SECONDS,
                socket_connect_timeout=_CONNECT_SECONDS,
                retry=ONCE,
            )
        except ValueError as error:
            raise LedgerError(
                "E802",
                "is no address of a Redis or Valkey server",
                where=shown(url),
                action="Give redis://host:port/0, rediss://host:port/0 or unix:///path/to.sock",
            ) from error
        _refuse_old(str(ask(client, "INFO", "server")["redis_version"]), url)
        _refuse_forgetful(str(ask(client, "INFO", "memory").get("maxmemory_policy", "")), url)
    return client


def ask(client: redis.Redis, *words: str | int) -> Any:
    """Send one command; return what redis-py makes of the answer."""
    return cast(Any, client).execute_command(*words)


def _refuse_old(version: str, url: str) -> None:
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST:
        raise LedgerError(
            "E802",
            f"the server is Redis {version}; the ledger needs {OLDEST[0]}.{OLDEST[1]} or newer, or Valkey",
            where=shown(url),
            action="Upgrade it, or give the address of another",
        )


def _refuse_forgetful(policy: str, url: str) -> None:
    if policy.startswith("allkeys"):
        raise LedgerError(
            "E809",
            f"the server throws keys away when its memory is full (maxmemory-policy {policy}), as a cache does",
            where=shown(url),
            action="Set maxmemory-policy to noeviction, or give the address of another server",
        )


@contextlib.contextmanager
def asking(url: str) -> Iterator[None]:
    """Turn what can go wrong between here and the server into errors that say what to do.

    Raises:
        LedgerError: E801, E802 or E807.
    """
    try:
        yield
    except redis.AuthenticationError as error:
        action = "Put user and password into the address: redis://user:password@host:port/0"
        raise LedgerError("E802", f"the server refuses us ({error})", where=shown(url), action=action) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:
        # A server that starts anew answers "loading" for a while: redis-py has that among the connection errors.
        action = "Check that it runs and can be reached from here; nothing is lost meanwhile"
        raise LedgerError("E801", f"the ledger does not answer ({error})", where=shown(url), action=action) from error
    except redis.ResponseError as error:
        if not (isinstance(error, _NO_WRITES) or _NO_WRITES_IN_SCRIPT.search(str(error))):
            raise
        action = "Free memory or disk space there, or point to the server that takes writes"
        raise LedgerError("E807", f"the ledger takes no writes ({error})", where=shown(url), action=action) from error


def shown(url: str) -> str:
    """Return an address without user, password and query, for messages."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
