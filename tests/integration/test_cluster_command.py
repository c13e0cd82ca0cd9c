"""`cellfleet cluster` with programs of gcloud, helm and kubectl on the path that answer as the real ones do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import clouds

from cellfleet.cli import main
from cellfleet.cluster.programs import without_secrets
from cellfleet.spec.cluster_file import parse_cluster

CHART = str(Path("deploy/chart").resolve())
INIT = ["cluster", "init", "--where", "gke", "--gpu", "t4", "--spot", "--max-gpus", "4", "--budget", "300", "--yes"]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the stand-in; the current folder is empty."""
    bin_folder = tmp_path / "bin"
    monkeypatch.setenv("PATH", clouds.install(bin_folder)["PATH"])
    change(bin_folder, slow=0)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return bin_folder


def state(cloud: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cloud / "state.json").read_text())
    return found


def change(cloud: Path, **changes: Any) -> None:
    (cloud / "state.json").write_text(json.dumps({**state(cloud), **changes}))


def test_from_questions_to_a_cluster_and_back(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(INIT) == 0
    told = capsys.readouterr().err
    assert "login ann@lab.example" in told and "quota PREEMPTIBLE_NVIDIA_T4_GPUS 8 ≥ 4" in told
    spec = parse_cluster(Path("cluster.yaml").read_text())
    # What was not said was found out: gcloud knows the project, and which zones have the GPU.
    assert (spec.project, spec.zones, spec.bucket) == ("lab-1", ("us-west1-a", "us-west1-b"), "gs://lab-1-cellfleet")

    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 0
    told = capsys.readouterr().err
    assert "Make a pool of 0–4 machines n1-standard-8 with one T4, spot — $0.00 to $1.28 an hour" in told
    assert "Idle it costs $0.20 an hour" in told and "tokens add admin" in told
    kept = state(cloud)["objects"]
    assert set(kept) == {f"gs://lab-1-cellfleet/cluster/{name}" for name in ("cluster.yaml", "granted.json")}

    assert main(["cluster", "status"]) == 0
    told = capsys.readouterr().err
    assert (
        "all is as the description wants it" in told and "1 of 4 with GPU" in told and "Costs now about $0.52" in told
    )
    before = len(clouds.Cloud(state(cloud)).changes)
    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 0
    assert "Everything was done already." in capsys.readouterr().err
    assert len(clouds.Cloud(state(cloud)).changes) == before

    Path("cluster.yaml").write_text(Path("cluster.yaml").read_text().replace("max: 4", "max: 3"))
    assert main(["cluster", "diff"]) == 0
    told, said = capsys.readouterr()
    assert "-  max: 4\n+  max: 3" in told and "Before, it was $0.20 idle and $1.48" in said

    assert main(["cluster", "down", "--yes"]) == 0
    told = capsys.readouterr().err
    for kind in ("clusters", "machines", "disks", "addresses", "load balancers"):
        assert f"Looked for {kind}: none left." in told
    assert "Kept: gs://lab-1-cellfleet, 3.0 GB, $0.06 a month" in told
    assert not state(cloud)["clusters"] and not state(cloud)["accounts"]


def test_what_is_left_and_costs_is_told_with_the_command_that_deletes_it(
    cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(INIT) == 0
    disk = {
        "name": "pvc-7",
        "zone": "zones/us-west1-b",
        "sizeGb": "4",
        "labels": {"goog-k8s-cluster-name": "cellfleet"},
    }
    change(cloud, disks=[disk], buckets={"gs://lab-1-cellfleet": {"location": "us-west1", "policy": []}})
    assert main(["cluster", "down", "--yes"]) == 5
    told = capsys.readouterr().err
    assert (
        "Looked for disks: 1 left." in told
        and "gcloud compute disks delete pvc-7 --zone=us-west1-b --project=lab-1" in told
    )


def test_a_failing_command_ends_it_with_its_own_words_and_what_to_do(
    cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(INIT) == 0
    words = (
        "ERROR: (gcloud.services.enable) FAILED_PRECONDITION: Billing account for project is not found. ya29.a0Secret"
    )
    change(cloud, fault={"at": 1, "how": "refused", "words": words})
    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 5
    told = capsys.readouterr().err
    assert "[E713]" in told and "Billing account for project" in told and "Link a billing account" in told
    assert "ya29" not in told
    change(cloud, fault=None)
    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 0


def test_a_quota_too_low_is_refused_before_anything_is_made(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(INIT) == 0
    change(cloud, quotas={"NVIDIA_T4_GPUS": 0, "PREEMPTIBLE_NVIDIA_T4_GPUS": 0})
    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 6
    assert "NVIDIA_T4_GPUS in us-west1 is 0, but the file wants 4 GPUs" in capsys.readouterr().err
    assert clouds.Cloud(state(cloud)).changes == []


def test_a_dry_run_tells_everything_and_calls_nothing(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(INIT) == 0
    change(cloud, log=[])
    for action in (["up", "--chart", CHART], ["down"], ["render"]):
        assert main(["cluster", *action, "--dry-run"]) == 0
    told = "".join(capsys.readouterr())
    assert "gcloud container clusters create cellfleet" in told and "gcloud container clusters delete cellfleet" in told
    assert state(cloud)["log"] == []
    assert main([*INIT, "--dry-run"]) == 0
    assert parse_cluster(capsys.readouterr().out)


def test_render_writes_values_and_commands_and_overwrites_nothing_unasked(
    cloud: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(
            [
                "cluster",
                "init",
                "--where",
                "eks",
                "--gpu",
                "a10g",
                "--bucket",
                "s3://lab-cells",
                "--max-gpus",
                "2",
                "--yes",
            ]
        )
        == 0
    )
    assert main(["cluster", "render", "-o", "out"]) == 0
    assert {path.name for path in Path("out").iterdir()} == {
        "values.yaml",
        "commands.txt",
        "eks-cluster.yaml",
        "eks-pools.yaml",
    }
    assert "eksctl create cluster --config-file=eks-cluster.yaml" in Path("out/commands.txt").read_text()
    assert main(["cluster", "render", "-o", "out"]) == 5
    assert "[E717]" in capsys.readouterr().err
    assert main(["cluster", "init", "--where", "gke", "--yes"]) == 5


def test_without_cluster_eks_is_told_to_be_made_by_hand(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "init", "--where", "eks", "--gpu", "none", "--bucket", "s3://lab-cells", "--yes"]) == 0
    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 5
    assert "cellfleet cluster render -o DIR" in capsys.readouterr().err


def test_nobody_to_ask_is_no_agreement(cloud: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(INIT) == 0
    assert main(["cluster", "up", "--chart", CHART]) == 2
    assert "Add --yes" in capsys.readouterr().err
    assert clouds.Cloud(state(cloud)).changes == []


def test_a_program_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    place = ["--project", "lab-1", "--zone", "us-west1-b", "--bucket", "gs://lab"]
    assert main([*INIT, *place]) == 0
    assert main(["cluster", "up", "--yes", "--chart", CHART]) == 5
    assert "gcloud: is not installed." in capsys.readouterr().err


@pytest.mark.parametrize(
    "secret",
    ["ya29.a0AfB_by-x", "AKIAIOSFODNN7EXAMPLE", "Authorization: Bearer abc.def", "eyJhbGciOiJSUzI1NiI.eyJpc3Mi.x-y"],
)
def test_what_looks_like_a_secret_is_not_told(secret: str) -> None:
    assert secret.rsplit(maxsplit=1)[-1] not in without_secrets(f"error: {secret}, try again")
