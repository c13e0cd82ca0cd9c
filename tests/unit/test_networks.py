"""Networks: the papers' own counted parameter by parameter, shapes, and what each promises of its input."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.training.feature_net import FeatureNet2D, FeatureNet3D
from cellfleet.training.networks import build_network, tile_of
from cellfleet.training.panoptic import PanopticNet, Pyramid
from cellfleet.training.spec import HEADS, FeatureNet, FeatureNetStack, NetworkSpec, Panoptic, UNet

SMALL: list[NetworkSpec] = [
    UNet(widths=(4, 6, 8)),
    FeatureNet(receptive_field=21),
    FeatureNetStack(receptive_field=13, frames=3),
    Panoptic(widths=(4, 6, 8), pyramid=6, upsampled=4),
    Panoptic(widths=(4, 6), pyramid=6, upsampled=4, location=True),
]


def _keras_parameters(network: nn.Module) -> int:
    """Keras counts the running mean and variance of a batch norm too."""
    running = sum(b.numel() for name, b in network.named_buffers() if "running" in name)
    return sum(p.numel() for p in network.parameters()) + running


@pytest.mark.parametrize(("receptive_field", "published"), [(41, 426_155), (61, 434_667)])
def test_feature_net_has_the_published_number_of_parameters(receptive_field: int, published: int) -> None:
    assert _keras_parameters(FeatureNet2D(receptive_field, roles=1, maps=3)) == published


def test_feature_net_of_five_frames_has_the_published_number_of_parameters() -> None:
    assert _keras_parameters(FeatureNet3D(41, frames=5, roles=1, maps=3)) == 627_155


class _ResNet50(nn.Module):
    """The backbone of the paper's PanopticNet as Keras builds it, with biases; counted only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7), nn.BatchNorm2d(64))
        self.stages = nn.ModuleList()
        before = 64
        for middle, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
            for _ in range(blocks):
                sizes = [(before, middle, 1), (middle, middle, 3), (middle, 4 * middle, 1)]
                sizes += [(before, 4 * middle, 1)] if before != 4 * middle else []
                self.stages.extend(nn.Sequential(nn.Conv2d(*size), nn.BatchNorm2d(size[1])) for size in sizes)
                before = 4 * middle


def test_the_panoptic_network_of_the_paper_has_its_26_million_parameters() -> None:
    with torch.device("meta"):
        shape = Pyramid(finest=3, width=256, upsampled=64, dense=128)
        network = PanopticNet(_ResNet50(), (512, 1024, 2048), 2, (1, 3, 1, 3), shape, location=True)
    # Lateral convolutions, the finest level's own, and per head three of 3 × 3, 1 × 1 with batch norm, 1 × 1.
    pyramid = (512 + 1024 + 2048 + 3) * 256 + (9 * 256 + 1) * 256
    head = (9 * 256 + 1) * 64 + 2 * (9 * 64 + 1) * 64 + (64 + 1 + 4) * 128
    expected = (4 + 1) * 3 + 23_587_712 + pyramid + 4 * head + (128 + 1) * (1 + 3 + 1 + 3)
    assert _keras_parameters(network) == expected
    assert round(expected / 1e6, 1) == 26.0


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("roles", [1, 2])
@pytest.mark.parametrize("compartments", [1, 2])
def test_output_has_the_size_of_the_input(spec: NetworkSpec, roles: int, compartments: int) -> None:
    step, maps = tile_of(spec).multiple, compartments * len(HEADS)
    frames = spec.frames if isinstance(spec, FeatureNetStack) else 1
    pixels = torch.rand(2, roles * frames, 6 * step if step > 1 else 33, 5 * step if step > 1 else 47)
    with torch.no_grad():
        found = build_network(spec, roles * frames, maps).eval()(pixels)
    assert found.shape == (2, maps, *pixels.shape[2:])


