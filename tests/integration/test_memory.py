"""Memory is bounded by what is given, not by the image: under a hard limit of the system, and by measurement.

A tiny graph stands in for the network, so that 256 megapixels take half a minute.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import tifffile
import yaml
from tests.support import discs, run_record, segment

from cellfleet.models import load_model

LIMIT_BYTES = 2 * 10**9
"""Of all addresses of the process: libraries, thread stacks and mapped files count, too."""
_TILE = 512

# Sets the limit in the process itself, and tells its largest resident set: that of a child would count the parent's.
RUN = f"""
import re, resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({LIMIT_BYTES}, {LIMIT_BYTES}))
from cellfleet.cli import main
code = main(sys.argv[1:])
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
sys.exit(code)
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model package whose graph smooths a little: the bundled one's package with another graph."""
    folder = tmp_path_factory.mktemp("tiny")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    constants = {"low": [0], "high": [1], "full": [255.0]}
    nodes = [
        helper.make_node("Gather", ["contrast", "low"], ["dark"], axis=2),
        helper.make_node("Gather", ["contrast", "high"], ["bright"], axis=2),
        helper.make_node("Unsqueeze", ["dark", "last"], ["dark4"]),
        helper.make_node("Unsqueeze", ["bright", "last"], ["bright4"]),
        helper.make_node("Sub", ["pixels", "dark4"], ["above"]),
        helper.make_node("Sub", ["bright4", "dark4"], ["range"]),
        helper.make_node("Div", ["above", "range"], ["scaled"]),
        helper.make_node("AveragePool", ["scaled"], ["smooth"], kernel_shape=[9, 9], pads=[4, 4, 4, 4]),
        helper.make_node("Clip", ["smooth", "zero", "one"], ["clipped"]),
        helper.make_node("Mul", ["clipped", "full"], ["large"]),
        helper.make_node("Cast", ["large"], ["heads"], to=onnx.TensorProto.UINT8),
    ]
    initial = [helper.make_tensor("full", floats, [1], constants["full"])]
    initial += [helper.make_tensor(name, floats, [], [value]) for name, value in (("zero", 0.0), ("one", 1.0))]
    initial += [helper.make_tensor(name, onnx.TensorProto.INT64, [1], constants[name]) for name in ("low", "high")]
    initial.append(helper.make_tensor("last", onnx.TensorProto.INT64, [1], [3]))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("pixels", floats, [None, 1, None, None]),
            helper.make_tensor_value_info("contrast", floats, [None, 1, 2]),
        ],
        [helper.make_tensor_value_info("heads", onnx.TensorProto.UINT8, [None, 1, None, None])],
        initial,
    )
    weights = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (folder / "tiny.onnx").write_bytes(weights)
    manifest = load_model("nuclei", device="cpu").manifest.model_dump(mode="json")
    manifest |= {"name": "tiny", "heads": ["outer_distance"], "training": {}, "scores": {}}
    manifest["postprocess"] |= {"interior_head": "outer_distance", "interior_threshold": 0.3}
    entry = {"source": "tiny.onnx", "sha256": hashlib.sha256(weights).hexdigest()}
    (folder / "rdf.yaml").write_text(yaml.safe_dump({"weights": {"onnx": entry}, "config": {"cellfleet": manifest}}))
    return folder


def write_slide(path: Path, side: int) -> None:
    """Write a tiled TIFF of side × side px without ever holding it: a few tiles, packed once, again and again."""
    tiles = []
    for seed in range(3):
        pixels = np.roll(np.tile(discs(), (8, 7))[:_TILE, :_TILE], 17 * seed, axis=(0, 1))
        tiles.append(np.ascontiguousarray(pixels.clip(0, 4000)))
    count = (side // _TILE) ** 2
    chosen = itertools.islice(itertools.cycle(tiles), count)
    shape = (side, side)
    tifffile.imwrite(path, chosen, shape=shape, dtype=np.uint16, tile=(_TILE, _TILE), compression="lzw", bigtiff=True)


def peak_bytes(side: int, model: Path, folder: Path) -> int:
    """Segment a slide under the limit; return the largest resident set."""
    image, out = folder / f"{side}.tif", folder / f"{side}"
    write_slide(image, side)
    words = ["segment", image, "-o", out, "--model", model, "--diameter", "20", "--threads", "2"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words)], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    (record,) = run_record(out).images
    assert record.objects > side * side // 3000 and record.blocks == (side // 2048) ** 2
    with tifffile.TiffFile(out / f"{side}_labels.tif") as labels:
        assert labels.series[0].shape == (side, side)
    image.unlink()
    return int(done.stdout.split()[-1]) * 1024


@pytest.mark.slow
def test_an_image_four_times_as_large_takes_no_more_memory(tiny: Path, tmp_path: Path) -> None:
    """256 megapixels in less than 2 GB of addresses."""
    small, large = (peak_bytes(side, tiny, tmp_path) for side in (8192, 16384))
    assert large < 1.15 * small, f"{small / 1e6:.0f} MB for 64 megapixels, {large / 1e6:.0f} MB for 256"
    assert large < LIMIT_BYTES


def test_too_little_memory_is_said_before_any_work_and_the_amount_named_is_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = tmp_path / "a.tif", tmp_path / "out"
    tifffile.imwrite(image, discs())
    words = ("segment", image, "-o", out, "--memory")
    assert segment(*words[1:], "200MB") == 6
    said = capsys.readouterr().err
    assert "[E515]" in said and not (out / "run.json").exists()
    (needed,) = re.findall(r"it needs ([\d.]+) GB", said)
    assert segment(*words[1:], f"{needed}GB") == 0


@pytest.mark.parametrize("text", ["4", "0GB", "much", "-1GB", "4XB", "1e9"])
def test_a_text_that_is_no_amount_of_memory_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", discs())
    code = segment(tmp_path / "a.tif", "-o", tmp_path / "out", f"--memory={text}")
    # Four bytes are an amount, but too few.
    assert (code, "[E515]" if text == "4" else "[E046]") == (6 if text == "4" else 2, capsys.readouterr().err[-7:-1])
