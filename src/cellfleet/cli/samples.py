"""`cellfleet samples`: copy the sample images to where the user can see them."""

from __future__ import annotations

import sys
from pathlib import Path


def samples(folder: Path, /) -> int:
    """Copy small real microscopy images into FOLDER, to try things out.

    Then: cellfleet segment FOLDER -o results
    """
    from cellfleet.results.atomic import output_error
    from cellfleet.samples import copy_samples

    try:
        copied = copy_samples(folder)
    except OSError as error:
        raise output_error(error, folder) from error
    sys.stderr.write(f"Copied {len(copied)} images to {folder}. Next: cellfleet segment {folder} -o results\n")
    return 0
