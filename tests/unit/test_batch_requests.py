"""What batch systems are asked for, as their own message types and parsers see it."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.stub import Stubber
from google.api_core.exceptions import PermissionDenied
from google.cloud import batch_v1

from cellfleet.cli import main
from cellfleet.cluster.batch import amazon, google, slurm
from cellfleet.cluster.batch.fleet import Wanted, disk_gb, find_fleet, fleet_store, worker_command
from cellfleet.errors import ClusterError, UsageError
from cellfleet.spec.fleet import FleetSpec

GCP = FleetSpec(
    where="gcp-batch",
    project="lab",
    region="us-west1",
    machine="n1-standard-8+nvidia-tesla-t4:1",
    spot=True,
    network="projects/lab/global/networks/private",
    subnetwork="projects/lab/regions/us-west1/subnetworks/cells",
    service_account="cells@lab.iam.gserviceaccount.com",
)
AWS = FleetSpec(
    where="aws-batch", region="us-east-1", queue="gpu-spot", machine="g4dn.2xlarge", job_role="arn:aws:iam::1:role/x"
)
SLURM = FleetSpec(
    where="slurm", gpus=1, partition="gpu", account="lab", time_limit="12:00:00", spot=True, setup=("module load cuda",)
)


def wanted(fleet: FleetSpec, workers: int = 4) -> Wanted:
    command = worker_command(fleet, fleet_store(fleet, "s3://lab/out/plate 1"))
    return Wanted(fleet, "cellfleet-x-1", workers, command, disk_gb(fleet, 3 * 10**9))


def test_google_is_asked_for_an_array_of_pulling_workers_on_private_spot_machines() -> None:
    asked = google.request(wanted(GCP))
    assert isinstance(asked, batch_v1.CreateJobRequest)
    assert (asked.parent, asked.job_id) == ("projects/lab/locations/us-west1", "cellfleet-x-1")
    (group,) = asked.job.task_groups
    assert (group.task_count, group.parallelism, group.task_count_per_node) == (4, 4, 1)
    task = group.task_spec
    assert (task.compute_resource.cpu_milli, task.compute_resource.memory_mib) == (8000, 27648)
    assert list(task.runnables[0].container.commands)[:3] == ["worker", "--ledger", "store:"]
    (retry,) = task.lifecycle_policies
    assert retry.action == batch_v1.LifecyclePolicy.Action.RETRY_TASK and task.max_retry_count == 3
    assert list(retry.action_condition.exit_codes) == [50001], "a spot machine that was taken away"
    (instance,) = asked.job.allocation_policy.instances
    assert instance.install_gpu_drivers and instance.policy.machine_type == "n1-standard-8"
    assert instance.policy.provisioning_model == batch_v1.AllocationPolicy.ProvisioningModel.SPOT
    assert (instance.policy.accelerators[0].type_, instance.policy.accelerators[0].count) == ("nvidia-tesla-t4", 1)
    assert instance.policy.boot_disk.size_gb == 46
    (interface,) = asked.job.allocation_policy.network.network_interfaces
    assert interface.no_external_ip_address and interface.subnetwork.endswith("/cells")
    assert asked.job.allocation_policy.service_account.email == GCP.service_account


def test_a_machine_that_comes_with_its_gpu_names_no_accelerator() -> None:
    fleet = GCP.model_copy(update={"machine": "g2-standard-8", "network": None, "spot": False})
    (instance,) = google.request(wanted(fleet)).job.allocation_policy.instances
    assert instance.install_gpu_drivers and not instance.policy.accelerators
    assert instance.policy.provisioning_model == batch_v1.AllocationPolicy.ProvisioningModel.STANDARD


def test_a_machine_without_gpu_asks_for_none() -> None:
    fleet = GCP.model_copy(update={"machine": "n2-standard-8"})
    asked = google.request(wanted(fleet))
    assert not asked.job.allocation_policy.instances[0].install_gpu_drivers
    assert "cpu" in asked.job.task_groups[0].task_spec.runnables[0].container.commands


def test_machines_with_a_gpu_run_the_image_that_knows_it() -> None:
    def image(fleet: FleetSpec) -> str:
        return google.request(wanted(fleet)).job.task_groups[0].task_spec.runnables[0].container.image_uri

    assert image(GCP) == "ghcr.io/cellfleet/cellfleet:latest-gpu"
    assert amazon.definition(wanted(AWS))["containerProperties"]["image"] == image(GCP)
    assert image(GCP.model_copy(update={"machine": "n2-standard-8"})) == "ghcr.io/cellfleet/cellfleet:latest"
    assert image(GCP.model_copy(update={"image": "ours:1"})) == "ours:1"


class _Google:
    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, list[batch_v1.CreateJobRequest]()

    def create_job(self, request: batch_v1.CreateJobRequest) -> batch_v1.Job:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return batch_v1.Job(name=f"{request.parent}/jobs/{request.job_id}")


def test_google_s_refusal_is_told_in_its_own_words() -> None:
    client = _Google(None)
    assert google.send(wanted(GCP), client=client) == "projects/lab/locations/us-west1/jobs/cellfleet-x-1"
    with pytest.raises(ClusterError, match=r"T4 quota is 0.*E722"):
        google.send(wanted(GCP), client=_Google(PermissionDenied("T4 quota is 0")))


def test_amazon_takes_the_requests_and_retries_what_may_pass() -> None:
    client = botocore.session.get_session().create_client(
        "batch", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
    )
    with Stubber(client) as stub:  # checks what is asked against Amazon's own shapes
        arn = "arn:aws:batch:us-east-1:1:job-definition/cellfleet-cellfleet:7"
        answer = {"jobDefinitionName": "cellfleet-cellfleet", "jobDefinitionArn": arn, "revision": 7}
        stub.add_response("register_job_definition", answer, amazon.definition(wanted(AWS)))
        stub.add_response("submit_job", {"jobName": "x", "jobId": "id-1"}, amazon.job(wanted(AWS), arn))
        assert amazon.send(wanted(AWS), client=client) == "id-1"
        stub.add_client_error("register_job_definition", "AccessDeniedException", "no rights")
        with pytest.raises(ClusterError, match=r"no rights.*E722"):
            amazon.send(wanted(AWS), client=client)
    needs = amazon.definition(wanted(AWS))["containerProperties"]["resourceRequirements"]
    assert {need["type"]: need["value"] for need in needs} == {"VCPU": "8", "MEMORY": "29491", "GPU": "1"}
    retries = amazon.definition(wanted(AWS))["retryStrategy"]["evaluateOnExit"]
    assert retries[0] == {"onStatusReason": "Host EC2*", "action": "RETRY"}
    assert {retry["onExitCode"] for retry in retries if retry["action"] == "EXIT"} == {"2", "4", "6"}
    assert retries[-1]["action"] == "RETRY" and len(retries) <= 5, "killed for its memory, say"


def test_one_worker_is_no_array_at_amazon() -> None:
    assert "arrayProperties" not in amazon.job(wanted(AWS, 1), "d")
    assert amazon.job(wanted(AWS, 2), "d")["arrayProperties"] == {"size": 2}


def test_the_script_for_slurm_says_what_a_worker_needs() -> None:
    script = slurm.script(replace(wanted(SLURM), command=("worker", "--store", "/data/it's here")))
    options = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert {
        "array=1-4",
        "signal=B:TERM@60",
        "gres=gpu:1",
        "partition=gpu",
        "account=lab",
        "time=12:00:00",
        "requeue",
    } <= set(options)
    *_, setup, last = script.splitlines()
    assert setup == "module load cuda"
    assert shlex.split(last) == ["exec", "cellfleet", "worker", "--store", "/data/it's here"]


def test_workers_of_one_bucket_share_the_place_of_their_jobs() -> None:
    assert fleet_store(GCP, "gs://lab/out/a") == fleet_store(GCP, "gs://lab/b") == "gs://lab/.cellfleet-fleet/cellfleet"
    assert fleet_store(GCP.model_copy(update={"store": "gs://other/x"}), "gs://lab/b") == "gs://other/x"
    assert fleet_store(SLURM, "results").startswith("/")
    assert fleet_store(SLURM, "file:///lab/my%20plates/out") == "/lab/my plates/.cellfleet-fleet/cellfleet"


def test_the_settings_and_the_command_line_make_one_fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cellfleet.toml").write_text(
        '[fleets.lab]\nwhere = "gcp-batch"\nproject = "p"\nregion = "r"\nmachine = "n2-standard-8"\nmax_workers = 2\n'
    )
    assert find_fleet("https://cells.lab.example", {}) is None
    fleet = find_fleet("lab", {"spot": True, "max_workers": 9, "machine": None})
    assert fleet is not None and (fleet.spot, fleet.max_workers, fleet.machine) == (True, 9, "n2-standard-8")


@pytest.mark.parametrize(
    ("toml", "on", "said"),
    [
        ("", "gcp-batch", r"needs machine and project and region.*E720"),
        ('[fleets.lab]\nwhere = "moon"', "lab", r"where: .*E720"),
        ('[fleets.lab]\nwhere = "slurm"\nspto = true', "lab", r"spto: .*E720"),
        ('[fleets.lab]\nwhere = "slurm"\npartition = "gpu --wrap=evil"', "lab", r"partition: .*E720"),
        ('[fleets.lab]\nwhere = "slurm"\nmin_workers = 9', "lab", r"min_workers is 9.*E720"),
    ],
)
def test_a_fleet_that_cannot_be_is_refused(
    toml: str, on: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cellfleet.toml").write_text(toml)
    with pytest.raises(UsageError, match=said):
        find_fleet(on, {})


def test_a_dry_run_shows_the_request_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "images", "-o", "out", "--on", "slurm", "--max-workers", "7", "--dry-run"]) == 0
    assert "#SBATCH --array=1-7" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--on", "gcp-batch", "--dry-run"], "E720"),
        (["--spot"], "E970"),
        (["--on", "https://cells.lab.example", "--max-workers", "2"], "E970"),
    ],
)
def test_options_of_a_fleet_want_one(words: list[str], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip # noqa: E501
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "a.tif", "-o", "out", *words]) == 2
    assert f"[{code}]" in capsys.readouterr().err


def test_local_images_are_not_sent_to_machines_that_cannot_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cellfleet.toml").write_text(
        '[fleets.lab]\nwhere = "gcp-batch"\nproject = "p"\nregion = "r"\nmachine = "n2-standard-8"\n'
    )
    assert main(["segment", "a.tif", "-o", "gs://lab/out", "--on", "lab", "--dry-run"]) == 2
    assert "[E724]" in capsys.readouterr().err


def test_without_sbatch_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"login node.*E723"):
        slurm.send(wanted(SLURM))
