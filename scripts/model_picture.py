"""Render what a model finds in an image, for docs/images/models: the pixels, and beside them the pixels with outlines.

Run: python scripts/model_picture.py tissue IMAGE docs/images/models/tissue.jpg --channel nuclear=1 --channel membrane=2
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from cellfleet.images.read import open_image
from cellfleet.models import load_model
from cellfleet.results.picture import jpeg, outlined
from cellfleet.run.pools import Pools
from cellfleet.run.request import make_spec
from cellfleet.run.resources import fair_share
from cellfleet.run.segment_image import How, segment_region
from cellfleet.spec.segment import ChannelChoice
from cellfleet.tiling.box import Box

GAP = 6


def main() -> int:
    """Segment a region and write the picture."""
    parser = argparse.ArgumentParser(description="Render what a model finds in an image.")
    parser.add_argument("model")
    parser.add_argument("image", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--channel", action="append", default=[], help="as of cellfleet segment")
    parser.add_argument("--pixel-size", type=float, help="as of cellfleet segment")
    parser.add_argument("--box", type=int, nargs=4, metavar=("Y0", "X0", "Y1", "X1"), help="the region; default: all")
    parser.add_argument("--longest", type=int, default=420, help="longest side of each half, px")
    given = parser.parse_args()
    image, model = open_image(given.image), load_model(given.model)
    spec = make_spec(
        model=given.model,
        channels=[ChannelChoice.parse(text) for text in given.channel],
        microns_per_pixel=given.pixel_size,
    )
    box = Box(*given.box) if given.box else Box.whole((image.length("Y"), image.length("X")))
    with Pools(1, model, fair_share()) as pools:
        found = segment_region(image, spec, model, How(pools), 0, box)
    contrast, none = found.survey.contrast, np.zeros_like(found.labels)
    halves = [
        outlined(found.pixels, contrast, none, longest=given.longest),
        outlined(found.pixels, contrast, found.labels, found.nuclei, longest=given.longest),
    ]
    gap = np.full((len(halves[0]), GAP, 3), 255, np.uint8)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_bytes(jpeg(np.concatenate([halves[0], gap, halves[1]], axis=1)))
    sys.stdout.write(f"{found.labels.max()} objects in {box}: {given.out}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
