"""A ROI zip opens in plain ImageJ: every ROI, filled with its name, gives exactly the label image.

Runs the real ImageJ's ROI Manager in a headless Java process.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.contract.imagej_java import run_java
from tests.labelled import awkward, labelled, renumbered, stack

from cellfleet.results.rois import write_rois

pytestmark = pytest.mark.slow


def _far_away() -> np.ndarray:
    """Objects on both sides of 32 767 and 60 535 px, where ImageJ's coordinates change their form."""
    labels = np.zeros((7, 70_000), np.uint32)
    for x in (0, 32_760, 60_530, 65_530, 69_990):
        labels[1:6, x : x + 9] = x + 1
        labels[3, x + 3] = 0 if x > 40_000 else x + 1
    return renumbered(labels)


CASES = {
    "awkward": ("YX", awkward()),
    "one": ("YX", np.ones((1, 1), np.uint32)),
    "chequers": ("YX", np.indices((9, 8)).sum(axis=0) % 2),
    "wide": ("YX", _far_away()),
    "tall": ("YX", _far_away().T.copy()),
    "time": ("TYX", stack(4)),
    "planes": ("ZYX", stack(3)),
    "both": ("TZYX", stack(2, 3)),
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, dict[str, int]]]:
    """Return for each case what ImageJ filled, and the numbers it told."""
    folder = tmp_path_factory.mktemp("rois µm")
    words: list[object] = []
    for name, (axes, labels) in CASES.items():
        write_rois(folder / f"{name}.zip", labelled(labels, axes))
        size = dict(zip(axes, labels.shape, strict=True))
        words += [folder / f"{name}.zip", size["X"], size["Y"], size.get("Z", 1), size.get("T", 1)]
    told: dict[str, dict[str, int]] = {}
    for line in run_java("FillRois", folder, *words).splitlines():
        key, _, value = line.partition(" ")
        if key == "file":
            last = told.setdefault(value.removesuffix(".zip").rpartition("/")[2], {})
        else:
            last[key] = int(value)
    return {name: (np.fromfile(folder / f"{name}.zip.raw", ">f4"), told[name]) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_every_roi_refills_exactly_its_object(name: str, filled: dict[str, tuple[np.ndarray, dict[str, int]]]) -> None:
    labels = CASES[name][1]
    pixels, told = filled[name]
    assert told == {"rois": labels.max(), "twice": 0}
    np.testing.assert_array_equal(pixels.reshape(labels.shape), labels)
