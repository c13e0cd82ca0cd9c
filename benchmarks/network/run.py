"""The network alone: the bundled ONNX graph through our predictor, one thread, processor seconds.

python -m benchmarks.network.run [--model nuclei] [--rounds 15]
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import numpy as np
import onnxruntime

from benchmarks.common import ONE_THREAD, VALIDATION, Bar, median, save
from benchmarks.fields import synthetic_field
from cellfleet.models import load_model

SIZES = {"1024 × 1024": 1024, "512 × 512": 512}


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="Time of the network alone.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    os.environ.update(ONE_THREAD)
    model = load_model(given.model, device="cpu")
    pixels = synthetic_field("dense", VALIDATION, 0).pixels[np.newaxis].astype(np.float32)
    contrast = np.percentile(pixels, (1, 99.8)).astype(np.float32)[np.newaxis]
    seconds: dict[str, list[float]] = {name: [] for name in SIZES}
    for turn in range(given.rounds + 1):
        for name, side in SIZES.items():
            tile = pixels[:, :side, :side]
            began = time.process_time()
            model.predictor.predict(tile, contrast)
            # The first round warms up.
            if turn:
                seconds[name].append(time.process_time() - began)
    large, small = (seconds[name] for name in SIZES)
    bars = [
        Bar("network, one thread, per Mpx", 0.6, 0.15, median(large), "s", False, (min(large), max(large))),
        Bar("network, one thread, 512 × 512", 0.3, 0.1, median(small), "s", False, (min(small), max(small))),
    ]
    notes = [
        f"Model {model.manifest.name} {model.manifest.version} ({model.sha256[:12]}), ORT {onnxruntime.__version__}."
    ]
    save("network", bars, {"seconds": seconds}, notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
