"""A real Triton for tests, out of NVIDIA's wheel: it has the Python backend only, which calls ONNX Runtime.

`make test` installs it (`.triton/`) and says where it is in CELLFLEET_TRITON. Three traps of the wheel: its programs
look for their libraries beside it; the process of a model has to take the library of this Python, not the system's; and
the program for this version of Python has to be put where the backend looks for it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from tests.fleets import free_port
from tests.services import wait_until
from tritonclient.grpc import InferenceServerClient, InferenceServerException

from cellfleet.inference.triton_client import connect

START_SECONDS = 60
_HOW = "run `make .triton/.made` and set CELLFLEET_TRITON to the path of .triton (`make test` does both)"


class Triton:
    """One server in explicit mode: it serves what it is told to load."""

    def __init__(self, folder: Path) -> None:
        """Take a folder for its own files; `start` starts it."""
        self.port, self.metrics_port = free_port(), free_port()
        self.address = f"grpc://127.0.0.1:{self.port}"
        self._folder, self._program = folder, _installed()
        self._process: subprocess.Popen[bytes] | None = None
        self._lay_out()

    def _lay_out(self) -> None:
        (self._folder / "repository").mkdir(parents=True)
        server = self._program / "pytriton" / "tritonserver"
        shutil.copytree(server / "backends", self._folder / "backends")
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stub = server / "python_backend_stubs" / version / "triton_python_backend_stub"
        shutil.copy(stub, self._folder / "backends" / "python")

    @property
    def log(self) -> str:
        """What it said."""
        return (self._folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start it, again after an end; waits until it answers."""
        options = {
            "model-repository": self._folder / "repository",
            "backend-directory": self._folder / "backends",
            "model-control-mode": "explicit",
            "grpc-address": "127.0.0.1",
            "grpc-port": self.port,
            "allow-http": "false",
            "metrics-address": "127.0.0.1",
            "metrics-port": self.metrics_port,
            "metrics-interval-ms": 200,
            # Names of shared memory: several servers on one machine must not take each other's.
            "backend-config": f"python,shm-region-prefix-name=cf{os.getpid()}-{self.port}-",
        }
        words = [f"--{name}={value}" for name, value in options.items()]
        program = self._program / "pytriton" / "tritonserver" / "bin" / "tritonserver"
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *words], env=self._environment(), stdout=log, stderr=log, start_new_session=True
            )

        def answers() -> bool:
            assert self._process is not None and self._process.poll() is None, self.log[-4000:]
            with contextlib.suppress(InferenceServerException), self.client() as client:
                return bool(client.is_server_live(client_timeout=5))
            return False

        wait_until(answers, "Triton answers", START_SECONDS)

    def client(self) -> InferenceServerClient:
        """Return a client of the library's."""
        return connect(self.address)

    def _environment(self) -> dict[str, str]:
        libraries = [self._program / "nvidia_pytriton.libs", Path(sysconfig.get_config_var("LIBDIR"))]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OMP_NUM_THREADS": "1",
        }

    def stubs(self) -> list[int]:
        """Return the processes in which models run."""
        found = []
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = line.read_bytes().split(b"\0")
                if words[0].endswith(b"triton_python_backend_stub") and str(self._folder).encode() in b" ".join(words):
                    found.append(int(line.parent.name))
        return found

    def cpu_seconds(self) -> float:
        """Return the processor time that all its processes took so far."""
        assert self._process is not None
        stats = [Path(f"/proc/{process}/stat").read_text() for process in (self._process.pid, *self.stubs())]
        ticks = [sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")

    def kill_models(self) -> None:
        """Kill the processes of all models, as a fault of a driver might."""
        stubs = self.stubs()
        assert stubs
        for process in stubs:
            os.kill(process, signal.SIGKILL)

    def kill(self) -> None:
        """End it with all its processes at once."""
        if self._process is not None:
            stubs = self.stubs()
            self._process.kill()
            self._process.wait()
            for process in stubs:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            for path in Path("/dev/shm").glob(f"cf{os.getpid()}-{self.port}-*"):
                path.unlink(missing_ok=True)
            self._process = None


@contextlib.contextmanager
def running_triton(folder: Path) -> Iterator[Triton]:
    """Run a Triton while the block runs."""
    triton = Triton(folder)
    try:
        triton.start()
        yield triton
    finally:
        triton.kill()


def _installed() -> Path:
    place = os.environ.get("CELLFLEET_TRITON")
    assert place, f"CELLFLEET_TRITON says no place of a Triton server: {_HOW}"
    path = Path(place).absolute()
    assert (path / "pytriton" / "tritonserver").is_dir(), f"there is no Triton server in {path}: {_HOW}"
    return path
