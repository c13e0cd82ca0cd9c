"""Bodies of requests and answers of the HTTP API, for the service and for its client. Knows neither of them.

Requests refuse fields that they do not know; answers may gain fields, so clients ignore those that they do not know.
Times are milliseconds since 1970; sizes are bytes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from cellfleet.spec.access import Quota, Role
from cellfleet.spec.choices import Format
from cellfleet.spec.job import DeadTask, JobId, JobState, PinnedModel, Priority, UserName
from cellfleet.spec.model import Compartment
from cellfleet.spec.record import ImageRecord, Told
from cellfleet.spec.segment import SegmentSpec


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Problem(_Answer):
    """Every answer with a status of 400 or above: what happened, to what, what to do, and the code."""

    code: str
    what: str
    where: str = ""
    action: str = ""
    message: str
    """All of it as one text."""


class Health(_Answer):
    """The service can do what was asked about; where it cannot, the answer is a `Problem`."""

    status: Literal["ok"]


class About(_Answer):
    """Who answers, and who asks."""

    cellfleet: str
    user: UserName
    role: Role
    login: bool
    """Whether a token is needed."""
    quota: Quota
    used_bytes: NonNegativeInt
    running_jobs: NonNegativeInt
    direct_uploads: bool
    """Whether files go straight to the bucket."""


# --- uploads ---------------------------------------------------------------------------------------------------------


class NewSet(_Request):
    """A folder for uploads that belong together."""

    name: str = Field(default="", max_length=200)


class UploadSet(_Answer):
    """A folder of uploads; ``set:ID`` as the input of a job means all images in it."""

    id: JobId
    name: str
    owner: UserName
    created_ms: NonNegativeInt


class SetFile(_Answer):
    """One file of a set, whole."""

    path: str
    """Relative, with ``/``."""
    size: NonNegativeInt


class SetFiles(_Answer):
    """A page of the files of a set, by name."""

    files: tuple[SetFile, ...]
    after: str | None
    """Where the next page begins; None: this was the last."""


class NewDirectUpload(_Request):
    """A file that the client will send to the bucket itself, in parts."""

    path: str = Field(max_length=1000)
    size: NonNegativeInt
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")


class DirectUpload(_Answer):
    """An upload straight to the bucket: send part n, counted from 1, by PUT to its address."""

    id: JobId
    part_bytes: PositiveInt
    """Size of all parts but the last."""
    parts: PositiveInt


class PartNumbers(_Request):
    """Parts that the client wants to send now."""

    numbers: tuple[PositiveInt, ...] = Field(min_length=1, max_length=100)


class PartAddresses(_Answer):
    """Where to put parts; valid for an hour."""

    urls: dict[int, str]


class SentPart(_Request):
    """A part that has arrived."""

    number: PositiveInt
    etag: str = Field(max_length=200)
    """As the bucket answered."""


class SentParts(_Request):
    """All parts of an upload."""

    parts: tuple[SentPart, ...] = Field(min_length=1, max_length=10_000)


# --- looking at inputs -----------------------------------------------------------------------------------------------


class Region(BaseModel):
    """A rectangle of an image, px."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    y: NonNegativeInt
    x: NonNegativeInt
    height: PositiveInt
    width: PositiveInt


class InspectRequest(_Request):
    """Which image to look at."""

    input: str = Field(max_length=2000)
    """As an input of a job."""
    image: str | None = None
    """Name of one image where the input has several; None: the first."""
    axes: str | None = None


class Inspected(_Answer):
    """What a file says of itself."""

    images: tuple[str, ...]
    """Names of the images in the input, at most 100."""
    more_images: bool
    image: str
    """The one that is described below."""
    axes: str
    shape: tuple[int, ...]
    dtype: str
    channel_names: tuple[str, ...]
    microns_per_pixel: float | None
    microns_per_pixel_source: str
    notices: tuple[Told, ...]
    thumbnail: str
    """JPEG of the middle plane, at most 512 px, as a data address."""


PlaceKind = Literal["folder", "image", "archive", "pattern"]


class PlaceRequest(_Request):
    """A folder or file that the service can reach itself, to look into."""

    place: str = Field(default="", max_length=2000)
    """A path, or the address of a bucket's folder; empty: where looking may begin."""
    after: str = Field(default="", max_length=1100)
    """Where this page begins, as the page before told."""
    limit: int = Field(default=200, ge=1, le=1000)


class PlaceEntry(_Answer):
    """Something in a place."""

    name: str
    place: str
    """As an input of a job, and for the next look."""
    kind: PlaceKind
    size: NonNegativeInt | None
    """Of a file, bytes."""


class Place(_Answer):
    """A page of what is in a place, by name; what is neither folder nor image nor archive is left out."""

    place: str
    kind: PlaceKind
    """Only a folder has entries. An OME-Zarr is one image."""
    above: str | None
    """The folder above; None: one may not go there."""
    entries: tuple[PlaceEntry, ...]
    after: str | None
    """Where the next page begins; None: this was the last."""


class PlaceToCount(_Request):
    """A place whose images are to be counted."""

    place: str = Field(min_length=1, max_length=2000)


