"""What a detector learns, and that its graph says what the network says. Nothing is trained here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from cellfleet.inference.detector import OUTPUTS
from cellfleet.training import detector_boxes as geometry
from cellfleet.training.detector import MASK_MARGIN, RATIOS, SCALES, STRIDES, RetinaMask, pooled
from cellfleet.training.detector_export import LEAST_SCORE, PackagedDetector, export_graph, in_8_bits
from cellfleet.training.detector_loss import boxes_of, losses, true_masks
from cellfleet.training.spec import Detector, train_spec

pytestmark = pytest.mark.slow
SMALL = Detector(widths=(4, 6, 8, 8), pyramid=8, masks=4)


def network(seed: int = 0, score: float = 0.3) -> RetinaMask:
    """Untrained weights that nevertheless find something: scores around `score`, boxes not far from the anchors."""
    torch.manual_seed(seed)
    made = RetinaMask(SMALL, 1).eval()
    with torch.no_grad():
        made.scoring.last.weight.normal_(std=0.5)
        made.scoring.last.get_parameter("bias").fill_(float(torch.logit(torch.tensor(score))))
        made.placing.last.weight.normal_(std=0.1)
    return made


def squares(*corners: tuple[int, int, int, int], side: int = 64) -> Tensor:
    labels = torch.zeros(side, side, dtype=torch.int64)
    for number, (y0, x0, y1, x1) in enumerate(corners, 5):
        labels[y0:y1, x0:x1] = number
    return labels


# --- anchors -----------------------------------------------------------------------------------------------------


def test_every_pixel_of_a_level_has_nine_anchors_around_its_middle() -> None:
    features = torch.zeros(1, 3, 2, 5)
    level = geometry.Anchors.of(features, 4, geometry.sides_of(8, RATIOS, SCALES))
    placed = level.placed().reshape(2, 5, 9, 4)
    assert placed[1, 3, :, :2].unique(dim=0).tolist() == [[6, 14]]
    areas = (placed[0, 0, :, 2] * placed[0, 0, :, 3]).sqrt().sort().values
    np.testing.assert_allclose(areas, np.repeat(8 * np.array(SCALES), 3), rtol=1e-5)


def test_anchors_are_8_16_and_32_px_on_the_levels_p2_to_p4() -> None:
    found = network()(torch.zeros(1, 1, 64, 96))
    assert [(len(level.y), len(level.x)) for level in found.anchors] == [(16, 24), (8, 12), (4, 6)]
    assert [float(level.sides.prod(1).min()) for level in found.anchors] == pytest.approx([64, 256, 1024])
    assert STRIDES == (4, 8, 16)


def test_a_box_is_found_again_from_the_changes_of_its_anchor() -> None:
    placed = torch.tensor([[10.0, 20, 8, 16]])
    np.testing.assert_allclose(geometry.decoded(torch.zeros(1, 4), placed), [[6, 12, 14, 28]])
    moved = geometry.decoded(torch.tensor([[0.5, -0.25, np.log(2), 0]], dtype=torch.float32), placed)
    np.testing.assert_allclose(moved, [[6, 8, 22, 24]], rtol=1e-6)


def test_overlaps_with_a_grid_are_those_of_its_boxes() -> None:
    level = geometry.Anchors.of(torch.zeros(1, 1, 6, 4), 8, geometry.sides_of(16, RATIOS, SCALES))
    objects = torch.tensor([[3.0, 4, 21, 25], [0, 0, 5, 5], [40, 20, 47, 31]])
    half = level.placed()[:, 2:] / 2
    boxes = torch.cat([level.placed()[:, :2] - half, level.placed()[:, :2] + half], 1)
    shared, union, _ = geometry.overlap(objects[:, None], boxes[None])
    np.testing.assert_allclose(level.shares(objects), shared / union, atol=1e-6)


def test_an_anchor_learns_what_it_covers_and_each_object_has_one() -> None:
    level = geometry.Anchors.of(torch.zeros(1, 1, 8, 8), 8, geometry.sides_of(16, (1.0,), (1.0,)))
    objects = torch.tensor([[4.0, 4, 20, 20], [40, 40, 44, 44]])
    learned = geometry.assigned([level], objects).reshape(8, 8)
    assert learned[1, 1] == 0, "it lies on the first object"
    assert np.count_nonzero(learned == 1) == 1, "the second is too small for any, and has its best all the same"
    assert (learned[:3, 5:] == -1).all()
    assert geometry.assigned([level], torch.zeros(0, 4)).tolist() == [-1] * 64


# --- targets and losses ------------------------------------------------------------------------------------------


def test_boxes_hold_their_objects_tightly() -> None:
    boxes, numbers = boxes_of(squares((2, 3, 9, 30), (40, 41, 42, 43)))
    assert boxes.tolist() == [[2, 3, 9, 30], [40, 41, 42, 43]] and numbers.tolist() == [5, 6]
    assert len(boxes_of(squares())[0]) == 0


def test_a_mask_is_the_part_of_a_window_that_is_the_object() -> None:
    labels = squares((8, 8, 24, 24), (24, 8, 40, 24))
    inside, half = true_masks(labels, torch.tensor([5, 5]), torch.tensor([[8.0, 8, 24, 24], [16, 8, 32, 24]]))
    assert inside[2:-2, 2:-2].min() > 0.999
    assert half[:12, 1:-1].min() > 0.9 and half[16:].max() == 0


def test_what_is_cut_out_of_a_map_is_its_values_there() -> None:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    fine = torch.stack([y + 0.5, x + 0.5])[None]
    cut = pooled(fine, torch.tensor([[8.0, 20, 36, 48]]))
    np.testing.assert_allclose(cut[0, 0, :, 0], np.arange(4.5, 18.5), atol=1e-4)
    np.testing.assert_allclose(cut[0, 1, 0, :], np.arange(10.5, 24.5), atol=1e-4)


def test_losses_are_small_only_where_the_network_is_right() -> None:
    made, labels = network(), squares((8, 8, 30, 28), (40, 20, 56, 40))[None]
    chances = torch.zeros(1, 16, 5)
    found = made(torch.zeros(1, 1, 64, 64))
    objects, _ = boxes_of(labels[0])
    learned = geometry.assigned(found.anchors, objects)
    placed = found.placed
    true = objects[learned.clamp_min(0)]
    right = torch.cat([((true[:, :2] + true[:, 2:]) / 2 - placed[:, :2]) / placed[:, 2:],
                       ((true[:, 2:] - true[:, :2]) / placed[:, 2:]).log()], 1)  # fmt: skip
    sure = torch.where(learned >= 0, 9.0, -9.0)
    score, box, _ = losses(made, found._replace(logits=sure[None], changes=right[None]), labels, chances)
    assert score < 1e-3 and box < 1e-5
    wrong_score, wrong_box, mask = losses(made, found, labels, chances)
    assert wrong_score > 0.5 and wrong_box > 0.1 and mask > 0.4


def test_crops_without_objects_teach_scores_alone() -> None:
    made = network()
    score, box, mask = losses(made, made(torch.zeros(1, 1, 64, 64)), squares()[None], torch.zeros(1, 16, 5))
    assert score > 0 and box == 0 and mask == 0


def test_slivers_at_the_edge_of_a_crop_are_neither_object_nor_background() -> None:
    made, chances = network(), torch.zeros(1, 16, 5)
    found = made(torch.zeros(1, 1, 64, 64))
    low = found._replace(logits=torch.full_like(found.logits, -9.0))
    missed = [losses(made, low, squares((20, 20, 20 + size, 44))[None], chances)[0] for size in (2, 20)]
    assert missed[0] < 0.01 < missed[1]


# --- the graph ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = tmp_path_factory.mktemp("graph") / "small.onnx"
    tensors = torch.rand(1, 1, 64, 64), torch.tensor([[[0.0, 1.0]]])
    export_graph(PackagedDetector(network()).eval(), tensors, weights)
    return weights


@pytest.mark.parametrize(("height", "width"), [(64, 64), (32, 112), (160, 16)])
def test_the_graph_of_one_size_says_what_the_network_says_of_any(graph: Path, height: int, width: int) -> None:
    random = np.random.default_rng(height)
    pixels = random.uniform(100, 300, (1, 1, height, width)).astype(np.float32)
    contrast = np.array([[[120, 280]]], np.float32)
    said = onnxruntime.InferenceSession(graph.read_bytes()).run(OUTPUTS, {"pixels": pixels, "contrast": contrast})
    with torch.no_grad():
        expected = PackagedDetector(network()).eval()(torch.from_numpy(pixels), torch.from_numpy(contrast))
    assert said[0].shape[1] > 5, "nothing was compared"
    # Weights in 8 bits change the last digits, and so perhaps the order: each has its like on the other side.
    (boxes, scores), (true_boxes, true_scores) = (said[0][0], said[1][0]), (expected[0][0], expected[1][0])
    near = np.abs(boxes[:, None] - true_boxes.numpy()).max(2) < 0.5
    near &= np.abs(scores[:, None] - true_scores.numpy()) < 0.05
    assert near.any(1).mean() > 0.9 and near.any(0).mean() > 0.9
    assert (np.diff(scores) <= 0).all() and scores.min() > LEAST_SCORE
    assert said[2].dtype == np.uint8 and said[2].shape == (1, len(scores), 28, 28)


def test_the_graph_says_nothing_of_what_shows_nothing(tmp_path: Path) -> None:
    weights = tmp_path / "small.onnx"
    export_graph(
        PackagedDetector(network(score=1e-6)).eval(), (torch.rand(1, 1, 64, 64), torch.tensor([[[0.0, 1]]])), weights
    )
    blank = {"pixels": np.zeros((1, 1, 48, 64), np.float32), "contrast": np.array([[[0, 1]]], np.float32)}
    said = onnxruntime.InferenceSession(weights.read_bytes()).run(OUTPUTS, blank)
    assert [array.shape for array in said] == [(1, 0, 4), (1, 0), (1, 0, 28, 28)]


def test_weights_in_8_bits_are_a_quarter_as_large_and_hardly_different() -> None:
    weights = np.random.default_rng(0).normal(size=(16, 32, 3, 3)).astype(np.float32)
    weights[3] = 0
    make, types = onnx.helper, onnx.TensorProto
    nodes = [make.make_node("Conv", ["x", "w"], ["y"])]
    ends = [make.make_tensor_value_info(name, types.FLOAT, [1, n, None, None]) for name, n in (("x", 32), ("y", 16))]
    model = make.make_model(
        make.make_graph(nodes, "g", ends[:1], ends[1:], [onnx.numpy_helper.from_array(weights, "w")]),
        opset_imports=[make.make_opsetid("", 17)],
        ir_version=8,
    )
    given = {"x": np.random.default_rng(1).normal(size=(1, 32, 9, 9)).astype(np.float32)}
    before = model.SerializeToString()
    expected = onnxruntime.InferenceSession(before).run(None, given)[0]
    after = in_8_bits(model).SerializeToString()
    found = onnxruntime.InferenceSession(after).run(None, given)[0]
    assert len(after) < 0.35 * len(before)
    assert np.abs(found - expected).max() < 0.02 * expected.std() * 3
    assert not found[:, 3].any()


def test_margins_of_masks_are_told_to_the_pipeline() -> None:
    from cellfleet.training.detector_run import _START

    assert _START.mask_margin == MASK_MARGIN


def test_the_command_offers_the_detector() -> None:
    spec = train_spec("a", network="detector", minutes=5)
    assert isinstance(spec.network, Detector) and spec.batch == 8
