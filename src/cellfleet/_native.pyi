from typing import Any

from numpy.typing import NDArray

def deep_watershed(
    maxima: NDArray[Any],
    interior: NDArray[Any],
    labels: NDArray[Any],
    maxima_threshold: float,
    maxima_smooth: float,
    interior_threshold: float,
    interior_smooth: float,
    radius: int,
    pixel_expansion: int,
    smallest_object: int,
    largest_hole: int,
    top: int,
    left: int,
    bottom: int,
    right: int,
    /,
) -> tuple[bytes, bytes]: ...
def resample(
    pixels: NDArray[Any],
    out: NDArray[Any],
    source_height: int,
    target_height: int,
    from_row: int,
    start_row: int,
    source_width: int,
    target_width: int,
    from_column: int,
    start_column: int,
    /,
) -> None: ...
def measure_shapes(labels: NDArray[Any], y: int, x: int, /) -> bytes: ...
def measure_intensity(labels: NDArray[Any], pixels: NDArray[Any], /) -> bytes: ...
def first_pixels(labels: NDArray[Any], count: int, /) -> bytes: ...
def relabel(labels: NDArray[Any], numbers: NDArray[Any], out: NDArray[Any], /) -> None: ...
