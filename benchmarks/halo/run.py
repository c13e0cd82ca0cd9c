"""How far the heads of a tile depend on its halo: tiles of 240 px against the whole image.

Run: python benchmarks/halo/run.py IMAGE.tif [WEIGHTS.onnx]   (an image of at least 960 × 960 px, first plane)
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import cellfleet.models
from cellfleet.images.read import open_image
from cellfleet.inference.onnx import OnnxPredictor
from cellfleet.pipeline.preprocess import contrast
from cellfleet.spec.model import Tile
from cellfleet.tiling.grid import tiles

BUNDLED = Path(cellfleet.models.__file__).parent / "bundled" / "nuclei" / "nuclei.onnx"


def main(image: Path, weights: Path = BUNDLED) -> None:
    """Print a Markdown table."""
    pixels = open_image(image, name=image.name).read_plane(0, 0)[:1, :960, :960].astype(np.float32)
    low_high = contrast(pixels)

    def heads(tile: Tile) -> np.ndarray:
        predictor = OnnxPredictor(weights.read_bytes(), weights.name, tile.multiple, device="cpu")
        found = np.zeros((int(str(predictor.channels[1])), *pixels.shape[1:]), int)
        for y, x in tiles((pixels.shape[1], pixels.shape[2]), tile):
            part = predictor.predict(np.ascontiguousarray(pixels[:, y.read, x.read]), low_high)
            found[:, y.write, x.write] = part[:, y.inside, x.inside]
        return found

    whole = heads(Tile(multiple=16, halo=64, largest=4096))
    sys.stdout.write("| halo, px | largest difference, of 255 | pixels that differ by more than 2 |\n|---|---|---|\n")
    for halo in (16, 32, 48, 64, 96):
        difference = np.abs(heads(Tile(multiple=16, halo=halo, largest=240)) - whole)
        sys.stdout.write(f"| {halo} | {difference.max()} | {100 * (difference > 2).mean():.3f} % |\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
