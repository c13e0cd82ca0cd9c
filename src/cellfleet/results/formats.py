"""The result formats in one table: what the files of each are called, and who writes them.

Callers go through `outputs_of` and `write`, so that a new format is a row here, its name in `spec/choices.py` and its
writer. Knows no folder and no run: the caller gives temporary paths and renames what is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from cellfleet.errors import Notice
from cellfleet.results.anndata import require_anndata, write_anndata
from cellfleet.results.cellpose import require_cellpose_size, write_cellpose
from cellfleet.results.geojson import write_geojson
from cellfleet.results.labelled import Labelled
from cellfleet.results.labels import write_label_tiff
from cellfleet.results.mcmicro import write_mcmicro
from cellfleet.results.ome_zarr import write_ome_zarr
from cellfleet.results.rois import write_rois
from cellfleet.results.tables import write_csv, write_parquet
from cellfleet.spec.choices import Format

Writer = Callable[[Sequence[Path], Labelled], tuple[Notice, ...]]


class _Form(NamedTuple):
    endings: tuple[str, ...]
    """What follows the stem of the image, one per file; a folder ends in ``/``."""
    write: Writer


def outputs_of(form: Format) -> tuple[str, ...]:
    """Return what follows the stem of the image in the names of the files, one per file; a folder ends in ``/``."""
    return _FORMS[form].endings


def require_libraries(forms: Iterable[Format]) -> None:
    """Raise OutputError E332 where a format needs a library that is not installed; ask before the work begins."""
    if "anndata" in forms:
        require_anndata()


def require_size(forms: Iterable[Format], shape: Sequence[int]) -> None:
    """Raise OutputError E331 where a format cannot hold labels of this shape; ask before the image is segmented."""
    if "cellpose" in forms:
        require_cellpose_size(shape)


def write(form: Format, targets: Sequence[Path], result: Labelled) -> tuple[Notice, ...]:
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
    return _FORMS[form].write(targets, result)


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
}
