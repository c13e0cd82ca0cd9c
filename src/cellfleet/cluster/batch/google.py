"""Workers as one job of Google Batch: an array of tasks, one to a machine, each of which pulls work till it is done.

Sources: google-cloud-batch's message types; "Retry tasks" of the Batch documentation: exit code 50001 is a spot machine
that was taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cellfleet.cluster.batch.fleet import Wanted, container_image, has_gpu, quote
from cellfleet.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from google.cloud import batch_v1

_TAKEN_AWAY: Final = 50001
_RETRIES: Final = 3
_MEMORY_SHARE: Final = 0.9
"""Of a machine's memory, for the task; the rest is the system's."""


def request(wanted: Wanted) -> batch_v1.CreateJobRequest:
    """Return what is sent to Google.

    Raises:
        UsageError: E721, the library is missing; E740, no such machine.
    """
    batch = _library()
    fleet, machine = wanted.fleet, quote(wanted.fleet)
    container = batch.Runnable.Container(image_uri=container_image(fleet), commands=list(wanted.command))
    environment = batch.Environment(variables={"CELLFLEET_CACHE": "/tmp"})
    task = batch.TaskSpec(
        runnables=[batch.Runnable(container=container, environment=environment)],
        compute_resource=batch.ComputeResource(
            cpu_milli=machine.vcpus * 1000, memory_mib=int(machine.memory_gb * 1024 * _MEMORY_SHARE)
        ),
        max_retry_count=_RETRIES,
        lifecycle_policies=[
            batch.LifecyclePolicy(
                action=batch.LifecyclePolicy.Action.RETRY_TASK,
                action_condition=batch.LifecyclePolicy.ActionCondition(exit_codes=[_TAKEN_AWAY]),
            )
        ],
    )
    group = batch.TaskGroup(
        task_spec=task, task_count=wanted.workers, parallelism=wanted.workers, task_count_per_node=1
    )
    job = batch.Job(
        task_groups=[group],
        allocation_policy=_machines(wanted),
        labels={"cellfleet-fleet": fleet.name},
        logs_policy=batch.LogsPolicy(destination=batch.LogsPolicy.Destination.CLOUD_LOGGING),
    )
    parent = f"projects/{fleet.project}/locations/{fleet.region}"
    asked: batch_v1.CreateJobRequest = batch.CreateJobRequest(parent=parent, job_id=wanted.name, job=job)
    return asked


def _machines(wanted: Wanted) -> batch_v1.AllocationPolicy:
    batch, fleet, machine = _library(), wanted.fleet, quote(wanted.fleet)
    policy = batch.AllocationPolicy
    model = policy.ProvisioningModel
    instance = policy.InstancePolicy(
        machine_type=machine.machine.name,
        provisioning_model=model.SPOT if fleet.spot else model.STANDARD,
        # A machine that comes with its GPUs names none here.
        accelerators=[policy.Accelerator(type_=machine.machine.gpu, count=machine.machine.gpus)]
        if machine.machine.gpus
        else [],
        boot_disk=policy.Disk(size_gb=wanted.disk_gb, type_="pd-balanced"),
    )
    interfaces = []
    if fleet.network is not None:
        interfaces = [
            policy.NetworkInterface(
                network=fleet.network, subnetwork=fleet.subnetwork or "", no_external_ip_address=True
            )
        ]
    asked: batch_v1.AllocationPolicy = policy(
        location=policy.LocationPolicy(allowed_locations=[f"regions/{fleet.region}"]),
        instances=[policy.InstancePolicyOrTemplate(policy=instance, install_gpu_drivers=has_gpu(fleet))],
        network=policy.NetworkPolicy(network_interfaces=interfaces),
        service_account=_library().ServiceAccount(email=fleet.service_account) if fleet.service_account else None,
    )
    return asked


def shown(wanted: Wanted) -> str:
    """Return the request as JSON, for people."""
    how = {"always_print_fields_with_no_presence": False, "use_integers_for_enums": False}
    return str(_library().CreateJobRequest.to_json(request(wanted), **how))


def send(wanted: Wanted, *, client: Any = None) -> str:
    """Have the workers started; return the job's name at Google.

    Args:
        wanted: What to start.
        client: A `BatchServiceClient`; None: one with the credentials of this machine.

    Raises:
        ClusterError: E722, Google refuses it, or there are no credentials.
    """
    asked = request(wanted)
    from google.api_core.exceptions import GoogleAPICallError  # noqa: PLC0415 (only here)
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    try:
        client = client or _library().BatchServiceClient()
        return str(client.create_job(asked).name)
    except GoogleAPICallError as error:
        raise ClusterError(
            "E722",
            f"Google Batch refuses the job ({error.message or type(error).__name__})",
            where=asked.parent,
            action="Correct what it names: quota, region, network, or the rights of the account",
        ) from error
    except GoogleAuthError as error:
        action = "gcloud auth application-default login"
        raise ClusterError("E722", "there are no credentials for Google", where=asked.parent, action=action) from error


def _library() -> Any:
    try:
        from google.cloud import batch_v1  # noqa: PLC0415 (half a second, and an extra)
    except ModuleNotFoundError as error:
        raise missing(error.name) from error
    return batch_v1


def missing(library: str | None) -> UsageError:
    """Return the error about a library of the extra that is not installed."""
    return UsageError("E721", f"a library is not installed ({library})", action="pip install 'cellfleet[cluster]'")
