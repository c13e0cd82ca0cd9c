"""Why a bioimage.io package cannot be run: an error that names the field of its description. Knows no other module."""

from __future__ import annotations

from cellfleet.errors import ModelError


def no_onnx(where: str, there: str) -> ModelError:
    """Return the error of a package whose weights are of other formats."""
    return ModelError(
        "E430",
        f"weights: there is no ONNX file, only {there or 'nothing'}",
        where=where,
        action="Ask its authors for weights.onnx, or export one; code of a package is never run here",
    )


def no_tensor(where: str, field: str, why: str) -> ModelError:
    """Return the error of a tensor that images cannot be cut into or put together from."""
    return ModelError(
        "E431", f"{field}: {why}", where=where, action="Use a 2D model of one image input, whose output is as large"
    )


def no_step(where: str, field: str, why: str) -> ModelError:
    """Return the error of a step that is not known here, or cannot be done tile by tile."""
    return ModelError(
        "E432",
        f"{field}: {why}",
        where=where,
        action="docs/reference/models.md lists the steps that are known; export the model with those",
    )


def no_objects(where: str, field: str, what: str) -> ModelError:
    """Return the error of outputs that need another post-processing than a watershed."""
    return ModelError(
        "E433",
        f"{field}: it predicts {what}, from which this watershed makes no objects",
        where=where,
        action="Use the software that it was made for, or a model that predicts foreground, boundaries or distances",
    )


def no_meaning(where: str, field: str, why: str) -> ModelError:
    """Return the error of outputs of which nobody can know what they are."""
    return ModelError(
        "E434",
        f"{field}: {why}",
        where=where,
        action="Say what its channels are, in their order: cellfleet models add PACKAGE --outputs foreground,boundary",
    )
