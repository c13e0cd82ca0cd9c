"""Random crops: zoom, turns, pasted neighbours, and the ways in which microscopes differ. Knows no network.

Every batch is a function of (samples, spec, seed, step): a resumed run sees the batches it would have seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from cellfleet.training.dataset import Targets
from cellfleet.training.spec import Augmentation
from cellfleet.training.targets import classes

_Random = np.random.Generator
_NEAR_OBJECT_SHARE = 0.85
"""Share of crops placed so that some object is in view: empty ground teaches little."""


@dataclass
class Crop:
    """One training sample, changed in place by the steps below."""

    pixels: NDArray[np.float32]
    """(R, Y, X)."""
    labels: NDArray[np.int32]
    """(Y, X)."""
    outer: NDArray[np.float32]
    inner: NDArray[np.float32]


class Batches(torch.utils.data.Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Step → (pixels (N, R, Y, X), distances (N, 2, Y, X), classes (N, Y, X) int64)."""

    def __init__(self, samples: list[Targets], spec: Augmentation, *, crop_px: int, batch: int, seed: int) -> None:
        self.spec, self.crop_px, self.batch, self.seed = spec, crop_px, batch, seed
        self.sources = [Source.of(s) for s in samples]
        weights = np.sqrt([s.labels.numel() for s in self.sources])
        self.chances = weights / weights.sum()

    def __len__(self) -> int:
        """Steps are counted from 0 without end; a data loader wants a number."""
        return 1 << 40

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        random = np.random.default_rng((self.seed, step))
        torch.set_num_threads(1)
        picked = random.choice(len(self.sources), self.batch, p=self.chances)
        crops = [cut(self.sources[i], self.spec, self.crop_px, random) for i in picked]
        donors = [*crops[1:], crops[0]]
        for crop, donor in zip(crops, donors, strict=True):
            if random.random() < self.spec.touching_share:
                paste_touching(crop, donor, random)
        pixels = np.stack([_photographed(crop, self.spec, random) for crop in crops])
        distances = np.stack([[crop.outer, crop.inner] for crop in crops])
        kinds = np.stack([classes(crop.labels) for crop in crops]).astype(np.int64)
        return torch.from_numpy(pixels), torch.from_numpy(distances), torch.from_numpy(kinds)


@dataclass(frozen=True)
class Source:
    """A sample as tensors, with smaller copies of the pixels so that shrinking does not alias."""

    pyramid: list[Tensor]
    """(1, R, Y, X) at 1, 1/2, 1/4."""
    labels: Tensor
    """(1, 1, Y, X) float64: exact for any label number, as grid_sample needs floats."""
    distances: Tensor
    """(1, 2, Y, X)."""
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
            torch.from_numpy(targets.sample.labels).double()[None, None],
            torch.from_numpy(np.stack([targets.outer, targets.inner]))[None],
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
    level = min(int(max(0.0, np.log2(1.4 / zoom))), len(source.pyramid) - 1)
    labels = functional.grid_sample(source.labels, grid, "nearest", "reflection", align_corners=False)
    grid = grid.float()
    pixels = functional.grid_sample(source.pyramid[level], grid, "bilinear", "reflection", align_corners=False)
    distances = functional.grid_sample(source.distances, grid, "bilinear", "reflection", align_corners=False)[0]
    instance = labels[0, 0].numpy().astype(np.int32)
    inside = instance > 0
    outer, inner = distances.numpy() * inside
    return Crop(pixels[0].numpy(), instance, outer, inner)


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


