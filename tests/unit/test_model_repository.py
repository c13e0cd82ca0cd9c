"""Models of a service: found in its store, pinned to one content for ever, fetched once, never trusted."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tests.packages import change, expected, write_otsu, write_package

from cellfleet.errors import ModelError
from cellfleet.models import bundled_names, load_model, repository
from cellfleet.models.load import BUNDLED
from cellfleet.models.repository import Repository
from cellfleet.models.versions import newness
from cellfleet.spec.job import PinnedModel
from cellfleet.stores.folder import FolderPlace


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "store" / "models"


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every listing be a new one."""
    monkeypatch.setattr(repository, "LISTING_SECONDS", 0.0)


def opened(tmp_path: Path, cache: str = "cache") -> Repository:
    """Return what another process would see."""
    return Repository(FolderPlace(tmp_path / "store"), tmp_path / cache)


def names(repository: Repository) -> list[str]:
    return [f"{model.name}:{model.version}" for model in repository.list()]


def test_the_bundled_models_are_there_without_a_store(tmp_path: Path) -> None:
    found = opened(tmp_path)
    assert [model.name for model in found.list()] == bundled_names()
    assert not (tmp_path / "store").exists()
    nuclei, otsu = (next(model for model in found.list() if model.name == name) for name in ("nuclei", "otsu"))
    assert nuclei.bundled and nuclei.licence == "Apache-2.0" and nuclei.roles == ("nuclear",)
    assert (nuclei.size_bytes, otsu.size_bytes) == ((BUNDLED / "nuclei" / "nuclei.onnx").stat().st_size, 0)
    assert found.resolve("nuclei") == PinnedModel(name="nuclei", version="1.0.0", sha256=load_model("nuclei").sha256)
    assert found.load(found.resolve("otsu")).sha256 == load_model("otsu").sha256


def test_a_package_that_is_put_there_serves_the_next_request(tmp_path: Path, models: Path) -> None:
    found = opened(tmp_path)
    assert "small:1.0" not in names(found)
    package = write_package(models / "any folder µ", gain=0.5)
    pinned = found.resolve("small")
    assert pinned.sha256 == load_model(package).sha256
    pixels, contrast = np.full((1, 16, 16), 100, np.float32), np.array([[0, 200]], np.float32)
    heads = found.load(pinned, device="cpu").predictor.predict(pixels, contrast)
    np.testing.assert_array_equal(heads, expected(pixels[None], contrast[None], 0.5)[0])


@pytest.mark.usefixtures("fresh")
def test_a_name_means_its_newest_version(tmp_path: Path, models: Path) -> None:
    for version in ("1.9", "1.10", "1.10-rc1", "1.2"):
        write_otsu(models / f"m {version}", "mine", version)
    found = opened(tmp_path)
    assert found.resolve("mine").version == "1.10"
    assert found.resolve("mine:1.2").version == "1.2"
    own = [name for name in names(found) if name.startswith("mine")]
    assert own == ["mine:1.10", "mine:1.10-rc1", "mine:1.9", "mine:1.2"]
    write_otsu(models / "later", "mine", "2")
    assert found.resolve("mine").version == "2"


def test_versions_are_ordered_by_their_numbers() -> None:
    oldest_first = ["0.9", "1", "1.0-alpha", "1.0-rc2", "1.0-rc10", "1.0", "1.0.1", "1.0.10", "2024.1", "2024.11"]
    assert sorted(set(oldest_first), key=newness) == oldest_first


def test_a_bundled_name_may_get_a_newer_version_but_keeps_its_own(tmp_path: Path, models: Path) -> None:
    write_otsu(models / "impostor", "nuclei", "1.0.0")
    write_otsu(models / "later", "otsu", "1.1")
    found = opened(tmp_path)
    assert found.resolve("nuclei").sha256 == load_model("nuclei").sha256
    assert [model.bundled for model in found.list() if model.name == "nuclei"] == [True]
    assert found.resolve("otsu").version == "1.1"
    assert found.resolve("otsu:1.0").sha256 == load_model("otsu").sha256


