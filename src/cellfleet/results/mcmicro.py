"""Results in the layout of MCMICRO, for the tools that follow its segmentation and quantification steps.

Knows MCMICRO's folders and the column names of its quantification; the numbers are those of the table.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.csv as arrow_csv
import yaml

from cellfleet.results.labelled import Columns, Labelled
from cellfleet.results.ome_tiff import write_ome_tiff
from cellfleet.results.tables import csv_line

_COMPARTMENTS = {"nuclear": "nuclei", "whole-cell": "cell"}
_SHAPES = {
    "x_px": "X_centroid",
    "y_px": "Y_centroid",
    "area_px": "Area",
    "major_axis_px": "MajorAxisLength",
    "minor_axis_px": "MinorAxisLength",
    "eccentricity": "Eccentricity",
    "solidity": "Solidity",
    "extent": "Extent",
    "orientation": "Orientation",
    "t": "T",
    "z": "Z",
}
_MEAN = "mean_"


def write_mcmicro(folder: Path, result: Labelled) -> None:
    """Write label image, table and parameters into `folder`, which is made.

    ``segmentation/cellfleet-<sample>/nuclei.ome.tif`` (``cell`` for whole cells, both where nuclei were found, too),
    ``quantification/cellfleet-<sample>_nuclei.csv`` with CellID, the mean of each marker and the shape in px, and
    ``qc/params.yml``. The sample is the image's file name without its ending.
    """
    sample, parameters = sample_name(result.name), folder / "qc" / "params.yml"
    parameters.parent.mkdir(parents=True)
    for objects in (result, *([] if result.nuclei is None else [result.of_nuclei()])):
        compartment = _COMPARTMENTS[objects.compartment]
        mask = folder / "segmentation" / f"cellfleet-{sample}" / f"{compartment}.ome.tif"
        table = folder / "quantification" / f"cellfleet-{sample}_{compartment}.csv"
        for path in (mask, table):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_ome_tiff(mask, objects.labels, microns_per_pixel=objects.microns_per_pixel)
        _write_quantification(table, objects)
    told = {
        "image": result.name,
        "method": "cellfleet",
        "model": result.model,
        "key": result.key,
        "microns_per_pixel": result.microns_per_pixel,
    }
    parameters.write_text(yaml.safe_dump(told, allow_unicode=True, sort_keys=False), encoding="utf-8")


def sample_name(image: str) -> str:
    """Return MCMICRO's name of the sample: ``plate/a.ome.tif`` is ``a``."""
    return PurePosixPath(image).stem.removesuffix(".ome")


def _write_quantification(path: Path, result: Labelled) -> None:
    names = {"label": "CellID"} | {
        column: column.removeprefix(_MEAN) for column in result.rows.types if column.startswith(_MEAN)
    }
    names |= {column: name for column, name in _SHAPES.items() if column in result.rows.types}
    with open(path, "wb") as file:
        file.write(csv_line(names.values()).encode())
        for columns in result.rows.batches():
            arrow_csv.write_csv(_table(columns, list(names)), file, arrow_csv.WriteOptions(include_header=False))


def _table(columns: Columns, wanted: list[str]) -> pa.Table:
    return pa.table([pa.array(columns[name], from_pandas=True) for name in wanted], names=wanted)
