"""Models of a service whose store is a bucket, and processes that fetch the same one at once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.packages import change, write_package

from cellfleet.errors import ModelError
from cellfleet.models import bundled_names, load_model
from cellfleet.models.repository import Repository
from cellfleet.stores.folder import FolderPlace
from cellfleet.stores.place import open_place

pytestmark = pytest.mark.slow


def test_a_bucket_serves_what_is_put_there_and_pins_it(bucket: str, tmp_path: Path) -> None:
    package, place = write_package(tmp_path / "package", gain=0.5), open_place(f"{bucket}/service")
    for file in package.iterdir():
        place.write(f"models/any folder µ/{file.name}", file.read_bytes())
    models = Repository(place, tmp_path / "cache")
    pinned = models.resolve("small")
    assert [model.name for model in models.list()] == sorted([*bundled_names(), "small"])
    assert models.load(pinned).sha256 == pinned.sha256 == load_model(package).sha256
    change(package, config__cellfleet__postprocess__radius=7)
    place.write("models/any folder µ/rdf.yaml", (package / "rdf.yaml").read_bytes())
    later = Repository(place, tmp_path / "cache")
    with pytest.raises(ModelError, match="E405"):
        later.resolve("small")
    assert later.load(pinned).sha256 == pinned.sha256  # from the cache
    with pytest.raises(ModelError, match="E406"):
        Repository(place, tmp_path / "another").load(pinned)


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_package_in_the_bucket_is_added_in_place(bucket: str, tmp_path: Path, as_zip: bool) -> None:
    package, place = write_package(tmp_path / "package"), open_place(f"{bucket}/service")
    if as_zip:
        with place.replacing("uploads/s/small.zip") as path, zipfile.ZipFile(path, "w") as archive:
            for file in package.iterdir():
                archive.write(file, f"small/{file.name}")
    else:
        for file in package.iterdir():
            place.write(f"uploads/s/small/{file.name}", file.read_bytes())
    models = Repository(place, tmp_path / "cache")
    added = models.add(f"{place.url}/uploads/s/small{'.zip' if as_zip else ''}")
    assert models.load(models.resolve("small:1.0")).sha256 == added.sha256
    assert sum(1 for _ in place.names(f"models/small-1.0-{added.sha256[:12]}")) == 6


_LOAD = """
import sys
from pathlib import Path
from cellfleet.models.repository import Repository
from cellfleet.stores.folder import FolderPlace
models = Repository(FolderPlace(Path(sys.argv[1])), Path(sys.argv[2]))
pinned = models.resolve("small")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(20):
    for kept in Path(sys.argv[2]).glob("[!.]*"):
        kept.unlink(missing_ok=True)
    assert models.load(pinned, device="cpu").sha256 == pinned.sha256
"""


def test_processes_that_share_a_cache_do_not_disturb_each_other(tmp_path: Path) -> None:
    write_package(tmp_path / "store" / "models" / "small")
    command = [sys.executable, "-c", _LOAD, str(tmp_path / "store"), str(tmp_path / "cache")]
    with contextlib.ExitStack() as running:
        processes = [
            running.enter_context(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )
            for _ in range(3)
        ]
        for process in processes:
            running.callback(process.kill)
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            _, complaints = process.communicate(timeout=60)
            assert process.returncode == 0, complaints
    assert not list((tmp_path / "cache").glob(".cellfleet-*"))
    models = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    assert models.load(models.resolve("small")).manifest.name == "small"
