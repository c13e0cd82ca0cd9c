"""`cellfleet plan` and POST /api/v1/plan: what is counted, where speeds come from, what is said, and to whom."""

from __future__ import annotations

import json
import threading
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.services import running_service
from tests.worked import add_job, add_set

from cellfleet.cli import main
from cellfleet.jobs.work import Patience, work
from cellfleet.models import load_model
from cellfleet.models.warm import WarmModels
from cellfleet.planning.prices import load_prices
from cellfleet.run.speed_log import SpeedLog, read_speeds
from cellfleet.samples import copy_samples
from cellfleet.service.access import LOCAL
from cellfleet.spec.plan import Hardware, Plan, Speed
from cellfleet.spec.usage import Machine
from cellfleet.stores.place import FolderPlace, Place
from cellfleet.worker.bench import Bench
from cellfleet.worker.meter import Meter
from cellfleet.worker.tasks import Runner

T4 = "n1-standard-8+nvidia-tesla-t4:1"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    copy_samples(tmp_path / "images")
    return tmp_path / "images"


def measured(store: Place, *, model: str = "otsu", machine: str = "", megapixels: float = 50.0) -> None:
    """Leave a measurement of 2 s per megapixel on two threads."""
    log = SpeedLog(store, "tests", 2, machine)
    loaded = load_model(model, device="cpu")
    log.loaded(loaded, 1.0, 0.5)
    log.stages(loaded, {"predict": 3.0 * megapixels, "postprocess": megapixels})
    log.done(loaded, round(megapixels * 1e6), megapixels)
    log.ran(loaded, 2.0 * megapixels)
    log.write()


def planned(*words: object, capsys: pytest.CaptureFixture[str]) -> Plan:
    assert main(["plan", *map(str, words), "--json"]) == 0
    return Plan.model_validate_json(capsys.readouterr().out)


def test_a_machine_that_nobody_measured_is_measured_first_and_then_known(
    images: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(images), "-m", "otsu"]) == 0
    first = capsys.readouterr()
    assert "measuring it on a sample image" in first.err and "4 images" in first.out
    found = planned(images, "-m", "otsu", capsys=capsys)
    assert found.counted.images == 4 and found.counted.looked_at == 4 and found.sizes[0].workers == 1
    assert "measured on" in found.speed_source and read_speeds(FolderPlace(cache))
    again = planned(images, "-m", "otsu", capsys=capsys)
    assert again.seconds_per_megapixel == found.seconds_per_megapixel, "nothing was measured again"


def test_segment_teaches_the_plan(images: Path, tmp_path: Path, cache: Path) -> None:
    assert main(["segment", str(images / "dense_nuclei.tif"), "-o", str(tmp_path / "out"), "-m", "otsu"]) == 0
    [speed] = read_speeds(FolderPlace(cache))
    with tifffile.TiffFile(images / "dense_nuclei.tif") as file:
        height, width = file.pages[0].shape[-2:]
    assert (speed.images, speed.megapixels) == (1, pytest.approx(height * width / 1e6))
    assert speed.seconds > 0 and {"read", "predict", "write"} <= speed.stage_seconds.keys()
    assert main(["segment", str(images / "dense_nuclei.tif"), "-o", str(tmp_path / "out"), "-m", "otsu"]) == 0
    assert read_speeds(FolderPlace(cache))[0].images == 1, "what was done already took no time"


