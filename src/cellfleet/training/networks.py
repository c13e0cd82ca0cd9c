"""Which network a spec means, and the tiles that it wants. Knows no data, loss or file.

Normalised pixels in, the maps of `HEADS` out for each compartment (logits for the three classes): (N, R, Y, X) →
(N, maps, Y, X). Where a network looks at several planes, each role is given as so many channels side by side.
"""

from __future__ import annotations

from torch import nn

from cellfleet.spec.model import Tile
from cellfleet.training.feature_net import FeatureNet2D, FeatureNet3D
from cellfleet.training.panoptic import LightBackbone, PanopticNet, Pyramid
from cellfleet.training.spec import HEADS, FeatureNet, FeatureNetStack, NetworkSpec, Panoptic, UNet
from cellfleet.training.unet import ResidualUNet

_GROUPS = (1, 1, 3)
"""Heads of the panoptic network: each distance has its own, and the three classes have one."""


def build_network(spec: NetworkSpec, roles: int = 1, maps: int = len(HEADS)) -> nn.Module:
    """Return the network of `spec` with fresh weights.

    Args:
        spec: Which.
        roles: Input channels; of a network of several frames, roles times frames.
        maps: Output maps, `HEADS` for each compartment.
    """
    match spec:
        case UNet():
            return ResidualUNet(spec.widths, roles, maps)
        case FeatureNet():
            return FeatureNet2D(spec.receptive_field, roles, maps)
        case FeatureNetStack():
            return FeatureNet3D(spec.receptive_field, spec.frames, roles // spec.frames, maps)
        case Panoptic():
            return PanopticNet(
                LightBackbone(spec.widths),
                spec.widths[1:],
                roles,
                _GROUPS * (maps // len(HEADS)),
                Pyramid(finest=2, width=spec.pyramid, upsampled=spec.upsampled, dense=spec.upsampled),
                location=spec.location,
            )


def tile_of(spec: NetworkSpec) -> Tile:
    """Return multiple, halo and largest size of a tile, and what a pixel of it takes of the memory.

    The halo of U-Net and pyramid is smaller than their theoretical receptive field, whose rim carries next to no weight
    (docs/decisions/0002-tiles-and-graph.md has the measured difference). The feature-nets work at full resolution
    with 200 maps, of each frame, so that their tiles are small. Memory is what ONNX Runtime was seen to take of
    networks of the default widths: 310, 410, 2 190 and, of five frames, 9 860 bytes per pixel.
    """
    match spec:
        case UNet():
            return Tile(multiple=2 ** len(spec.widths), halo=64, largest=1024, bytes_per_pixel=320)
        case Panoptic():
            return Tile(multiple=2 ** len(spec.widths), halo=64, largest=1024, bytes_per_pixel=420)
        case FeatureNet():
            return Tile(halo=spec.receptive_field // 2, largest=256, bytes_per_pixel=2200)
        case FeatureNetStack():
            return Tile(halo=spec.receptive_field // 2, largest=128, bytes_per_pixel=2000 * spec.frames)
