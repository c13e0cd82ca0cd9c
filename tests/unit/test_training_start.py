"""A run that begins with another's weights: what was learned stays, what is new begins harmless."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from cellfleet.errors import CellfleetError, ModelError, TrainingError
from cellfleet.models.package import WEIGHTS
from cellfleet.training.dataset import Sample
from cellfleet.training.export import Packaged
from cellfleet.training.loop import CHECKPOINT, SPEC
from cellfleet.training.networks import build_network
from cellfleet.training.pace import EVERY_EPOCH
from cellfleet.training.run import train_on
from cellfleet.training.spec import HEADS, FeatureNet, TrainSpec, UNet
from cellfleet.training.start import find_start, gentler, name_of, save_weights, take_weights

SMALL = UNet(widths=(4, 6))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one channel and one compartment."""
    network = build_network(SMALL).eval()
    torch.save({"average": network.state_dict()}, tmp_path / CHECKPOINT)
    (tmp_path / SPEC).write_text(TrainSpec(name="nuclei", network=SMALL).model_dump_json(), encoding="utf-8")
    return tmp_path


def test_each_compartment_begins_with_what_the_run_says_of_its_own_and_new_channels_count_nothing(run: Path) -> None:
    before, after = build_network(SMALL).eval(), build_network(SMALL, roles=2, maps=2 * len(HEADS)).eval()
    take_weights(before, run)
    take_weights(after, run)
    pixels = torch.rand(1, 2, 16, 16)
    with torch.no_grad():
        one, both = before(pixels[:, :1]), after(pixels)
    assert one.abs().max() > 0
    torch.testing.assert_close(both, torch.cat([one, one], 1))
    assert name_of(run) == "nuclei"


def test_what_began_with_zeros_learns(run: Path) -> None:
    network = build_network(SMALL, roles=2)
    take_weights(network, run)
    network(torch.rand(2, 2, 16, 16)).square().mean().backward()  # type: ignore[no-untyped-call]
    gradient = network.get_parameter("stem.0.weight").grad
    assert gradient is not None and gradient[:, 1].abs().max() > 0


def test_a_model_brings_its_weights_in_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    before, after = build_network(UNet()).eval(), build_network(UNet()).eval()
    save_weights(before, tmp_path)
    take_weights(after, tmp_path)
    for name, kernel in before.state_dict().items():
        assert (after.state_dict()[name] - kernel).abs().max() <= kernel.abs().max() / 250, name
    assert (tmp_path / WEIGHTS).stat().st_size < 1.1 * sum(p.numel() for p in before.parameters())


def test_the_bundled_model_is_begun_with_by_its_name() -> None:
    folder = find_start("nuclei")
    assert name_of(folder) == "nuclei"
    network = build_network(UNet()).eval()
    take_weights(network, folder)
    pixels, contrast = (torch.from_numpy(np.load(folder / f"test_{name}.npy")) for name in ("pixels", "contrast"))
    with torch.no_grad():
        heads = Packaged(network).eval()(pixels, contrast).numpy()
    # The bundled graph computes in 8 bits.
    assert np.abs(heads.astype(int) - np.load(folder / "test_heads.npy")).mean() < 3


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(ModelError, match=r"no-such-model.*E401"):
        find_start("no-such-model")


@pytest.mark.parametrize("other", [UNet(widths=(4, 8)), FeatureNet(receptive_field=21)])
def test_a_run_of_another_network_is_refused(run: Path, other: UNet | FeatureNet) -> None:
    with pytest.raises(TrainingError, match="E613"):
        take_weights(build_network(other), run)


@pytest.mark.parametrize("name", [CHECKPOINT, WEIGHTS])
@pytest.mark.parametrize("content", [None, b"", b"no checkpoint", [1], {"average": 1}, {"average": {"stem": (1,)}}])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: object, name: str) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        torch.save(content, tmp_path / name)
    with pytest.raises(TrainingError, match="E613"):
        take_weights(build_network(SMALL), tmp_path)


@pytest.mark.parametrize("settings", [None, "{", "[]", "{}"])
def test_a_run_that_does_not_say_its_name_is_refused_before_anything_is_learned(
    run: Path, tmp_path_factory: pytest.TempPathFactory, settings: str | None
) -> None:
    (run / SPEC).unlink()
    if settings is not None:
        (run / SPEC).write_text(settings, encoding="utf-8")
    pixels, labels = np.zeros((1, 16, 16), np.float32), np.zeros((16, 16), np.int32)
    samples, told = [Sample("a", pixels, labels, None)], list[object]()
    out, spec = tmp_path_factory.mktemp("out"), TrainSpec(network=SMALL, steps=1, crop_px=16, batch=1)
    with pytest.raises(CellfleetError, match=r"E401|E613"):
        train_on(samples, samples, out, spec, device="cpu", tell=told.append, pace=EVERY_EPOCH, start=run)
    assert not told


def test_a_run_that_begins_with_weights_learns_at_half_the_rate() -> None:
    spec = TrainSpec()
    assert gentler(spec).optimiser.learning_rate == spec.optimiser.learning_rate / 2
