"""The blocks of one image that are done, until the last one is: in memory, or as files beside the results.

A file holds one block and takes its name when it is whole, so a run that was killed goes on at the block where it
stopped, and several machines can do the blocks of one image. A checksum before its content tells a file that was
damaged since: its block counts as not done. Labels are compressed in bands of rows: a row of the image can be read
without unpacking whole blocks.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import imagecodecs
import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from cellfleet.errors import OutputError
from cellfleet.pipeline.block import BlockObjects, BlockResult
from cellfleet.pipeline.nuclei import Overlaps
from cellfleet.stores.place import Place
from cellfleet.tiling.box import Box

BAND = 256
"""Rows of a block that are compressed together."""
_LEVEL = 1
_LABELS, _TABLE = ".labels.npz", ".table.npz"
_NUCLEI = "nuclei_"
_AGREED = "survey.json"
_SEAL_BYTES = 16


class PartObjects(Protocol):
    """The objects of one compartment in a block that is done, as `BlockObjects`, which is one."""

    @property
    def met(self) -> NDArray[np.int64]:
        """Seeds of all objects in the block's labels."""
        ...

    @property
    def seeds(self) -> NDArray[np.int64]:
        """Seeds of the block's own objects."""
        ...

    @property
    def first(self) -> NDArray[np.int64]:
        """First pixels of the block's own objects, ascending."""
        ...

    @property
    def surplus(self) -> int:
        """Labelled pixels of the block less the area of its own objects: over a plane they cancel out."""
        ...

    def rows(self, y0: int, y1: int) -> NDArray[np.uint32]:
        """Return rows of the labels, counted from the block's first."""
        ...

    def columns(self) -> Mapping[str, NDArray[Any]]:
        """Return the table."""
        ...


class Part(PartObjects, Protocol):
    """One block that is done, as `BlockResult`, which is one."""

    @property
    def nuclei(self) -> PartObjects | None:
        """Of the objects, where these are cells and the model finds nuclei, too."""
        ...

    @property
    def overlaps(self) -> Overlaps | None:
        """Pixels that nuclei and cells of the block have in common, by their labels in it."""
        ...

    @property
    def unusable(self) -> int:
        """Pixels that are not finite."""
        ...

    @property
    def redone(self) -> int:
        """How often the halo had to grow."""
        ...

    @property
    def blank(self) -> bool:
        """Whether there was nothing to see."""
        ...


class Parts(Protocol):
    """The blocks of one image that are done."""

    def agree(self, content: bytes) -> bytes:
        """Return what the first that asked has given: the same for all that work on these blocks."""
        ...

    def has(self, plane: int, box: Box) -> bool:
        """Say whether a block is done."""
        ...

    def stand(self, blocks: Iterable[tuple[int, Box]]) -> bool:
        """Say whether all of these were kept when this was opened; what is in them is not looked at."""
        ...

    def save(self, plane: int, block: BlockResult) -> None:
        """Keep a block; it is done from now on."""
        ...

    def load(self, plane: int, box: Box) -> Part:
        """Return a block that is done."""
        ...


@dataclass(frozen=True, eq=False)
class MemoryParts:
    """Blocks in memory: for small images, and for arrays that came from Python."""

    _blocks: dict[tuple[int, Box], BlockResult] = field(default_factory=dict)

    def agree(self, content: bytes) -> bytes:
        """Return `content`: nobody else works on these blocks."""
        return content

    def has(self, plane: int, box: Box) -> bool:
        """Say whether a block is done."""
        return (plane, box) in self._blocks

    def stand(self, blocks: Iterable[tuple[int, Box]]) -> bool:
        """Say whether all of these are done."""
        return all(block in self._blocks for block in blocks)

    def save(self, plane: int, block: BlockResult) -> None:
        """Keep a block."""
        self._blocks[plane, block.box] = block

    def load(self, plane: int, box: Box) -> Part:
        """Return a block that is done."""
        return self._blocks[plane, box]


