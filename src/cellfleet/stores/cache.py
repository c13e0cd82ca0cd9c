"""Where this user's machine keeps what can be had again. Knows nothing of what it is."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder: ``CELLFLEET_CACHE``, else ``cellfleet`` in the user's cache. It need not exist."""
    given = os.environ.get("CELLFLEET_CACHE")
    if given:  # whoever runs in a container may have no home
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cellfleet"
