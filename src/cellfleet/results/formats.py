"""The result formats in one table: what the files of each are called, and who writes them.

Callers go through `outputs_of` and `write`, so that a new format is a row here, its name in `spec/choices.py` and its
writer. Knows no folder and no run: the caller gives temporary paths and renames what is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeGuard

from cellfleet.errors import Notice
from cellfleet.results.anndata import require_anndata, write_anndata
from cellfleet.results.cellpose import require_cellpose_size, write_cellpose
from cellfleet.results.geojson import write_geojson
from cellfleet.results.labelled import Labelled
from cellfleet.results.labels import write_label_tiff
from cellfleet.results.mcmicro import write_mcmicro
from cellfleet.results.ome_zarr import write_ome_zarr
from cellfleet.results.predicted import nothing_predicted, write_predicted
from cellfleet.results.rois import write_rois
from cellfleet.results.tables import write_csv, write_parquet
from cellfleet.spec.choices import Format, NucleiOutput, Output

Writer = Callable[[Sequence[Path], Labelled], tuple[Notice, ...]]


class _Form(NamedTuple):
    endings: tuple[str, ...]
    """What follows the stem of the image, one per file; a folder ends in ``/``."""
    write: Writer


def outputs_of(form: Output) -> tuple[str, ...]:
    """Return what follows the stem of the image in the names of the files, one per file; a folder ends in ``/``.

    No ending ends another: so files of two images never have the same name.
    """
    return _ALL[form].endings


def written_for(forms: Iterable[Format], *, nuclei: bool) -> Iterator[Output]:
    """Yield what is written for these formats, of cells with or without `nuclei`."""
    for form in forms:
        yield form
        if nuclei and (besides := nuclei_output(form)):
            yield besides


def nuclei_output(form: Format) -> NucleiOutput | None:
    """Return the output that holds the nuclei of cells; None: the format itself holds both."""
    return next((output for output in _NUCLEI if output == _PREFIX + form), None)


def format_of(form: str) -> str:
    """Return the format that an output is written for: that of the cells for that of the nuclei."""
    return form.removeprefix(_PREFIX)


def is_output(form: str) -> TypeGuard[Output]:
    """Say whether it is known; a later version of cellfleet may write others."""
    return form in _ALL


def require_libraries(forms: Iterable[Format]) -> None:
    """Raise OutputError E332 where a format needs a library that is not installed; ask before the work begins."""
    if "anndata" in forms:
        require_anndata()


def require_prediction(forms: Iterable[Format], model: str, *, predicts: bool) -> None:
    """Raise UsageError E418 where a predicted image is asked of a model that predicts none; ask before the work."""
    if "predicted-tiff" in forms and not predicts:
        raise nothing_predicted(model)


def require_size(forms: Iterable[Output], shape: Sequence[int]) -> None:
    """Raise OutputError E331 where a format cannot hold labels of this shape; ask before the image is segmented."""
    if "cellpose" in forms:
        require_cellpose_size(shape)


def write(form: Output, targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    """Write the files of one format.

    Args:
        form: Which.
        targets: Local paths that are free to be written, one per item of `outputs_of`.
        result: What to write.

    Returns:
        What the user should know about these files.

    Raises:
        OutputError: E30x, a file cannot be written; E310–E339, the format cannot hold this image.
    """
    return _ALL[form].write(targets, result)


def _labels_tiff(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    return write_label_tiff(targets[0], result.labels, microns_per_pixel=result.microns_per_pixel)


def _ome_zarr(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_ome_zarr(targets[0], result.labels, microns_per_pixel=result.microns_per_pixel, source=result.link)
    return ()


def _ome_zarr_04(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_ome_zarr(targets[0], result.labels, microns_per_pixel=result.microns_per_pixel, version="0.4")
    return ()


def _csv(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_csv(targets[0], result.name, result.rows)
    return ()


def _parquet(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_parquet(targets[0], result.name, result.rows, model=result.model, microns_per_pixel=result.microns_per_pixel)
    return ()


def _rois(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    return write_rois(targets[0], result)


def _geojson(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_geojson(targets[0], result)
    return ()


def _anndata(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_anndata(targets[0], result)
    return ()


def _cellpose(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_cellpose(targets[0], targets[1], result)
    return ()


def _mcmicro(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_mcmicro(targets[0], result)
    return ()


def _predicted(targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
    write_predicted(targets[0], result)
    return ()


_FORMS: dict[Format, _Form] = {
    "labels-tiff": _Form(("_labels.tif",), _labels_tiff),
    "ome-zarr": _Form(("_labels.ome.zarr/",), _ome_zarr),
    "ome-zarr-0.4": _Form(("_labels_v0.4.ome.zarr/",), _ome_zarr_04),
    "csv": _Form(("_cells.csv",), _csv),
    "parquet": _Form(("_cells.parquet",), _parquet),
    "imagej-rois": _Form(("_rois.zip",), _rois),
    "qupath-geojson": _Form(("_cells.geojson.gz",), _geojson),
    "anndata": _Form(("_cells.h5ad",), _anndata),
    "cellpose": _Form(("_cp_masks.tif", "_seg.npy"), _cellpose),
    "mcmicro": _Form(("_mcmicro/",), _mcmicro),
    "predicted-tiff": _Form(("_predicted.ome.tif",), _predicted),
}


def _of_nuclei(form: Format, *endings: str) -> _Form:
    """Return how the nuclei are written as that format writes objects that stand alone."""
    return _Form(endings, lambda targets, result: _FORMS[form].write(targets, result.of_nuclei()))


_PREFIX = "nuclei-"
_NUCLEI: dict[NucleiOutput, _Form] = {
    "nuclei-labels-tiff": _of_nuclei("labels-tiff", "_nuclei.tif"),
    "nuclei-ome-zarr": _of_nuclei("ome-zarr", "_nuclei.ome.zarr/"),
    "nuclei-ome-zarr-0.4": _of_nuclei("ome-zarr-0.4", "_nuclei_v0.4.ome.zarr/"),
    "nuclei-imagej-rois": _of_nuclei("imagej-rois", "_rois_nuclei.zip"),
    "nuclei-csv": _of_nuclei("csv", "_nuclei.csv"),
    "nuclei-parquet": _of_nuclei("parquet", "_nuclei.parquet"),
    "nuclei-cellpose": _of_nuclei("cellpose", "_cp_nuclei_masks.tif", "_seg_nuclei.npy"),
}
_ALL: dict[str, _Form] = dict((*_FORMS.items(), *_NUCLEI.items()))
