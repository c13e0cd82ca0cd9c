"""Workers as one array job of AWS Batch. The queue and its compute environment are there already: they say spot or not.

Sources: the request shapes that botocore carries; "Job retries" of the AWS Batch guide: the status of a job whose
machine was taken away begins with ``Host EC2``; at most five conditions, the first that fits counts.
"""

from __future__ import annotations

from typing import Any, Final

from cellfleet.cluster.batch.fleet import Wanted, container_image, quote
from cellfleet.cluster.batch.google import missing
from cellfleet.errors import ClusterError

_ATTEMPTS: Final = 4
_MEMORY_SHARE: Final = 0.9
_TAKEN_AWAY: Final = "Host EC2*"
_HOPELESS: Final = ("2", "4", "6")
"""Exit codes of a worker that would end in the same way again. Others may pass: it was killed for its memory, say."""


def definition(wanted: Wanted) -> dict[str, Any]:
    """Return what `RegisterJobDefinition` is asked.

    Raises:
        UsageError: E740, no such machine.
    """
    fleet, machine = wanted.fleet, quote(wanted.fleet)
    needs = {"VCPU": machine.vcpus, "MEMORY": int(machine.memory_gb * 1024 * _MEMORY_SHARE), "GPU": machine.gpus}
    container: dict[str, Any] = {
        "image": container_image(fleet),
        "command": list(wanted.command),
        "environment": [{"name": "CELLFLEET_CACHE", "value": "/tmp"}],
        "resourceRequirements": [{"type": kind, "value": str(count)} for kind, count in needs.items() if count],
    }
    if fleet.job_role:
        container["jobRoleArn"] = fleet.job_role
    if fleet.execution_role:
        container["executionRoleArn"] = fleet.execution_role
    return {
        "jobDefinitionName": f"cellfleet-{fleet.name}",
        "type": "container",
        "platformCapabilities": ["EC2"],
        "containerProperties": container,
        "retryStrategy": {
            "attempts": _ATTEMPTS,
            "evaluateOnExit": [
                {"onStatusReason": _TAKEN_AWAY, "action": "RETRY"},
                *({"onExitCode": code, "action": "EXIT"} for code in _HOPELESS),
                {"onReason": "*", "action": "RETRY"},
            ],
        },
        "tags": {"cellfleet-fleet": fleet.name},
    }


def job(wanted: Wanted, definition_name: str) -> dict[str, Any]:
    """Return what `SubmitJob` is asked; an array has two tasks at least."""
    asked: dict[str, Any] = {
        "jobName": wanted.name,
        "jobQueue": wanted.fleet.queue,
        "jobDefinition": definition_name,
        "tags": {"cellfleet-fleet": wanted.fleet.name},
    }
    return {**asked, "arrayProperties": {"size": wanted.workers}} if wanted.workers > 1 else asked


def shown(wanted: Wanted) -> str:
    """Return both requests as JSON, for people."""
    import json  # noqa: PLC0415 (only here)

    asked = definition(wanted)
    requests = {"RegisterJobDefinition": asked, "SubmitJob": job(wanted, asked["jobDefinitionName"])}
    return json.dumps(requests, indent=2)


def send(wanted: Wanted, *, client: Any = None) -> str:
    """Have the workers started; return the job's id at Amazon.

    Args:
        wanted: What to start.
        client: boto3's client of ``batch``; None: one with the credentials of this machine.

    Raises:
        UsageError: E721, the library is missing.
        ClusterError: E722, Amazon refuses it, or there are no credentials.
    """
    try:
        import boto3  # noqa: PLC0415 (half a second, and an extra)
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise missing(error.name) from error
    try:
        client = client or boto3.client("batch", region_name=wanted.fleet.region)
        registered = client.register_job_definition(**definition(wanted))
        return str(client.submit_job(**job(wanted, registered["jobDefinitionArn"]))["jobId"])
    except (BotoCoreError, ClientError) as error:
        action = (
            "Correct what it names: the queue, the roles, or the rights of the account (aws sts get-caller-identity)"
        )
        where = f"{wanted.fleet.queue} in {wanted.fleet.region}"
        raise ClusterError("E722", f"AWS Batch refuses the job ({error})", where=where, action=action) from error