@pytest.mark.parametrize("receptive_field", [21, 41])
def test_convolutions_of_the_feature_net_see_exactly_their_receptive_field(receptive_field: int) -> None:
    torch.manual_seed(0)
    network = FeatureNet2D(receptive_field, roles=1, maps=5).eval()
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


def _as_in_three_dimensions(network: FeatureNet3D, pixels: Tensor) -> Tensor:
    """The network as published: convolutions of 1 × k × k over a volume, then one of (frames, 1, 1)."""
    roles, frames = network.roles, network.frames
    volume = pixels.view(len(pixels), roles, frames, *pixels.shape[2:])
    features = []
    for index in range(frames):
        alone = FeatureNet3D(network.receptive_field, 1, roles, 1).eval()
        alone.of_each.load_state_dict(network.of_each.state_dict())
        alone.of_all = nn.Sequential()
        features.append(alone(volume[:, :, index]))
    deep = torch.stack(features, 2)
    joint = network.of_all[0]
    assert isinstance(joint, nn.Conv2d)
    weight = joint.weight.view(joint.out_channels, frames, -1).permute(0, 2, 1)[..., None, None]
    joined = functional.conv3d(deep, weight, joint.bias)[:, :, 0]
    found: Tensor = network.of_all[1:](joined)
    return found


@pytest.mark.parametrize("roles", [1, 2])
def test_the_feature_net_of_frames_is_the_three_dimensional_one(roles: int) -> None:
    torch.manual_seed(0)
    network = FeatureNet3D(13, frames=3, roles=roles, maps=5).eval()
    pixels = torch.rand(2, roles * 3, 20, 24)
    with torch.no_grad():
        torch.testing.assert_close(network(pixels), _as_in_three_dimensions(network, pixels), rtol=1e-4, atol=1e-4)


def test_every_frame_counts_and_its_place_too() -> None:
    torch.manual_seed(0)
    network = FeatureNet3D(13, frames=3, roles=1, maps=5).eval()
    pixels = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        found = [network(pixels[:, list(order)]) for order in itertools.permutations(range(3))]
    for one, other in itertools.combinations(found, 2):
        assert (one - other).abs().max() > 1e-3


def test_the_panoptic_network_can_be_told_where_a_pixel_is() -> None:
    network = build_network(Panoptic(widths=(4, 6), pyramid=6, upsampled=4, location=True)).eval()
    assert isinstance(network, PanopticNet)
    given: list[Tensor] = []
    network.enter.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    pixels = torch.rand(2, 1, 8, 12)
    network(pixels)
    y, x = torch.linspace(0, 1, 8), torch.linspace(0, 1, 12)
    torch.testing.assert_close(given[0][:, :1], pixels)
    torch.testing.assert_close(given[0][:, 1], y[:, None].expand(2, 8, 12))
    torch.testing.assert_close(given[0][:, 2], x.expand(2, 8, 12))


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.kind)
def test_the_graph_computes_what_the_network_does_at_any_size(spec: NetworkSpec, tmp_path: Path) -> None:
    torch.manual_seed(0)
    frames = spec.frames if isinstance(spec, FeatureNetStack) else 1
    network, step = build_network(spec, frames).eval(), max(8, tile_of(spec).multiple)
    path, axes = tmp_path / "graph.onnx", {0: "n", 2: "y", 3: "x"}
    with pytest.warns() as told:
        torch.onnx.export(
            network,
            (torch.rand(1, frames, 4 * step, 4 * step),),
            str(path),
            input_names=["pixels"],
            output_names=["maps"],
            dynamic_axes={"pixels": axes, "maps": axes},
            opset_version=17,
            dynamo=False,
        )
    assert not [one for one in told if issubclass(one.category, torch.jit.TracerWarning)]
    pixels = torch.rand(2, frames, 5 * step, 7 * step)
    (found,) = onnxruntime.InferenceSession(path).run(None, {"pixels": pixels.numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(found, network(pixels).numpy(), rtol=1e-3, atol=1e-3)
