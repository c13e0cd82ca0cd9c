"""One training sample while it is changed, and what several changes need. Knows no data set and no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional


@dataclass
class Crop:
    """One training sample, changed in place."""

    pixels: NDArray[np.float32]
    """(R, Y, X)."""
    labels: NDArray[np.int32]
    """(K, Y, X): one plane per compartment, as the maps."""
    outer: NDArray[np.float32]
    inner: NDArray[np.float32]

    @property
    def objects(self) -> NDArray[np.int32]:
        """Label image (Y, X) of the first compartment."""
        first: NDArray[np.int32] = self.labels[0]
        return first

    def clear(self, where: NDArray[np.bool_]) -> None:
        """Take away what is labelled in a mask (Y, X); the pixels stay."""
        for planes in (self.labels, self.outer, self.inner):
            planes[:, where] = 0


def blurred(pixels: Tensor, sigma_px: float) -> Tensor:
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


def smooth_field(shape: tuple[int, int], knots: int, fields: int, random: np.random.Generator) -> Tensor:
    """Return float64 (1, `fields`, Y, X) that varies smoothly, about standard normal at `knots` × `knots` places."""
    coarse = torch.from_numpy(random.standard_normal((1, fields, knots, knots)))
    return functional.interpolate(coarse, shape, mode="bicubic", align_corners=True)
