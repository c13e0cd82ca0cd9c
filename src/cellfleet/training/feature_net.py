"""The paper's feature-nets, layer for layer: of one plane, and of several. Knows no data, loss or file.

Layers and numbers of parameters are those of deepcell-tf's ``bn_feature_net_2D`` and ``bn_feature_net_3D`` with
``dilated=True``, written anew from their description.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_WIDTH, _DENSE = 64, 200
"""Maps of the convolutions, and of the last one, which takes what remains of the receptive field."""


class FeatureNet2D(nn.Module):
    """Every output pixel from a square of `receptive_field` px of one plane."""

    def __init__(self, receptive_field: int, roles: int, maps: int) -> None:
        super().__init__()
        self.receptive_field = receptive_field
        self.layers = nn.Sequential(*_convolutions(receptive_field, roles), *_decision(maps))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, R, Y, X) to (N, maps, Y, X)."""
        maps: Tensor = self.layers(_framed(pixels, self.receptive_field))
        return maps


class FeatureNet3D(nn.Module):
    """Every output pixel from a square of `receptive_field` px of each of `frames` planes; the middle one's maps.

    The same convolutions see each plane, as those of the paper, which are 1 px deep. Its convolution of (frames, 1, 1)
    over them is one of 1 × 1 over all their maps. So the graph is one of two dimensions, channels last as the others.
    """

    def __init__(self, receptive_field: int, frames: int, roles: int, maps: int) -> None:
        super().__init__()
        self.receptive_field, self.frames, self.roles = receptive_field, frames, roles
        self.of_each = nn.Sequential(*_convolutions(receptive_field, roles))
        self.of_all = nn.Sequential(*_normalised(nn.Conv2d(frames * _DENSE, _DENSE, 1)), *_decision(maps))

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, R · frames, Y, X), the planes of a role side by side, to (N, maps, Y, X)."""
        images, _, height, width = pixels.shape
        by_frame = pixels.reshape(images, self.roles, self.frames, height, width).transpose(1, 2)
        planes = by_frame.reshape(images * self.frames, self.roles, height, width)
        features = self.of_each(_framed(planes, self.receptive_field))
        maps: Tensor = self.of_all(features.reshape(images, self.frames * _DENSE, height, width))
        return maps


def _convolutions(receptive_field: int, roles: int) -> list[nn.Module]:
    """Return the layers that reduce the receptive field to one pixel.

    Rule: a convolution is 3 wide where the remaining receptive field is even, else 4; after every second one a
    dilated 2 × 2 maximum pool halves what remains and doubles the dilation; at 4 or less a last convolution takes
    all of it. Batch norm and ReLU follow each convolution.
    """
    layers: list[nn.Module] = []
    remaining, dilation, channels, convolutions = receptive_field, 1, roles, 0
    while remaining > 4:
        size = 4 if remaining % 2 else 3
        layers += _normalised(nn.Conv2d(channels, _WIDTH, size, dilation=dilation))
        channels, remaining, convolutions = _WIDTH, remaining - size + 1, convolutions + 1
        if convolutions % 2 == 0:
            layers.append(nn.MaxPool2d(2, stride=1, dilation=dilation))
            remaining, dilation = remaining // 2, dilation * 2
    return layers + _normalised(nn.Conv2d(channels, _DENSE, remaining, dilation=dilation))


def _decision(maps: int) -> list[nn.Module]:
    return [*_normalised(nn.Conv2d(_DENSE, _DENSE, 1)), nn.Conv2d(_DENSE, maps, 1)]


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    nn.init.kaiming_normal_(convolution.weight)
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]


def _framed(pixels: Tensor, receptive_field: int) -> Tensor:
    """Subtract the mean, divide by the standard deviation of a box of the receptive field, and mirror the rim."""
    before = receptive_field // 2
    reflected = functional.pad(pixels, (before,) * 4, mode="reflect")
    mean = functional.avg_pool2d(reflected, receptive_field, stride=1)
    variance = functional.avg_pool2d(reflected * reflected, receptive_field, stride=1) - mean * mean
    normalised = (pixels - mean) / (variance.clamp_min(0) + 1e-3).sqrt()
    return functional.pad(normalised, (before,) * 4, mode="reflect")
