"""Pictures of a result: the user's own pixels with the outlines of the objects on top. Knows arrays, no files.

Outlines are found after scaling, on labels sampled at the picture's grid, so they are one or two picture pixels thin
whatever the size of the image, and stay visible in a small picture of a large image.
"""

from __future__ import annotations

import imagecodecs
import numpy as np
from PIL import Image

from cellfleet.results.palette import label_colours

THUMBNAIL_PIXELS = 480
"""Longest side in the report: cards are about 240 CSS pixels wide, on a screen of two device pixels each."""
_LARGEST_ZOOM = 4
_OUTLINE = (255, 215, 0)
"""Yellow: far from black and, with `_WHITE` held back, from the brightest grey, also to colour-blind eyes."""
_NUCLEUS = (255, 255, 255)
_WHITE = 180
"""Brightest grey of the pixels: outlines must stand out on saturated objects, too."""
_GAMMA = 0.75
"""Lifts dim objects, which a screen would swallow beside bright ones."""
_BOLD_AREA = 200
"""Objects of at least this many picture pixels get an outline of two pixels."""
_ROLE_COLOURS = np.array([[0.35, 0.55, 1.0], [0.25, 0.9, 0.35], [1.0, 0.35, 0.35]], np.float32)
_JPEG_QUALITY = 85


def outline_picture(
    pixels: np.ndarray, contrast: np.ndarray, labels: np.ndarray, nuclei: np.ndarray | None = None
) -> bytes:
    """Return a JPEG of `pixels` with the outlines of `labels` and `nuclei`; arguments as in `outlined`."""
    return jpeg(outlined(pixels, contrast, labels, nuclei))


def outlined(
    pixels: np.ndarray,
    contrast: np.ndarray,
    labels: np.ndarray,
    nuclei: np.ndarray | None = None,
    *,
    longest: int = THUMBNAIL_PIXELS,
    colour_by_label: bool = False,
) -> np.ndarray:
    """Draw outlines over an image.

    Args:
        pixels: (R, Y, X) or (Y, X), any number type: the image as the model saw it. One role is shown in grey, more
            in blue, green and red.
        contrast: (R, 2): the raw values shown as black and as white.
        labels: (Y, X), 0 = background.
        nuclei: Likewise, where the objects are cells and have nuclei: drawn in white, below the outlines of the cells.
        longest: Longest side of the picture, px; small images are enlarged up to four times.
        colour_by_label: Each object in the colour it has in the label image, instead of one colour for all.

    Returns:
        uint8 (y, x, 3), red green blue.
    """
    planes = pixels.reshape(-1, *pixels.shape[-2:])
    height, width = _size(labels.shape, longest)
    picture = _colour(planes, np.asarray(contrast, np.float32).reshape(-1, 2), height, width)
    if nuclei is not None:
        picture[outline_pixels(_sampled(nuclei, height, width))] = _NUCLEUS
    small = _sampled(labels, height, width)
    edge = _bold(small, outline_pixels(small))
    if colour_by_label:
        colours = label_colours()[1:]
        picture[edge] = colours[(small[edge].astype(np.int64) - 1) % len(colours)]
    else:
        picture[edge] = _OUTLINE
    return picture


def outline_pixels(labels: np.ndarray) -> np.ndarray:
    """Return where an object's pixel has a 4-neighbour of another label; bool (Y, X). The image's rim is no outline."""
    edge = np.zeros(labels.shape, bool)
    rows = labels[1:] != labels[:-1]
    columns = labels[:, 1:] != labels[:, :-1]
    edge[1:] |= rows
    edge[:-1] |= rows
    edge[:, 1:] |= columns
    edge[:, :-1] |= columns
    edge &= labels != 0
    return edge


def _bold(labels: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Add a second ring inside the outlines of large objects."""
    numbers, quarters = np.unique(labels[::2, ::2], return_counts=True)
    inner = outline_pixels(np.where(edge, 0, labels))
    inner[inner] = np.isin(labels[inner], numbers[4 * quarters >= _BOLD_AREA])
    inner |= edge
    return inner


def jpeg(picture: np.ndarray) -> bytes:
    """Encode uint8 (y, x, 3). Full colour resolution: with the usual halving thin outlines would fade."""
    # Not Pillow: its optimised JPEG fails on noise that does not fit its buffer.
    return bytes(imagecodecs.jpeg8_encode(picture, level=_JPEG_QUALITY, subsampling="444", optimize=True))


def _size(shape: tuple[int, ...], longest: int) -> tuple[int, int]:
    zoom = min(longest / max(shape), _LARGEST_ZOOM)
    return max(1, round(shape[0] * zoom)), max(1, round(shape[1] * zoom))


def _sampled(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the label under the centre of each picture pixel."""
    sampled: np.ndarray = labels[np.ix_(_nearest(labels.shape[0], height), _nearest(labels.shape[1], width))]
    return sampled


def _nearest(length: int, wanted: int) -> np.ndarray:
    """Return for each of `wanted` picture pixels the image pixel under its centre."""
    return ((np.arange(wanted) + 0.5) * length / wanted).astype(np.intp)


def _colour(planes: np.ndarray, contrast: np.ndarray, height: int, width: int) -> np.ndarray:
    """Stretch and scale (R, Y, X) to uint8 (height, width, 3)."""
    # At least two samples per picture pixel and axis are averaged; more would cost time on large images only.
    step = max(1, min(planes.shape[1] // (2 * height), planes.shape[2] // (2 * width)))
    curve = (np.linspace(0, 1, 256) ** _GAMMA * _WHITE).astype(np.uint8)
    greys = []
    for plane, (low, high) in zip(planes, contrast, strict=True):
        image = Image.fromarray(np.ascontiguousarray(plane[::step, ::step], np.float32))
        kind = Image.Resampling.BOX if height < image.height else Image.Resampling.BICUBIC
        greys.append(curve[_stretched(np.asarray(image.resize((width, height), kind)), low, high)])
    if len(greys) == 1:
        return np.repeat(greys[0][..., np.newaxis], 3, axis=2)
    total = sum(grey[..., np.newaxis] * tint for grey, tint in zip(greys, _ROLE_COLOURS, strict=False))
    return _bytes(total)


def _stretched(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    values = np.nan_to_num(plane, nan=low, posinf=high, neginf=low)
    return _bytes((values - low) * (255 / max(high - low, 1e-12)))


def _bytes(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(values, 0, 255)
    return clipped.astype(np.uint8)
