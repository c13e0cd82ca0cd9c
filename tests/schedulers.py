"""A stand-in for SLURM: an `sbatch` that really runs the script, once per member of the array, on this machine."""

from __future__ import annotations

import os
import signal
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

_SBATCH = """#!{python}
import os, pathlib, subprocess, sys
folder = pathlib.Path({folder!r})
script = sys.stdin.read()
number = len(list(folder.glob("*.script"))) + 1
(folder / f"{{number}}.script").write_text(script)
first, last = next(line for line in script.splitlines() if "--array=" in line).partition("=")[2].split("-")
for member in range(int(first), int(last) + 1):
    with open(folder / f"{{number}}-{{member}}.log", "wb") as log:
        child = subprocess.Popen(
            ["bash", str(folder / f"{{number}}.script")], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, env={{**os.environ, "SLURM_ARRAY_TASK_ID": str(member)}},
        )
    (folder / f"{{number}}-{{member}}.pid").write_text(str(child.pid))
print(f"{{number}};cluster")
"""


@dataclass(frozen=True)
class Scheduler:
    """Its folder holds each script, and the process and the log of each member."""

    folder: Path

    @property
    def path(self) -> str:
        """For the variable PATH: this sbatch first, then the `cellfleet` that is tested."""
        return os.pathsep.join((str(self.folder), str(Path(sys.executable).parent), os.environ["PATH"]))

    def jobs(self) -> int:
        """Return how many arrays were asked for."""
        return len(list(self.folder.glob("*.script")))

    def running(self) -> list[int]:
        """Return the processes of members that run."""
        pids = [int(path.read_text() or 0) for path in self.folder.glob("*.pid")]
        return [pid for pid in pids if pid and _runs(pid)]

    def kill(self, pid: int) -> None:
        """End a member as a machine that loses its power does."""
        os.killpg(pid, signal.SIGKILL)

    def logs(self) -> str:
        """Return what the members said."""
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def end(self) -> None:
        """End all that run."""
        for pid in self.running():
            self.kill(pid)

    def wait_idle(self, seconds: float) -> None:
        """Return when no member runs any more."""
        until = time.monotonic() + seconds
        while self.running():
            assert time.monotonic() < until, f"still running\n{self.logs()}"
            time.sleep(0.1)


def scheduler(folder: Path) -> Scheduler:
    """Set one up in a new folder."""
    folder.mkdir()
    program = folder / "sbatch"
    program.write_text(_SBATCH.format(python=sys.executable, folder=str(folder)))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Scheduler(folder)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
