"""StarDist's side of the pair: 2D_versatile_fluo's network and settings, one thread of one warm process.

Its weights cannot be downloaded here. So the network has random weights, and everything after it is given ideal heads
made from the true labels in place of the network's output: `predict_instances` runs unchanged with the true cost of
each of its steps. Answers ``{"image", "truth", "out"}`` with seconds. Runs in the environment of ``requirements.txt``;
knows nothing of cellfleet.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import tensorflow
import tifffile
from csbdeep.utils import normalize
from skimage.measure import regionprops_table
from stardist.geometry import star_dist
from stardist.models import Config2D, StarDist2D
from stardist.utils import edt_prob

RAYS, GRID = 32, 2
THRESHOLDS = {"prob_thresh": 0.479071, "nms_thresh": 0.3}
"""Of the published model 2D_versatile_fluo."""
COLUMNS = (
    "label",
    "area",
    "equivalent_diameter_area",
    "centroid",
    "bbox",
    "eccentricity",
    "orientation",
    "axis_major_length",
    "axis_minor_length",
    "perimeter",
    "solidity",
    "extent",
    "intensity_mean",
    "intensity_std",
    "intensity_min",
    "intensity_max",
)
"""What the table of cellfleet holds, too."""
BASIC_COLUMNS = ("label", "area", "centroid", "bbox", "intensity_mean")


class Heads:
    """The real network; its output is replaced by ideal heads of the same shape."""

    def __init__(self, network: Any) -> None:
        self.predict_really = network.predict
        self.ideal: list[np.ndarray] = []
        self.cpu = 0.0

    def predict(self, pixels: np.ndarray, **options: Any) -> list[np.ndarray]:
        """Compute, discard, and return the ideal heads."""
        cpu = time.process_time()
        found = self.predict_really(pixels, **options)
        self.cpu = time.process_time() - cpu
        assert [head.shape for head in found] == [head.shape for head in self.ideal]
        return self.ideal

    def prepare(self, truth: np.ndarray) -> None:
        """Make the heads for one image, padded as the network pads it."""
        padded = np.pad(truth, [(0, -n % 16) for n in truth.shape])
        probability = edt_prob(padded)[::GRID, ::GRID, np.newaxis]
        distances = star_dist(padded, RAYS, grid=(GRID, GRID))
        self.ideal = [probability[np.newaxis].astype(np.float32), distances[np.newaxis].astype(np.float32)]


def main() -> None:
    """Answer requests until the input ends."""
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    answers, sys.stdout = sys.stdout, sys.stderr
    model = StarDist2D(Config2D(n_rays=RAYS, grid=(GRID, GRID), n_channel_in=1), name=None, basedir=None)
    heads = Heads(model.keras_model)
    model.keras_model.predict = heads.predict
    about = {"stardist": version("stardist"), "tensorflow": version("tensorflow-cpu"), "numpy": np.__version__}
    about |= {"scikit-image": version("scikit-image"), "parameters": model.keras_model.count_params()}
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        heads.prepare(tifffile.imread(request["truth"]))
        print(json.dumps(segment(model, heads, Path(request["image"]), Path(request["out"]))), file=answers, flush=True)


def segment(model: StarDist2D, heads: Heads, image: Path, out: Path) -> dict[str, Any]:
    """Read, segment, write labels and two tables; return processor and wall seconds up to each of them."""
    out.mkdir(parents=True, exist_ok=True)
    laps = [("begin", time.perf_counter(), time.process_time())]

    def lap(name: str) -> None:
        laps.append((name, time.perf_counter(), time.process_time()))

    pixels = tifffile.imread(image)
    lap("read")
    scaled = normalize(pixels, 1, 99.8, axis=(0, 1))
    lap("preprocess")
    labels, _ = model.predict_instances(scaled, **THRESHOLDS)
    lap("predict+postprocess")
    labels = labels.astype(np.uint16 if labels.max() < 1 << 16 else np.uint32)
    tifffile.imwrite(out / f"{image.stem}_labels.tif", labels, compression="zlib", metadata={"axes": "YX"})
    lap("write labels")
    for name, columns in (("basic table", BASIC_COLUMNS), ("table", COLUMNS)):
        found = regionprops_table(labels, pixels, properties=columns)
        pandas.DataFrame(found).to_csv(out / f"{image.stem}_{name.split()[0]}.csv", index=False)
        lap(name)
    cpu = {name: after - before for (_, _, before), (name, _, after) in itertools.pairwise(laps)}
    wall = {name: after - before for (_, before, _), (name, after, _) in itertools.pairwise(laps)}
    cpu["network"] = heads.cpu
    return {"stages": cpu, "wall": wall, "objects": int(labels.max())}


if __name__ == "__main__":
    main()