@pytest.mark.parametrize("model", ["nothing", "small:2", "", "../small", "small:", "a/b", "small:1.0:1", "x" * 5000])
def test_what_is_not_there_is_told_with_what_is(tmp_path: Path, models: Path, model: str) -> None:
    write_package(models / "small")
    with pytest.raises(ModelError, match=r"there is no such model.* Choose one of .*nuclei, otsu, small.*\. \[E401\]"):
        opened(tmp_path).resolve(model)


@pytest.mark.usefixtures("fresh")
def test_another_content_under_a_name_that_was_used_is_refused(tmp_path: Path, models: Path) -> None:
    package = write_package(models / "a")
    found = opened(tmp_path)
    first = found.resolve("small")
    change(package, config__cellfleet__postprocess__radius=9)
    for asker in (found, opened(tmp_path)):
        with pytest.raises(ModelError, match=r"models/a: is another .* small:1\.0 stands for.*new version.*E405"):
            asker.resolve("small:1.0")
        assert "small:1.0" not in names(asker)
    with pytest.raises(ModelError, match="E406"):
        found.load(first)
    change(package, config__cellfleet__version="1.1")
    write_package(models / "b")
    assert found.resolve("small").version == "1.1"
    assert found.resolve("small:1.0") == first
    assert found.load(first).sha256 == first.sha256


@pytest.mark.usefixtures("fresh")
def test_of_two_contents_of_one_name_the_first_that_was_used_stays(tmp_path: Path, models: Path) -> None:
    write_otsu(models / "b", "mine", "1", radius=2)
    found = opened(tmp_path)
    first = found.resolve("mine")
    write_otsu(models / "a", "mine", "1", radius=3)
    assert found.resolve("mine") == opened(tmp_path).resolve("mine:1") == first
    assert [model.sha256 for model in found.list() if model.name == "mine"] == [first.sha256]


def test_words_that_change_no_result_may_change(tmp_path: Path, models: Path) -> None:
    package = write_package(models / "a")
    first = opened(tmp_path).resolve("small")
    change(package, description="Better words.", config__cellfleet__scores={"here": {"f1": 1.0}})
    assert opened(tmp_path).resolve("small") == first


def test_all_who_ask_first_at_once_get_the_same_content(tmp_path: Path, models: Path) -> None:
    for number in range(4):
        write_otsu(models / str(number), "mine", "1", radius=number + 1)
    barrier = threading.Barrier(4)

    def ask(number: int) -> str:
        # Each process sees another of the four, as if they were being copied just now.
        own = tmp_path / f"store {number}" / "models"
        shutil.copytree(models / str(number), own / "mine")
        (own / ".pins").symlink_to(models / ".pins")
        asker = Repository(FolderPlace(own.parent), tmp_path / "cache")
        barrier.wait(20)
        try:
            return asker.resolve("mine").sha256
        except ModelError as error:
            return error.code

    (models / ".pins").mkdir()
    with ThreadPoolExecutor(4) as pool:
        told = sorted(pool.map(ask, range(4)), key=len)
    assert told[:3] == ["E405"] * 3 and len(told[3]) == 64


def test_what_was_fetched_once_serves_without_the_store(tmp_path: Path, models: Path) -> None:
    write_package(models / "a")
    pinned = opened(tmp_path).resolve("small")
    opened(tmp_path).load(pinned)
    shutil.rmtree(models)
    assert opened(tmp_path).load(pinned).sha256 == pinned.sha256
    with pytest.raises(ModelError, match=r"small:1\.0: its content .*E406"):
        opened(tmp_path, "another cache").load(pinned)


def test_a_worker_that_looked_just_before_finds_what_is_new(tmp_path: Path, models: Path) -> None:
    worker = opened(tmp_path)
    assert "small:1.0" not in names(worker)
    write_package(models / "a")
    pinned = opened(tmp_path, "cache of the service").resolve("small")
    assert worker.load(pinned).sha256 == pinned.sha256


def test_another_package_in_the_cache_is_not_taken_for_the_pinned_one(tmp_path: Path, models: Path) -> None:
    write_package(models / "a")
    write_otsu(models / "b", "mine", "1")
    pinned, other = (opened(tmp_path).resolve(name) for name in ("small", "mine"))
    for model in (pinned, other):
        opened(tmp_path).load(model)
    kept = tmp_path / "cache" / f"{pinned.sha256}.yaml"
    shutil.copy(tmp_path / "cache" / f"{other.sha256}.yaml", kept)
    assert opened(tmp_path).load(pinned).manifest.name == "small"


