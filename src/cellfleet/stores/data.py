"""Where this user's machine keeps what the user put there. Knows nothing of what it is."""

from __future__ import annotations

import os
from pathlib import Path


def models_folder() -> Path:
    """Return the folder of the user's models: ``CELLFLEET_MODELS``, else in the user's data. It need not exist."""
    given = os.environ.get("CELLFLEET_MODELS")
    if given:
        return Path(given)
    home = os.environ.get("XDG_DATA_HOME")
    try:
        return Path(home) / "cellfleet" / "models" if home else Path.home() / ".local/share/cellfleet/models"
    except RuntimeError:  # whoever runs in a container may have no home
        return Path("/nonexistent/cellfleet/models")
