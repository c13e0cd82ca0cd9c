"""Closed lists of choices that the command, the Python API and the specs share. Imports nothing, so help is quick."""

from __future__ import annotations

from typing import Final, Literal

Format = Literal[
    "labels-tiff",
    "ome-zarr",
    "ome-zarr-0.4",
    "imagej-rois",
    "qupath-geojson",
    "csv",
    "parquet",
    "anndata",
    "cellpose",
    "mcmicro",
    "predicted-tiff",
]
NucleiOutput = Literal[
    "nuclei-labels-tiff",
    "nuclei-ome-zarr",
    "nuclei-ome-zarr-0.4",
    "nuclei-imagej-rois",
    "nuclei-csv",
    "nuclei-parquet",
    "nuclei-cellpose",
]
"""What a format, whose name follows the prefix, writes besides where cells have nuclei. The others hold both."""
Output = Format | NucleiOutput
CompartmentChoice = Literal["both", "whole-cell", "nuclear"]
Device = Literal["auto", "cpu", "cuda"]
Progress = Literal["auto", "bar", "plain", "json", "none"]
Network = Literal["unet", "feature-net", "feature-net-3d", "panoptic", "detector"]
Recipe = Literal["fast", "paper"]
TOP: Final = 5
"""Classes that are told of an image where nobody says how many."""
