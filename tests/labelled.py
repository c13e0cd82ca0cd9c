"""Label images and their tables for tests of result files: awkward shapes on every kind of image."""

from __future__ import annotations

from typing import Any

import numpy as np

from cellfleet.images.read import image_from_array
from cellfleet.pipeline.measure import measure
from cellfleet.results.labelled import ArrayLabels, ArrayRows, Labelled


def labelled(array: np.ndarray, axes: str = "YX", **told: Any) -> Labelled:
    """Return `array`, whose labels are 1 … n, with the table that the pipeline would make of it (two channels).

    As of a workflow, with an image that was predicted: of uint16, a thousand times the labels.
    """
    microns = told.setdefault("microns_per_pixel", 0.5)
    array = array.astype(np.uint32)
    planes = array.reshape(-1, *array.shape[-2:])
    tables = []
    for index, plane in enumerate(planes):
        channels = np.stack([plane % 251, plane[::-1] % 241]).astype(np.uint16)
        table = measure(plane, channels, ["DAPI", "CD45"], microns)
        place = dict(zip(axes[:-2].lower(), np.unravel_index(index, array.shape[:-2]), strict=True))
        count = len(table["label"])
        rest = {name: values for name, values in table.items() if name != "label"}
        tables.append({"label": table["label"], **{a: np.full(count, at, np.int32) for a, at in place.items()}, **rest})
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    assert columns["label"].tolist() == list(range(1, int(array.max(initial=0)) + 1))
    told.setdefault("predicted", image_from_array((1000 * array).astype(np.uint16), axes=axes))
    told = {"name": "plate/a.tif", "key": "0" * 64, "model": "nuclei:1", "source": "/data/plate/a.tif"} | told
    return Labelled(labels=ArrayLabels(array, axes, len(columns["label"]), block=64), rows=ArrayRows(columns), **told)


def awkward(height: int = 61, width: int = 83, seed: int = 0) -> np.ndarray:
    """Return labels (Y, X), ascending in order of appearance: discs, rings, noise, pixels, borders touched."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    labels = np.zeros((height, width), np.int64)
    for number in range(1, 30):
        row, column, radius = rng.integers(0, height), rng.integers(0, width), rng.integers(1, 12)
        distance = np.hypot(y - row, x - column)
        labels[(distance <= radius) & (distance >= radius * rng.choice([-1, 0.4]))] = number
    # Noise makes holes, tails that hang on by a corner, and single pixels.
    labels[rng.random(labels.shape) < 0.15] = 0
    labels[rng.random(labels.shape) < 0.02] = 30
    for number, corner in enumerate([(0, 0), (0, -1), (-1, 0), (-1, -1)], start=31):
        labels[corner] = number
    return renumbered(labels)


def renumbered(labels: np.ndarray, first: int = 1) -> np.ndarray:
    """Return labels without gaps from `first` on, in order of first appearance."""
    values, places, inverse = np.unique(labels, return_index=True, return_inverse=True)
    numbers = np.zeros(len(values), np.uint32)
    found = np.flatnonzero(values)
    numbers[found[np.argsort(places[found])]] = np.arange(first, first + len(found))
    return numbers[inverse].reshape(labels.shape)


def stack(*lengths: int) -> np.ndarray:
    """Return several planes of `awkward` labels that go on counting; the second of them is empty."""
    planes: list[np.ndarray] = []
    for seed in range(int(np.prod(lengths))):
        first = max((int(plane.max()) for plane in planes), default=0) + 1
        plane = awkward(37, 41, seed)
        planes.append(np.zeros_like(plane) if seed == 1 else renumbered(plane, first))
    return np.stack(planes).reshape(*lengths, 37, 41)
