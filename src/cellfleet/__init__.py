"""cellfleet: deep-learning models over microscopy images. Start with `cellfleet.segment`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellfleet.api import Result, Results, classify, segment
    from cellfleet.client.client import Client
    from cellfleet.errors import CellfleetError
    from cellfleet.evaluation.evaluate import evaluate
    from cellfleet.models import load_model
    from cellfleet.training import train

__version__ = "0.1.0"
__all__ = [
    "segment",
    "classify",
    "evaluate",
    "load_model",
    "train",
    "Client",
    "Result",
    "Results",
    "CellfleetError",
    "__version__",
]

_HOMES = {
    "segment": "cellfleet.api",
    "classify": "cellfleet.api",
    "Result": "cellfleet.api",
    "Results": "cellfleet.api",
    "evaluate": "cellfleet.evaluation.evaluate",
    "load_model": "cellfleet.models",
    "train": "cellfleet.training",
    "Client": "cellfleet.client.client",
    "CellfleetError": "cellfleet.errors",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``import cellfleet`` and ``cellfleet --help`` are quick."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cellfleet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
