"""Random crops: zoom, turns, pasted neighbours, and the ways in which microscopes differ. Knows no network.

Every batch is a function of (samples, spec, seed, step): a resumed run sees the batches it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cellfleet.training.crop import Crop, blurred, smooth_field
from cellfleet.training.dataset import Targets
from cellfleet.training.spec import Augmentation
from cellfleet.training.targets import classes
from cellfleet.training.tissue import restain

_Random = np.random.Generator
_NEAR_OBJECT_SHARE = 0.85
"""Share of crops placed so that some object is in view: empty ground teaches little."""


class Batches(torch.utils.data.Dataset[tuple[Tensor, ...]]):
    """Step → (pixels (N, R, Y, X), and what is learned of them: see `learned`)."""

    def __init__(self, samples: list[Targets], spec: Augmentation, *, crop_px: int, batch: int, seed: int) -> None:
        self.spec, self.crop_px, self.batch, self.seed = spec, crop_px, batch, seed
        self.sources = [Source.of(s) for s in samples]
        weights = np.sqrt([s.labels[:, :1].numel() for s in self.sources])
        self.chances = weights / weights.sum()

    def __len__(self) -> int:
        """Steps are counted from 0 without end; a data loader wants a number."""
        return 1 << 40

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        random = np.random.default_rng((self.seed, step))
        torch.set_num_threads(1)
        picked = random.choice(len(self.sources), self.batch, p=self.chances)
        crops = [cut(self.sources[i], self.spec, self.crop_px, random) for i in picked]
        donors = [*crops[1:], crops[0]]
        for crop, donor in zip(crops, donors, strict=True):
            if random.random() < self.spec.touching_share:
                paste_touching(crop, donor, random)
        pixels = np.stack([_photographed(crop, self.spec, random) for crop in crops])
        return torch.from_numpy(pixels), *(torch.from_numpy(array) for array in self.learned(crops, random))

    def learned(self, crops: list[Crop], random: _Random) -> tuple[NDArray[Any], ...]:
        """Return the distances (N, K, 2, Y, X) and the classes (N, K, Y, X) int64 of crops."""
        distances = np.stack([np.stack([crop.outer, crop.inner], 1) for crop in crops])
        return distances, np.stack([classes(crop.labels) for crop in crops]).astype(np.int64)


@dataclass(frozen=True)
class Source:
    """A sample as tensors, with smaller copies of the pixels so that shrinking does not alias."""

    pyramid: list[Tensor]
    """(1, R, Y, X) at 1, 1/2, 1/4."""
    labels: Tensor
    """(1, K, Y, X) float64: exact for any label number, as grid_sample needs floats."""
    distances: Tensor
    """(1, 2 K, Y, X): the outer ones, then the inner ones."""
    centres: NDArray[np.float64]
    """(objects, 2): x, y of each object's centroid."""
    diameter_px: float

    @classmethod
    def of(cls, targets: Targets) -> Source:
        """Prepare one sample."""
        pyramid = [torch.from_numpy(targets.sample.pixels)[None]]
        while len(pyramid) < 3 and min(pyramid[-1].shape[-2:]) >= 16:
            pyramid.append(functional.avg_pool2d(pyramid[-1], 2, ceil_mode=True))
        return cls(
            pyramid,
            torch.from_numpy(np.stack(targets.sample.compartments)).double()[None],
            torch.from_numpy(np.concatenate([targets.outer, targets.inner]))[None],
            _centres(targets.sample.labels),
            targets.sample.diameter_px or 20.0,
        )


