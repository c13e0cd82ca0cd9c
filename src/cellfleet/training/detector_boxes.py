"""Boxes in pixels: the anchors of a detector, boxes relative to them, overlap, and which anchor learns which object.

Boxes are (…, 4): y0, x0, y1, x1, half-open, px. As in RetinaNet (Lin et al. 2017, arXiv:1708.02002). Knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_LARGEST_CHANGE = 4.0
"""Of a box's side by its anchor's, as a natural logarithm: bounds what an untrained network can say."""


class Anchors(NamedTuple):
    """The anchors of one level: the same shapes around the middle of every cell."""

    y: Tensor
    """(Y,) middles of the rows, px."""
    x: Tensor
    """(X,) middles of the columns, px."""
    sides: Tensor
    """(A, 2) height and width, px."""

    @classmethod
    def of(cls, features: Tensor, stride: int, sides: Tensor) -> Anchors:
        """Return those of a level of features (N, C, Y, X) whose cells are `stride` px apart."""
        y, x = ((torch.arange(features.shape[a], device=features.device) + 0.5) * stride for a in (2, 3))
        return cls(y, x, sides.to(features.device))

    def placed(self) -> Tensor:
        """Return (Y · X · A, 4), in that order: middle y, middle x, height, width."""
        y, x = self.y[:, None, None], self.x[None, :, None]
        height, width = self.sides[None, None, :, 0], self.sides[None, None, :, 1]
        # Sums, not `expand`: a traced graph must not remember the sizes.
        none = 0 * (y + x + height)
        return torch.stack([y + none, x + none, height + none, width + none], -1).reshape(-1, 4)

    def shares(self, objects: Tensor) -> Tensor:
        """Return the IoU (n, Y · X · A) of boxes (n, 4) with every anchor."""
        # Of a grid, overlaps in height and in width are few; only their products are many.
        shared = self._common(objects[:, 0], objects[:, 2], self.y, self.sides[:, 0])[:, :, None]
        shared = shared * self._common(objects[:, 1], objects[:, 3], self.x, self.sides[:, 1])[:, None]
        areas = (objects[:, 2:] - objects[:, :2]).prod(1)[:, None, None, None] + self.sides.prod(1)
        return (shared / (areas - shared)).flatten(1)

    @staticmethod
    def _common(start: Tensor, stop: Tensor, middles: Tensor, lengths: Tensor) -> Tensor:
        """(n,), (n,), (L,), (A,) → (n, L, A): what spans have in common with those around the middles."""
        first, last = middles[:, None] - lengths / 2, middles[:, None] + lengths / 2
        common = torch.minimum(stop[:, None, None], last) - torch.maximum(start[:, None, None], first)
        return common.clamp_min(0)


def sides_of(size_px: float, ratios: Sequence[float], scales: Sequence[float]) -> Tensor:
    """Return (A, 2): height and width of anchors, of all ratios (height ÷ width) at each scale."""
    return torch.tensor([(size_px * s * r**0.5, size_px * s / r**0.5) for s in scales for r in ratios])


def decoded(changes: Tensor, placed: Tensor) -> Tensor:
    """Return the boxes that changes (…, 4) make of anchors (…, 4): moved by shares of their sides, scaled by exp."""
    middle = placed[..., :2] + changes[..., :2] * placed[..., 2:]
    half = placed[..., 2:] * changes[..., 2:].clamp(-_LARGEST_CHANGE, _LARGEST_CHANGE).exp() / 2
    return torch.cat([middle - half, middle + half], -1)


def grown(boxes: Tensor, margin: float) -> Tensor:
    """Return boxes with `margin` of their height and width more on each side."""
    more = (boxes[..., 2:] - boxes[..., :2]) * margin
    return torch.cat([boxes[..., :2] - more, boxes[..., 2:] + more], -1)


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return intersection, union and the area of the smallest box around both, of boxes that broadcast."""
    y0, x0, y1, x1 = one.unbind(-1)
    v0, u0, v1, u1 = other.unbind(-1)
    height = (torch.minimum(y1, v1) - torch.maximum(y0, v0)).clamp_min(0)
    shared = height * (torch.minimum(x1, u1) - torch.maximum(x0, u0)).clamp_min(0)
    around = (torch.maximum(y1, v1) - torch.minimum(y0, v0)) * (torch.maximum(x1, u1) - torch.minimum(x0, u0))
    return shared, (y1 - y0) * (x1 - x0) + (v1 - v0) * (u1 - u0) - shared, around


def assigned(levels: Sequence[Anchors], objects: Tensor) -> Tensor:
    """Return (A,) int64 for all anchors: the object that each learns, −1 for background, −2 where it is in doubt.

    An anchor learns the object that it overlaps most, by an IoU of at least 0.5; under 0.4 it learns background. The
    best anchor of an object learns it in any case.

    Args:
        levels: Their anchors, in order.
        objects: (n, 4) boxes.
    """
    if not len(objects):
        return torch.full((sum(len(one.y) * len(one.x) * len(one.sides) for one in levels),), -1, device=objects.device)
    share = torch.cat([one.shares(objects) for one in levels], 1)
    best, which = share.max(0)
    learned = torch.where(best >= 0.5, which, torch.where(best < 0.4, -1, -2))
    learned[share.argmax(1)] = torch.arange(len(objects), device=objects.device)
    return learned
