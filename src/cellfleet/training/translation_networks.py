"""The network that predicts a stain from a stack of transmitted-light planes: a 3D feature-net without pooling.

Shapes are (N, P, Y, X) → (N, K, Y, X), with P planes and K stains. Knows no data, loss or file.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from cellfleet.spec.model import Tile
from cellfleet.training.translation_spec import StackFeatureNet

_SHRINK = 2
"""The network works at half resolution: a nucleus of 40 px and its surroundings then fit its receptive field."""


def translation_tile(spec: StackFeatureNet) -> Tile:
    """Return multiple, halo and largest size of a tile; memory grows with planes × widths × area."""
    # One more pixel on the small side for the interpolation back.
    return Tile(multiple=_SHRINK, halo=_SHRINK * (spec.receptive_field // 2 + 1), largest=256)


class StackFeatureNet3D(nn.Module):
    """The augmented-microscopy network of Bannon et al. (Nature Methods 18, 2021), narrower.

    deepcell-tf's ``bn_feature_net_3D`` with planes as depth: (1, k, k) convolutions see one plane each, an
    (P, 1, 1) convolution joins the planes, and 1 × 1 × 1 convolutions decide. Where the feature-net has dilated
    pools, 2 × 2 dilated convolutions stand. The rule of the sizes is that of `FeatureNet2D`. Theirs has 64 features
    a plane and 200 behind the planes, at full resolution; ours works at half resolution, joins the planes before the
    last wide convolution instead of behind it, and takes the local mean from the pixels, but does not divide by the
    local deviation: empty glass would become as loud as cells.

    (1, k, k) convolutions are 2D convolutions with the planes in the batch: the same numbers, and several times as
    fast on a processor.
    """

    def __init__(self, spec: StackFeatureNet, planes: int, stains: int = 1) -> None:
        super().__init__()
        self.spec, self.planes, self.receptive_field = spec, planes, spec.receptive_field
        per_plane: list[nn.Module] = []
        remaining, dilation, channels, convolutions = spec.receptive_field, 1, 1, 0
        while remaining > 4:
            size = 4 if remaining % 2 else 3
            per_plane += _normalised(nn.Conv2d(channels, spec.width, size, dilation=dilation, bias=False))
            channels, remaining, convolutions = spec.width, remaining - size + 1, convolutions + 1
            if convolutions % 2 == 0:
                per_plane += _normalised(nn.Conv2d(channels, channels, 2, dilation=dilation, bias=False))
                remaining, dilation = remaining // 2, dilation * 2
        self.per_plane = nn.Sequential(*per_plane)
        self.joined = nn.Sequential(*_normalised(nn.Conv2d(planes * channels, spec.dense, 1, bias=False)))
        self.decided = nn.Sequential(
            *_normalised(nn.Conv2d(spec.dense, spec.dense, remaining, dilation=dilation, bias=False)),
            *_normalised(nn.Conv2d(spec.dense, spec.dense, 1, bias=False)),
            nn.Conv2d(spec.dense, stains, 1),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (N, P, Y, X) to (N, K, Y, X); Y and X are even."""
        before = self.receptive_field // 2
        small = self._without_shading(functional.avg_pool2d(pixels, _SHRINK))
        padded = functional.pad(small, (before,) * 4, mode="reflect")
        features = self.per_plane(padded.flatten(0, 1).unsqueeze(1))
        stacked = features.reshape(-1, self.planes * features.shape[1], features.shape[2], features.shape[3])
        maps = self.decided(self.joined(stacked))
        return functional.interpolate(maps, scale_factor=float(_SHRINK), mode="bilinear", align_corners=False)

    def _without_shading(self, pixels: Tensor) -> Tensor:
        """Subtract the mean of a box of the receptive field."""
        size = self.receptive_field
        reflected = functional.pad(pixels, (size // 2,) * 4, mode="reflect")
        return pixels - functional.avg_pool2d(reflected, size, stride=1)


def _normalised(convolution: nn.Conv2d) -> list[nn.Module]:
    nn.init.kaiming_normal_(convolution.weight)
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
