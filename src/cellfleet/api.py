"""The Python API: the same pipeline as the command, with results in memory. Tells nothing on the screen.

Channels are counted from 0 here, as everything in Python is; in the command they are counted from 1.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import Notice, UsageError
from cellfleet.images.find import find_images
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array, open_image
from cellfleet.images.source import Source
from cellfleet.inference.threads import usable_threads
from cellfleet.models import LoadedClassifier, LoadedModel, load_classifier, load_model
from cellfleet.results.labelled import all_columns, read_all
from cellfleet.results.tables import arrow_table
from cellfleet.run.classify_image import classify_image
from cellfleet.run.compartments import Nuclei
from cellfleet.run.names import all_files, output_names, output_stems
from cellfleet.run.pools import Pools
from cellfleet.run.process import picture_of, write_results
from cellfleet.run.request import Channels, asked_manifest, make_spec, python_channels, require_choice, require_threads
from cellfleet.run.resources import fair_share
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.run.workflow import predicted_image
from cellfleet.spec.choices import TOP, CompartmentChoice, Device, Format
from cellfleet.spec.record import PlaneClasses
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace, open_place

if TYPE_CHECKING:
    import pyarrow as pa

AnyPath = str | PathLike[str]


@dataclass(frozen=True, eq=False)
class NucleiResult:
    """The nuclei of the cells of one image. A nucleus has the number of its cell; further ones of a cell, and those
    without one, have numbers behind the last cell.
    """

    name: str
    """Of the image."""
    found: Nuclei
    """Everything the pipeline found of them."""

    @cached_property
    def labels(self) -> NDArray[np.uint32]:
        """Label image with the axes of that of the cells: 0 = background."""
        return read_all(self.found.objects.labels)

    @cached_property
    def table(self) -> pa.Table:
        """A row per nucleus, in the order of the labels; its cell stands in ``cell``, 0 where it meets none."""
        return arrow_table(self.name, all_columns(self.found.objects.rows))

    def __repr__(self) -> str:
        return f"<cellfleet nuclei of {self.name}: {self.found.objects.rows.count}>"


@dataclass(frozen=True, eq=False)
class Result:
    """The cells of one image."""

    name: str
    """Of the image: the `image` column of the table, and the stem of saved files."""
    found: Segmented
    """Everything the pipeline found; the properties below are its main parts."""
    model: LoadedModel
    key: str
    """Of the settings: `SegmentSpec.digest`."""
    stem: str
    """Of saved files; keeps the extension where another image of the same call has the same stem."""
    between: Image | None = field(default=None, repr=False)
    """What a workflow predicted and found the cells in, by region; None: the model is no workflow."""

    @cached_property
    def predicted(self) -> NDArray[np.uint16] | None:
        """What a workflow predicted, with the axes `between.axes`; None: the model is no workflow."""
        if self.between is None:
            return None
        planes = [self.between.read_plane(t, z) for t, z in self.between.planes()]
        depth = self.between.length("Z")
        stacks = [np.stack(planes[first : first + depth], axis=1) for first in range(0, len(planes), depth)]
        return np.stack(stacks).astype(np.uint16).reshape(self.between.shape)

    @cached_property
    def labels(self) -> NDArray[np.uint32]:
        """Label image with the axes `axes`: 0 = background, 1…n one cell each."""
        return read_all(self.found.labels)

    @property
    def axes(self) -> str:
        """Axes of `labels`: those of the image without C."""
        return self.found.labels.axes

    @cached_property
    def table(self) -> pa.Table:
        """A row per cell, in the order of the labels; `.to_pandas()` where pandas is installed."""
        return arrow_table(self.name, all_columns(self.found.rows))

    @cached_property
    def nuclei(self) -> NucleiResult | None:
        """The nuclei of the cells; None: the model does not find them, or was not asked to."""
        return None if self.found.nuclei is None else NucleiResult(self.name, self.found.nuclei)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What the user should know about this image."""
        return self.found.notices

    def save(
        self, folder: AnyPath, formats: Sequence[Format] = ("labels-tiff", "csv"), *, name: str | None = None
    ) -> list[Path] | list[str]:
        """Write the files that the command would write, byte for byte.

        Args:
            folder: Folder, or address of a bucket's part. Is made where it is missing; files of the same names in it
                are replaced.
            formats: Which files.
            name: File name to use instead of the image's own, without or with extension.

        Returns:
            Paths of the files (or of the folder, for formats that are one), in the order of `formats`; addresses, as
            text, where `folder` is one.

        Raises:
            UsageError: E014, the name leads out of the folder; E019, there is no such format.
            InputError: E150, the address cannot hold results.
            OutputError: E3xx, a file cannot be written.
        """
        for form in formats:
            require_choice(form, Format, "formats")
        stem = self.stem if name is None else name
        if Path(stem).is_absolute() or ".." in Path(stem).parts or Path(stem).name == "":
            raise UsageError("E014", f"{stem!r} is not a name inside the folder", where="name", action="Give a name")
        outputs = output_names(stem, formats, nuclei=self.found.nuclei is not None)
        place = open_place(fspath(folder))
        write_results(place, self.name, outputs, self.found, model=self.model, key=self.key, predicted=self.between)
        files = [path for form, first in outputs.items() for path in all_files(form, first)]
        return (
            [place.local(path) for path in files]
            if isinstance(place, FolderPlace)
            else [f"{place.url.rstrip('/')}/{path}" for path in files]
        )

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.found.labels.shape))
        return f"<cellfleet result {self.name}: {self.found.labels.count} cells in {shape} {self.axes}>"

    def _repr_html_(self) -> str:
        """For notebooks: a picture with outlines, the count and the median size."""
        diameters = np.sqrt(4 / np.pi * self.found.areas())
        size = f", median diameter {np.median(diameters):.1f} px" if len(diameters) else ""
        picture = picture_of(self.found)
        source = base64.b64encode(picture).decode()
        name = html.escape(self.name)
        return (
            f'<figure style="margin:0"><img src="data:image/jpeg;base64,{source}" alt="{name} with outlined cells">'
            f"<figcaption>{name}: {len(diameters)} cells{size}</figcaption></figure>"
        )