class PlaceParts:
    """Blocks as files in a folder of a place."""

    def __init__(self, place: Place, folder: str) -> None:
        """Take the folder's name; it lists what is done already."""
        self._place, self._folder = place, folder
        self._done = {name.rpartition("/")[2] for name in place.names(folder)}

    def agree(self, content: bytes) -> bytes:
        """Return what stands in the folder, `content` where nothing does or what does is damaged."""
        name, sealed = f"{self._folder}/{_AGREED}", _sealed(content)
        if self._place.create(name, sealed):
            return content
        stands = _opened(self._place.read(name))
        if stands is None:
            self._place.write(name, sealed)
        return content if stands is None else stands

    def has(self, plane: int, box: Box) -> bool:
        """Say whether a block is done, and both of its files are as they were written."""
        name = _name(plane, box)
        return f"{name}{_LABELS}" in self._done and all(
            _opened(self._place.read(f"{self._folder}/{name}{ending}")) is not None for ending in (_TABLE, _LABELS)
        )

    def stand(self, blocks: Iterable[tuple[int, Box]]) -> bool:
        """Say whether the files of all of these were there when the folder was listed."""
        return all(f"{_name(plane, box)}{_LABELS}" in self._done for plane, box in blocks)

    def save(self, plane: int, block: BlockResult) -> None:
        """Write the table, then the labels: their file says that the block is done."""
        name = _name(plane, block.box)
        self._write(f"{name}{_TABLE}", _packed_tables(block))
        self._write(f"{name}{_LABELS}", _packed_labels(block))
        self._done.add(f"{name}{_LABELS}")

    def _write(self, name: str, arrays: dict[str, NDArray[Any]]) -> None:
        content = io.BytesIO()
        np.savez(content, **arrays)  # type: ignore[arg-type]
        self._place.write(f"{self._folder}/{name}", _sealed(content.getvalue()))

    def load(self, plane: int, box: Box) -> Part:
        """Read the labels of a block, packed as they are, and its table when that is asked for."""
        name = _name(plane, box)
        return _Stored(self._open(f"{name}{_LABELS}"), lambda: self._open(f"{name}{_TABLE}"), box.shape)

    def _open(self, name: str) -> NpzFile:
        content = _opened(self._place.read(f"{self._folder}/{name}"))
        if content is None:
            raise OutputError(
                "E514",
                "a part of a result that was there is gone or damaged",
                where=f"{self._folder}/{name}",
                action="Run the same command again: only what is missing is done anew",
            )
        return np.load(io.BytesIO(content), allow_pickle=False)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class _StoredObjects:
    """The objects of one compartment in files: arrays are unpacked when they are asked for."""

    file: NpzFile
    table: Callable[[], NpzFile]
    shape: tuple[int, int]
    prefix: str = ""
    """Of the arrays' names."""

    @property
    def met(self) -> NDArray[np.int64]:
        return self._array("met")

    @property
    def seeds(self) -> NDArray[np.int64]:
        return self._array("seeds")

    @property
    def first(self) -> NDArray[np.int64]:
        return self._array("first")

    @property
    def surplus(self) -> int:
        return int(self._array("counts")[-1])

    def rows(self, y0: int, y1: int) -> NDArray[np.uint32]:
        first, last = y0 // BAND, (y1 - 1) // BAND
        bands = [self._band(number) for number in range(first, last + 1)]
        rows = bands[0] if len(bands) == 1 else np.concatenate(bands)
        return rows[y0 - first * BAND : y1 - first * BAND]

    def columns(self) -> Mapping[str, NDArray[Any]]:
        # Names of columns hold names of channels, and those may hold anything: they are not names of members.
        table = self.table()
        names = bytes(table[f"{self.prefix}names"]).decode("utf-8", "surrogatepass").split("\0")
        return {name: table[f"{self.prefix}column{number}"] for number, name in enumerate(names)}

    def _band(self, number: int) -> NDArray[np.uint32]:
        raw = imagecodecs.zstd_decode(self._array(f"band{number}").tobytes())
        return np.frombuffer(raw, np.uint32).reshape(-1, self.shape[1])

    def _array(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = self.file[f"{self.prefix}{name}"]
        return array


@dataclass(frozen=True, eq=False)
class _Stored(_StoredObjects):
    """A block in files."""

    @property
    def nuclei(self) -> _StoredObjects | None:
        return None if self.overlaps is None else _StoredObjects(self.file, self.table, self.shape, _NUCLEI)

    @property
    def overlaps(self) -> Overlaps | None:
        return self._array("overlaps") if "overlaps" in self.file else None

    @property
    def unusable(self) -> int:
        return int(self._array("counts")[0])

    @property
    def redone(self) -> int:
        return int(self._array("counts")[1])

    @property
    def blank(self) -> bool:
        return bool(self._array("counts")[2])


def _packed_labels(block: BlockResult) -> dict[str, NDArray[Any]]:
    arrays = _packed_objects(block, [block.unusable, block.redone, block.blank, block.surplus])
    if block.nuclei is not None and block.overlaps is not None:
        nuclei = _packed_objects(block.nuclei, [block.nuclei.surplus])
        arrays |= {"overlaps": block.overlaps, **{f"{_NUCLEI}{name}": values for name, values in nuclei.items()}}
    return arrays


def _packed_objects(objects: BlockObjects, counts: list[int]) -> dict[str, NDArray[Any]]:
    arrays = {
        "met": objects.met,
        "seeds": objects.seeds,
        "first": objects.first,
        "counts": np.array(counts, np.int64),
    }
    for number, y in enumerate(range(0, objects.labels.shape[0], BAND)):
        band = objects.labels[y : y + BAND].tobytes()
        arrays[f"band{number}"] = np.frombuffer(imagecodecs.zstd_encode(band, level=_LEVEL), np.uint8)
    return arrays


def _packed_tables(block: BlockResult) -> dict[str, NDArray[Any]]:
    nuclei = {} if block.nuclei is None else _packed_table(block.nuclei)
    return _packed_table(block) | {f"{_NUCLEI}{name}": values for name, values in nuclei.items()}


def _packed_table(objects: BlockObjects) -> dict[str, NDArray[Any]]:
    names = np.frombuffer("\0".join(objects.table).encode("utf-8", "surrogatepass"), np.uint8)
    return {"names": names, **{f"column{number}": values for number, values in enumerate(objects.table.values())}}


def _sealed(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_SEAL_BYTES).digest() + content


def _opened(sealed: bytes | None) -> bytes | None:
    """Return what was sealed; None where that is not what stands there now."""
    content = (sealed or b"")[_SEAL_BYTES:]
    return content if _sealed(content) == sealed else None


def _name(plane: int, box: Box) -> str:
    return f"{plane}-{box.y0}-{box.x0}"