def _centres(labels: NDArray[np.int32]) -> NDArray[np.float64]:
    index = np.flatnonzero(labels)
    counts = np.bincount(labels.ravel()[index])
    sums = [np.bincount(labels.ravel()[index], along) for along in (index % labels.shape[1], index // labels.shape[1])]
    return np.stack(sums, 1)[counts > 0] / counts[counts > 0, None] + 0.5


def cut(source: Source, spec: Augmentation, crop_px: int, random: _Random) -> Crop:
    """Cut a turned, mirrored and zoomed square from a random place."""
    median, log_sigma = spec.diameter_px
    wanted = median * np.exp(log_sigma * random.standard_normal())
    zoom = float(np.clip(wanted / source.diameter_px, *spec.zoom))
    grid = _grid(source, zoom, crop_px, random)
    if spec.tissue and spec.tissue.warped_px:
        grid = grid + _displacement(source, crop_px, spec.tissue.warped_px / zoom, random)
    level = min(int(max(0.0, np.log2(1.4 / zoom))), len(source.pyramid) - 1)
    labels = functional.grid_sample(source.labels, grid, "nearest", "reflection", align_corners=False)
    grid = grid.float()
    pixels = functional.grid_sample(source.pyramid[level], grid, "bilinear", "reflection", align_corners=False)
    distances = functional.grid_sample(source.distances, grid, "bilinear", "reflection", align_corners=False)[0]
    instances = labels[0].numpy().astype(np.int32)
    outer, inner = distances.numpy().reshape(2, *instances.shape) * (instances > 0)
    return Crop(pixels[0].numpy(), instances, outer, inner)


def _grid(source: Source, zoom: float, crop_px: int, random: _Random) -> Tensor:
    """Where each pixel of the crop comes from: (1, Y, X, 2) in grid_sample's −1…1, x first."""
    height, width = source.labels.shape[-2:]
    angle = random.uniform(0, 2 * np.pi)
    stretch = np.exp(random.normal(0, 0.08))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.diag([stretch / zoom, random.choice([-1, 1]) / (stretch * zoom)])
    half = crop_px / zoom / 2
    if len(source.centres) and random.random() < _NEAR_OBJECT_SHARE:
        centre = random.choice(source.centres) + random.uniform(-0.8, 0.8, 2) * half
    else:
        centre = random.uniform(0, (width, height))
    centre = [np.clip(c, min(half, n / 2), max(n - half, n / 2)) for c, n in zip(centre, (width, height), strict=True)]
    along = np.arange(crop_px) + 0.5 - crop_px / 2
    offsets = np.stack(np.meshgrid(along, along), -1) @ (turn @ scale).T
    positions = offsets + np.array(centre)
    return torch.from_numpy(2 * positions / np.array([width, height]) - 1)[None]


def _displacement(source: Source, crop_px: int, sigma_px: float, random: _Random) -> Tensor:
    """Return a smooth random shift of each position of a grid, in its units; `sigma_px` in px of the sample."""
    shift = smooth_field((crop_px, crop_px), 6, 2, random).permute(0, 2, 3, 1)
    height, width = source.labels.shape[-2:]
    return shift * torch.tensor([2 * sigma_px / width, 2 * sigma_px / height], dtype=torch.float64)


def paste_touching(crop: Crop, donor: Crop, random: _Random, *, objects: int = 4, tries: int = 8) -> None:
    """Paste whole objects of `donor` into free places of `crop` where they touch another object."""
    size = crop.objects.shape[0]
    shift = _ground(crop) - _ground(donor)
    candidates = np.unique(donor.objects)[1:]
    if not len(candidates):
        return
    for label in random.choice(candidates, min(objects, len(candidates)), replace=False):
        y, x = np.nonzero(donor.objects == label)
        if y.min() == 0 or x.min() == 0 or y.max() == size - 1 or x.max() == size - 1 or len(y) < 12:
            continue
        for _ in range(tries):
            to_y = y + int(random.integers(-y.min(), size - y.max()))
            to_x = x + int(random.integers(-x.min(), size - x.max()))
            if crop.objects[to_y, to_x].any() or not _touches(crop.objects, to_y, to_x):
                continue
            crop.pixels[:, to_y, to_x] = donor.pixels[:, y, x] + shift
            for plane, pasted in zip(crop.labels, donor.labels, strict=True):
                plane[to_y, to_x] = np.where(pasted[y, x] > 0, plane.max() + 1, 0)
            crop.outer[:, to_y, to_x] = donor.outer[:, y, x]
            crop.inner[:, to_y, to_x] = donor.inner[:, y, x]
            break


def _ground(crop: Crop) -> float:
    outside = crop.objects == 0
    return float(np.median(crop.pixels[:, outside])) if outside.any() else 0.0


def _touches(labels: NDArray[np.int32], y: NDArray[np.int64], x: NDArray[np.int64], reach: int = 2) -> bool:
    last = labels.shape[0] - 1
    return any(
        labels[np.clip(y + dy, 0, last), np.clip(x + dx, 0, last)].any()
        for dy, dx in ((-reach, 0), (reach, 0), (0, -reach), (0, reach))
    )


def _photographed(crop: Crop, spec: Augmentation, random: _Random) -> NDArray[np.float32]:
    """Return the crop's pixels as another microscope, stain, camera and exposure would show them, role by role."""
    if random.random() < spec.empty_share:
        crop.clear(np.ones(crop.objects.shape, bool))
        crop.pixels = np.zeros_like(crop.pixels)
    elif spec.tissue:
        restain(crop, spec.tissue, random)
    return np.stack([_one_role(torch.from_numpy(plane)[None, None], crop.objects, random) for plane in crop.pixels])


def _one_role(pixels: Tensor, labels: NDArray[np.int32], random: _Random) -> NDArray[np.float32]:
    if random.random() < 0.15:
        pixels = _uneven_stain(pixels, labels, random)
    pixels = pixels.clamp_min(0) ** float(np.exp(random.normal(0, 0.2)))
    if random.random() < 0.15:
        pixels = pixels + random.uniform(0.1, 0.5) * blurred(pixels, random.uniform(5, 16))
    if random.random() < 0.25:
        pixels = blurred(pixels, random.uniform(0.4, 2.2))
    if random.random() < 0.25:
        pixels = pixels + _slope(labels.shape, random) * random.uniform(0, 0.5)
    pixels = _noisy(pixels, random)
    if random.random() < 0.25 and (labels > 0).mean() > 0.05:
        low, high = torch.quantile(pixels.flatten(), torch.tensor([0.01, 0.998]))
        pixels = (pixels - low) / (high - low).clamp_min(1e-3)
    pixels = pixels * float(np.exp(random.normal(0, 0.25))) + float(random.normal(0, 0.04))
    return pixels.clamp(-1, 5)[0, 0].float().numpy()


def _uneven_stain(pixels: Tensor, labels: NDArray[np.int32], random: _Random) -> Tensor:
    """Make each object brighter or dimmer by its own factor, with soft transitions."""
    factors = np.exp(random.normal(0, 0.35, int(labels.max()) + 1)).astype(np.float32)
    factors[0] = 1
    soft = blurred(torch.from_numpy(factors[labels])[None, None], 0.8)
    return pixels * soft


def _slope(shape: tuple[int, ...], random: _Random) -> Tensor:
    """Return a smooth background of range 0…1: a plane plus a broad bump."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    plane = random.normal() * y + random.normal() * x
    centre = random.uniform(-1, 1, 2)
    plane = plane + random.normal() * np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / random.uniform(0.2, 2))
    plane = (plane - plane.min()) / max(float(np.ptp(plane)), 1e-6)
    return torch.from_numpy(plane.astype(np.float32))[None, None]


def _noisy(pixels: Tensor, random: _Random) -> Tensor:
    """Add camera noise (even) and photon noise (grows with the root of the signal), sometimes grainy."""
    strength = np.exp(random.uniform(np.log(0.002), np.log(0.12)))
    photon = np.exp(random.uniform(np.log(0.002), np.log(0.10)))
    noise = torch.from_numpy(random.standard_normal(tuple(pixels.shape), np.float32))
    if random.random() < 0.3:
        noise = 2 * blurred(noise, random.uniform(0.5, 1.0))
    noisy: Tensor = pixels + noise * (strength + photon * pixels.clamp_min(0).sqrt())
    return noisy