@dataclass(frozen=True, eq=False)
class Results(Sequence[Result]):
    """One `Result` per image, computed when it is asked for and not kept: memory does not grow with their number.

    Use ``for cells in results``. Asking for the same image twice computes it twice; ``list(results)`` keeps all.
    A bad image raises its error when its turn comes; go through `sources` by index to pass over it.
    """

    sources: tuple[Source, ...]
    stems: tuple[str, ...]
    """Of saved files, one per source."""
    spec: SegmentSpec
    model: LoadedModel
    pools: Pools = field(repr=False)

    def __len__(self) -> int:
        return len(self.sources)

    @overload
    def __getitem__(self, index: int) -> Result: ...

    @overload
    def __getitem__(self, index: slice) -> Results: ...

    def __getitem__(self, index: int | slice) -> Result | Results:
        """Segment the image at `index`; a slice gives fewer images, not yet segmented."""
        if isinstance(index, slice):
            return Results(self.sources[index], self.stems[index], self.spec, self.model, self.pools)
        source = self.sources[index]
        image = open_image(source, axes=self.spec.axes, cache=self.pools.chunks)
        return _segmented(image, self.stems[index], self.spec, self.model, self.pools)

    def __repr__(self) -> str:
        return f"<cellfleet results of {len(self)} images, computed when asked for>"


@dataclass(frozen=True)
class ImageClasses:
    """What one image shows."""

    name: str
    planes: tuple[PlaneClasses, ...]
    """One for each plane, over T, then Z; of each, `top` has the best classes with their scores."""
    notices: tuple[Notice, ...]


def classify(
    images: AnyPath | Sequence[AnyPath],
    *,
    model: AnyPath | LoadedClassifier,
    top: int = TOP,
    channels: Channels | None = None,
    axes: str | None = None,
    device: Device = "auto",
) -> Iterator[ImageClasses]:
    """Yield what images show, one after the other in the order of their names, as they are asked for.

    Args:
        images: Path of a file, a folder or a zip, or a list of paths.
        model: Folder of a package, or what `cellfleet.models.load_classifier` returned.
        top: How many classes are told of each plane, 1…1000.
        channels: Which channel the model sees, by number from 0 or by name: one, or one for each of the model's.
        axes: One letter per dimension out of T C Z Y X S; None: as in the file.
        device: ``auto``, ``cpu`` or ``cuda``; never falls back silently.

    Raises:
        CellfleetError: With a code and what to do; see docs/reference/errors.md. A bad image raises at its turn.
    """
    require_choice(device, Device, "device")
    loaded = model if isinstance(model, LoadedClassifier) else load_classifier(str(model), device=device)
    spec = make_spec(model=loaded.manifest.name, channels=python_channels(channels), axes=axes, top=top)
    given = [fspath(images)] if isinstance(images, str | PathLike) else [fspath(one) for one in images]
    with Pools(1, loaded, fair_share()) as pools:
        for source in sorted(find_images(given), key=lambda source: source.name):
            image = open_image(source, axes=axes, cache=pools.chunks)
            found = classify_image(image, spec, loaded, pools)
            yield ImageClasses(source.name, found.planes, found.notices)


