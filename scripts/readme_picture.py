"""Render docs/images/segmented.jpg, the picture in the README: sample images and what a model finds in them.

Run: python scripts/readme_picture.py [MODEL]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import cellfleet
from cellfleet.results.picture import jpeg, outlined
from cellfleet.samples import copy_samples

TARGET = Path("docs/images/segmented.jpg")
HEIGHT = 420
GAP = 6


def main(model: str) -> None:
    """Put the dense and the large nuclei side by side, each without and with outlines."""
    panels: list[np.ndarray] = []
    folder = Path("build/samples")
    copy_samples(folder)
    for name, longest in (("dense_nuclei.tif", 2 * HEIGHT), ("large_nuclei.tif", HEIGHT)):
        found = cellfleet.segment(folder / name, model=model).found
        nothing = np.zeros_like(found.shown_labels)
        for labels in (nothing, found.shown_labels):
            picture = outlined(found.shown_pixels, found.contrast, labels, longest=longest, colour_by_label=True)
            panels += [picture[:HEIGHT, :HEIGHT], np.full((HEIGHT, GAP, 3), 255, np.uint8)]
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(jpeg(np.concatenate(panels[:-1], axis=1)))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "nuclei")
