"""Have gcloud itself check every command that `cellfleet cluster` would give it, without running any of them.

Run by hand where gcloud is installed (it needs no login and no network): ``python scripts/lint_gcloud.py``. Prints a
line per command that gcloud does not know, and exits with 1 if there is any.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cellfleet.cluster.plan import Files, down_steps, up_steps
from cellfleet.cluster.programs import Answer, Command
from cellfleet.cluster.providers import gke_checks, gke_down
from cellfleet.planning.cluster_costs import cluster_costs
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool

_POOLS = {
    "pool": (
        '{"status": "RUNNING", "autoscaling": {"totalMaxNodeCount": 9}}',
        '{"status": "RUNNING", "autoscaling": {"totalMaxNodeCount": 4}, "locations": ["us-west1-c"]}',
    ),
    "pools": ('[{"name": "gpu-old", "status": "RUNNING"}]',),
}
"""Last word of a step's name → what gcloud may tell that makes it change something."""


def main() -> int:
    """Check all commands; return the exit code."""
    seen: set[Command] = set()

    def run(command: Command) -> Answer:
        seen.add(command)
        return Answer(0, '[{"account": "a"}]' if "list" in command else "{}", "")

    for spec in _specs():
        steps = [*up_steps(spec, cluster_costs(spec), "chart", Files(Path("x"))), *down_steps(spec)]
        for step in steps:
            seen |= {step.command, *step.look}
            worlds = _POOLS.get(step.name.split()[-1], ())
            seen |= {change for world in worlds if (change := step.found((Answer(0, world, ""),)).change)}
        gke_checks.check(spec, run)
        gke_down.look_for_leftovers(spec, run)
        gke_down.bucket_bytes(spec, run)
    commands = sorted(command for command in seen if command[0] == "gcloud")
    wrong = [line for command in commands if (line := _fault(command))]
    sys.stdout.writelines(f"{line}\n" for line in wrong)
    sys.stdout.write(f"{len(commands)} commands, {len(wrong)} wrong\n")
    return 1 if wrong else 0


def _specs() -> list[ClusterSpec]:
    base = ClusterSpec(
        name="lab", where="gke", project="lab-1", region="us-west1", zones=("us-west1-b",), bucket="gs://lab/a",
        gpu=GpuPool(), cpu=CpuPool(min=1),
    )  # fmt: skip
    two = base.model_copy(update={"zones": ("us-west1-a", "us-west1-b"), "gpu": GpuPool(type="l4", spot=False)})
    return [base, two]


def _fault(command: Command) -> str:
    line = " ".join(f"'{word}'" if set(word) & set(" []()") else word for word in command)
    done = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", f"--command-string={line}"],
        capture_output=True,
        text=True,
        check=True,
    )
    (told,) = json.loads(done.stdout)
    return "" if told["success"] else f"{line}: {told['error_message']}"


if __name__ == "__main__":
    sys.exit(main())
