"""The networks: normalised pixels in, the maps of `HEADS` out for each compartment (logits for the three classes).

Shapes are (N, R, Y, X) → (N, maps, Y, X). Knows no data, loss or file.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.spec.model import Tile
from cellfleet.training.spec import HEADS, FeatureNet, UNet


def build_network(spec: UNet | FeatureNet, roles: int = 1, maps: int = len(HEADS)) -> nn.Module:
    """Return the network of `spec` with fresh weights: `roles` input channels, `maps` output maps."""
    if isinstance(spec, FeatureNet):
        return FeatureNet2D(spec.receptive_field, roles, maps)
    return ResidualUNet(spec.widths, roles, maps)


def tile_of(spec: UNet | FeatureNet) -> Tile:
    """Return multiple, halo and largest size of a tile.

    The U-Net's halo is smaller than its theoretical receptive field, whose rim carries next to no weight
    (docs/decisions/0002-tiles-and-graph.md has the measured difference). The feature-net works at full resolution
    with 200 maps, so that its tiles are small.
    """
    if isinstance(spec, UNet):
        return Tile(multiple=2 ** len(spec.widths), halo=64, largest=1024)
    return Tile(multiple=1, halo=spec.receptive_field // 2, largest=256)


class ResidualUNet(nn.Module):
    """U-Net of residual blocks; a strided stem halves the resolution, a pixel shuffle restores it."""

    def __init__(self, widths: tuple[int, ...], roles: int, maps: int = len(HEADS)) -> None:
        super().__init__()
        # 6 × 6 at stride 2 = pixel-unshuffle followed by a 3 × 3 convolution, as one ONNX node.
        self.stem = nn.Sequential(
            nn.Conv2d(roles, widths[0], 6, stride=2, padding=2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU()
        )
        self.down = nn.ModuleList(
            _Residual(before, after) for before, after in zip((widths[0], *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            _Residual(fine + coarse, fine) for fine, coarse in reversed(list(itertools.pairwise(widths)))
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


class _Residual(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after))
        self.shortcut = nn.Identity() if before == after else nn.Conv2d(before, after, 1)

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(features)) + self.shortcut(features))


class FeatureNet2D(nn.Module):
    """The paper's network, layer for layer (deepcell-tf ``bn_feature_net_2D(dilated=True)``).

    Rule: a convolution is 3 wide where the remaining receptive field is even, else 4; after every second one a
    dilated 2 × 2 maximum pool halves what remains and doubles the dilation; at 4 or less a last convolution takes
    all of it. Batch norm and ReLU follow each convolution.
    """

    def __init__(
        self, receptive_field: int, roles: int, maps: int = len(HEADS), *, width: int = 64, dense: int = 200
    ) -> None:
        super().__init__()
        self.receptive_field = receptive_field
        layers: list[nn.Module] = []
        remaining, dilation, channels, convolutions = receptive_field, 1, roles, 0
        while remaining > 4:
            size = 4 if remaining % 2 else 3
            layers += _normalised(nn.Conv2d(channels, width, size, dilation=dilation))
            channels, remaining, convolutions = width, remaining - size + 1, convolutions + 1
            if convolutions % 2 == 0:
                layers.append(nn.MaxPool2d(2, stride=1, dilation=dilation))
                remaining, dilation = remaining // 2, dilation * 2
        layers += _normalised(nn.Conv2d(channels, dense, remaining, dilation=dilation))
        layers += _normalised(nn.Conv2d(dense, dense, 1))
        layers.append(nn.Conv2d(dense, maps, 1))
        self.layers = nn.Sequential(*layers)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, R, Y, X) to (N, maps, Y, X)."""
        before = self.receptive_field // 2
        padded = functional.pad(self._locally_normalised(pixels), (before,) * 4, mode="reflect")
        maps: Tensor = self.layers(padded)
        return maps

    def _locally_normalised(self, pixels: Tensor) -> Tensor:
        """Subtract the mean and divide by the standard deviation of a box of the receptive field."""
        size = self.receptive_field
        reflected = functional.pad(pixels, (size // 2,) * 4, mode="reflect")
        mean = functional.avg_pool2d(reflected, size, stride=1)
        variance = functional.avg_pool2d(reflected * reflected, size, stride=1) - mean * mean
        return (pixels - mean) / (variance.clamp_min(0) + 1e-3).sqrt()


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    nn.init.kaiming_normal_(convolution.weight)
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