def test_a_damaged_cache_is_fetched_again(tmp_path: Path, models: Path) -> None:
    write_package(models / "a")
    pinned = opened(tmp_path).resolve("small")
    opened(tmp_path).load(pinned)
    kept = sorted((tmp_path / "cache").iterdir())
    assert len(kept) == 2
    for path in kept:
        whole = path.read_bytes()
        for damage in (b"", whole[: len(whole) // 2], whole[:-1] + b"\0", b"config: {cellfleet: {}}"):
            path.write_bytes(damage)
            assert opened(tmp_path).load(pinned).sha256 == pinned.sha256
            assert path.read_bytes() == whole
        path.unlink()
        assert opened(tmp_path).load(pinned).sha256 == pinned.sha256


def test_weights_that_are_not_the_described_ones_are_refused_and_not_kept(tmp_path: Path, models: Path) -> None:
    package = write_package(models / "a")
    pinned = opened(tmp_path).resolve("small")
    (package / "weights.onnx").write_bytes(b"others")
    with pytest.raises(ModelError, match=r"weights\.onnx: .*SHA-256 differs.*E403"):
        opened(tmp_path).load(pinned)
    assert not (tmp_path / "cache").exists()


def test_a_model_is_offered_when_it_is_whole(tmp_path: Path, models: Path) -> None:
    package = write_package(models / "a")
    weights = (package / "weights.onnx").read_bytes()
    (package / "weights.onnx").unlink()
    found = opened(tmp_path)
    assert "small:1.0" not in names(found)
    (package / "weights.onnx").write_bytes(weights)
    assert found.resolve("small").version == "1.0"


def test_broken_packages_are_left_out_and_told_to_the_log_once(
    tmp_path: Path, models: Path, caplog: pytest.LogCaptureFixture, fresh: None
) -> None:
    write_otsu(models / "whole", "mine", "1")
    broken = {
        "not yaml": "config: [",
        "huge": "#" * ((1 << 20) + 1),
    }
    for folder, text in broken.items():
        (models / folder).mkdir()
        (models / folder / "rdf.yaml").write_text(text, encoding="utf-8")
    for number, (name, version) in enumerate([("n" * 64, "1"), ("a/b", "1"), ("../a", "1"), ("a", ".."), ("a", "")]):
        write_otsu(models / f"name {number}", name, version)
    change(write_package(models / "elsewhere"), weights__onnx__source="../whole/rdf.yaml")
    write_otsu(models / "whole" / "deeper", "deeper", "1")
    write_otsu(models / ".hidden", "hidden", "1")
    found = opened(tmp_path)
    for _ in range(2):
        assert [model.name for model in found.list()] == sorted(["mine", *bundled_names()])
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == len(broken) + 6 and all("E402" in text for text in told)


def test_a_folder_that_holds_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "MOST_FILES", 3)
    write_package(tmp_path / "store" / "models" / "a")
    with pytest.raises(ModelError, match=r"store/models: more than 3 files.*E408"):
        opened(tmp_path).list()


@pytest.mark.parametrize("sha256", ["", "0", "../../etc/passwd", "/etc/passwd", "0" * 64])
def test_a_hash_that_nobody_pinned_opens_nothing(tmp_path: Path, sha256: str) -> None:
    with pytest.raises(ModelError, match=r"nuclei:1\.0\.0: .*E406"):
        opened(tmp_path).load(PinnedModel(name="nuclei", version="1.0.0", sha256=sha256))


def test_the_bundled_models_keep_their_content_under_their_version() -> None:
    """Services have pinned it: raise the version of a bundled model that changes, and add a line here."""
    contents = {
        "nuclei:1.0.0": "c902298ea9f73949",
        "otsu:1.0": "6606a0135749cddf",
        "tissue:1.1.0": "a78b32aa3e85f1c0",
        "detector:1.1.0": "e038e1123c283ec1",
        "brightfield-nuclei:1.0.0": "ff97e2204297126c",
        "brightfield-nuclei-detector:1.1.0": "6f8344f1579ea709",
    }
    assert {name: load_model(name).sha256[:16] for name in contents} == contents
