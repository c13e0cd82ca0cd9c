"""What is remembered of a run: one record per image, one for the run. Written as JSON beside the results.

The records are the truth about what is done: `run.json`, `failures.csv` and `report.html` are made from them, and
a repeated run skips an image whose record carries the same key and whose input is unchanged.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cellfleet.spec.segment import SegmentSpec
from cellfleet.spec.usage import Bill


def _inside(path: str) -> str:
    """Refuse a path that leads out of the output folder: a record can come from anybody, and results are removed."""
    if PurePath(path).anchor or ".." in PurePath(path).parts:
        raise ValueError(f"{path!r} leads out of the output folder")
    return path


_Inside = Annotated[str, AfterValidator(_inside)]


class _Record(BaseModel):
    """Says what was done. What a newer cellfleet says besides is passed by: docs/decisions/0026-upgrades.md."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class InputFile(_Record):
    """Identity of an input's bytes."""

    path: str
    """As the user gave it, absolute."""
    size_bytes: int
    mtime_ns: int
    """0 where the time of change says nothing (archives, Zarr folders, addresses)."""
    sha256: str
    hashed: Literal["content", "sample", "listing"] = "content"
    """What `sha256` is of: all bytes; of a file above 256 MiB its size and 66 samples of 1 MiB (the first, the last, 64
    in even steps between); of a Zarr folder, a member of an archive or an address what stands in the listing."""


class Scale(_Record):
    """How the image was brought to the model's scale."""

    zoom: float
    """Factor applied to the pixels before prediction (1 = untouched)."""
    source: Literal["pixel-size", "diameter", "estimated", "unscaled"]
    diameter_px: float | None = None
    """Object diameter that the zoom is based on, image pixels."""


class Told(_Record):
    """A warning or an error as the user saw it."""

    code: str
    what: str
    where: str = ""
    action: str = ""


class ClassScore(_Record):
    """What a model that classifies gives a class."""

    name: str
    score: float
    """As the graph gives it; only finite ones are recorded."""


class PlaneClasses(_Record):
    """What a plane of an image shows."""

    t: int | None = None
    """Time point, from 0; None: the image has no such axis."""
    z: int | None = None
    top: tuple[ClassScore, ...]
    """The best first; as many as `SegmentSpec.top`, or all."""


class Predicted(_Record):
    """What a workflow predicted from an image, and segmented."""

    axes: str
    shape: tuple[int, ...]
    dtype: str
    channel_names: tuple[str, ...]


class NucleiFound(_Record):
    """The nuclei of one image whose objects are cells."""

    objects: int
    without_cell: int
    """How many of them meet no cell."""
    cells_without: int
    """How many cells have none."""
    median_diameter_px: float | None = None

    @property
    def numbers(self) -> int:
        """The largest number that a nucleus may have: cells without one keep theirs."""
        return self.objects + self.cells_without


class ImageRecord(_Record):
    """All that is known about one image of a run."""

    format_version: Literal[1] = 1
    image: str
    """Path relative to the input's root, with ``/``: also the `image` column of the tables."""
    status: Literal["done", "failed"]
    key: str
    """`SegmentSpec.digest` of the run that made it."""
    input: InputFile | None = None
    """None where the input could not even be read as bytes."""
    outputs: dict[str, _Inside] = {}
    """Output (`spec.choices.Output`: a format, or that of the nuclei) → path relative to the output folder, with ``/``;
    of several files the first."""
    axes: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    channel_names: tuple[str, ...] = ()
    channels_used: dict[str, tuple[int, ...]] = {}
    """Role → channels that were summed, counted from 1."""
    microns_per_pixel: float | None = None
    microns_per_pixel_source: str = ""
    """``option``, ``ome``, ``imagej``, ``tiff``…, or empty where unknown."""
    contrast: tuple[tuple[float, float], ...] = ()
    """(low, high) per role, in raw pixel values."""
    predicted: Predicted | None = Field(default=None, exclude_if=lambda value: value is None)
    """Of a workflow: what channels, contrast and scale refer to, and labels lie on; None: the image itself."""
    scale: Scale | None = None
    objects: int = 0
    median_diameter_px: float | None = None
    diameter_histogram: dict[str, list[float]] = {}
    """``edges`` (px) and ``counts`` of object diameters, for the report."""
    nuclei: NucleiFound | None = Field(default=None, exclude_if=lambda value: value is None)
    """Where the objects are cells whose nuclei were found, too."""
    classes: tuple[PlaneClasses, ...] = ()
    """Of a model that classifies: one for each plane, over T, then Z."""
    thumbnail: _Inside = ""
    """Path of the picture with outlines, relative to the output folder."""
    notices: tuple[Told, ...] = ()
    error: Told | None = None
    blocks: int = 1
    """In how many blocks the image was done, over all planes."""
    blocks_redone: int = 0
    """How many of them needed a larger halo."""
    seconds: dict[str, float] = {}
    """Wall seconds per stage (read, survey, preprocess, predict, postprocess, measure, write), summed over threads."""
    cpu_seconds: dict[str, float] = {}
    """Processor seconds per stage, of the threads that did it."""
    waiting_seconds: dict[str, float] = {}
    """Wall seconds that threads waited for a stage that other threads did."""

    @property
    def labelled_lengths(self) -> dict[str, int]:
        """Axis → length of the label image, in order."""
        axes, shape = (self.predicted.axes, self.predicted.shape) if self.predicted else (self.axes, self.shape)
        return {axis: length for axis, length in zip(axes, shape, strict=False) if axis != "C"}


class ModelUsed(_Record):
    """Which weights."""

    name: str
    version: str
    sha256: str
    steps: tuple[ModelUsed, ...] = Field(default=(), exclude_if=lambda value: not value)
    """All models of a workflow, in order; empty where it is none."""


class RunRecord(_Record):
    """`run.json`: enough to repeat the run and to say where its time went."""

    format_version: Literal[1] = 1
    cellfleet: str
    command: str
    """The same run as a shell command."""
    python: str
    """The same run as Python."""
    started: str
    """ISO 8601, UTC."""
    finished: str | None = None
    status: Literal["running", "done", "done-with-failures", "stopped"]
    spec: SegmentSpec
    key: str
    model: ModelUsed
    manifest: dict[str, Any] = {}
    """The model's manifest as used, with all post-processing parameters."""
    formats: tuple[str, ...]
    device: str
    """What computed it, as reported by the runtime (not as asked)."""
    threads: int
    memory_bytes: int | None = None
    """What the run was allowed to use; None where no limit was known."""
    inputs: tuple[str, ...] = ()
    """As given: paths, absolute, and addresses."""
    shard: str | None = None
    """``2/8`` where the run did only a part of the work."""
    shards: int = 1
    """How many machines shared the work."""
    versions: dict[str, str] = {}
    """Python, platform and libraries."""
    seconds: dict[str, float] = {}
    """Wall seconds per stage, summed over images."""
    waiting_seconds: dict[str, float] = {}
    """Per stage: wall seconds in it that were not computing (reading, writing), and for it (the network)."""
    busy_share: dict[str, float] = {}
    """CPU seconds of each stage ÷ (wall seconds of the run × threads)."""
    wall_seconds: float = 0
    bill: Bill | None = None
    """What a job of a service cost."""
    images: tuple[ImageRecord, ...] = ()
