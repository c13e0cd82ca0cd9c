"""A network in the manner of DeepCell's PanopticNet: backbone, feature pyramid, a semantic head per group of maps.

The shape is the published one; `PanopticNet` takes any backbone and any widths, so that the paper's own (ResNet-50, a
pyramid of 256) can be built and counted. `LightBackbone` is ours. Knows no data, loss or file.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.training.unet import Residual, halving_stem


class Pyramid(NamedTuple):
    """The shape of what follows the backbone."""

    finest: int
    """The finest features of the backbone are 2 ** finest times smaller than the image."""
    width: int
    """Maps of each level of the pyramid."""
    upsampled: int
    """Maps of each head's convolutions between the pyramid and the image's own size."""
    dense: int
    """Maps of each head's last convolution but one."""


class PanopticNet(nn.Module):
    """Backbone → pyramid → heads.

    Of the pyramid only what the heads depend on is built: its finest level, which takes up all coarser ones.
    """

    def __init__(
        self,
        backbone: nn.Module,
        widths: Sequence[int],
        roles: int,
        groups: Sequence[int],
        pyramid: Pyramid,
        *,
        location: bool = False,
    ) -> None:
        """Put the parts together.

        Args:
            backbone: (N, 3, Y, X) → list of features, each half the size of the one before, the finest first.
            widths: Maps of each of them.
            roles: Input channels.
            groups: Output maps of each semantic head.
            pyramid: What is built on the backbone.
            location: Whether each pixel's place in the tile, y and x from 0 to 1, is given beside the roles.
        """
        super().__init__()
        self.location = location
        self.enter = nn.Conv2d(roles + 2 * location, 3, 1)
        self.backbone = backbone
        self.lateral = nn.ModuleList(nn.Conv2d(width, pyramid.width, 1) for width in widths)
        self.smooth = nn.Conv2d(pyramid.width, pyramid.width, 3, padding=1)
        self.heads = nn.ModuleList(_head(pyramid, maps) for maps in groups)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, R, Y, X) to (N, maps, Y, X), the groups one after the other."""
        given = torch.cat([pixels, _places(pixels)], 1) if self.location else pixels
        features = self.backbone(self.enter(given))
        levels = [lateral(level) for lateral, level in zip(self.lateral, features, strict=True)]
        merged = levels.pop()
        while levels:
            merged = levels.pop() + functional.interpolate(merged, scale_factor=2.0)
        finest = self.smooth(merged)
        return torch.cat([head(finest) for head in self.heads], 1)


class LightBackbone(nn.Module):
    """The encoder of our U-Net: features at 1/4 of the size and below, 1/2 only on the way."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = nn.Sequential(halving_stem(3, widths[0]), Residual(widths[0], widths[0]))
        self.down = nn.ModuleList(Residual(before, after) for before, after in itertools.pairwise(widths))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Map (N, 3, Y, X) to features, the finest first; Y and X are multiples of 2 ** levels."""
        features, found = self.stem(pixels), []
        for block in self.down:
            features = block(functional.max_pool2d(features, 2))
            found.append(features)
        return found


def _head(pyramid: Pyramid, maps: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    width, dense = pyramid.width, pyramid.dense
    for _ in range(pyramid.finest):
        layers += [nn.Conv2d(width, pyramid.upsampled, 3, padding=1), nn.Upsample(scale_factor=2.0, mode="bilinear")]
        width = pyramid.upsampled
    layers += [nn.Conv2d(width, dense, 1), nn.BatchNorm2d(dense), nn.ReLU(), nn.Conv2d(dense, maps, 1)]
    return nn.Sequential(*layers)


def _places(pixels: Tensor) -> Tensor:
    """Return (N, 2, Y, X): y and x, 0 at the first row or column, 1 at the last."""
    images, _, height, width = pixels.shape
    # A linspace, in words that the ONNX exporter follows for any size.
    y, x = (torch.arange(length, device=pixels.device).to(pixels) / (length - 1) for length in (height, width))
    grid = torch.stack([y[:, None].expand(height, width), x[None, :].expand(height, width)])
    return grid.expand(images, 2, height, width)
