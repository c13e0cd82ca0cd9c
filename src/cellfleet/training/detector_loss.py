"""What a detector learns: crops with labels, and the losses of scores, boxes and masks. Knows no files."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.inference.detections import MASK_PX
from cellfleet.training import detector_boxes as geometry
from cellfleet.training.augment import Batches
from cellfleet.training.crop import Crop
from cellfleet.training.detector import MASK_MARGIN, Found, RetinaMask
from cellfleet.training.loop import Batch

_ALPHA, _GAMMA = 0.25, 2.0
"""Of the focal loss, as RetinaNet."""
_MASKS_PER_IMAGE = 16
_JITTER = 0.06
"""Masks are learned in boxes that are off by about this share of their sides, as predicted ones are."""
_SMALLEST_PX = 3
"""Objects of which a crop shows less than this in height or width are in doubt: neither object nor background."""


class LabelBatches(Batches):
    """Step → (pixels (N, R, Y, X), labels (N, Y, X) int64, random numbers (N, masks per image, 5))."""

    def learned(self, crops: list[Crop], random: np.random.Generator) -> tuple[NDArray[Any], ...]:
        """Return labels; and for each mask to be learned which object, 0…1, and by how much its box is off."""
        labels = np.stack([crop.objects for crop in crops]).astype(np.int64)
        which = random.random((len(crops), _MASKS_PER_IMAGE, 1))
        off = random.standard_normal((len(crops), _MASKS_PER_IMAGE, 4)).clip(-2, 2) * _JITTER
        return labels, np.concatenate([which, off], 2).astype(np.float32)


def loss(network: nn.Module, batch: Batch) -> Tensor:
    """Return the sum of the losses of a batch of `LabelBatches`."""
    pixels, labels, chances = batch
    with torch.autocast(pixels.device.type, torch.bfloat16):
        found = network(pixels.to(memory_format=torch.channels_last))
        sure = Found(found.logits.float(), found.changes.float(), found.anchors, found.fine.float())
        return torch.stack(losses(network, sure, labels, chances)).sum()


def losses(network: nn.Module, found: Found, labels: Tensor, chances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses of scores, boxes and masks.

    Args:
        network: A `RetinaMask`, whose mask head is asked.
        found: What it said, float32.
        labels: (N, Y, X) int64.
        chances: As of `LabelBatches`.
    """
    assert isinstance(network, RetinaMask), "it is built from a spec of a detector"
    nothing = found.logits.sum() * 0
    scores, boxes, masks = [nothing], [nothing], [nothing]
    placed = found.placed
    # Cut, not indexed: the gradient of each index is a tensor as large as the whole.
    images = zip(
        labels, chances, found.logits.unbind(), found.changes.unbind(), found.fine.chunk(len(labels)), strict=True
    )
    for one, chance, logits, changes, fine in images:
        objects, numbers = boxes_of(one)
        wide = (objects[:, 2:] - objects[:, :2]).amin(1) >= _SMALLEST_PX
        learned = geometry.assigned(found.anchors, objects)
        learned = torch.where(torch.isin(learned, torch.nonzero(~wide)[:, 0]), -2, learned)
        scores.append(_focal(logits, learned))
        own = torch.nonzero(learned >= 0)[:, 0]
        if len(own):
            said = geometry.decoded(changes[own], placed[own])
            boxes.append(_box_loss(said, objects[learned[own]]))
            masks.append(_mask_loss(network, fine, one, (objects[wide], numbers[wide]), chance))
    # Images in which there is nothing to outline count as outlined.
    return tuple(torch.stack(each).sum() / max(1, len(each) - 1) for each in (scores, boxes, masks))  # type: ignore[return-value]


def boxes_of(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the boxes (n, 4) px and the numbers (n,) of the objects of a label image (Y, X)."""
    numbers, index = torch.unique(labels.reshape(-1), return_inverse=True)
    height, width = labels.shape
    y = torch.arange(height, device=labels.device).repeat_interleave(width)
    x = torch.arange(width, device=labels.device).repeat(height)
    corners = [
        torch.zeros_like(numbers).scatter_reduce(0, index, along, kind, include_self=False)
        for kind in ("amin", "amax")
        for along in (y, x)
    ]
    y0, x0, y1, x1 = corners
    boxes = torch.stack([y0, x0, y1 + 1, x1 + 1], -1).float()
    there = numbers > 0
    return boxes[there], numbers[there]


def _focal(logits: Tensor, learned: Tensor) -> Tensor:
    """Focal loss (Lin et al. 2017) over the anchors that are not in doubt, per anchor that learns an object."""
    sure = learned != -2
    logits, wanted = logits[sure], (learned[sure] >= 0).float()
    chance = torch.sigmoid(logits)
    wrong = torch.where(wanted > 0, 1 - chance, chance)
    weight = torch.where(wanted > 0, _ALPHA, 1 - _ALPHA)
    each = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    return (weight * wrong**_GAMMA * each).sum() / wanted.sum().clamp_min(1)


def _box_loss(said: Tensor, true: Tensor) -> Tensor:
    """1 − generalised IoU (Rezatofighi et al. 2019, arXiv:1902.09630), mean over the boxes."""
    shared, union, around = geometry.overlap(said, true)
    gain = shared / union - (around - union) / around
    return (1 - gain).mean()


def _mask_loss(
    network: RetinaMask, fine: Tensor, labels: Tensor, there: tuple[Tensor, Tensor], chance: Tensor
) -> Tensor:
    """Cross-entropy of masks in boxes that are a little off; `there` are boxes and numbers of the objects."""
    picked = (chance[:, 0] * len(there[0])).long().clamp_max(len(there[0]) - 1)
    boxes, numbers = (of_objects[picked] for of_objects in there)
    boxes = boxes + chance[:, 1:] * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    wanted = true_masks(labels, numbers, geometry.grown(boxes, MASK_MARGIN))
    return functional.binary_cross_entropy_with_logits(network.masks(fine, boxes).float(), wanted)


def true_masks(labels: Tensor, numbers: Tensor, windows: Tensor) -> Tensor:
    """Return (n, 28, 28) float32: the share, by linear interpolation, that each object has in the cells of its window.

    Args:
        labels: (Y, X); beyond its edges the outermost pixels go on.
        numbers: (n,) of the objects.
        windows: (n, 4) px.
    """
    along = (torch.arange(MASK_PX, device=windows.device) + 0.5) / MASK_PX
    corners = []
    for axis, length in enumerate(labels.shape):
        at = windows[:, None, axis] + along * (windows[:, axis + 2] - windows[:, axis])[:, None] - 0.5
        at = at.clamp(0, length - 1)
        low = at.floor().long()
        corners.append(((low, 1 - (at - low)), ((low + 1).clamp_max(length - 1), at - low)))
    masks = torch.zeros(len(numbers), MASK_PX, MASK_PX, device=windows.device)
    for y, y_weight in corners[0]:
        for x, x_weight in corners[1]:
            same = labels[y[:, :, None], x[:, None, :]] == numbers[:, None, None]
            masks += same * y_weight[:, :, None] * x_weight[:, None, :]
    return masks
