"""`cellfleet models remove`: one of the user's own models goes."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter


def remove(model: Annotated[str, Parameter(name="NAME", help="Of one of your own models, or NAME:VERSION.")], /) -> int:
    """Remove a model; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.models.own import remove_own

    gone = remove_own(model)
    sys.stderr.write(f"{gone.name}:{gone.version} is removed from {gone.place.url}\n")
    return 0