def paste_touching(crop: Crop, donor: Crop, random: _Random, *, objects: int = 4, tries: int = 8) -> None:
    """Paste whole objects of `donor` into free places of `crop` where they touch another object."""
    size = crop.labels.shape[0]
    shift = float(np.median(crop.pixels[:, crop.labels == 0])) if (crop.labels == 0).any() else 0.0
    shift -= float(np.median(donor.pixels[:, donor.labels == 0])) if (donor.labels == 0).any() else 0.0
    candidates = np.unique(donor.labels)[1:]
    if not len(candidates):
        return
    for label in random.choice(candidates, min(objects, len(candidates)), replace=False):
        y, x = np.nonzero(donor.labels == label)
        if y.min() == 0 or x.min() == 0 or y.max() == size - 1 or x.max() == size - 1 or len(y) < 12:
            continue
        for _ in range(tries):
            to_y = y + int(random.integers(-y.min(), size - y.max()))
            to_x = x + int(random.integers(-x.min(), size - x.max()))
            if crop.labels[to_y, to_x].any() or not _touches(crop.labels, to_y, to_x):
                continue
            crop.pixels[:, to_y, to_x] = donor.pixels[:, y, x] + shift
            crop.labels[to_y, to_x] = crop.labels.max() + 1
            crop.outer[to_y, to_x] = donor.outer[y, x]
            crop.inner[to_y, to_x] = donor.inner[y, x]
            break


def _touches(labels: NDArray[np.int32], y: NDArray[np.int64], x: NDArray[np.int64], reach: int = 2) -> bool:
    last = labels.shape[0] - 1
    return any(
        labels[np.clip(y + dy, 0, last), np.clip(x + dx, 0, last)].any()
        for dy, dx in ((-reach, 0), (reach, 0), (0, -reach), (0, reach))
    )


def _photographed(crop: Crop, spec: Augmentation, random: _Random) -> NDArray[np.float32]:
    """Return the crop's pixels as another microscope, stain, camera and exposure would show them."""
    pixels = torch.from_numpy(crop.pixels)[None]
    if random.random() < spec.empty_share:
        crop.labels[:], crop.outer[:], crop.inner[:] = 0, 0, 0
        pixels = torch.zeros_like(pixels)
    if random.random() < 0.15:
        pixels = _uneven_stain(pixels, crop.labels, random)
    pixels = pixels.clamp_min(0) ** float(np.exp(random.normal(0, 0.2)))
    if random.random() < 0.15:
        pixels = pixels + random.uniform(0.1, 0.5) * _blurred(pixels, random.uniform(5, 16))
    if random.random() < 0.25:
        pixels = _blurred(pixels, random.uniform(0.4, 2.2))
    if random.random() < 0.25:
        pixels = pixels + _slope(crop.labels.shape, random) * random.uniform(0, 0.5)
    pixels = _noisy(pixels, random)
    if random.random() < 0.25 and (crop.labels > 0).mean() > 0.05:
        low, high = torch.quantile(pixels.flatten(), torch.tensor([0.01, 0.998]))
        pixels = (pixels - low) / (high - low).clamp_min(1e-3)
    pixels = pixels * float(np.exp(random.normal(0, 0.25))) + float(random.normal(0, 0.04))
    return pixels.clamp(-1, 5)[0].float().numpy()


def _uneven_stain(pixels: Tensor, labels: NDArray[np.int32], random: _Random) -> Tensor:
    """Make each object brighter or dimmer by its own factor, with soft transitions."""
    factors = np.exp(random.normal(0, 0.35, int(labels.max()) + 1)).astype(np.float32)
    factors[0] = 1
    soft = _blurred(torch.from_numpy(factors[labels])[None, None], 0.8)
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
        noise = 2 * _blurred(noise, random.uniform(0.5, 1.0))
    noisy: Tensor = pixels + noise * (strength + photon * pixels.clamp_min(0).sqrt())
    return noisy


def _blurred(pixels: Tensor, sigma_px: float) -> Tensor:
    """Separable Gaussian, reflected edges, (1, R, Y, X)."""
    reach = min(int(3 * sigma_px + 0.5), pixels.shape[-1] - 1)
    if reach < 1:
        return pixels
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma_px) ** 2)
    taps = (taps / taps.sum()).to(pixels.dtype)
    roles = pixels.shape[1]
    for padding, kernel in (
        ((reach, reach, 0, 0), taps.view(1, 1, 1, -1)),
        ((0, 0, reach, reach), taps.view(1, 1, -1, 1)),
    ):
        padded = functional.pad(pixels, padding, mode="reflect")
        pixels = functional.conv2d(padded, kernel.repeat(roles, 1, 1, 1), groups=roles)
    return pixels