def test_a_plan_for_a_cloud_tells_sizes_prices_and_what_bounds_it(
    images: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(FolderPlace(cache))
    options = ("--on", "gcp-batch", "--machine", T4, "--region", "us-west1", "--max-workers", 3, "--upload-mbps", 50)
    found = planned(images, "-m", "otsu", *options, capsys=capsys)
    assert [size.workers for size in found.sizes] == [1, 2, 3]
    assert (found.machine, found.region, found.prices) == (T4, "us-west1", "2026-11-23")
    assert found.upload_bytes == sum(file.stat().st_size for file in images.glob("*.tif"))
    assert found.bottleneck == "start-up" and found.cheapest == 1
    assert all(size.on_demand_usd and size.spot_usd for size in found.sizes)
    assert main(["plan", str(images), "-m", "otsu", *map(str, options), "--spot"]) == 0
    said = capsys.readouterr().out
    for expected in ("workers", "on demand", "spot", "cheapest", "What bounds it", "d = N · s", "2026-11-23", "W704"):
        assert expected in said


def test_a_described_cluster_gives_machine_region_and_most_workers(
    images: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(FolderPlace(cache))
    file = tmp_path / "cluster.yaml"
    file.write_text(
        "format_version: 1\nwhere: gke\nproject: lab\nregion: us-west1\nzones: [us-west1-a]\nbucket: gs://lab/cells\n"
        "gpu:\n  type: t4\n  spot: true\n  min: 0\n  max: 4\n",
        "utf-8",
    )
    found = planned(images, "-m", "otsu", "--on", file, capsys=capsys)
    assert (found.machine, found.region, found.sizes[-1].workers) == (T4, "us-west1", 4)


def test_a_fleet_of_the_settings_gives_the_same_and_options_go_before_it(
    images: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(FolderPlace(cache))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cellfleet.toml").write_text(
        f'[fleets.lab]\nwhere = "gcp-batch"\nproject = "p"\nregion = "us-west1"\nmachine = "{T4}"\nmax_workers = 6\n'
        '[fleets.hpc]\nwhere = "slurm"\ncpus = 8\n[fleets.gpus]\nwhere = "slurm"\ngpus = 1\n'
    )
    found = planned(images, "-m", "otsu", "--on", "lab", capsys=capsys)
    assert (found.machine, found.region, found.sizes[-1].workers) == (T4, "us-west1", 6)
    found = planned(
        images, "-m", "otsu", "--on", "lab", "--machine", "n2-standard-8", "--max-workers", 2, capsys=capsys
    )
    assert (found.machine, found.region, found.sizes[-1].workers) == ("n2-standard-8", "us-west1", 2)
    found = planned(images, "-m", "otsu", "--on", "hpc", capsys=capsys)
    assert found.workers_on.startswith("8 threads") and found.upload_bytes == 0
    unnamed = [
        "W708" in {told.code for told in planned(images, "-m", "otsu", "--on", *words, capsys=capsys).notices}
        for words in (["hpc"], ["gpus"], ["gpus", "--machine", T4], ["lab"])
    ]
    assert unnamed == [False, True, False, False]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("--on", "gcp-batch"), "E753"),
        (("--on", "nobody"), "E965"),
        (("--on", "gcp-batch", "--machine", "n9-huge"), "E740"),
        (("--on", "gcp-batch", "--machine", "n1-standard-8", "--region", "moon"), "E741"),
        (("--on", "aws-batch", "--machine", "g4dn.xlarge", "--spot"), "E742"),
        (("--on", "aws-batch", "--machine", "g4dn.12xlarge"), "E751"),
        (("--prices", "nowhere.csv"), "E743"),
        (("--on", "nowhere.yaml"), "E754"),
    ],
)
def test_what_cannot_be_planned_is_said_in_a_sentence(
    images: Path, cache: Path, options: tuple[str, ...], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(FolderPlace(cache))
    assert main(["plan", str(images), "-m", "otsu", *options]) == 2
    assert f"[{code}]" in capsys.readouterr().err


def test_a_table_of_ones_own_prices_machines_that_no_cloud_has(
    images: Path, tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured(FolderPlace(cache))
    table = tmp_path / "ours.csv"
    table.write_text(
        "provider,region,kind,name,vcpus,memory_gb,gpu,gpus,unit,on_demand,spot,date,source\n"
        "ours,cellar,machine,big,2,8,,,hour,3600,,2026-11-01,the bill\n",
        "utf-8",
    )
    found = planned(images, "-m", "otsu", "--on", "slurm", "--machine", "big", "--prices", table, capsys=capsys)
    one = found.sizes[0]
    assert one.on_demand_usd is not None and one.on_demand_usd.likely == pytest.approx(one.machine_seconds.likely)


# --- over HTTP


def test_a_service_plans_for_a_set_with_what_its_workers_measured(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        set_id = add_set(running, LOCAL.name, {"a.tif": _tiff(300, 200), "deep/b.tif": _tiff(100, 50)})
        body = {"inputs": [f"set:{set_id}"], "segment": {"model": "otsu"}, "max_workers": 4}
        refused = client.post("/api/v1/plan", json=body)
        assert refused.status_code == 400 and refused.json()["code"] == "E750"
        measured(running.store, machine="n2-standard-4")
        answer = client.post("/api/v1/plan", json=body)
        assert answer.status_code == 200, answer.text
        plan = Plan.model_validate(answer.json())
        assert (plan.counted.images, plan.counted.pixels) == (2, 300 * 200 + 100 * 50)
        assert (plan.model, plan.machine, plan.upload_seconds) == ("otsu:1.0", "n2-standard-4", 0.0)
        assert [size.workers for size in plan.sizes] == [1, 2, 4] and plan.start_up == ()
        assert plan.sizes[0].seconds.likely == pytest.approx(2.0 * 0.065)
        hourly = load_prices().machine("n2-standard-4").on_demand
        first = plan.sizes[0]
        assert first.on_demand_usd is not None
        # The store is a folder: nobody is paid for requests.
        assert first.on_demand_usd.likely == pytest.approx(first.seconds.likely / 3600 * hourly, rel=1e-6)
        counted = {"images": 10, "pixels": 10_000_000, "bytes": 1, "looked_at": 1}
        body = {"counted": counted, "segment": {"model": "otsu"}, "upload_bytes": 10**9, "upload_mbps": 80}
        plan = Plan.model_validate(client.post("/api/v1/plan", json=body).json())
        assert plan.upload_seconds == 100.0 and plan.bottleneck == "upload"


def test_others_sets_and_places_are_not_counted(tmp_path: Path) -> None:
    with running_service(tmp_path, login=True) as running:
        set_id = add_set(running, "ann", {"a.tif": _tiff(30, 20)})
        bob = running.client("bob")
        for given, code in ((f"set:{set_id}", "E921"), (str(tmp_path), "E818")):
            answer = bob.post("/api/v1/plan", json={"inputs": [given], "segment": {"model": "otsu"}})
            assert answer.json()["code"] == code
        assert running.client().get("/api/v1/speeds").status_code == 401


def test_a_worker_keeps_what_the_images_of_a_job_took(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        add_job(running.client(), add_set(running, LOCAL.name, {"a.tif": _tiff(300, 200), "b.tif": _tiff(100, 50)}))
        service = running.service
        speeds = SpeedLog(running.store, "w", 1, "n2-standard-4")
        bench = Bench(WarmModels(service.models, "cpu", took=speeds.loaded), 1, None)
        meter = Meter(running.store, "w", Machine())
        runner = Runner(running.store, service.ledger.spec, bench, meter, speeds)
        work(service.ledger, runner, stop=threading.Event(), patience=Patience(idle=0))
        bench.clear()
        speeds.write()
        [found] = running.client().get("/api/v1/speeds").json()["speeds"]
        speed = Speed.model_validate(found)
        assert (speed.images, speed.megapixels) == (2, pytest.approx(0.065)) and speed.loads == 1
        assert speed.seconds > 0 and {"read", "write"} <= speed.stage_seconds.keys()


def test_workers_keep_speeds_and_the_service_adds_them_up(tmp_path: Path) -> None:
    with running_service(tmp_path) as running:
        client = running.client()
        for slot in range(2):
            log = SpeedLog(running.store, f"worker-{slot}", 2, "n2-standard-4")
            model = load_model("otsu", device="cpu")
            log.done(model, 1_000_000, 1.0)
            log.ran(model, 1.0)
            log.write()
        found = client.get("/api/v1/speeds", params={"model": "otsu"}).json()["speeds"]
        assert len(found) == 1
        speed = Speed.model_validate(found[0])
        assert (speed.images, speed.seconds) == (2, 2.0) and speed.hardware.machine == "n2-standard-4"
        assert client.get("/api/v1/speeds", params={"model": "nuclei"}).json() == {"speeds": []}


def test_the_command_asks_the_server_and_counts_what_only_it_can_read(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_service(tmp_path) as running:
        measured(running.store)
        found = planned(images, "-m", "otsu", "--on", running.url, "--upload-mbps", 10, capsys=capsys)
        assert found.counted.images == 4 and found.upload_bytes == found.counted.bytes
        assert found.upload_seconds == pytest.approx(found.upload_bytes * 8 / 1e7)


def test_the_plan_stays_readable_for_programs() -> None:
    """Fields that programs read; one that goes or changes its meaning breaks them."""
    wanted = {
        "counted", "model", "machine", "region", "workers_on", "seconds_per_megapixel", "speed_source", "stage_seconds",
        "upload_bytes", "upload_mbps", "upload_seconds", "start_up", "sizes", "images_per_second",
        "arrivals_per_second", "workers_to_keep_up", "cheapest", "fastest", "bottleneck", "prices", "priced", "notices",
    }  # fmt: skip
    assert wanted <= Plan.model_fields.keys()
    schema = json.dumps(Plan.model_json_schema(mode="serialization"))
    for name in ("low", "likely", "high", "machine_seconds", "on_demand_usd", "spot_usd"):
        assert f'"{name}"' in schema
    assert Hardware(cpu="x", threads=1).machine == ""


@pytest.mark.slow
def test_a_plan_for_this_machine_is_near_what_it_takes(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wide factor: the machine of a test is shared. ± 25 % is shown on bills of real jobs."""
    images = tmp_path / "plate"
    copy_samples(tmp_path / "samples")
    images.mkdir()
    for number in range(20):
        (images / f"{number:02}.tif").write_bytes((tmp_path / "samples" / "dense_nuclei.tif").read_bytes())
    main(["plan", str(images)])
    capsys.readouterr()
    found = planned(images, capsys=capsys)
    assert main(["segment", str(images), "-o", str(tmp_path / "out")]) == 0
    took = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["wall_seconds"]
    assert found.sizes[0].seconds.likely / 4 < took < found.sizes[0].seconds.likely * 4


def _tiff(*shape: int) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, np.zeros(shape, np.uint8))
    return file.getvalue()
