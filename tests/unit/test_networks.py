"""Networks: the paper's feature-net layer for layer, shapes, and the receptive field that the name promises."""

from __future__ import annotations

import pytest
import torch

from cellfleet.training.networks import FeatureNet2D, build_network, tile_of
from cellfleet.training.spec import HEADS, FeatureNet, UNet


def _keras_parameters(network: torch.nn.Module) -> int:
    """Keras counts the running mean and variance of a batch norm too."""
    running = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    return sum(p.numel() for p in network.parameters()) + running


@pytest.mark.parametrize(("receptive_field", "published"), [(41, 426_155), (61, 434_667)])
def test_feature_net_has_the_published_number_of_parameters(receptive_field: int, published: int) -> None:
    network = FeatureNet2D(receptive_field, roles=1)
    # Published for 3 output maps of 200 weights and a bias each; we have as many as there are heads.
    assert _keras_parameters(network) == published + 201 * (len(HEADS) - 3)


@pytest.mark.parametrize("spec", [UNet(widths=(4, 6, 8)), FeatureNet(receptive_field=21)])
@pytest.mark.parametrize("roles", [1, 2])
def test_output_has_the_size_of_the_input(spec: UNet | FeatureNet, roles: int) -> None:
    step = tile_of(spec).multiple
    pixels = torch.rand(2, roles, 6 * step if step > 1 else 33, 5 * step if step > 1 else 47)
    with torch.no_grad():
        maps = build_network(spec, roles).eval()(pixels)
    assert maps.shape == (2, len(HEADS), *pixels.shape[2:])


@pytest.mark.parametrize("receptive_field", [21, 41])
def test_convolutions_of_the_feature_net_see_exactly_their_receptive_field(receptive_field: int) -> None:
    torch.manual_seed(0)
    network = FeatureNet2D(receptive_field, roles=1).eval()
    size = 3 * receptive_field
    centre = size // 2
    padded = torch.rand(1, 1, size, size, requires_grad=True)
    maps = network.layers(padded)
    maps[0, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    assert padded.grad is not None
    rows = padded.grad[0, 0].abs().sum(1).nonzero().ravel()
    assert int(rows.max() - rows.min()) + 1 <= receptive_field
    assert abs(int(rows.min() + rows.max()) // 2 - centre) <= 1
    assert tile_of(FeatureNet(receptive_field=receptive_field)).halo == receptive_field // 2
