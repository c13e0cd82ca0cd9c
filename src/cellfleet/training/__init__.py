"""Data sets, targets, augmentation, networks, the loop, and the export of a model package (extra ``[train]``).

Import `train` from here; it needs PyTorch, which segmentation does not.
"""

from cellfleet.errors import TrainingError

try:
    import torch  # noqa: F401
except ImportError as error:
    raise TrainingError(
        "E606",
        "training needs PyTorch, which is not installed",
        action="Install it with: pip install 'cellfleet[train]'",
    ) from error

from cellfleet.training.run import train
from cellfleet.training.spec import TrainSpec, train_spec, with_channels

__all__ = ["TrainSpec", "train", "train_spec", "with_channels"]