@overload
def segment(
    images: NDArray[Any],
    *,
    model: AnyPath | LoadedModel = ...,
    channels: Channels | None = ...,
    pixel_size: float | None = ...,
    diameter: float | None = ...,
    axes: str | None = ...,
    compartment: CompartmentChoice | None = ...,
    device: Device = ...,
    threads: int | None = ...,
) -> Result: ...


@overload
def segment(
    images: AnyPath | Sequence[AnyPath],
    *,
    model: AnyPath | LoadedModel = ...,
    channels: Channels | None = ...,
    pixel_size: float | None = ...,
    diameter: float | None = ...,
    axes: str | None = ...,
    compartment: CompartmentChoice | None = ...,
    device: Device = ...,
    threads: int | None = ...,
) -> Any: ...


def segment(  # noqa: PLR0913 (the options of the command, each by its name)
    images: AnyPath | NDArray[Any] | Sequence[AnyPath],
    *,
    model: AnyPath | LoadedModel = "nuclei",
    channels: Channels | None = None,
    pixel_size: float | None = None,
    diameter: float | None = None,
    axes: str | None = None,
    compartment: CompartmentChoice | None = None,
    device: Device = "auto",
    threads: int | None = None,
) -> Any:
    """Find the cells of one image or of many.

    Args:
        images: Path of a file, or an array (Y, X) or with more axes: one `Result`. A folder, zip or list of paths: a
            `Results`, one `Result` per image, computed in turn.
        model: Bundled name, folder of a model package, or what `load_model` returned.
        channels: Which channel the model sees, by number from 0 or by name; a dictionary role → channel or channels,
            which are summed.
        pixel_size: µm per pixel; None: as in the file.
        diameter: Typical diameter of a cell, px; None: from the pixel size, or estimated.
        axes: One letter per dimension out of T C Z Y X S; None: as in the file.
        compartment: Of a model of cells and nuclei: ``whole-cell``, ``nuclear`` or ``both``; None: all that it finds.
        device: ``auto``, ``cpu`` or ``cuda``; never falls back silently.
        threads: Processor threads; None: all that this process may use.

    Raises:
        CellfleetError: With a code and what to do; see docs/reference/errors.md.
    """
    require_threads(threads)
    require_choice(device, Device, "device")
    if compartment is not None:
        require_choice(compartment, CompartmentChoice, "compartment")
    loaded = model if isinstance(model, LoadedModel) else load_model(str(model), device=device)
    spec = make_spec(
        model=loaded.manifest.name if isinstance(model, LoadedModel) else str(model),
        channels=python_channels(channels),
        microns_per_pixel=pixel_size,
        diameter_px=diameter,
        axes=axes,
        compartment=compartment,
    )
    asked_manifest(loaded.manifest, spec)
    pools = Pools(threads or usable_threads(), loaded, fair_share())
    if isinstance(images, str | PathLike):
        found = _results([fspath(images)], spec, loaded, pools)
        # The path of one image gives that image; a folder or a pattern gives a sequence, even of one.
        if [fspath(images)] != [source.path for source in found.sources]:
            return found
        with pools:
            return found[0]
    if isinstance(images, list | tuple) and all(isinstance(item, str | PathLike) for item in images):
        return _results([fspath(item) for item in images], spec, loaded, pools)
    # One result may be kept for long; its threads need not be.
    with pools:
        return _segmented(image_from_array(images, axes=axes), "array", spec, loaded, pools)


def _results(inputs: list[str], spec: SegmentSpec, model: LoadedModel, pools: Pools) -> Results:
    sources = sorted(find_images(inputs), key=lambda source: source.name)
    return Results(tuple(sources), tuple(output_stems([source.name for source in sources])), spec, model, pools)


def _segmented(image: Image, stem: str, spec: SegmentSpec, model: LoadedModel, pools: Pools) -> Result:
    seen, rest = predicted_image(image, spec, model, pools)
    found = segment_image(seen, rest, model, How(pools))
    assert isinstance(found, Segmented), "nobody shares it"
    return Result(image.name, found, model, spec.digest(model.sha256), stem, seen if model.before else None)
