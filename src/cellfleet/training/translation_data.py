"""Stacks with the stain that belongs to them → training crops. Knows no network.

A data set is a folder with ``train/`` and ``val/``, each with ``images/`` (stacks) and ``targets/`` (one plane of one
channel), files of the same stems.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cellfleet.errors import TrainingError
from cellfleet.images.find import find_images
from cellfleet.images.read import open_image
from cellfleet.pipeline.predicted import stack_contrast
from cellfleet.training.translation_spec import TranslationSpec

_LAYOUT = "Lay it out as train/ and val/, each with images/ (stacks) and targets/ (one plane) of equal stems"
_AT_AN_OBJECT = 0.3
"""Share of crops in whose middle there is something bright: most of a plate is empty."""
_WINDOW = 1.6
"""Side of what is read of a crop of side 1, so that it can be turned by any angle."""


@dataclass(frozen=True)
class Pair:
    """One stack and its stain."""

    name: str
    planes: NDArray[np.float32]
    """(P, Y, X), low = 0 and high = 1 of each plane."""
    log_target: NDArray[np.float32]
    """(Y, X), natural logarithm of the intensity."""


def load_pairs(folder: Path) -> tuple[list[Pair], list[Pair]]:
    """Read training and validation pairs.

    Raises:
        TrainingError: E411 the layout is another, or a stack and its target do not fit.
        InputError, ImageError: A file cannot be read.
    """
    return _read_split(folder / "train"), _read_split(folder / "val")


def _read_split(folder: Path) -> list[Pair]:
    images, targets = folder / "images", folder / "targets"
    if not images.is_dir() or not targets.is_dir():
        raise _does_not_fit("has no images/ and targets/", folder)
    by_stem = {path.stem: path for path in sorted(targets.iterdir()) if not path.name.startswith(".")}
    pairs = [_read_pair(Path(source.path), by_stem) for source in find_images([images])]
    if len({len(pair.planes) for pair in pairs}) != 1:
        raise _does_not_fit("has no stacks, or stacks of different depth", images)
    return pairs


def _read_pair(path: Path, targets: dict[str, Path]) -> Pair:
    if path.stem not in targets:
        raise _does_not_fit("has no target of the same stem", path)
    stack, stain = open_image(path, name=path.name), open_image(targets[path.stem], name=path.name)
    if stack.axes != "ZYX" or stain.axes != "YX" or stack.shape[1:] != stain.shape:
        raise _does_not_fit(f"is {stack.axes} {stack.shape}, its target {stain.axes} {stain.shape}", path)
    planes = np.concatenate([stack.read_plane(0, z) for z in range(stack.length("Z"))]).astype(np.float32)
    intensity = stain.read_plane()[0].astype(np.float32)
    if not (np.isfinite(planes).all() and np.isfinite(intensity).all() and intensity.max() > 0):
        raise _does_not_fit("holds values that are no numbers, or its target none above 0", path)
    low, high = stack_contrast(planes.reshape(len(planes), -1)).T[:, :, None, None]
    floor = max(float(np.percentile(intensity, 1)), 1e-3 * float(intensity.max()))
    return Pair(path.stem, (planes - low) / (high - low), np.log(np.maximum(intensity, floor)))


def _does_not_fit(what: str, where: Path) -> TrainingError:
    return TrainingError("E411", what, where=str(where), action=_LAYOUT)


def crops(pairs: list[Pair], spec: TranslationSpec, first: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches for ever: pixels (N, P, S, S) and standardised targets (N, 1, S, S), float32.

    A batch follows from the seed and its number alone, so that a resumed run continues the series.
    """
    mean, deviation = standard(pairs)
    number = first
    while True:
        random = np.random.default_rng((spec.seed, number))
        made = [_crop(pairs[int(random.integers(len(pairs)))], spec, random) for _ in range(spec.batch)]
        pixels, targets = (torch.stack(list(some)) for some in zip(*made, strict=True))
        yield pixels, (targets - mean) / deviation
        number += 1


def standard(pairs: list[Pair]) -> tuple[float, float]:
    """Return mean and standard deviation of the log targets; 1 where all are the same."""
    values = np.concatenate([pair.log_target.ravel() for pair in pairs])
    return float(values.mean()), float(values.std()) or 1.0


def _crop(pair: Pair, spec: TranslationSpec, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    side = spec.crop_px
    turned = _turned(torch.from_numpy(_window(pair, int(side * _WINDOW), random)), side, random)
    planes, target = turned[:-1], turned[-1:]
    return _photographed(planes, spec.fewest_planes, random), target


def _window(pair: Pair, side: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Return planes and target (P + 1, S, S) around a random place, mirrored where the image ends."""
    height, width = pair.log_target.shape
    y, x = int(random.integers(height)), int(random.integers(width))
    if random.random() < _AT_AN_OBJECT:
        bright = np.flatnonzero(pair.log_target > np.quantile(pair.log_target[::4, ::4], 0.93))
        y, x = divmod(int(random.choice(bright)), width) if bright.size else (y, x)
    rows, columns = (_mirrored(at - side // 2, side, length) for at, length in ((y, height), (x, width)))
    picked = np.ix_(rows, columns)
    return np.concatenate([pair.planes[:, picked[0], picked[1]], pair.log_target[picked][None]])


def _mirrored(start: int, count: int, length: int) -> NDArray[np.intp]:
    place = np.arange(start, start + count) % (2 * length)
    return np.where(place < length, place, 2 * length - 1 - place)


def _turned(stack: Tensor, side: int, random: np.random.Generator) -> Tensor:
    """Turn by any angle, zoom a little, flip; cut the middle square of `side` px out."""
    angle, zoom = random.uniform(0, 2 * np.pi), float(np.exp(random.normal(0, 0.1)))
    scale = side / stack.shape[-1] / zoom
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    flip = 1.0 if random.random() < 0.5 else -1.0
    matrix = torch.tensor([[[flip * cosine, -sine, 0], [flip * sine, cosine, 0]]], dtype=torch.float32)
    grid = functional.affine_grid(matrix, [1, len(stack), side, side], align_corners=False)
    return functional.grid_sample(stack[None], grid, padding_mode="reflection", align_corners=False)[0]


def _photographed(planes: Tensor, fewest: int, random: np.random.Generator) -> Tensor:
    """Return the planes as another lamp, camera and focus drive would give them."""
    count = len(planes)
    if random.random() < 0.5:
        # Fewer planes, spread as the pipeline spreads them: what is not there is taken from its neighbour.
        kept = np.sort(random.choice(count, int(random.integers(min(fewest, count), count + 1)), replace=False))
        planes = planes[kept[np.abs(kept[None] - np.arange(count)[:, None]).argmin(1)]]
    if random.random() < 0.5:
        planes = planes[np.clip(np.arange(count) + int(random.integers(-2, 3)), 0, count - 1)]
    if random.random() < 0.2:
        planes = planes.flip(0)
    shape = (count, 1, 1)
    gains = float(np.exp(random.normal(0, 0.1))) * np.exp(random.normal(0, 0.05, shape))
    offsets = random.normal(0, 0.1) + random.normal(0, 0.05, shape)
    noise = random.standard_normal(tuple(planes.shape), np.float32) * random.uniform(0, 0.2)
    middle = planes.mean()
    changed = (planes - middle) * torch.from_numpy(gains.astype(np.float32)) + middle
    return changed + torch.from_numpy((offsets + noise).astype(np.float32))
