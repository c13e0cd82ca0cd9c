"""Where a description of a cluster stands: a file beside you, or the store of a service that keeps it.

Knows no provider.
"""

from __future__ import annotations

from pathlib import Path

from cellfleet.errors import ClusterError
from cellfleet.spec.cluster import ClusterSpec
from cellfleet.spec.cluster_file import LARGEST_BYTES, parse_cluster
from cellfleet.stores.atomic import write_bytes
from cellfleet.stores.place import open_place
from cellfleet.stores.url import is_url


def read_file(where: str) -> bytes:
    """Return the content of a description.

    Args:
        where: A path, or the address of a file in a bucket.

    Raises:
        ClusterError: E717, there is none.
        OutputError: The bucket cannot be reached.
    """
    if is_url(where):
        folder, _, name = where.rpartition("/")
        content = open_place(folder).read(name)
    else:
        content = _start_of(Path(where))
    if content is None:
        action = "Make one with 'cellfleet cluster init', or say where it is with --file"
        raise ClusterError("E717", "there is no description of a cluster here", where=where, action=action)
    return content


def _start_of(path: Path) -> bytes | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        # One byte more than is read shows that there is more.
        return file.read(LARGEST_BYTES + 1)


def read_cluster(where: str) -> ClusterSpec:
    """Return the description in a file. Raises as `read_file`, and `UsageError` E710, E711."""
    return parse_cluster(read_file(where), where)


def refuse_existing(path: Path, *, replace: bool) -> None:
    """Raise `ClusterError` E717 if the file is there and is not to be replaced."""
    if path.exists() and not replace:
        action = "Edit it, choose another name with --file, or replace it with --overwrite"
        raise ClusterError("E717", "is there already", where=str(path), action=action)


def write_text(path: Path, text: str, *, replace: bool) -> None:
    """Write a file as a whole.

    Raises:
        ClusterError: E717, it is there and is not to be replaced.
        OutputError: It cannot be written.
    """
    refuse_existing(path, replace=replace)
    write_bytes(path, text.encode())
