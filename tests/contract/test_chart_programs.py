"""The programs that the chart starts take the words that it gives them: cellfleet's commands, the ledger's server."""

from __future__ import annotations

import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.charts import VALUE_SETS, containers, environment, one, rendered

from cellfleet.cli import application
from cellfleet.jobs.ledger import Ledger

SECRET = "Aa0-._~"
SETS = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


def filled(text: str) -> str:
    """Put secrets in, as Kubernetes does."""
    return re.sub(r"\$\((\w+)\)", SECRET, text)


@SETS
def test_cellfleet_understands_every_command(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    objects = rendered(values)
    seen = set()
    for name, container in containers(objects):
        if container["command"] != ["cellfleet"]:
            continue
        with monkeypatch.context() as patch:
            for variable, value in environment(container).items():
                patch.setenv(variable, filled(value))
            command, bound, rest = application().parse_args(container["args"], exit_on_error=False, print_error=False)
        assert not rest, name
        seen.add(command.__name__)
        taken = {**bound.arguments, **getattr(bound.arguments.get("where"), "__dict__", {})}
        for option in {"store", "ledger"} & taken.keys():
            variable = f"CELLFLEET_{container['args'][0]}_{option}".upper()
            assert taken[option] == filled(environment(container)[variable]), name
    assert seen >= {"serve", "worker"}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(params=["", "ledger"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a server that runs as the chart runs it, without and with a password; folder and port are ours."""
    ledger = {"existingSecret": request.param, "server": {"program": "redis-server"}}
    values = {**VALUE_SETS["minimal"], "ledger": ledger}
    objects = rendered(values)
    (container,) = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    port, configuration = free_port(), tmp_path / "ledger.conf"
    text = one(objects, "ConfigMap", "-ledger")["data"]["ledger.conf"]
    text = text.replace("port 6379", f"port {port}").replace("dir /data", f"dir {tmp_path}")
    configuration.write_text(f"{text}\nbind 127.0.0.1\n")
    command = [*container["command"], *container["args"]]
    command = [word.replace("/etc/ledger/ledger.conf", str(configuration)) for word in command]
    server = subprocess.Popen(
        command, env={"PATH": "/usr/bin:/bin", "LEDGER_PASSWORD": SECRET}, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(container["readinessProbe"]["exec"]["command"], port)
        yield f"redis://{f':{SECRET}@' if request.param else ''}127.0.0.1:{port}/0"
    finally:
        server.terminate()
        assert server.wait(20) == 0  # SIGTERM reaches the server itself, which writes its file


def wait_for(probe: list[str], port: int) -> None:
    until = time.monotonic() + 20
    script = probe[-1].replace("redis-cli", f"redis-cli -p {port}")
    environment = {"PATH": "/usr/bin:/bin", "LEDGER_PASSWORD": SECRET}
    while subprocess.run([*probe[:-1], script], check=False, env=environment, capture_output=True).returncode:
        assert time.monotonic() < until


def test_the_ledger_of_the_chart_serves_workers_and_keeps_what_it_was_told(ledger_url: str, tmp_path: Path) -> None:
    ledger = Ledger(ledger_url)
    ledger.ping()
    ledger.close()
    assert any(tmp_path.glob("appendonlydir/*.aof"))
