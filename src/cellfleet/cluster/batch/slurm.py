"""Workers as one array job of SLURM, on a file system that all nodes see, or a bucket.

Source: the manual page of sbatch.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from typing import Final

from cellfleet.cluster.batch.fleet import GRACE_SECONDS, Wanted
from cellfleet.errors import ClusterError, UsageError

_SECONDS: Final = 60.0


def script(wanted: Wanted) -> str:
    """Return the script that sbatch takes."""
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in _options(wanted)), "set -eu", *wanted.fleet.setup]
    # exec: the worker takes the place of the shell, to which SLURM's signal goes.
    return "\n".join([*lines, f"exec {shlex.join(('cellfleet', *wanted.command))}", ""])


def _options(wanted: Wanted) -> Iterator[str]:
    fleet = wanted.fleet
    yield f"--job-name={wanted.name}"
    yield f"--array=1-{wanted.workers}"
    yield f"--cpus-per-task={fleet.cpus}"
    yield f"--mem={fleet.memory_gb}G"
    if fleet.gpus:
        yield f"--gres=gpu:{fleet.gpus}"
    for option, value in (("partition", fleet.partition), ("account", fleet.account), ("time", fleet.time_limit)):
        if value:
            yield f"--{option}={value}"
    if fleet.spot:
        yield "--requeue"
    # Before the time is up: finish or give back what is begun. B: to the script itself, which the worker took over.
    yield f"--signal=B:TERM@{GRACE_SECONDS + 35}"
    yield "--open-mode=append"
    yield f"--output={wanted.name}-%a.log"


def shown(wanted: Wanted) -> str:
    """Return the script, for people."""
    return script(wanted)


def send(wanted: Wanted) -> str:
    """Have the workers started; return the job's number.

    Raises:
        UsageError: E723, there is no sbatch here.
        ClusterError: E722, SLURM refuses it.
    """
    program = shutil.which("sbatch")
    if program is None:
        action = "Run this on a login node of the cluster"
        raise UsageError("E723", "the program sbatch is not on this machine", where="--on slurm", action=action)
    try:
        done = subprocess.run(
            [program, "--parsable"],
            input=script(wanted),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            env={**os.environ, "SBATCH_EXPORT": "ALL"},
        )
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", "") or str(error)
        action = "Correct what it names: partition, account, limits"
        raise ClusterError("E722", f"sbatch refuses the job ({said.strip()})", where="sbatch", action=action) from error
    return done.stdout.strip().partition(";")[0]
