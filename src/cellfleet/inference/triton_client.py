"""The way to a Triton: its client library, which is imported when a server is asked, and a channel to it.

The library is that of ``cellfleet[triton]``. Knows no model.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

from cellfleet.errors import DeviceError, UsageError

SCHEME: Final = "grpc://"
_CHANNEL: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A name that stands for several servers: a request to each in turn.
    ("grpc.lb_policy_name", "round_robin"),
    # The library would wait up to two minutes before it tries a server again that was away.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
)


def library(name: str = "tritonclient.grpc") -> Any:
    """Return a module of ``cellfleet[triton]``. Raises `DeviceError` E520: it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise DeviceError(
            "E520",
            f"the library {error.name} is missing",
            where="model server",
            action="Install it: pip install 'cellfleet[triton]'",
        ) from error


def connect(address: str) -> Any:
    """Return the library's client of a server, which need not be there yet; any thread may use it.

    Args:
        address: ``grpc://host:port``.

    Raises:
        UsageError: E522, this is no such address.
        DeviceError: E520.
    """
    host, _, port = address.removeprefix(SCHEME).rpartition(":")
    if not (address.startswith(SCHEME) and host and port.isdigit() and int(port) < 1 << 16):
        action = f"Give {SCHEME}HOST:PORT, such as {SCHEME}triton:8001"
        raise UsageError("E522", "is no address of a model server", where=repr(address), action=action)
    return library().InferenceServerClient(f"{host}:{port}", channel_args=list(_CHANNEL))


def is_here(address: str) -> bool:
    """Say whether a server may share memory with this process: its address is one of this machine alone."""
    host = address.removeprefix(SCHEME).rpartition(":")[0]
    return host in {"localhost", "[::1]"} or host.startswith("127.")
