"""A label TIFF opens in plain ImageJ as it was written: values, axes, µm, and colours with black background.

Runs the real ImageJ in a headless Java process.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.contract.imagej_java import run_java

from cellfleet.results.labelled import ArrayLabels
from cellfleet.results.labels import write_label_tiff
from cellfleet.results.palette import label_colours

pytestmark = pytest.mark.slow

Opened = dict[str, str]


def open_in_imagej(classes: Path, paths: list[Path]) -> list[Opened]:
    """Open label TIFFs in ImageJ and return what it saw, one dict per file."""
    images: list[Opened] = []
    for line in run_java("OpenLabels", classes, *paths).splitlines():
        key, _, value = line.partition(" ")
        if key == "file":
            images.append({})
        images[-1][key] = value
    return images


def _checksum(labels: np.ndarray) -> int:
    flat = labels.ravel().astype(np.int64)
    return int((flat * (np.arange(flat.size) % 8191 + 1)).sum())


def _labels(count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return labels in which every number from 0 to `count` occurs, in random order."""
    rng = np.random.default_rng(count)
    flat = rng.integers(0, count + 1, np.prod(shape), dtype=np.uint32)
    flat[: count + 1] = np.arange(count + 1)
    return rng.permutation(flat).reshape(shape)


def _shown(opened: Opened) -> dict[int, str]:
    return {int(value): colour for value, colour in (pair.split(":") for pair in opened["shown"].split())}


CASES: dict[str, tuple[int, tuple[int, ...], str, float | None]] = {
    "few": (40, (61, 47), "YX", 0.325),
    "own-colour-each": (255, (61, 47), "YX", None),
    "shared-colours": (3000, (97, 211), "YX", 0.5),
    "16-bits-full": (65_535, (300, 300), "YX", 0.1),
    "32-bits": (65_536, (300, 300), "YX", 0.65),
    "time": (500, (5, 41, 37), "TYX", 1.25),
    "planes": (500, (4, 41, 37), "ZYX", 0.2),
    "time-and-planes": (70_000, (2, 3, 120, 130), "TZYX", 0.2),
    "one-pixel": (0, (1, 1), "YX", None),
    "one-row": (9, (1, 700), "YX", None),
}


@pytest.fixture(scope="session")
def seen(
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, tuple[np.ndarray, Opened]]:
    """Return for each case the labels as written and what one ImageJ process saw."""
    folder = tmp_path_factory.mktemp("labels µm")
    written = {}
    for name, (count, shape, axes, microns) in CASES.items():
        written[name] = _labels(count, shape)
        labels = ArrayLabels(written[name], axes, count)
        write_label_tiff(folder / f"{name}.tif", labels, microns_per_pixel=microns)
    opened = open_in_imagej(folder, [folder / f"{name}.tif" for name in CASES])
    return {name: (labels, image) for (name, labels), image in zip(written.items(), opened, strict=True)}


@pytest.mark.parametrize("name", CASES)
def test_values_axes_and_calibration_are_those_written(name: str, seen: dict[str, tuple[np.ndarray, Opened]]) -> None:
    count, shape, axes, microns = CASES[name]
    labels, image = seen[name]
    assert image["opened"] == "yes"
    assert int(image["bits"]) == (16 if count <= 65_535 else 32)
    size = dict(zip(axes, shape, strict=True))
    assert [int(image[key]) for key in ("height", "width", "slices", "frames", "channels")] == [
        *(size.get(axis, 1) for axis in "YXZT"),
        1,
    ]
    assert (int(image["largest"]), int(image["checksum"])) == (count, _checksum(labels))
    assert image["unit"] == ("pixel" if microns is None else "µm")
    assert float(image["pixel_width"]) == pytest.approx(microns or 1, rel=1e-9)
    assert float(image["pixel_height"]) == pytest.approx(microns or 1, rel=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_background_is_black_and_objects_have_colours(name: str, seen: dict[str, tuple[np.ndarray, Opened]]) -> None:
    count = CASES[name][0]
    _, image = seen[name]
    assert image["table"] == label_colours().tobytes().hex()
    shown = _shown(image)
    assert shown.pop(0, "000000") == "000000"
    black = [label for label, colour in shown.items() if colour == "000000"]
    # What 256 colours and a 16-bit display range from 0 cannot avoid; labels.py says why.
    unavoidable = -(-(count + 1) // 512) if 511 < count <= 65_535 else 1
    assert black == list(range(1, unavoidable))


@pytest.mark.parametrize("name", ["few", "own-colour-each"])
def test_up_to_255_objects_have_a_colour_each(name: str, seen: dict[str, tuple[np.ndarray, Opened]]) -> None:
    _, image = seen[name]
    colours = label_colours()
    assert _shown(image) == {label: colours[label].tobytes().hex() for label in range(CASES[name][0] + 1)}
