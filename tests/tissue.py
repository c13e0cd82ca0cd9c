"""A drawn sheet of cells for tests of models with a nuclear and a membrane channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class Sheet:
    """What is drawn, and what it shows."""

    pixels: NDArray[np.uint16]
    """(2, Y, X): nuclear, membrane."""
    cells: NDArray[np.int32]
    nuclei: NDArray[np.int32]


def sheet(side: int = 192, spacing: int = 24, seed: int = 0) -> Sheet:
    """Draw cells of about `spacing` px around jittered points, each with a rim and a nucleus."""
    random = np.random.default_rng(seed)
    y, x = (grid.ravel() for grid in np.mgrid[spacing // 2 : side : spacing, spacing // 2 : side : spacing])
    points = np.stack([y, x + (y // spacing % 2) * spacing / 2], 1) + random.normal(0, 2, (len(y), 2))
    rows, columns = np.mgrid[:side, :side]
    distances = np.stack([np.hypot(rows - py, columns - px) for py, px in points])
    nearest = np.sort(distances, 0)[:2]
    cells = np.where(nearest[0] < 0.62 * spacing, np.argmin(distances, 0) + 1, 0).astype(np.int32)
    rim = np.clip(2.5 - (nearest[1] - nearest[0]), 0, 2) + np.clip(2 - abs(nearest[0] - 0.62 * spacing), 0, 2)
    nuclei = np.where(nearest[0] < 0.24 * spacing, cells, 0).astype(np.int32)
    shown = np.stack([nuclei > 0, rim]) * np.array([3000, 1500])[:, None, None]
    shown = 200 + ndimage.gaussian_filter(shown.astype(float), (0, 1, 1))
    return Sheet(random.poisson(shown).astype(np.uint16), cells, nuclei)
