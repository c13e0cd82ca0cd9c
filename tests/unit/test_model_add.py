"""Packages that somebody brings: taken in when they do what they say, and otherwise with nothing left behind."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from tests.packages import change, graph, npy, write_otsu, write_package

from cellfleet.errors import CellfleetError, InputError, ModelError
from cellfleet.models import load_model
from cellfleet.models.repository import Repository
from cellfleet.stores.folder import FolderPlace


@pytest.fixture
def models(tmp_path: Path) -> Repository:
    return Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return write_package(tmp_path / "mine", gain=0.7)


def packed(package: Path, path: Path, *, below: str = "", **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.iterdir()):
            archive.write(file, below + file.name)
        for name, content in more.items():
            archive.writestr(name, content)
    return path


def stored(tmp_path: Path) -> list[str]:
    return sorted(name for name in FolderPlace(tmp_path / "store").names() if ".pins" not in name)


def test_a_folder_is_taken_in_and_serves(models: Repository, package: Path, tmp_path: Path) -> None:
    added = models.add(package)
    assert (added.name, added.version, added.bundled, added.licence) == ("small", "1.0", False, "CC0-1.0")
    assert added.sha256 == load_model(package).sha256 == models.load(models.resolve("small")).sha256
    assert added in models.list()
    folder = tmp_path / "store" / "models" / f"small-1.0-{added.sha256[:12]}"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        path.name: path.read_bytes() for path in package.iterdir()
    }


@pytest.mark.parametrize("below", ["", "small-1.0/"])
def test_a_zip_is_read_in_place(models: Repository, package: Path, tmp_path: Path, below: str) -> None:
    strange = {"../escape": b"", "/etc/absolute": b"", "other/deep/rdf.yaml": b"", "__MACOSX/._rdf.yaml": b""}
    before = set(tmp_path.parent.rglob("escape"))
    added = models.add(packed(package, tmp_path / "a.zip", below=below, **strange))
    assert models.load(models.resolve("small:1.0")).sha256 == added.sha256
    assert len(stored(tmp_path)) == 6
    assert set(tmp_path.parent.rglob("escape")) == before


def test_a_package_without_weights_or_test_tensors_is_taken_in(models: Repository, tmp_path: Path) -> None:
    assert models.add(write_otsu(tmp_path / "o", "otsu", "7")).version == "7"
    assert models.resolve("otsu").version == "7"
    bare = write_package(tmp_path / "b", "bare")
    change(bare, inputs=[], outputs=[])
    for file in [*bare.glob("*.npy"), *bare.glob("*.md")]:
        file.unlink()
    models.add(bare)
    assert models.load(models.resolve("bare")).manifest.name == "bare"


def test_the_same_package_twice_is_there_once(models: Repository, package: Path, tmp_path: Path) -> None:
    first, files = models.add(package), stored(tmp_path)
    assert models.add(packed(package, tmp_path / "a.zip")) == first
    assert stored(tmp_path) == files


@pytest.mark.parametrize(("name", "version"), [("small", "1.0"), ("otsu", "1.0"), ("nuclei", "1.0.0")])
def test_another_content_needs_another_version(
    models: Repository, package: Path, tmp_path: Path, name: str, version: str
) -> None:
    models.add(package)
    files = stored(tmp_path)
    other = write_package(tmp_path / "other", name, version, gain=0.6)
    with pytest.raises(ModelError, match=rf"other: is another content .* {name}:{version}.*new version.*E405"):
        models.add(other)
    assert stored(tmp_path) == files
    change(other, config__cellfleet__version="9")
    assert models.add(other).version == models.resolve(name).version == "9"


def _other_weights(package: Path) -> None:
    (package / "weights.onnx").write_bytes(graph(0.1))


def _other_tensor(package: Path) -> None:
    (package / "test_heads.npy").write_bytes(npy(np.zeros((1, 2, 32, 48), np.uint8)))


def _no_weights(package: Path) -> None:
    (package / "weights.onnx").unlink()


def _no_description(package: Path) -> None:
    (package / "rdf.yaml").unlink()


def _no_graph(package: Path) -> None:
    replace(package, "weights.onnx", b"no graph", "weights__onnx__sha256")


def _reads_other_files(package: Path) -> None:
    model = onnx.load_model_from_string((package / "weights.onnx").read_bytes())
    gain = next(tensor for tensor in model.graph.initializer if tensor.name == "gain")
    gain.Clear()
    gain.MergeFrom(onnx.TensorProto(name="gain", data_type=1, data_location=onnx.TensorProto.EXTERNAL))
    for key, value in {"location": "rdf.yaml", "offset": "0", "length": "4"}.items():
        gain.external_data.add(key=key, value=value)
    replace(package, "weights.onnx", model.SerializeToString(), "weights__onnx__sha256")


def _predicts_otherwise(package: Path) -> None:
    replace(package, "weights.onnx", graph(0.9), "weights__onnx__sha256")


def _fails_on_its_tile(package: Path) -> None:
    model = onnx.load_model_from_string((package / "weights.onnx").read_bytes())
    model.graph.node.insert(0, onnx.helper.make_node("Reshape", ["pixels", "halves"], ["unused"]))
    replace(package, "weights.onnx", model.SerializeToString(), "weights__onnx__sha256")


def _objects(package: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.array([{}]), allow_pickle=True)
    replace(package, "test_heads.npy", file.getvalue(), "outputs__0__test_tensor__sha256")


def _large_claim(package: Path) -> None:
    whole = npy(np.zeros((1, 2, 32, 48), np.uint8))
    claims = whole.replace(b"(1, 2, 32, 48)", b"(1, 99999999,)")
    assert claims != whole
    replace(package, "test_heads.npy", claims, "outputs__0__test_tensor__sha256")


def _other_shape(package: Path) -> None:
    replace(package, "test_heads.npy", npy(np.zeros((1, 3, 32, 48), np.uint8)), "outputs__0__test_tensor__sha256")


def _not_finite(package: Path) -> None:
    replace(
        package, "test_pixels.npy", npy(np.full((1, 1, 32, 48), np.nan, np.float32)), "inputs__0__test_tensor__sha256"
    )


def _lone_number(package: Path) -> None:
    replace(package, "test_pixels.npy", npy(np.array(1, np.float32)), "inputs__0__test_tensor__sha256")


def _large_tensor(package: Path) -> None:
    replace(package, "test_pixels.npy", bytes((16 << 20) + 1), "inputs__0__test_tensor__sha256")


def _large_description(package: Path) -> None:
    with (package / "rdf.yaml").open("ab") as file:
        file.write(b"#" * (1 << 20))


def _up(package: Path) -> None:
    change(package, outputs__0__test_tensor__source="../mine/test_heads.npy")


def _bad_name(package: Path) -> None:
    change(package, config__cellfleet__name="../small")


def replace(package: Path, name: str, content: bytes, hash_field: str) -> None:
    """Write a file and its right hash."""
    (package / name).write_bytes(content)
    change(package, **{hash_field: hashlib.sha256(content).hexdigest()})


@pytest.mark.parametrize("as_zip", [False, True])
@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_other_weights, "E403"),
        (_other_tensor, "E403"),
        (_no_weights, "E402"),
        (_no_description, "E402"),
        (_no_graph, "E404"),
        (_reads_other_files, "E404"),
        (_predicts_otherwise, "E407"),
        (_fails_on_its_tile, "E409"),
        (_objects, "E402"),
        (_large_claim, "E402"),
        (_other_shape, "E402"),
        (_not_finite, "E402"),
        (_lone_number, "E402"),
        (_large_tensor, "E402"),
        (_large_description, "E402"),
        (_up, "E402"),
        (_bad_name, "E402"),
    ],
)
def test_a_package_that_is_not_what_it_says_leaves_nothing(
    models: Repository, package: Path, tmp_path: Path, spoil: Callable[[Path], None], code: str, as_zip: bool
) -> None:
    spoil(package)
    with pytest.raises(ModelError) as caught:
        models.add(packed(package, tmp_path / "a.zip") if as_zip else package)
    assert caught.value.code == code
    assert not (tmp_path / "store").exists()


def test_two_descriptions_are_one_too_many(models: Repository, tmp_path: Path) -> None:
    for name in "ab":
        write_package(tmp_path / "both" / name, name)
    with pytest.raises(ModelError, match=r"it has 2 rdf\.yaml.*E402"):
        models.add(tmp_path / "both")


def test_a_zip_that_unpacks_to_far_more_is_refused(models: Repository, package: Path, tmp_path: Path) -> None:
    (package / "README.md").write_bytes(bytes(64 << 20))
    path = packed(package, tmp_path / "bomb.zip")
    with pytest.raises(CellfleetError, match=r"README\.md has more than 1 MiB"):
        models.add(path)
    honest = path.read_bytes()
    # The directory of the archive says 100 bytes; more are in it.
    at = honest.rindex(b"README.md") - 46
    path.write_bytes(honest[: at + 24] + (100).to_bytes(4, "little") + honest[at + 28 :])
    with pytest.raises(CellfleetError, match=r"E402|E106"):
        models.add(path)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"no zip"])
def test_what_is_no_zip_is_refused(models: Repository, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises((InputError, ModelError)):
        models.add(tmp_path / "a.zip")


def test_nothing_at_the_place_is_said_so(models: Repository, tmp_path: Path) -> None:
    for name, said in (("missing", "E402"), ("missing.zip", r"missing\.zip: there is no such file.*E104")):
        with pytest.raises((InputError, ModelError), match=said):
            models.add(tmp_path / name)


def test_descriptions_are_plain_data(models: Repository, package: Path) -> None:
    described = yaml.safe_load((package / "rdf.yaml").read_text(encoding="utf-8"))
    del described["description"]
    text = yaml.safe_dump(described) + "description: !!python/object/apply:os.system ['true']\n"
    (package / "rdf.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="E402"):
        models.add(package)
