"""The programs that the chart starts take the words that it gives them, and answer the probes that it asks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.charts import VALUE_SETS, containers, environment, one, rendered
from tests.fleets import free_port

from cellfleet.cli import application
from cellfleet.jobs.ledger import Ledger

SECRET = "Aa0-._~"
DEADLINE_SECONDS = 60
SETS = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS.keys())


def filled(text: str) -> str:
    """Put secrets in, as Kubernetes does."""
    return re.sub(r"\$\((\w+)\)", SECRET, text)


def wait_until(happened: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_SECONDS
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.05)


@SETS
def test_cellfleet_understands_every_command(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for name, container in containers(rendered(values)):
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


@pytest.fixture(params=["", "ledger"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a server that runs as the chart runs it, without and with a password; folder and port are ours."""
    ledger = {"existingSecret": request.param, "server": {"program": "redis-server"}}
    objects = rendered({**VALUE_SETS["minimal"], "ledger": ledger})
    (container,) = one(objects, "StatefulSet")["spec"]["template"]["spec"]["containers"]
    port, configuration = free_port(), tmp_path / "ledger.conf"
    text = one(objects, "ConfigMap", "-ledger")["data"]["ledger.conf"]
    text = text.replace("port 6379", f"port {port}").replace("dir /data", f"dir {tmp_path}")
    configuration.write_text(f"{text}\nbind 127.0.0.1\n")
    command = [*container["command"], *container["args"]]
    command = [word.replace("/etc/ledger/ledger.conf", str(configuration)) for word in command]
    told = {"PATH": os.environ["PATH"], **({"LEDGER_PASSWORD": SECRET} if request.param else {})}
    probe = [
        word.replace("redis-cli", f"redis-cli -p {port}") for word in container["readinessProbe"]["exec"]["command"]
    ]
    server = subprocess.Popen(command, env=told, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: subprocess.run(probe, check=False, env=told, capture_output=True).returncode == 0)
        yield f"redis://{f':{SECRET}@' if request.param else ''}127.0.0.1:{port}/0"
    finally:
        server.terminate()
        assert server.wait(DEADLINE_SECONDS) == 0  # SIGTERM reaches the server itself, which writes its file


def test_the_ledger_of_the_chart_serves_workers_and_keeps_what_it_was_told(ledger_url: str, tmp_path: Path) -> None:
    ledger = Ledger(ledger_url)
    ledger.ping()
    ledger.close()
    assert any(tmp_path.glob("appendonlydir/*.aof"))


@contextlib.contextmanager
def running(container: dict[str, Any], ledger_url: str, folder: Path) -> Iterator[str]:
    """Run a container's command with its variables; yield its address. At SIGTERM it must end well."""
    port = free_port()
    (known,) = (each["containerPort"] for each in container["ports"])

    def here(text: str) -> str:
        # The folders and ports of a pod, on this machine.
        text = re.sub(r"^redis://.*", ledger_url, filled(text))
        text = re.sub(r"^gs://.*", str(folder / "store"), text)
        return text.replace("0.0.0.0", "127.0.0.1").replace(str(known), str(port)).replace("/tmp", str(folder))

    words = [here(word) for word in container["args"]]
    variables = {name: here(value) for name, value in environment(container).items()}
    command = [sys.executable, "-m", "cellfleet", *words]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env={"PATH": os.environ["PATH"], **variables}, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0, (folder / "log").read_text()
    finally:
        process.kill()
        process.wait()


def answers(address: str, probe: dict[str, Any]) -> bool:
    try:
        with urllib.request.urlopen(address + probe["httpGet"]["path"], timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("ledger_url", ["ledger"], indirect=True)
@pytest.mark.parametrize("end", ["-api", "-worker-cpu"])
def test_a_pod_answers_its_probes_and_ends_at_sigterm(end: str, ledger_url: str, tmp_path: Path) -> None:
    objects = rendered({**VALUE_SETS["minimal"], "ledger": {"existingSecret": "ledger"}})
    (container,) = one(objects, "Deployment", end)["spec"]["template"]["spec"]["containers"]
    with running(container, ledger_url, tmp_path) as address:
        for name in ("startupProbe", "readinessProbe", "livenessProbe"):
            wait_until(partial(answers, address, container[name]))
