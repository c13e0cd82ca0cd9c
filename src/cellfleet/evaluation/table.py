"""An evaluation as rows of text, for the terminal. Knows no files and no colours."""

from __future__ import annotations

import math

from cellfleet.evaluation.evaluate import Evaluation
from cellfleet.evaluation.matching import Match

Rows = list[list[str]]
"""A header and its rows, all of the same length; the first column is a name, the others are numbers."""


def image_rows(result: Evaluation) -> Rows:
    """Return one row per image and one, called ``all``, for the pooled counts."""
    iou = f"{result.iou_thresholds[0]:g}"
    header = ["image", "truth", "pred", f"F1@{iou}", f"AP@{iou}", "mean AP", "IoU", "PQ"]
    header += ["splits", "merges", "both", "missed", "gained"]
    return [header, *(_row(name, one) for name, one in result.images.items()), _row("all", result.pooled)]


def threshold_rows(result: Evaluation) -> Rows:
    """Return one row of pooled counts per IoU threshold."""
    header = ["IoU ≥", "TP", "FP", "FN", "precision", "recall", "F1", "AP", "PQ"]
    return [
        header,
        *(
            [
                f"{score.iou_threshold:g}",
                str(score.true_positives),
                str(score.false_positives),
                str(score.false_negatives),
                *map(
                    _decimals,
                    (score.precision, score.recall, score.f1, score.average_precision, score.panoptic_quality),
                ),
            ]
            for score in result.pooled.scores
        ),
    ]


def aligned(rows: Rows) -> str:
    """Return the rows as lines of aligned columns, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _row(name: str, one: Match) -> list[str]:
    score, errors = one.scores[0], one.errors
    ratios = (
        score.f1,
        score.average_precision,
        one.mean_average_precision,
        score.mean_matched_iou,
        score.panoptic_quality,
    )
    counts = (errors.splits, errors.merges, errors.catastrophes, errors.missed, errors.gained)
    return [name, str(one.n_truth), str(one.n_pred), *map(_decimals, ratios), *map(str, counts)]


def _decimals(ratio: float) -> str:
    return "–" if math.isnan(ratio) else f"{ratio:.3f}"
