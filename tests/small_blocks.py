"""The command with blocks of 256 px, so that an image of a few megapixels is a large one.

    python tests/small_blocks.py segment …

Appends a line ``plane y0 x0`` to the file that BLOCKS_DONE names for every block that it has done and kept.
"""

from __future__ import annotations

import functools
import os
import sys

from cellfleet.cli import main
from cellfleet.pipeline.block import BlockResult
from cellfleet.run import process
from cellfleet.run.parts import PlaceParts

SIDE = 256


class Told(PlaceParts):
    """Tells of every block after it was kept."""

    def save(self, plane: int, block: BlockResult) -> None:
        super().save(plane, block)
        if log := os.environ.get("BLOCKS_DONE"):
            descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, f"{plane} {block.box.y0} {block.box.x0}\n".encode())
            os.close(descriptor)


if __name__ == "__main__":
    process.How = functools.partial(process.How, block=SIDE)  # type: ignore[misc,assignment]
    process.PlaceParts = Told  # type: ignore[misc]
    sys.exit(main(sys.argv[1:]))
