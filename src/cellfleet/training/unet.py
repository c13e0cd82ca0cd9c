"""Our network: a residual U-Net at half resolution. Knows no data, loss or file."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional


class ResidualUNet(nn.Module):
    """U-Net of residual blocks; a strided stem halves the resolution, a pixel shuffle restores it."""

    def __init__(self, widths: tuple[int, ...], roles: int, maps: int) -> None:
        super().__init__()
        self.stem = halving_stem(roles, widths[0])
        self.down = nn.ModuleList(
            Residual(before, after) for before, after in zip((widths[0], *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            Residual(fine + coarse, fine) for fine, coarse in reversed(list(itertools.pairwise(widths)))
        )
        self.head = nn.Conv2d(widths[0], 4 * maps, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, R, Y, X) to (N, maps, Y, X); Y and X are multiples of 2 ** levels."""
        features = self.stem(pixels)
        skips = []
        for level, block in enumerate(self.down):
            features = block(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            features = block(torch.cat([functional.interpolate(features, scale_factor=2.0), skip], 1))
        shuffled: Tensor = functional.pixel_shuffle(self.head(features), 2)
        return shuffled


def halving_stem(roles: int, width: int) -> nn.Sequential:
    """Return (N, R, Y, X) → (N, width, Y / 2, X / 2)."""
    # 6 × 6 at stride 2 = pixel-unshuffle followed by a 3 × 3 convolution, as one ONNX node.
    convolution = nn.Conv2d(roles, width, 6, stride=2, padding=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


class Residual(nn.Module):
    """Two 3 × 3 convolutions with batch norm beside a shortcut."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, before, Y, X) to (N, after, Y, X)."""
        return functional.relu(self.second(self.first(features)) + self.shortcut(features))
