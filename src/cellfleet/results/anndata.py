"""The table as AnnData (``.h5ad``), for scanpy, squidpy and SpatialData: one observation per object.

Needs the extra ``cellfleet[spatial]``. Holds the whole table in memory, as everything does that opens such a file.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import OutputError
from cellfleet.results.columns import NUCLEUS
from cellfleet.results.labelled import Labelled, all_columns

if TYPE_CHECKING:
    import pandas as pd

_STATISTICS = ("std", "min", "max", "sum")
_NUCLEUS_MEAN = f"{NUCLEUS}mean"


def require_anndata() -> None:
    """Raise OutputError E332 where the library is not installed; ask before the first image is segmented."""
    if find_spec("anndata") is None:
        raise OutputError("E332", "--format anndata needs AnnData", action="pip install 'cellfleet[spatial]'")


def write_anndata(path: Path, result: Labelled) -> None:
    """Write the table as AnnData.

    X holds the mean of each channel (n, channels) as float32, the layers its other statistics and, of cells whose
    nuclei were found, its mean in the nucleus (``nucleus_mean``, NaN where there is none), obs all other columns,
    ``obsm["spatial"]`` the centroids x, y in the unit that ``uns["cellfleet"]["spatial_unit"]`` names.
    ``uns["spatialdata_attrs"]`` says which label image the rows belong to, so that the table fits into SpatialData.

    Raises:
        OutputError: E332, AnnData is not installed.
    """
    require_anndata()
    from anndata import AnnData  # noqa: PLC0415 (an extra, and slow to import)

    columns = all_columns(result.rows)
    channels = [name.removeprefix("mean_") for name in columns if name.startswith("mean_")]
    unit = "px" if result.microns_per_pixel is None else "um"
    region = region_name(result.name)
    table = AnnData(
        X=_matrix(columns, "mean", channels).astype(np.float32),
        obs=_observations(columns, channels, result.name, region),
        obsm={"spatial": np.column_stack([columns[f"x_{unit}"], columns[f"y_{unit}"]])},
        layers={
            statistic: _matrix(columns, statistic, channels)
            for statistic in (*_STATISTICS, *([_NUCLEUS_MEAN] if result.nuclei is not None else []))
        },
        uns={
            "spatialdata_attrs": {"region": region, "region_key": "region", "instance_key": "label"},
            "cellfleet": _told(result, "µm" if unit == "um" else unit),
        },
    )
    table.var_names = channels
    table.write_h5ad(path, compression="gzip")


def region_name(image: str) -> str:
    """Return the image's name as SpatialData allows it for the label image that the rows belong to."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", image)


def _matrix(columns: dict[str, NDArray[Any]], statistic: str, channels: list[str]) -> NDArray[np.float64]:
    count = len(columns["label"])
    values = [columns[f"{statistic}_{channel}"] for channel in channels]
    return np.column_stack([np.empty((count, 0)), *values]).astype(np.float64)


def _observations(columns: dict[str, NDArray[Any]], channels: list[str], image: str, region: str) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 (comes with anndata)

    of_channels = {
        f"{statistic}_{channel}" for statistic in ("mean", *_STATISTICS, _NUCLEUS_MEAN) for channel in channels
    }
    count = len(columns["label"])
    return pd.DataFrame(
        {
            "image": pd.Categorical.from_codes(np.zeros(count, int), [image]),
            "region": pd.Categorical.from_codes(np.zeros(count, int), [region]),
            **{name: values for name, values in columns.items() if name not in of_channels},
        },
        # Unique over the images of a run, so that tables can be put together.
        index=[f"{image}:{label}" for label in columns["label"]],
    )


def _told(result: Labelled, unit: str) -> dict[str, Any]:
    size = {} if result.microns_per_pixel is None else {"microns_per_pixel": result.microns_per_pixel}
    return {"spatial_unit": unit, "model": result.model, "key": result.key, **size}
