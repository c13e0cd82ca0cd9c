"""What a model is called on a model server and which tensors it takes: agreed between who gives it and who asks it.

Knows no server, and no package.
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

PixelType = Literal["uint8", "uint16", "float32"]
"""Of the pixels on their way to the server."""
PIXEL_TYPES: Final[tuple[PixelType, ...]] = get_args(PixelType)

SHA256: Final = "sha256"
"""Parameter of a served model: hash of the package that it was made from."""
HEADS: Final = "heads"
"""Parameter of a served model: the indices of the heads that it returns, such as ``0,2``."""


def served_name(name: str, version: str, sha256: str, pixels: PixelType) -> str:
    """Return what a server calls a model for pixels of one type: other contents have other names."""
    return f"{name}-{version}-{sha256[:12]}-{pixels}"


def narrowest(pixels: NDArray[np.float32]) -> NDArray[Any]:
    """Return the same values, exactly, in the narrowest of `PIXEL_TYPES` that has them all.

    Pixels of a camera, and sums of them, are integers; what was resampled hardly ever is, and stays float32
    (docs/decisions/0024-split.md).
    """
    low, high = float(pixels.min()), float(pixels.max())
    for dtype in (np.uint8, np.uint16):
        if low >= 0 and high <= np.iinfo(dtype).max:
            narrow = pixels.astype(dtype)
            return narrow if bool((narrow == pixels).all()) else pixels
    return pixels
