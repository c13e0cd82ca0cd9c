"""The network alone against that of Cellpose 3 (CPnet), paired, one thread each, on the same pixels.

    python -m benchmarks.cellpose.run [--model nuclei] [--rounds 5]

Cellpose's weights cannot be downloaded here: CPnet has random weights, which cost the same. Both networks see the same
pixels: Cellpose would enlarge nuclei of less than 30 px (or 17 px) to that size first, and be slower by the square.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import MEGAPIXEL, ONE_THREAD, VALIDATION, Bar, median, peer_python, ratios, save, workers
from benchmarks.fields import synthetic_field
from cellfleet.models import load_model

HERE = Path(__file__).parent
SIDE = 512


def main() -> int:
    """Run and report."""
    parser = argparse.ArgumentParser(description="The network alone against that of Cellpose 3.")
    parser.add_argument("--model", default="nuclei", help="bundled name or package folder")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    predictor = load_model(given.model, device="cpu").predictor
    pixels = synthetic_field("dense", VALIDATION, 0).pixels[:SIDE, :SIDE].astype(np.float32) / 255
    contrast = np.array([[0, 1]], np.float32)
    ours, theirs = [], []
    command = [peer_python("cellpose", HERE / "requirements.txt"), HERE / "cellpose_worker.py"]
    with tempfile.TemporaryDirectory() as temporary, workers(command) as (peer,):
        path = Path(temporary) / "pixels.npy"
        np.save(path, pixels)
        for turn in range(given.rounds + 1):
            began = time.process_time()
            predictor.predict(pixels[np.newaxis], contrast)
            seconds = time.process_time() - began, peer.ask(pixels=str(path))["cpu"]
            # The first round warms up.
            if turn:
                ours.append(seconds[0] * MEGAPIXEL / pixels.size)
                theirs.append(seconds[1] * MEGAPIXEL / pixels.size)
    ratio, spread = ratios(ours, theirs)
    notes = [
        f"One thread each, a dense {SIDE} × {SIDE} field; {', '.join(f'{k} {v}' for k, v in peer.about.items())}.",
        "Random weights; Cellpose's own tiling (224 px, overlap 0.1), no rescaling of the image.",
        f"Ours {median(ours):.3f} s/Mpx, Cellpose {median(theirs):.1f} s/Mpx.",
    ]
    bars = [Bar("network alone against Cellpose 3 (CPnet)", 30, 100, ratio, "×", True, spread)]
    save("cellpose", bars, {"ours": ours, "theirs": theirs, "threads": ONE_THREAD["OMP_NUM_THREADS"]}, notes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
