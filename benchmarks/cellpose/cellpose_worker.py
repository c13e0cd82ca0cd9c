"""Cellpose's side of the pair: CPnet of Cellpose 3 with random weights, its own tiling, one thread, one warm process.

Answers ``{"pixels"}`` (a .npy file, (Y, X) float32) with processor seconds. Runs in the environment of
``requirements.txt``; knows nothing of cellfleet.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version

import numpy as np
import torch
from cellpose.core import run_net
from cellpose.resnet_torch import CPnet

BASE, OUTPUTS, KERNEL, TILE = [2, 32, 64, 128, 256], 3, 3, 224
"""Of the published models; a tile overlap of 0.1 is the default, too."""


def main() -> None:
    """Answer requests until the input ends."""
    torch.set_num_threads(1)
    network = CPnet(BASE, OUTPUTS, sz=KERNEL, mkldnn=False, diam_mean=30.0).eval()
    parameters = sum(p.numel() for p in network.parameters())
    answers, sys.stdout = sys.stdout, sys.stderr
    about = {"cellpose": version("cellpose"), "torch": torch.__version__, "parameters": parameters}
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        pixels = np.load(json.loads(line)["pixels"])
        channels = np.stack([pixels, np.zeros_like(pixels)], -1)[np.newaxis]
        began = time.process_time()
        run_net(network, channels, bsize=TILE)
        print(json.dumps({"cpu": time.process_time() - began}), file=answers, flush=True)


if __name__ == "__main__":
    main()
