"""Arrays as the compiled kernels read them. Knows no kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

_TYPES = tuple(np.dtype(t) for t in ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))
"""As in native/pixels.h."""


def readable(pixels: NDArray[Any], otherwise: DTypeLike) -> NDArray[Any]:
    """Return pixels in C order and in a type that the kernels know: their own, or else `otherwise`.

    Nothing is copied where nothing has to change.
    """
    pixels = np.ascontiguousarray(pixels, pixels.dtype if pixels.dtype in _TYPES else otherwise)
    # A type that is native but spelt with its byte order (``<u2``) is no other type to numpy, but to the kernels.
    return pixels.view(pixels.dtype.newbyteorder("="))
