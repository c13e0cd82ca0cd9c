"""What each column of the object table means: the text in Parquet files and in docs/reference/outputs.md.

Knows the names that *measure* gives, not how the numbers are made.
"""

from __future__ import annotations

COLUMNS: dict[str, str] = {
    "image": "path of the image relative to the input, with /",
    "label": "number of the object: its pixel value in the label image",
    "cell": "number of the cell that the nucleus belongs to, 0 where it meets none",
    "t": "time point, counted from 0",
    "z": "plane, counted from 0",
    "x_px": "centroid, px from the centre of the first pixel to the right",
    "y_px": "centroid, px from the centre of the first pixel downwards",
    "x_um": "centroid to the right, µm",
    "y_um": "centroid downwards, µm",
    "y_min_px": "first row of the object, px",
    "x_min_px": "first column of the object, px",
    "y_max_px": "row after the last row of the object, px",
    "x_max_px": "column after the last column of the object, px",
    "area_px": "number of pixels",
    "area_um2": "area, µm²",
    "equivalent_diameter_px": "diameter of the circle of equal area, px",
    "equivalent_diameter_um": "diameter of the circle of equal area, µm",
    "major_axis_px": "long axis of the ellipse with the same second moments, px",
    "major_axis_um": "long axis of the ellipse with the same second moments, µm",
    "minor_axis_px": "short axis of the ellipse with the same second moments, px",
    "minor_axis_um": "short axis of the ellipse with the same second moments, µm",
    "perimeter_px": "length of the outline through the centres of border pixels, px",
    "perimeter_um": "length of the outline through the centres of border pixels, µm",
    "eccentricity": "of the ellipse with the same second moments: 0 for a circle, towards 1 for a line",
    "orientation": "angle of the major axis to the downward direction, radians from −π/2 to π/2, counter-clockwise",
    "circularity": "4π · area ÷ perimeter²: about 1 for a disc, less when ragged or long; missing for one pixel",
    "solidity": "area ÷ area of the convex hull: 1 without dents",
    "extent": "area ÷ area of the bounding box",
    "nuclei": "number of nuclei that belong to the cell",
}
"""Columns in their order; t and z, and those in µm, only where the image has them; cell only in the table of nuclei,
and nuclei only in that of cells whose nuclei were found, too."""

CHANNEL_COLUMNS: dict[str, str] = {
    "mean": "mean of the pixel values of channel <channel> in the object",
    "std": "standard deviation of the pixel values of channel <channel> in the object",
    "min": "lowest pixel value of channel <channel> in the object",
    "max": "highest pixel value of channel <channel> in the object",
    "sum": "sum of the pixel values of channel <channel> in the object",
}
"""Prefix of the columns ``<prefix>_<channel>``, one set per channel of the image."""


NUCLEUS = "nucleus_"
"""Prefix of the columns of a cell that tell of its nucleus: that with the cell's number."""
_NOT_OF_THE_NUCLEUS = frozenset({"image", "label", "cell", "t", "z", "nuclei"})


def nucleus_column(column: str) -> str:
    """Return what a nucleus' own `column` is called in the table of the cells; empty for those that are not there."""
    wanted = column in COLUMNS.keys() - _NOT_OF_THE_NUCLEUS or column.startswith("mean_")
    return f"{NUCLEUS}{column}" if wanted else ""


def describe(column: str) -> str:
    """Return one clause that says what `column` holds, with its unit; empty for an unknown column."""
    if column.startswith(NUCLEUS):
        return f"of the nucleus: {describe(column.removeprefix(NUCLEUS))}"
    if column in COLUMNS:
        return COLUMNS[column]
    statistic, _, channel = column.partition("_")
    return CHANNEL_COLUMNS.get(statistic, "").replace("<channel>", channel)
