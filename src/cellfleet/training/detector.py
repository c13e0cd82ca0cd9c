"""A single-shot detector with masks in the manner of RetinaMask: pixels in, boxes, scores and small masks out.

RetinaNet (Lin et al. 2017) on the pyramid levels P2 to P4 with a mask head (Fu et al. 2019, arXiv:1901.03353), as the
kiosk's paper ran it, with a light residual backbone of ours in place of ResNet-50. Masks are cut from a map at half
resolution, since nuclei are small. Knows no data, loss or file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from cellfleet.inference.detections import MASK_PX
from cellfleet.spec.model import Tile
from cellfleet.training import detector_boxes as geometry
from cellfleet.training.spec import Detector
from cellfleet.training.unet import Residual, halving_stem

STRIDES = (4, 8, 16)
"""Of the levels P2, P3, P4, px."""
SCALES = (1.0, 2 ** (1 / 3), 2 ** (2 / 3))
RATIOS = (0.5, 1.0, 2.0)
MASK_STRIDE = 2
POOLED = MASK_PX // 2
"""Side of what is cut from the map for one object; half that of its mask."""
MASK_MARGIN = 0.125
"""A mask sees, and covers, this share of its box's sides beyond it: it may correct the box."""
TILE = Tile(multiple=STRIDES[-1], halo=64, largest=512)
"""A tile of 640 px shows some thousand nuclei at most, whose masks are made at once: bounds memory."""
_PRIOR = 0.01
"""Score of every anchor before training (as RetinaNet): most anchors are background."""


class Found(NamedTuple):
    """What the network says of a batch."""

    logits: Tensor
    """(N, A), of every anchor."""
    changes: Tensor
    """(N, A, 4), of every anchor, as `detector_boxes.decoded` takes them."""
    anchors: list[geometry.Anchors]
    """Of each level, in that order."""
    fine: Tensor
    """(N, C, Y / 2, X / 2), the map that masks are cut from."""

    @property
    def placed(self) -> Tensor:
        """(A, 4) all anchors, as `detector_boxes.decoded` takes them."""
        return torch.cat([level.placed() for level in self.anchors])


class RetinaMask(nn.Module):
    """The network; `forward` finds boxes, `masks` outlines what is in boxes."""

    def __init__(self, spec: Detector, roles: int) -> None:
        super().__init__()
        fine, *coarse = spec.widths
        self.sizes = spec.anchors_px
        self.stem = halving_stem(roles, fine)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.MaxPool2d(2), Residual(before, after), Residual(after, after))
            for before, after in zip((fine, *coarse), coarse, strict=False)
        )
        self.lateral = nn.ModuleList(nn.Conv2d(width, spec.pyramid, 1) for width in coarse)
        self.smooth = nn.ModuleList(_convolution(spec.pyramid, spec.pyramid) for _ in coarse)
        count = len(SCALES) * len(RATIOS)
        self.scoring = _Head(spec.pyramid, count, len(coarse), start=-math.log(1 / _PRIOR - 1))
        self.placing = _Head(spec.pyramid, 4 * count, len(coarse), start=0)
        self.to_fine = nn.Conv2d(spec.pyramid, spec.masks, 1)
        self.from_stem = nn.Conv2d(fine, spec.masks, 1)
        self.fine = _convolution(spec.masks, spec.masks)
        self.mask = nn.Sequential(
            *(_convolution(spec.masks, spec.masks) for _ in range(3)),
            nn.ConvTranspose2d(spec.masks, spec.masks, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(spec.masks, 1, 1),
        )

    def forward(self, pixels: Tensor) -> Found:
        """Look at (N, R, Y, X), Y and X multiples of 16."""
        stem = features = self.stem(pixels)
        levels = []
        for stage in self.stages:
            features = stage(features)
            levels.append(features)
        pyramid = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        for level in reversed(range(len(pyramid) - 1)):
            pyramid[level] = pyramid[level] + functional.interpolate(pyramid[level + 1], scale_factor=2.0)
        pyramid = [smooth(level) for smooth, level in zip(self.smooth, pyramid, strict=True)]
        fine = functional.interpolate(self.to_fine(pyramid[0]), scale_factor=2.0) + self.from_stem(stem)
        logits = torch.cat([_per_anchor(self.scoring(level, i), 1) for i, level in enumerate(pyramid)], 1)
        changes = torch.cat([_per_anchor(self.placing(level, i), 4) for i, level in enumerate(pyramid)], 1)
        return Found(logits[..., 0], changes, self._anchors(pyramid), self.fine(fine))

    def masks(self, fine: Tensor, boxes: Tensor) -> Tensor:
        """Outline what is in boxes of one image.

        Args:
            fine: (1, C, Y / 2, X / 2).
            boxes: (n, 4) px.

        Returns:
            Logits (n, 28, 28), over the boxes grown by `MASK_MARGIN`.
        """
        cut = pooled(fine, geometry.grown(boxes, MASK_MARGIN))
        mask: Tensor = self.mask(cut)[:, 0]
        return mask

    def _anchors(self, pyramid: list[Tensor]) -> list[geometry.Anchors]:
        return [
            geometry.Anchors.of(level, stride, geometry.sides_of(size, RATIOS, SCALES))
            for level, stride, size in zip(pyramid, STRIDES, self.sizes, strict=True)
        ]


def pooled(fine: Tensor, boxes: Tensor) -> Tensor:
    """Cut (n, C, 14, 14) out of a map (1, C, Y, X): its values in the middles of 14 × 14 cells of each box.

    RoIAlign (He et al. 2017, arXiv:1703.06870) with one sample per cell.
    """
    height, width = fine.shape[2:]
    along = (torch.arange(POOLED, device=boxes.device) + 0.5) / POOLED
    y, x = (
        (boxes[:, None, axis] + along * (boxes[:, axis + 2] - boxes[:, axis])[:, None]) / MASK_STRIDE for axis in (0, 1)
    )
    # grid_sample counts from −1 to 1 between the outer edges, and x comes first.
    rows = (2 * y / height - 1)[:, :, None].expand(-1, -1, POOLED)
    columns = (2 * x / width - 1)[:, None, :].expand(-1, POOLED, -1)
    grid = torch.stack([columns, rows], -1).reshape(1, -1, POOLED, 2)
    found = functional.grid_sample(fine, grid, "bilinear", "border", align_corners=False)
    return found[0].reshape(fine.shape[1], -1, POOLED, POOLED).transpose(0, 1)


class _Head(nn.Module):
    """Two convolutions and the answer per anchor; levels share the convolutions, and have statistics of their own."""

    def __init__(self, width: int, maps: int, levels: int, *, start: float) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.ModuleList(nn.BatchNorm2d(width) for _ in range(2)) for _ in range(levels))
        self.last = nn.Conv2d(width, maps, 3, padding=1)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.constant_(self.last.get_parameter("bias"), start)

    def forward(self, features: Tensor, level: int) -> Tensor:
        norms = self.norms[level].children()
        for convolution, norm in zip(self.convolutions, norms, strict=True):
            features = functional.relu(norm(convolution(features)))
        answer: Tensor = self.last(features)
        return answer


def _per_anchor(maps: Tensor, values: int) -> Tensor:
    """(N, A · values, Y, X) → (N, Y · X · A, values)."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, values)


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
