"""Model packages: found, verified and refused; nothing outside the package is ever read."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml

from cellfleet.errors import CellfleetError, DeviceError, ModelError
from cellfleet.models import bundled_names, load_model, read_declared, read_manifest
from cellfleet.models import load as loading
from cellfleet.models.package import read_package

BUNDLED = Path(loading.__file__).parent / "bundled"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BUNDLED / "nuclei", tmp_path / "package"))


def _change(package: Path, **changes: object) -> None:
    content = yaml.safe_load((package / "rdf.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = content
        for name in parents:
            target = target[name]
        target[last] = value
    (package / "rdf.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


_WITH_WEIGHTS = [name for name in bundled_names() if (BUNDLED / name / "test_heads.npy").exists()]


def test_the_bundled_models_are_listed_and_declare_themselves() -> None:
    assert {"nuclei", "otsu"} <= set(bundled_names())
    for name in bundled_names():
        assert read_declared(name).name == name


@pytest.mark.parametrize("name", _WITH_WEIGHTS)
def test_bundled_weights_give_the_heads_of_their_test_tensors(name: str) -> None:
    folder = BUNDLED / name
    heads = load_model(name, device="cpu").predictor.predict(
        np.load(folder / "test_pixels.npy")[0], np.load(folder / "test_contrast.npy")[0]
    )
    difference = np.abs(heads.astype(int) - np.load(folder / "test_heads.npy")[0].astype(int))
    # Runtimes round differently by one step; PyTorch made the stored heads.
    assert difference.max() <= 2
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("name", _WITH_WEIGHTS)
def test_bundled_weights_are_small(name: str) -> None:
    assert sum(path.stat().st_size for path in (BUNDLED / name).iterdir()) <= 3_000_000


def test_a_package_is_found_by_its_path_and_has_the_same_hash(package: Path) -> None:
    assert load_model(package, device="cpu").sha256 == load_model("nuclei", device="cpu").sha256


def test_the_hash_follows_what_changes_results_and_only_that(package: Path) -> None:
    before = load_model(package, device="cpu").sha256
    _change(package, config__cellfleet__scores={"elsewhere": {"f1": 1.0}}, description="other words")
    assert load_model(package, device="cpu").sha256 == before
    _change(package, config__cellfleet__postprocess__interior_threshold=0.31)
    assert load_model(package, device="cpu").sha256 != before


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"nucleus: is neither.*nuclei, .*otsu.*E401"):
        load_model("nucleus")


def test_a_bundled_model_is_found_by_name_and_version(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_model("nuclei:1.0.0", device="cpu").sha256 == load_model("nuclei", device="cpu").sha256
    for other in ("nuclei:1.0", "nuclei:", "nuclei:1.0.0:1"):
        with pytest.raises(ModelError, match=rf"{other}: is neither.*E401"):
            load_model(other)
    monkeypatch.chdir(package.parent)
    package.rename("my:model")
    assert read_manifest("my:model").name == "nuclei"


def test_what_the_manifest_does_not_state_is_not_in_the_hash(package: Path) -> None:
    """So a field that a later version adds changes the hash of no package that is in use."""
    before = load_model(package, device="cpu").sha256
    content = yaml.safe_load((package / "rdf.yaml").read_text(encoding="utf-8"))
    del content["config"]["cellfleet"]["compartment"]  # as if it were new
    (package / "rdf.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    without = read_package((package / "rdf.yaml").read_bytes(), "here")
    stated = without.manifest.model_dump_json(exclude={"training", "scores"}, exclude_unset=True)
    assert "compartment" not in stated
    assert (
        without.sha256 == hashlib.sha256((stated + content["weights"]["onnx"]["sha256"]).encode()).hexdigest() != before
    )


def test_a_description_that_unfolds_without_end_costs_nothing(package: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    (package / "rdf.yaml").write_text("\n".join([*lines, "description: *a29", "inputs: *a29"]), encoding="utf-8")
    with pytest.raises(ModelError, match="E402"):
        read_manifest(package)


def test_changed_weights_are_refused(package: Path) -> None:
    weights = package / "nuclei.onnx"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=r"nuclei\.onnx: the file is not the one that.*E403"):
        load_model(package, device="cpu")


@pytest.mark.parametrize("source", ["../nuclei.onnx", "/etc/passwd", "sub/nuclei.onnx", "missing.onnx", "..", ""])
def test_weights_outside_the_package_are_refused(package: Path, source: str) -> None:
    (package.parent / "nuclei.onnx").write_bytes(b"")
    _change(package, weights__onnx__source=source)
    with pytest.raises(ModelError, match="E402"):
        load_model(package, device="cpu")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "name: only",
        "config: {cellfleet: {name: x}}",
        "config: {cellfleet: {name: x, version: '1', surprise: 1}}",
        "config: [unclosed",
        "!!python/object/apply:os.system ['true']",
        "\x00\x01",
        "timestamp: 2026-99-99",
        "[" * 500,
        "x: &a [1]\n" + "#" * (1 << 20),
    ],
)
def test_a_broken_description_is_refused_with_its_place(package: Path, text: str) -> None:
    (package / "rdf.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=r"rdf\.yaml: is not a cellfleet model package: .*E402"):
        load_model(package, device="cpu")


@pytest.mark.parametrize("heads", [["foreground", "border"], ["outer_distance"]])
def test_a_package_without_the_heads_that_its_postprocessing_reads_is_refused(package: Path, heads: list[str]) -> None:
    _change(package, config__cellfleet__heads=heads)
    with pytest.raises(ModelError, match=r"heads lack .*E402"):
        load_model(package, device="cpu")


def test_weights_that_are_no_graph_are_refused(package: Path) -> None:
    (package / "nuclei.onnx").write_bytes(b"no graph at all")
    _change(package, weights__onnx__sha256=hashlib.sha256(b"no graph at all").hexdigest())
    with pytest.raises(ModelError, match="E404"):
        load_model(package, device="cpu")


@pytest.mark.parametrize(("operator", "inputs"), [("Relu", ("image",)), ("NoSuchOperator", ("pixels", "contrast"))])
def test_a_graph_of_another_kind_is_refused_when_it_is_loaded(
    package: Path, operator: str, inputs: tuple[str, ...]
) -> None:
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, inputs, ["heads"])],
        "other",
        [onnx.helper.make_tensor_value_info(name, floats, None) for name in inputs],
        [onnx.helper.make_tensor_value_info("heads", floats, None)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    (package / "nuclei.onnx").write_bytes(model.SerializeToString())
    _change(package, weights__onnx__sha256=hashlib.sha256(model.SerializeToString()).hexdigest())
    with pytest.raises(ModelError, match=r"nuclei\.onnx: ONNX Runtime cannot load.*E404"):
        load_model(package, device="cpu")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_auto_takes_the_processor_where_the_gpu_build_finds_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert load_model("nuclei", device="auto").device == "cpu"
    with pytest.raises(DeviceError, match="E501"):
        load_model("nuclei", device="cuda")


@pytest.mark.parametrize("model", ["nuclei", "otsu"])
def test_a_gpu_that_is_not_there_is_an_error_not_the_processor(model: str) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and model == "nuclei":
        assert load_model(model, device="cuda").device == "cuda"
        return
    with pytest.raises(DeviceError) as caught:
        load_model(model, device="cuda")
    assert isinstance(caught.value, CellfleetError)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "changes",
    [
        {"config__cellfleet__roles": ["nuclear", "membrane"]},
        {"config__cellfleet__heads": ["outer_distance", "inner_distance", "foreground"]},
    ],
)
def test_a_manifest_that_does_not_fit_its_graph_is_refused_on_loading(
    package: Path, changes: dict[str, object]
) -> None:
    _change(package, **changes)
    with pytest.raises(ModelError, match=r"rdf\.yaml: .* the graph has .*E402"):
        load_model(package, device="cpu")


def test_lengths_that_no_image_has_are_refused(package: Path) -> None:
    _change(package, config__cellfleet__postprocess__radius=1_000_000)
    with pytest.raises(ModelError, match=r"radius: .*E402"):
        load_model(package, device="cpu")
