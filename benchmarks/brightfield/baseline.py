"""What a linear model predicts from the same planes: the least that a network has to beat. Knows no network.

Ridge regression of the log intensity on each plane's mean and mean absolute deviation from grey, in squares of four
pixels, as they are and smoothed with Gaussians of 4, 8 and 16 px.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

_SQUARE_PX = 4
_SIGMAS = (0, 1, 2, 4)
"""In squares."""
_RIDGE = 1e-2


def linear_prediction(planes: np.ndarray, log_target: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Learn on one stack (Z, Y, X) and its log intensity (Y, X); return the log intensity of another stack."""
    learned, asked = _features(planes), _features(other)
    mean, deviation = learned.mean(0), learned.std(0)
    learned, asked = ((values - mean) / deviation for values in (learned, asked))
    wanted = _squares(log_target).ravel()
    products = learned.T @ learned + _RIDGE * len(learned) * np.eye(learned.shape[1])
    weights = np.linalg.solve(products, learned.T @ (wanted - wanted.mean()))
    shape = tuple(length // _SQUARE_PX for length in other.shape[1:])
    found = (asked @ weights + wanted.mean()).reshape(shape)
    return np.asarray(ndimage.zoom(found, _SQUARE_PX, order=1))


def _features(planes: np.ndarray) -> np.ndarray:
    """Return a row per square."""
    grey = np.median(planes, axis=(1, 2), keepdims=True)
    values = planes.astype(np.float64) - grey
    maps = [
        ndimage.gaussian_filter(_squares(one), (0, sigma, sigma)) if sigma else _squares(one)
        for one in (values, np.abs(values))
        for sigma in _SIGMAS
    ]
    return np.concatenate(maps).reshape(-1, maps[0][0].size).T


def _squares(values: np.ndarray) -> np.ndarray:
    height, width = (length // _SQUARE_PX for length in values.shape[-2:])
    cut = values[..., : height * _SQUARE_PX, : width * _SQUARE_PX]
    split = cut.reshape(*values.shape[:-2], height, _SQUARE_PX, width, _SQUARE_PX)
    return np.asarray(split.mean((-3, -1)))
