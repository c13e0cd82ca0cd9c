"""bioimage.io packages of others: what their words mean here, and what is refused with the field that is why."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from tests.foreign import NEWER, SHARK, bright, discs, write_foreign

import cellfleet
from cellfleet.errors import ModelError
from cellfleet.evaluation.matching import match
from cellfleet.inference.adapted import AdaptedPredictor, heads_of
from cellfleet.models import load_model
from cellfleet.models.bioimage.manifest import with_outputs
from cellfleet.models.check import check_package
from cellfleet.models.package import read_package
from cellfleet.models.source import open_source
from cellfleet.pipeline.postprocess import deep_watershed
from cellfleet.spec.model import ModelManifest
from cellfleet.spec.postprocess import DeepWatershed


def changed(described: Mapping[str, Any], **changes: object) -> dict[str, Any]:
    """Return a description with other values; ``a__0__b`` is the field b of the first of a, None takes it away."""
    made: Any = copy.deepcopy(dict(described))
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = made
        for name in parents:
            target = target[int(name)] if isinstance(target, list) else target.setdefault(name, {})
        if value is None:
            target.pop(last, None)
        else:
            target[int(last) if isinstance(target, list) else last] = value
    return dict(made)


def manifest_of(described: Mapping[str, Any]) -> ModelManifest:
    weights = {"onnx": {"source": "weights.onnx", "sha256": "0" * 64}}
    return read_package(yaml.safe_dump({"weights": weights, **described}).encode(), "here").manifest


def refusal(described: Mapping[str, Any]) -> str:
    with pytest.raises(ModelError) as caught:
        manifest_of(described)
    return str(caught.value)


def channels(*names: str) -> dict[str, Any]:
    return {"type": "channel", "channel_names": list(names)}


# --- what is understood -------------------------------------------------------------------------------------------


def test_the_classic_boundary_network_is_understood_by_its_name() -> None:
    shark = manifest_of(SHARK)
    assert (shark.name, shark.version, shark.compartment, shark.roles) == ("gentle-shark", "1", "nuclear", ("nuclear",))
    assert shark.adaptor is not None and shark.adaptor.outputs[0].channels == ("foreground", "boundary")
    assert [step.step for step in shark.adaptor.input.steps] == ["standardise"]
    assert (shark.tile.multiple, shark.tile.halo) == (16, 16)
    assert shark.microns_per_pixel is None


def test_the_newer_format_says_the_same_in_lists() -> None:
    fox = manifest_of(NEWER)
    assert (fox.name, fox.version, fox.microns_per_pixel) == ("newer-fox", "1.2", 0.5)
    assert fox.adaptor is not None and fox.adaptor.recipe == "boundary"
    assert [step.step for step in fox.adaptor.input.steps] == ["percentiles", "clip"]
    same = changed(SHARK, id=None)
    listed = changed(
        NEWER,
        id=None,
        version=None,
        inputs__0__preprocessing=[{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["channel", "y", "x"]}}],
        outputs__0__axes__1=channels("channel0", "channel1"),
        description="Boundaries",
    )
    assert manifest_of(listed).adaptor.outputs[0].channels == manifest_of(same).adaptor.outputs[0].channels  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("names", "recipe", "heads"),
    [
        (("Foreground",), "shape", ("outer_distance", "foreground")),
        (("background", "foreground"), "shape", ("outer_distance", "foreground")),
        (("background", "interior", "border"), "boundary", ("core", "interior")),
        (("nuclei", "edges", "unused"), "boundary", ("core", "interior")),
        (("distance transform", "mask"), "distance", ("outer_distance", "foreground")),
    ],
)
def test_names_of_channels_decide_what_parts_neighbours(
    names: tuple[str, ...], recipe: str, heads: tuple[str, str]
) -> None:
    described = changed(NEWER, outputs__0__axes__1=channels(*names), outputs__0__data={"range": [0, 1]})
    made = manifest_of(described)
    assert made.adaptor is not None and made.adaptor.recipe == recipe
    assert made.heads == heads == (made.postprocess.maxima_head, made.heads[1])


def test_what_somebody_says_counts_more_than_words(tmp_path: Path) -> None:
    content = with_outputs(yaml.safe_dump(SHARK | {"weights": {"onnx": FILE}}).encode(), ["unused", "foreground"])
    made = read_package(content, "here").manifest
    assert made.adaptor is not None and made.adaptor.outputs[0].channels == ("unused", "foreground")
    block = {
        "outputs": ["background", "foreground"],
        "diameter_px": 20,
        "roles": ["membrane"],
        "microns_per_pixel": 0.3,
    }
    said = manifest_of(changed(SHARK, config__cellfleet={**block, "compartment": "whole-cell"}))
    assert (said.roles, said.compartment, said.diameter_px) == (("membrane",), "whole-cell", 20)
    own = b"config: {cellfleet: {name: a, version: b, heads: [c]}}"
    assert with_outputs(own, ["foreground"]) == own


FILE = {"source": "weights.onnx", "sha256": "0" * 64}


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": {"torchscript": FILE}}, "weights: there is no ONNX file, only torchscript.*E430"),
        ({"inputs": [SHARK["inputs"][0]] * 2}, "inputs: there are 2.*E431"),
        ({"inputs__0__axes": "bczyx"}, r"inputs\.0\.shape: it has not 5 numbers.*E431"),
        ({"inputs__0__axes": "bzyx", "inputs__0__shape": [1, 32, 64, 64]}, "z is longer than 1.*E431"),
        ({"inputs__0__axes": "bcix"}, "are not those of a plane.*E431"),
        ({"inputs__0__data_type": "complex"}, r"inputs\.0\.data_type: .*E431"),
        ({"outputs__0__shape__scale": [1, 2, 0.5, 0.5]}, r"axes\.y: it is 0\.5 times as large.*E431"),
        ({"outputs__0__shape__offset": [0, 0, -8, -4]}, r"outputs\.0\.axes: it is not cut off by as many.*E431"),
        ({"inputs__0__preprocessing": [{"name": "blur"}]}, r"inputs\.0\.preprocessing\.0: 'blur' is not known.*E432"),
        (
            {"inputs__0__preprocessing": [{"name": "scale_range", "kwargs": {"mode": "per_sample", "axes": "c"}}]},
            r"preprocessing\.0\.kwargs\.axes: 'c' are not those of an image.*E432",
        ),
        (
            {"inputs__0__preprocessing": [{"name": "scale_linear", "kwargs": {"gain": [1, 2], "axes": "yx"}}]},
            r"inputs\.0\.preprocessing: 2 numbers are given for 1 channel.*E432",
        ),
        (
            {"outputs__0__postprocessing": [{"name": "zero_mean_unit_variance", "kwargs": {}}]},
            r"outputs\.0\.postprocessing\.0: zero_mean_unit_variance needs all of the output.*E432",
        ),
        ({"outputs__0__postprocessing": [{"id": "custom", "source": "x.py"}]}, "it would run code.*E432"),
        ({"outputs__0__postprocessing": [{"id": "stardist_postprocessing"}]}, "star-convex polygons.*E433"),
        ({"outputs__0__postprocessing": [{"id": "cellpose_flow_dynamics"}]}, "flows.*E433"),
        ({"config__stardist": {"prob_thresh": 0.5}}, r"config\.stardist: it predicts star-convex.*E433"),
        ({"tags": ["nuclei", "cellpose"]}, "tags: it predicts flows.*E433"),
        ({"outputs__0__name": "affinities"}, r"outputs\.0: it predicts affinities.*E433"),
        (
            {"outputs__0__shape": [1, 2, 64, 64]},
            r"outputs\.0\.axes\.y: it is always 64 px.*E431",
        ),
        (
            {"inputs__0__shape": [1, 1, 64, 64], "outputs__0__shape": [1, 2, 32, 32]},
            r"outputs\.0\.axes\.y: it is always 32 px.*E431",
        ),
        ({"outputs__0__shape__scale": [1, 33, 1, 1]}, "33 channels, such as rays.*E433"),
        ({"config__cellfleet": {"outputs": ["boundary", "unused"]}}, "boundaries alone.*E433"),
        ({"name": "Denoiser", "description": "", "tags": []}, "nothing says what its 2 channel.*--outputs.*E434"),
        ({"config__cellfleet": {"outputs": ["foreground"]}}, "it takes 2 of foreground, interior.*E434"),
    ],
)
def test_what_cannot_run_is_refused_with_its_field(changes: dict[str, Any], said: str) -> None:
    assert re.search(said, refusal(changed(SHARK, **changes)), re.DOTALL), refusal(changed(SHARK, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"tags": 1.5},
        {"outputs__0__shape__scale": [1, float("inf"), 1, 1]},
        {"inputs__0": {**NEWER["inputs"][0], "data": []}},
    ],
)
def test_an_odd_word_costs_no_more_than_its_package(changes: dict[str, Any]) -> None:
    assert re.search(r"\[E4\d\d\]$", refusal(changed(SHARK, **changes)))


def test_an_unknown_channel_and_a_distance_without_a_range_are_refused() -> None:
    assert "a channel that is called 'mitosis'" in refusal(changed(NEWER, outputs__0__axes__1=channels("mitosis")))
    smaller = changed(NEWER, outputs__0__axes__2__scale=1.0)
    assert "outputs.0.axes.y: it is 0.5 times as large as the input" in refusal(smaller)
    distance = changed(NEWER, outputs__0__axes__1=channels("distance"))
    assert "outputs.0.data.range" in refusal(distance)
    made = manifest_of(changed(distance, outputs__0__data={"type": "float32", "range": [0, 40.0]}))
    assert made.adaptor is not None and made.adaptor.outputs[0].longest == 40


@pytest.mark.parametrize("source", ["https://zoo.example/weights.onnx", "../weights.onnx", "/etc/passwd"])
def test_weights_elsewhere_are_never_read(source: str) -> None:
    assert "E402" in refusal({**SHARK, "weights": {"onnx": {"source": source, "sha256": "0" * 64}}})


def test_a_description_that_unfolds_without_end_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    described = yaml.safe_dump({**without(SHARK, "inputs", "tags"), "weights": {"onnx": FILE}})
    text = "\n".join([*lines, described, "inputs: *a29", "tags: *a29"])
    with pytest.raises(ModelError, match="E431"):
        read_package(text.encode(), "here")


def without(described: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in names}


# --- what comes out -----------------------------------------------------------------------------------------------


def found(described: Mapping[str, Any], graph: bytes, pixels: NDArray[Any], folder: Path) -> NDArray[Any]:
    model = load_model(write_foreign(folder, dict(described), graph), device="cpu")
    return np.asarray(cellfleet.segment(pixels, model=model, threads=1).labels)


@pytest.mark.parametrize("kind", ["foreground", "boundary", "classes"])
def test_touching_discs_are_parted_whatever_the_outputs_are(kind: Any, tmp_path: Path) -> None:
    names = {
        "foreground": ["foreground"],
        "boundary": ["foreground", "boundary"],
        "classes": ["background", "interior", "boundary"],
    }[kind]
    pixels, truth = discs(gap=1 if kind == "foreground" else 3)
    labels = found(changed(NEWER, outputs__0__axes__1=channels(*names)), bright(kind), pixels, tmp_path / "p")
    score = match(labels, truth).scores[0]
    assert (score.false_positives, score.false_negatives) == (0, 0)


@pytest.mark.parametrize("axes", ["byxc", "bcyx", "cyxb"])
@pytest.mark.parametrize("sides", [("y", "x"), (128, 128)])
def test_labels_do_not_depend_on_axes_sizes_or_borders(axes: str, sides: Any, tmp_path: Path) -> None:
    """The graph looks one pixel around itself, so however planes are cut for it, the result is that of one piece."""
    pixels, _ = discs((300, 210), gap=3)
    plain = found(NEWER, bright(), pixels, tmp_path / "plain")
    order = {"b": 0, "c": 1, "y": 2, "x": 3}
    described = copy.deepcopy(NEWER)
    for tensor in (described["inputs"][0], described["outputs"][0]):
        tensor["axes"] = [tensor["axes"][order[letter]] for letter in axes]
        for axis in tensor["axes"]:
            if sides != ("y", "x") and axis["type"] == "space":
                axis["size"] = sides[0]
    fixed = found(described, bright(axes=axes, sides=sides), pixels, tmp_path / "other")
    cut = copy.deepcopy(described)
    for axis in cut["outputs"][0]["axes"]:
        if axis["type"] == "space":
            axis["size"] = {"tensor_id": "raw", "axis_id": axis["id"], "offset": -20}
    bordered = found(cut, bright(axes=axes, sides=sides, border=10), pixels, tmp_path / "border")
    assert plain.max() > 20
    assert np.array_equal(plain, fixed) and np.array_equal(plain, bordered)


def test_each_channel_is_a_role_and_has_statistics_of_its_own(tmp_path: Path) -> None:
    bright_half, truth = discs(gap=3)
    dim_half = (bright_half / 50).astype(np.uint16)
    left = np.arange(truth.shape[1]) < 96
    pixels = np.stack([np.where(left, bright_half, 100), np.where(left, 2, dim_half)])
    described = changed(NEWER, inputs__0__axes__1=channels("DNA stain", "Membrane"))
    described["inputs"][0]["preprocessing"][1]["kwargs"]["axes"] = ["y", "x"]
    model = load_model(write_foreign(tmp_path / "p", described, bright(roles=2)), device="cpu")
    assert model.manifest.roles == ("dna stain", "membrane")
    swapped = pixels[::-1]
    labels = [
        np.asarray(cellfleet.segment(planes, model=model, axes="CYX", channels=chosen).labels)
        for planes, chosen in ((pixels, {"dna stain": 0, "membrane": 1}), (swapped, {"dna stain": 1, "membrane": 0}))
    ]
    assert labels[0].max() == truth.max() and np.array_equal(*labels)


def test_steps_are_fitted_to_the_image_not_to_the_tile(tmp_path: Path) -> None:
    dark = np.full((700, 1400), 100, np.uint16)
    dark[20:40, 20:40] = 3000
    # In the last tile this would be the brightest by far.
    dark[650:670, 1350:1370] = 160
    labels = found(SHARK, bright(threshold=5.0), dark, tmp_path / "p")
    assert labels.max() == 1 and labels[30, 30] == 1


def test_the_foreground_is_shared_out_among_cores_or_by_shape() -> None:
    foreground, boundary = np.zeros((40, 60), np.float32), np.zeros((40, 60), np.float32)
    foreground[10:30, 10:50] = 1
    boundary[10:30, 29:31] = 1
    for maps in (
        {"foreground": foreground, "boundary": boundary},
        {"background": 1 - foreground, "interior": foreground * (1 - boundary), "boundary": boundary},
    ):
        core, interior = heads_of(maps, "boundary", 64)
        labels = deep_watershed(core, interior, SETTINGS)
        assert labels.max() == 2 and np.array_equal(labels > 0, foreground > 0.5)
        assert (labels[10:30, 10:29] == 1).all() and (labels[10:30, 31:50] == 2).all()
    foreground[10:17, 26:34] = foreground[23:30, 26:34] = 0
    distance, _ = heads_of({"foreground": foreground}, "shape", 64)
    labels = deep_watershed(distance, distance, SETTINGS.model_copy(update={"maxima_threshold": 0.02}))
    assert labels.max() == 2
    assert heads_of({"foreground": np.ones((3, 3), np.float32)}, "shape", 8)[0].max() == 255


SETTINGS = DeepWatershed(maxima_threshold=0.1, interior_threshold=0.5, interior_smooth=0, radius=2)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"id": "zero_mean_unit_variance", "kwargs": {"axes": ["y", "x"]}}], lambda v: (v - v.mean()) / v.std()),
        (
            [{"id": "scale_range", "kwargs": {"axes": ["y", "x"], "min_percentile": 5, "max_percentile": 90}}],
            lambda v: (v - np.percentile(v, 5)) / (np.percentile(v, 90) - np.percentile(v, 5)),
        ),
        ([{"id": "fixed_zero_mean_unit_variance", "kwargs": {"mean": 10, "std": 4}}], lambda v: (v - 10) / 4),
        ([{"name": "zero_mean_unit_variance", "kwargs": {"mode": "fixed", "axes": "yx", "mean": 10, "std": 4}}],
         lambda v: (v - 10) / 4),
        ([{"id": "scale_linear", "kwargs": {"gain": 2, "offset": -3}}], lambda v: v * 2 - 3),
        ([{"id": "clip", "kwargs": {"min": 5, "max": 9}}], lambda v: np.clip(v, 5, 9)),
        ([{"id": "binarize", "kwargs": {"threshold": 7}}], lambda v: v > 7),
        ([{"id": "ensure_dtype", "kwargs": {"dtype": "uint8"}}], lambda v: np.clip(v, 0, 255).astype(np.uint8)),
        ([{"id": "sigmoid"}], lambda v: 1 / (1 + np.exp(-v.astype(np.float64)))),
        ([{"id": "scale_linear", "kwargs": {"gain": 0.1}}, {"id": "scale_range"}],
         lambda v: (v - v.min()) / (v.max() - v.min())),
    ],
)  # fmt: skip
def test_steps_compute_what_the_specification_says(steps: Any, expected: Any, tmp_path: Path) -> None:
    # This graph returns what it is given.
    described = changed(
        NEWER,
        inputs__0__preprocessing=steps,
        inputs__0__data={"type": "float32"},
        outputs__0__axes__1=channels("foreground"),
    )
    graph = bright("foreground", logits=True, threshold=0, steepness=1)
    model = load_model(write_foreign(tmp_path / "p", described, graph), device="cpu")
    assert isinstance(model.predictor, AdaptedPredictor)
    values = np.random.default_rng(0).uniform(-3, 300, (1, 1, 40, 48)).astype(np.float32)
    (seen,) = model.predictor.outputs(values)
    assert np.allclose(seen[0], expected(values[0, 0]), rtol=1e-4, atol=1e-4)


def test_a_type_of_integers_is_kept_unless_the_steps_say_otherwise() -> None:
    """As the specification adds `ensure_dtype` before and behind the steps of an input."""

    def steps(*names: str) -> list[str]:
        given = [{"id": name, "kwargs": {"dtype": "float32"} if name == "ensure_dtype" else {}} for name in names]
        adaptor = manifest_of(changed(NEWER, inputs__0__preprocessing=given)).adaptor
        return [step.step for step in adaptor.input.steps] if adaptor else []

    assert steps() == ["cast", "cast"]
    assert steps("scale_range") == ["cast", "percentiles", "cast"]
    assert steps("ensure_dtype", "scale_range", "ensure_dtype") == ["percentiles"]


def test_an_image_beyond_the_type_of_pixels_and_logits_are_said(tmp_path: Path) -> None:
    pixels, _ = discs()
    small = changed(NEWER, inputs__0__data={"type": "uint8"})
    with pytest.raises(ModelError, match=r"values from .* the model takes uint8: 0 to 255.*E435"):
        found(small, bright(), pixels, tmp_path / "a")
    forgotten = changed(NEWER, outputs__0__axes__1=channels("foreground"))
    with pytest.raises(ModelError, match=r"its foreground has values from -.* not 0 to 1.*sigmoid.*E436"):
        found(forgotten, bright("foreground", logits=True), pixels, tmp_path / "b")
    said = changed(forgotten, outputs__0__postprocessing=[{"id": "sigmoid"}])
    assert found(said, bright("foreground", logits=True), pixels, tmp_path / "c").max() > 20


# --- the package's own test ---------------------------------------------------------------------------------------


def with_tests(folder: Path, described: Mapping[str, Any], *, wrong: float = 0) -> Path:
    """Write a package with test tensors, as its own software would compute them."""
    given = np.random.default_rng(0).uniform(0, 4000, (1, 1, 64, 80)).astype(np.float32)
    graph = bright()
    model = load_model(write_foreign(folder.with_name(f"{folder.name}-bare"), dict(described), graph), device="cpu")
    assert isinstance(model.predictor, AdaptedPredictor)
    (expected,) = model.predictor.outputs(given)
    return write_foreign(folder, dict(described), graph, (given, expected[np.newaxis] + np.float32(wrong)))


@pytest.mark.parametrize("described", [SHARK, NEWER], ids=["0.4", "0.5"])
def test_its_own_test_tensors_are_tried(described: Mapping[str, Any], tmp_path: Path) -> None:
    checked = check_package(open_source(str(with_tests(tmp_path / "good", described))))
    assert checked.package.has_test and {"test_input_0.npy", "test_output_0.npy"} < checked.files.keys()
    with pytest.raises(ModelError, match=r"predicts something else than its test tensors say.*E407"):
        check_package(open_source(str(with_tests(tmp_path / "wrong", described, wrong=0.1))))


def test_the_hash_follows_the_words_that_change_results_and_only_those(tmp_path: Path) -> None:
    first = manifest_hash(SHARK)
    assert manifest_hash(changed(SHARK, license="MIT", documentation="other.md")) == first
    assert manifest_hash(changed(SHARK, inputs__0__preprocessing=[])) != first


def manifest_hash(described: Mapping[str, Any]) -> str:
    return read_package(yaml.safe_dump({"weights": {"onnx": FILE}, **described}).encode(), "here").sha256
