"""Split mode without a server: types of pixels, graphs and configurations for Triton, what its answers mean, probes."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from google.protobuf import json_format, text_format
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tests.packages import write_otsu, write_package
from tritonclient.grpc import model_config_pb2

from cellfleet.cli import main
from cellfleet.errors import DeviceError, UsageError
from cellfleet.inference import triton_client
from cellfleet.inference.served import PIXEL_TYPES, PixelType, narrowest, served_name
from cellfleet.inference.server_trouble import Kind, trouble_of
from cellfleet.models.canary import make_canary
from cellfleet.models.check import share_elsewhere
from cellfleet.models.load import read_content
from cellfleet.models.triton import served_graph, served_model
from cellfleet.observe.probes import serving_probes

VALUES = st.one_of(
    st.integers(0, 300),
    st.integers(60_000, 70_000),
    st.integers(-3, 3),
    st.floats(-1, 70_000, width=32, allow_nan=False),
)


@given(arrays.arrays(np.float32, (1, 3, 4), elements=VALUES))
def test_pixels_are_sent_in_the_narrowest_type_that_has_them_exactly(pixels: np.ndarray) -> None:
    sent = narrowest(pixels)
    assert np.array_equal(sent.astype(np.float32), pixels)
    whole = np.array_equal(np.rint(pixels), pixels) and pixels.min() >= 0
    expected = "float32" if not whole or pixels.max() > 65535 else "uint8" if pixels.max() <= 255 else "uint16"
    assert sent.dtype == expected


@pytest.mark.parametrize("kind", PIXEL_TYPES)
def test_a_served_graph_computes_what_that_of_the_package_does(kind: PixelType) -> None:
    package, weights = read_content("nuclei")
    read = package.manifest.heads_read
    changed = served_graph(weights, kind, read)
    onnx.checker.check_model(onnx.load_from_string(changed))
    pixels = np.random.default_rng(0).integers(0, 200, (2, 1, 96, 112)).astype(kind)
    contrast = np.tile(np.array([[[3, 180]]], np.float32), (2, 1, 1))
    found = run(changed, pixels, contrast)
    assert found.shape == (2, 2, 96, 112)
    assert np.array_equal(found, run(weights, pixels.astype(np.float32), contrast)[:, list(read)])


def run(weights: bytes, pixels: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["heads"], {"pixels": pixels, "contrast": contrast})[0])


def test_a_configuration_says_the_same_as_text_and_as_json(tmp_path: Path) -> None:
    package, weights = read_content(write_package(tmp_path / "small"))
    model = served_model(package, weights, "uint16", "onnxruntime")
    text = text_format.Parse(model.config_text, model_config_pb2.ModelConfig())
    assert text == json_format.Parse(model.config_json, model_config_pb2.ModelConfig())
    assert (text.backend, text.parameters["sha256"].string_value) == ("onnxruntime", package.sha256)
    assert text.dynamic_batching.default_queue_policy.max_queue_size > text.max_batch_size > 1
    assert model.files.keys() == {"1/model.onnx"}
    assert served_model(package, weights, "uint16", "python").files.keys() == {"1/model.onnx", "1/model.py"}


@pytest.mark.parametrize("kind", PIXEL_TYPES)
def test_a_canary_knows_its_answer_where_the_pixels_fit(kind: PixelType, tmp_path: Path) -> None:
    folder = write_package(tmp_path / "small")  # its test tensor has fractions
    package, weights = read_content(folder)
    tensors = {name: (folder / file.source).read_bytes() for name, file in package.test_tensors.items()}
    canary = make_canary("x", package, tensors, kind)
    assert (canary.pixels.dtype, canary.heads is not None) == (kind, kind == "float32")
    found = run(served_graph(weights, kind, package.manifest.heads_read), canary.pixels, canary.contrast)
    assert canary.heads is None or share_elsewhere(found, canary.heads) == 0
    assert make_canary("x", package, {}, kind).pixels.shape == (1, 1, 48, 48), "without test tensors an empty tile"


@pytest.mark.parametrize(
    ("status", "said", "kind", "code"),
    [
        ("UNAVAILABLE", "[request id: <id_unknown>] Exceeds maximum queue size", "full", "E523"),
        ("UNAVAILABLE", "failed to connect to all addresses", "away", "E523"),
        ("NOT_FOUND", "Request for unknown model: 'x' is not found", "missing", "E523"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "late", "E523"),
        ("CANCELLED", "Channel closed!", "away", "E523"),
        ("INVALID_ARGUMENT", "Unable to find shared memory region: 'x'", "forgotten", "E523"),
        ("INTERNAL", "Stub process 'x_0_0' is not healthy.", "ill", "E525"),
        ("INTERNAL", "onnx runtime error 6: out of memory", "failed", "E524"),
        ("INVALID_ARGUMENT", "unexpected shape for input 'pixels'", "refused", "E524"),
    ],
)
def test_what_an_answer_means(status: str, said: str, kind: Kind, code: str) -> None:
    class Answer:
        def status(self) -> str:
            return f"StatusCode.{status}"

        def message(self) -> str:
            return said

    trouble = trouble_of(Answer())
    error = trouble.error("grpc://x:1", "nuclei:1", 300)
    assert (trouble.kind, error.code) == (kind, code)
    assert said[:20] in str(error)


@pytest.mark.parametrize(
    "address", ["triton:8001", "grpc://triton", "grpc://:8001", "grpc://triton:http", "http://x:1"]
)
def test_what_is_no_address_of_a_server_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=r"\[E522\]"):
        triton_client.connect(address)


def test_who_has_no_library_is_told_what_to_install() -> None:
    with pytest.raises(DeviceError, match=r"cellfleet_nowhere is missing.*cellfleet\[triton\].*\[E520\]"):
        triton_client.library("cellfleet_nowhere")


def test_a_model_is_exported_as_a_folder_that_triton_serves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "export", str(write_package(tmp_path / "small")), "--triton", str(tmp_path / "out")]) == 0
    package, _ = read_content(tmp_path / "small")
    names = [served_name("small", "1.0", package.sha256, kind) for kind in PIXEL_TYPES]
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "out" / name) for name in names]
    for name in names:
        config = (tmp_path / "out" / name / "config.pbtxt").read_text()
        assert text_format.Parse(config, model_config_pb2.ModelConfig()).name == name
        assert (tmp_path / "out" / name / "1" / "model.onnx").is_file()


def test_what_cannot_be_exported_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "export", "nuclei"]) == 2
    folder = write_otsu(tmp_path / "plain", "plain", "1")
    assert main(["models", "export", str(folder), "--triton", str(tmp_path / "out")]) == 4
    said = capsys.readouterr().err
    assert all(code in said for code in ("E527", "E528"))


def test_probes_say_why_not() -> None:
    probes = {"/health/ready": lambda: "nuclei: not tried yet", "/health/live": lambda: ""}
    with serving_probes("127.0.0.1:0", probes) as address:

        def asked(path: str) -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        assert asked("/health/ready") == (503, "nuclei: not tried yet\n")
        assert asked("/health/live") == (200, "ok\n")
        assert asked("/")[0] == 404
        assert "process_cpu_seconds_total" in asked("/metrics")[1]
        with pytest.raises(UsageError, match=rf"{address}: .*\[E981\]"), serving_probes(address, {}):
            pass
    with pytest.raises(UsageError, match=r"\[E981\]"), serving_probes("nowhere", {}):
        pass
