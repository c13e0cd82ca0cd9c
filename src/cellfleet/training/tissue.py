"""What tissues, cultures and their stains may do to a crop with a nuclear and a membrane channel, in this order.

Drawn tissue is dense and its membranes are rims. Real cells also stand alone, and many stains that serve as a membrane
channel fill the cell's body, show the nucleus through, or fail. Knows no microscope; see `augment` for that.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cellfleet.training.crop import Crop, blurred, smooth_field
from cellfleet.training.spec import Tissue

_NUCLEAR, _MEMBRANE = 0, 1
_Random = np.random.Generator


def restain(crop: Crop, spec: Tissue, random: _Random) -> None:
    """Change which cells of a crop are there and what its first two channels show, in place."""
    if random.random() < spec.thinned_share:
        _thin_out(crop, random)
    if random.random() < spec.cytoplasm_share:
        _show_bodies(crop, random)
    if random.random() < spec.bleeding_share:
        _bleed(crop, random)
    if random.random() < spec.lost_share:
        crop.pixels[_MEMBRANE] = crop.pixels[_NUCLEAR] * random.choice([0.0, random.uniform(0.2, 1)])


def _thin_out(crop: Crop, random: _Random) -> None:
    """Take cells away, in groups and singly; where no cell is left, there is dim ground."""
    cells = crop.objects
    areas = np.bincount(cells.ravel())
    field = smooth_field(cells.shape, 4, 1, random)[0, 0].numpy()
    sums = np.bincount(cells.ravel(), field.ravel(), areas.size)
    worth = sums / np.maximum(areas, 1) + random.normal(0, random.uniform(0.1, 1), areas.size)
    worth[0] = np.inf
    there = np.flatnonzero(areas)[1:] if areas[0] else np.flatnonzero(areas)
    if not there.size:
        return
    gone = (worth <= np.quantile(worth[there], random.uniform(0.2, 0.9)))[cells]
    crop.clear(gone)
    # With a rim around each cell, which is where half of a membrane shows.
    kept = np.minimum(2 * _soft((crop.objects > 0).astype(np.float32), 1.2), 1)
    ground = random.uniform(0, 0.08, (len(crop.pixels), 1, 1)).astype(np.float32)
    crop.pixels += (1 - kept) * (ground - crop.pixels)


def _show_bodies(crop: Crop, random: _Random) -> None:
    """Let the membrane channel show bodies: bright in the middle or flat, grainy, of a level per cell."""
    cells, outer = crop.objects, crop.outer[0]
    levels = np.exp(random.normal(0, random.uniform(0.1, 0.6), int(cells.max()) + 1)).astype(np.float32)
    levels[0] = 0
    floor = random.uniform(0.1, 1)
    body = levels[cells] * (floor + (1 - floor) * outer ** random.uniform(0.3, 2))
    if random.random() < 0.6:
        body *= _grain(cells.shape, random)
    nuclei = (crop.labels[-1] > 0).astype(np.float32)
    if random.random() < 0.5:
        body *= 1 + random.uniform(0, 3) * _soft(nuclei, random.uniform(3, 8))
    if random.random() < 0.5:
        body *= 1 + random.uniform(-0.9, 0.3) * nuclei
    body = _soft(body.astype(np.float32), random.uniform(0.4, 1.5))
    body *= random.uniform(0.4, 1.2) / max(float(np.quantile(body, 0.99)), 1e-3)
    rims = crop.pixels[_MEMBRANE]
    # In half of the crops rims show nowhere, as where a stain is one of the cytoplasm.
    crop.pixels[_MEMBRANE] = body + (rims * random.uniform(0, 1) if random.random() < 0.5 else random.uniform(0, 0.06))


def _bleed(crop: Crop, random: _Random) -> None:
    if random.random() < 0.6:
        crop.pixels[_MEMBRANE] += random.uniform(0.05, 0.6) * crop.pixels[_NUCLEAR]
    else:
        crop.pixels[_NUCLEAR] += random.uniform(0.05, 0.35) * crop.pixels[_MEMBRANE]


def _grain(shape: tuple[int, ...], random: _Random) -> NDArray[np.float32]:
    """Return factors around 1 that vary from organelle to organelle."""
    sigma = random.uniform(0.6, 2.5)
    noise = _soft(random.standard_normal(shape, np.float32), sigma) * (2 * sigma)
    factors: NDArray[np.float32] = np.exp(random.uniform(0.1, 0.6) * noise).astype(np.float32)
    return factors


def _soft(plane: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    found: NDArray[np.float32] = blurred(torch.from_numpy(plane)[None, None], sigma_px)[0, 0].numpy()
    return found
