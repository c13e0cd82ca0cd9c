"""The masks in a ``_seg.npy`` of Cellpose's GUI, without running what else such a file could hold.

The file is a pickled dictionary, and a pickle may call anything. Here it may name nothing but numpy's arrays, numbers
and types, and for these our own stand-ins answer, which only remember what they are given: numpy's code for pickles is
not reached. Knows no image.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from cellfleet.errors import TrainingError


def read_seg_masks(path: Path) -> NDArray[np.integer[Any]]:
    """Return the label image that Cellpose's GUI keeps as ``masks``: (Y, X), or (P, Y, X) of a stack.

    Raises:
        TrainingError: E620, the file is something else, or holds more than arrays, numbers and text.
    """
    try:
        with path.open("rb") as file:
            _skip_header(file)
            (content,) = _Unpickler(file).load().values
        masks: NDArray[Any] = content["masks"].array()
        if masks.dtype.kind not in "ui":
            raise ValueError(f"masks of type {masks.dtype}")
        # Versions of 2020 count from −1.
        masks = masks + 1 if masks.min(initial=0) == -1 else masks
    except _REFUSALS as error:
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise TrainingError(
            "E620",
            f"the masks in it cannot be read without trusting the file ({why})",
            where=str(path),
            action="In Cellpose choose File > Save masks as PNG/tif, and lay the _cp_masks file in its place",
        ) from error
    return masks


_REFUSALS = (
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    ImportError,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What a pickle or a header raises that is none of ours."""


def _skip_header(file: BinaryIO) -> None:
    """Read up to the pickle of the one object that the file holds; what the header says of it is not needed."""
    length_bytes = 2 if npy.read_magic(file) == (1, 0) else 4
    file.read(int.from_bytes(file.read(length_bytes), "little"))


class _Dtype:
    """Stands for ``numpy.dtype``: plain numbers only."""

    def __init__(self, code: str, *_: object) -> None:
        self.code, self.order = code, ""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1]).replace("|", "")
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("a type that is no plain number")

    def numpy(self) -> np.dtype[Any]:
        """Return what it stands for."""
        dtype = np.dtype(self.order + self.code)
        if dtype.kind not in "biuf":
            raise pickle.UnpicklingError(f"values of type {dtype}")
        return dtype


class _Array:
    """Stands for ``numpy.ndarray``: remembers what it was pickled from."""

    values: Any = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.values = state

    def array(self) -> NDArray[Any]:
        """Return the array; its bytes are taken as the numbers that they say they are."""
        flat = np.frombuffer(self.values, self.dtype.numpy())
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def _scalar(dtype: _Dtype, content: bytes) -> Any:
    return np.frombuffer(content, dtype.numpy())[0]


def _encoded(text: str, encoding: str) -> bytes:
    """Old pickles write bytes as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text as {encoding}")
    return text.encode("latin1")


def _path(*parts: str) -> str:
    return "/".join(parts)


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encoded,
    # The module was renamed in numpy 2.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _Array() for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    # Of the model, in some versions.
    **{(f"pathlib{local}", f"{system}Path"): _path for local in ("", "._local") for system in ("Posix", "Windows")},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Answer for what the pickle names."""
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it names {module}.{name}")
        return _ALLOWED[module, name]