class PlaceCount(_Answer):
    """How much is in a place and below it."""

    images: NonNegativeInt
    more: bool
    """Whether counting was broken off: there may be more."""
    pixels: NonNegativeInt | None
    """Of all these images, as if they were like a few whose headers were read; None: no header could be read."""


class PreviewRequest(_Request):
    """What to segment of an image, at once."""

    input: str = Field(max_length=2000)
    image: str | None = None
    region: Region | None = None
    """At most 1024 × 1024 px; None: 512 × 512 px in the middle."""
    t: NonNegativeInt = 0
    z: NonNegativeInt | None = None
    segment: SegmentSpec = SegmentSpec()


class Preview(_Answer):
    """The region with its objects."""

    image: str
    region: Region
    objects: NonNegativeInt
    median_diameter_px: float | None
    contrast: tuple[tuple[float, float], ...]
    notices: tuple[Told, ...]
    picture: str
    """JPEG of the region as the model saw it, as a data address."""
    labels: str
    """PNG of the labels, 16 bits, as a data address."""
    seconds: float


# --- jobs ------------------------------------------------------------------------------------------------------------


class JobRequest(_Request):
    """What to segment."""

    name: str = Field(default="", max_length=200)
    inputs: tuple[str, ...] = Field(min_length=1, max_length=10_000)
    """Sets of uploads (``set:ID``, ``set:ID/plate/a.tif``), addresses, where allowed paths of the server."""
    segment: SegmentSpec = SegmentSpec()
    formats: tuple[Format, ...] = Field(default=("labels-tiff", "csv"), min_length=1)
    """Files of each image, where the model finds objects."""
    priority: Priority = "normal"
    out: str | None = Field(default=None, max_length=2000)
    """Address for the results; None: in the service's store."""
    key: str = Field(default="", max_length=100)
    """Where it is given, a request with the same key means the same job: it may be repeated when its answer is lost."""


class JobProgress(_Answer):
    """How far a job is."""

    images: NonNegativeInt
    """Found so far; all of them once `listed`."""
    listed: bool
    images_done: NonNegativeInt
    images_failed: NonNegativeInt
    objects: NonNegativeInt
    pixels: NonNegativeInt
    tasks: NonNegativeInt
    tasks_done: NonNegativeInt
    tasks_running: NonNegativeInt
    tasks_dead: NonNegativeInt
    submitted_ms: NonNegativeInt
    started_ms: NonNegativeInt | None
    finished_ms: NonNegativeInt | None
    seconds_left: float | None
    """Estimate; None while there is nothing to base it on."""


class Job(_Answer):
    """A job as its owner sees it."""

    id: JobId
    name: str
    owner: UserName
    state: JobState
    """`failed`: nothing is left to do, and some images failed; the results of the others stand."""
    priority: Priority
    inputs: tuple[str, ...]
    segment: SegmentSpec
    model: PinnedModel
    formats: tuple[Format, ...]
    out: str | None
    """Address of the results; None: in the service's store."""
    progress: JobProgress
    problem: Told | None = None
    """Why there is nothing to do."""
    summarised: bool = False
    """Whether run.json and report.html are written, after the last image."""


class JobList(_Answer):
    """A page of jobs, newest first."""

    jobs: tuple[Job, ...]
    after: str | None
    """Where the next page begins; None: this was the last."""


class JobImage(_Answer):
    """One image of a job."""

    number: NonNegativeInt
    """From 0, in the order of the job."""
    image: str
    status: Literal["waiting", "done", "failed"]
    record: ImageRecord | None = None
    """What became of it, as in run.json."""


class JobImages(_Answer):
    """A page of the images of a job."""

    images: tuple[JobImage, ...]
    after: int | None
    """Number of the last image of this page; None: there are no more."""


class DeadTasks(_Answer):
    """Tasks of a job that were given up."""

    tasks: tuple[DeadTask, ...]
    more: bool


# --- models ----------------------------------------------------------------------------------------------------------


class ModelInfo(_Answer):
    """A model that jobs can use."""

    name: str
    version: str
    sha256: str
    bundled: bool
    task: Literal["segmentation", "classification", "translation", "workflow"] = "segmentation"
    steps: tuple[str, ...] = ()
    """Of a workflow: ``name:version`` of its models, in order."""
    compartments: tuple[Compartment, ...] = ()
    """What its objects are; none of a model that finds no objects."""
    description: str
    roles: tuple[str, ...]
    microns_per_pixel: float | None
    licence: str
    size_bytes: NonNegativeInt
    scores: dict[str, float] = Field(default_factory=dict)
    """Data set → F1, as the package states it."""
    tested: bool = False
    """Whether it brings an example of what it predicts: one that is added over HTTP was tried on it."""
    picture: bool = False
    default: bool = False
    """Whether pages offer it first."""


class ModelList(_Answer):
    """All models, by name; of each the newest version first."""

    models: tuple[ModelInfo, ...]


class NewModel(_Request):
    """A model package to take into the service: a bioimage.io folder, or a zip of one."""

    input: str = Field(max_length=2000)
    """``set:ID`` or ``set:ID/package.zip``, that was uploaded; or an address that the service may read."""
