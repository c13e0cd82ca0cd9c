"""The zip of a job's results: any unzip opens it, it holds what stands, and making it costs little."""

from __future__ import annotations

import asyncio
import io
import shutil
import subprocess
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest
from tests.contract.imagej_java import run_java
from tests.services import Running, running_service, wait_until
from tests.worked import NAMES, add_job, add_set, broken_image, small_image, work_off

from cellfleet.errors import CellfleetError
from cellfleet.service import sizes
from cellfleet.service.zip import Member, zip_pieces
from cellfleet.stores.place import FolderPlace, open_place

GUIDES = {"README.txt", "open_in_fiji.ijm"}
SUMMARY = {"run.json", "failures.csv", "report.html"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_service(tmp_path_factory.mktemp("service"), login=True) as running:
        yield running


@pytest.fixture(scope="module")
def client(running: Running) -> httpx2.Client:
    return running.client("ann")


@pytest.fixture(scope="module")
def job(running: Running, client: httpx2.Client) -> str:
    images = {**dict.fromkeys(NAMES, small_image()), "bad.tif": broken_image()}
    job = add_job(
        client, add_set(running, "ann", images), name="Plate 1: µ", formats=["labels-tiff", "csv", "ome-zarr"]
    )
    work_off(running)
    return job


def fetch(client: httpx2.Client, job: str, **query: object) -> zipfile.ZipFile:
    answer = client.get(f"/api/v1/jobs/{job}/zip", params=query)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    return zipfile.ZipFile(io.BytesIO(answer.content))


def results_of(running: Running, job: str) -> Path:
    return Path(running.service.desk.results(job).url)


def test_the_zip_holds_every_result_under_its_name_byte_by_byte(
    running: Running, client: httpx2.Client, job: str
) -> None:
    found = fetch(client, job)
    assert found.testzip() is None
    folder = results_of(running, job)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    wanted = {name for name in files if not name.startswith(".cellfleet/")}
    assert set(found.namelist()) == wanted | GUIDES and wanted > SUMMARY
    assert "plate/A1, field µ 🦠_labels.tif" in wanted and len(found.namelist()) == len(wanted | GUIDES)
    for name in wanted:
        assert found.read(name) == (folder / name).read_bytes(), name
    for info in found.infolist():
        assert 0 <= info.compress_size - info.file_size < 64 + info.file_size // 1000, "nothing is compressed twice"


def test_unzip_opens_it(client: httpx2.Client, job: str, tmp_path: Path) -> None:
    program = shutil.which("unzip")
    assert program, "unzip is not installed: `apt-get install unzip` (this test never skips)"
    (tmp_path / "job.zip").write_bytes(client.get(f"/api/v1/jobs/{job}/zip").content)
    done = subprocess.run([program, "-q", "job.zip"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "plate" / "A1, field µ 🦠_cells.csv").stat().st_mode & 0o777 == 0o644


def test_formats_and_images_are_chosen(client: httpx2.Client, job: str) -> None:
    numbers = {image["image"]: image["number"] for image in client.get(f"/api/v1/jobs/{job}/images").json()["images"]}
    tables = set(fetch(client, job, format="csv").namelist()) - GUIDES - SUMMARY
    assert tables == {f"{name.removesuffix('.tif')}_cells.csv" for name in NAMES}
    chosen = fetch(client, job, format=["csv", "labels-tiff"], image=[numbers["c.tif"], numbers["bad.tif"]])
    assert set(chosen.namelist()) - GUIDES - SUMMARY == {"c_cells.csv", "c_labels.tif"}
    for query, code in (({"format": "parquet"}, "E945"), ({"format": "exe"}, "E902"), ({"image": -1}, "E902")):
        refused = client.get(f"/api/v1/jobs/{job}/zip", params=query)
        assert (refused.status_code, refused.json()["code"]) == (422, code)


def test_images_are_chosen_by_a_part_of_their_names(client: httpx2.Client, job: str) -> None:
    chosen = fetch(client, job, format="csv", named="PLATE/a1")
    assert set(chosen.namelist()) - GUIDES - SUMMARY == {"plate/A1, field µ 🦠_cells.csv"}
    assert not set(fetch(client, job, named="nothing has this").namelist()) - GUIDES - SUMMARY


def test_the_sizes_are_those_of_the_files(running: Running, client: httpx2.Client, job: str) -> None:
    folder = results_of(running, job)
    files = [path for path in folder.rglob("*") if path.is_file() and ".cellfleet" not in path.parts]
    endings = {"labels-tiff": "_labels.tif", "csv": "_cells.csv", "ome-zarr": "zarr"}
    weigh = {
        form: sum(path.stat().st_size for path in files if ending in str(path.relative_to(folder)))
        for form, ending in endings.items()
    }
    told = client.get(f"/api/v1/jobs/{job}/sizes").json()
    assert {one["format"]: one["bytes"] for one in told["formats"]} == weigh and min(weigh.values()) > 0
    assert (told["images"], told["looked_at"]) == (len(NAMES), len(NAMES))
    some = client.get(f"/api/v1/jobs/{job}/sizes", params={"named": "A1"}).json()
    assert (some["images"], some["looked_at"]) == (1, 1) and 0 < some["formats"][0]["bytes"] < weigh["labels-tiff"]
    assert client.get(f"/api/v1/jobs/{job}/sizes", params={"named": "nothing has this"}).json()["images"] == 0


def test_of_many_images_the_sizes_are_estimated_from_some(
    client: httpx2.Client, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.get(f"/api/v1/jobs/{job}/sizes").json()
    monkeypatch.setattr(sizes, "MOST_LOOKED_AT", 2)
    told = client.get(f"/api/v1/jobs/{job}/sizes").json()
    assert told["images"] == whole["images"] > told["looked_at"] > 0
    for some, all_of_it in zip(told["formats"], whole["formats"], strict=True):
        assert some["bytes"] == pytest.approx(all_of_it["bytes"], rel=0.5)


def test_while_the_job_runs_the_zip_holds_what_stands(running: Running, client: httpx2.Client) -> None:
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    assert set(fetch(client, job).namelist()) == GUIDES
    work_off(running, summary=False)
    assert set(fetch(client, job).namelist()) == GUIDES | {"a_labels.tif", "a_cells.csv"}


def test_it_is_saved_under_the_name_of_the_job(client: httpx2.Client, job: str) -> None:
    answer = client.head(f"/api/v1/jobs/{job}/zip")
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, b"", "application/zip")
    assert answer.headers["content-disposition"].endswith("filename*=UTF-8''Plate%201_%20%C2%B5.zip")


def test_the_texts_beside_the_results_name_the_job(client: httpx2.Client, job: str) -> None:
    text = fetch(client, job).read("README.txt").decode()
    assert text.startswith(f'cellfleet: results of the job "Plate 1: µ" ({job})\n')
    assert len(text.splitlines()) <= 10


def test_more_files_than_a_zip_is_made_of_are_refused_at_once(
    client: httpx2.Client, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cellfleet.service.routes.links.MOST_FILES", 8)
    refused = client.get(f"/api/v1/jobs/{job}/zip")
    assert (refused.status_code, refused.json()["code"]) == (422, "E944")
    assert client.get(f"/api/v1/jobs/{job}/zip", params={"format": "csv"}).status_code == 200


@pytest.mark.slow
def test_the_macro_opens_all_label_images_and_their_images(
    running: Running, client: httpx2.Client, job: str, tmp_path: Path
) -> None:
    fetch(client, job, format="labels-tiff").extractall(tmp_path)
    (tmp_path / NAMES[0]).write_bytes(small_image())
    tell = 'titles = getList("image.titles"); for (i = 0; i < titles.length; i++) print(titles[i]);'
    (tmp_path / "driver.ijm").write_text(f'runMacro("{tmp_path}/open_in_fiji.ijm"); {tell}')
    opened = run_java("RunMacro", tmp_path, tmp_path / "driver.ijm").splitlines()
    image, labels = "A1, field µ 🦠.tif", "A1, field µ 🦠_labels.tif"
    assert sorted(opened) == sorted([image, labels, "b_labels.tif", "c_labels.tif"])
    assert opened.index(image) == opened.index(labels) - 1


@pytest.mark.slow
def test_results_in_a_bucket_are_zipped(tmp_path: Path, bucket: str) -> None:
    with running_service(tmp_path, store=open_place(f"{bucket}/service")) as running:
        client = running.client()
        job = add_job(client, add_set(running, "local"), formats=["labels-tiff", "ome-zarr"])
        work_off(running)
        found = fetch(client, job)
        assert found.testzip() is None
        assert {f"{name.removesuffix('.tif')}_labels.tif" for name in NAMES} <= set(found.namelist())
        assert "c_labels.ome.zarr/zarr.json" in found.namelist()


# --- without a server ------------------------------------------------------------------------------------------------


def zipped(place: FolderPlace, names: list[str]) -> bytes:
    async def collect(pieces: AsyncIterator[bytes]) -> bytes:
        return b"".join([piece async for piece in pieces])

    return asyncio.run(collect(zip_pieces(place, iter(map(Member, names)))))


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    return FolderPlace(tmp_path / "results")


def test_five_thousand_small_files_are_zipped(place: FolderPlace) -> None:
    names = [f"plate/well {number}, µ 🦠.csv" for number in range(5000)]
    (place.path / "plate").mkdir(parents=True)
    for number, name in enumerate(names):
        (place.path / name).write_bytes(b"x" * (number % 50))
    found = zipfile.ZipFile(io.BytesIO(zipped(place, names)))
    assert found.namelist() == names and found.testzip() is None
    assert [info.file_size for info in found.infolist()] == [number % 50 for number in range(5000)]


def test_a_large_file_is_never_held_as_a_whole(place: FolderPlace) -> None:
    size = 64 << 20
    place.path.mkdir()
    with open(place.path / "large.tif", "wb") as file:
        file.truncate(size)

    async def count(pieces: AsyncIterator[bytes]) -> int:
        return sum([len(piece) async for piece in pieces])

    tracemalloc.start()
    total = asyncio.run(count(zip_pieces(place, iter([Member("large.tif")]))))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > size and peak < 8 << 20


@pytest.mark.slow
def test_files_beyond_four_gigabytes_are_zipped(place: FolderPlace, tmp_path: Path) -> None:
    place.path.mkdir()
    sizes = {"large.tif": (4 << 30) + 5, "small.csv": 7}
    for name, size in sizes.items():
        with open(place.path / name, "wb") as file:
            file.truncate(size)

    async def save(pieces: AsyncIterator[bytes]) -> None:
        # Zeros become holes, so that the disk need not be large.
        hole = bytes(4096)
        with open(tmp_path / "job.zip", "wb") as file:
            async for piece in pieces:
                for start in range(0, len(piece), len(hole)):
                    block = piece[start : start + len(hole)]
                    file.seek(len(hole), io.SEEK_CUR) if block == hole else file.write(block)

    asyncio.run(save(zip_pieces(place, iter(map(Member, sizes)))))
    with zipfile.ZipFile(tmp_path / "job.zip") as found:
        assert {info.filename: info.file_size for info in found.infolist()} == sizes
        assert found.read("small.csv") == bytes(7)


def test_a_zip_that_cannot_be_finished_is_not_taken_for_whole(place: FolderPlace) -> None:
    place.write("a.csv", b"1")
    with pytest.raises(CellfleetError) as caught:
        zipped(place, ["a.csv", "gone.csv"])
    assert caught.value.code == "E940"


def test_while_nobody_reads_nothing_more_is_read(place: FolderPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        place.write(f"{number}.csv", b"1")
    read: list[str] = []
    read_range = FolderPlace.read_range

    def counted(self: FolderPlace, name: str, *args: int, **more: str) -> object:
        read.append(name)
        return read_range(self, name, *args, **more)

    monkeypatch.setattr(FolderPlace, "read_range", counted)

    async def run() -> tuple[int, int]:
        pieces = zip_pieces(place, (Member(f"{number}.csv") for number in range(100)))
        await anext(pieces)
        before = len(read)
        await asyncio.sleep(0.05)
        after = len(read)
        await pieces.aclose()
        return before, after

    before, after = asyncio.run(run())
    assert before == after <= 8


def test_a_client_that_leaves_in_the_middle_frees_all(
    running: Running, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = add_job(client, add_set(running, "ann", ["a.tif"]))
    work_off(running, summary=False)
    with open(results_of(running, job) / "a_labels.tif", "wb") as file:
        file.truncate(1 << 30)
    closed: list[zipfile.ZipFile] = []
    close = zipfile.ZipFile.close

    def noted(self: zipfile.ZipFile) -> None:
        close(self)
        closed.append(self)

    monkeypatch.setattr(zipfile.ZipFile, "close", noted)
    with client.stream("GET", f"/api/v1/jobs/{job}/zip") as answer:
        next(answer.iter_raw())
        assert not closed
    wait_until(lambda: closed, "the zip was let go of")
