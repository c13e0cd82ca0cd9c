"""Files straight to the bucket of a service on a real S3 server: in parts, each sent once, without the token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.servers import S3
from tests.services import Running, running_service
from tests.worked import small_image, work_off

from cellfleet.client import direct
from cellfleet.client.client import Client
from cellfleet.errors import CellfleetError
from cellfleet.service import direct_uploads
from cellfleet.stores.place import BucketPlace

PART = 5 << 20


@pytest.fixture
def running(moto: S3, clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Running]:
    """A service on a bucket."""
    for name, value in moto.environment.items():
        clean_environment.setenv(name, value)
    clean_environment.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    clean_environment.setattr(direct_uploads, "PART_BYTES", PART)
    with running_service(tmp_path, store=BucketPlace(f"s3://{moto.new_bucket()}/lab"), login=True) as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of four parts."""
    path = tmp_path / "plate µ, 1.tif"
    path.write_bytes(np.random.default_rng(3).bytes(3 * PART + 1000))
    return path


class Puts:
    """Remembers what is put where, and cuts one part off."""

    def __init__(self, lab: Client, *, cut: int = 0) -> None:
        self.sizes: list[int] = []
        self._put, self._cut = lab.connection.put_elsewhere, cut
        lab.connection.put_elsewhere = self

    def __call__(self, url: str, content: Any, size: int) -> Any:
        self.sizes.append(size)
        if len(self.sizes) == self._cut:
            raise RuntimeError("the power went")
        return self._put(url, content, size)


def test_a_file_goes_to_the_bucket_in_parts(running: Running, file: Path) -> None:
    seen: list[str | None] = []
    with Client(running.url, running.token("ann")) as lab:
        lab.connection._elsewhere.event_hooks = {"request": [lambda one: seen.append(one.headers.get("authorization"))]}
        puts = Puts(lab)
        (given,) = lab.upload(file)
    assert sorted(puts.sizes) == [1000, PART, PART, PART] and seen == [None] * 4
    assert running.store.read(f"uploads/{given.removeprefix('set:')}/plate µ, 1.tif") == file.read_bytes()


def test_another_process_sends_only_what_is_missing(
    running: Running, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_AT_ONCE", 1)
    with Client(running.url, running.token("ann")) as lab:
        Puts(lab, cut=3)
        with pytest.raises(RuntimeError):
            lab.upload(file)
    with Client(running.url, running.token("ann")) as lab:
        puts = Puts(lab)
        (given,) = lab.upload(file)
    assert 0 < len(puts.sizes) <= 3
    assert running.store.read(f"uploads/{given.removeprefix('set:')}/plate µ, 1.tif") == file.read_bytes()


def test_a_refused_part_is_said(running: Running, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(running.url, running.token("ann")) as lab:
        put = lab.connection.put_elsewhere
        monkeypatch.setattr(
            lab.connection, "put_elsewhere", lambda url, *more: put(url.replace("uploadId=", "uploadId=0"), *more)
        )
        with pytest.raises(CellfleetError) as caught:
            lab.upload(file)
        assert caught.value.code == "E969"


def test_a_job_over_a_bucket_gives_the_results_of_one_here(running: Running, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.tif", "b.tif", "empty.tif"):
        (tmp_path / "images" / name).write_bytes(b"" if name == "empty.tif" else small_image())
    with Client(running.url, running.token("ann")) as lab:
        job = lab.segment(tmp_path / "images", model="otsu", formats=["labels-tiff", "csv", "ome-zarr"])
        work_off(running)
        assert job.wait().state == "failed"
        assert {cells.labels.max() for cells in job.results().values()} == {4}
        assert [record.status for record in job.save(tmp_path / "out")] == ["done", "done", "failed"]
