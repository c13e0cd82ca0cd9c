"""`cellfleet models add`: a package is checked and tried, and then kept here, on a server, or in a store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from cellfleet.cli.models_test import called, words
from cellfleet.errors import UsageError

if TYPE_CHECKING:
    from cellfleet.models.check import Checked


def add(
    package: Annotated[str, Parameter(name="PACKAGE", help="Folder or zip of a bioimage.io package, or its address.")],
    /,
    *,
    on: Annotated[str | None, Parameter(metavar="SERVER", help="Publish it on this server.")] = None,
    store: Annotated[str | None, Parameter(metavar="URL", help="Publish it in the store of a service.")] = None,
    outputs: Annotated[
        str | None,
        Parameter(metavar="MEANINGS", help="What the output channels are: foreground, interior, boundary, …"),
    ] = None,
) -> int:
    """Add a model; the text of its help stands in `cellfleet.cli.help`."""
    if on and store:
        action = "Leave out one of them; a server keeps what it takes in its store"
        raise UsageError("E439", "--on and --store are two places", where="cellfleet models add", action=action)
    from cellfleet.run.trial import open_package, try_model

    checked = open_package(package, outputs=words(outputs))
    try_model(checked, package, device="cpu")
    place, way = _to_server(checked, on) if on else _to_store(checked, store) if store else _here(checked)
    name = called(checked.package)
    sys.stdout.write(f"{name}\n")
    sys.stderr.write(f"{name} is in {place}. To use it: cellfleet segment IMAGES -o results --model {name}{way}\n")
    return 0


def _here(checked: Checked) -> tuple[str, str]:
    from cellfleet.models.own import add_own

    return add_own(checked).where, ""


def _to_server(checked: Checked, server: str) -> tuple[str, str]:
    import tempfile
    from pathlib import Path

    from cellfleet.client.client import Client
    from cellfleet.models.package import RDF

    with tempfile.TemporaryDirectory(prefix="cellfleet-") as temporary, Client(server) as client:
        folder = Path(temporary) / checked.package.declared.name
        folder.mkdir()
        for name, content in {**checked.files, RDF: checked.content}.items():
            (folder / name).write_bytes(content)
        client.add_model(folder)
        return client.connection.name, f" --on {server}"


def _to_store(checked: Checked, store: str) -> tuple[str, str]:
    from cellfleet.models.repository import Repository
    from cellfleet.stores.cache import cache_folder
    from cellfleet.stores.place import open_place

    place = open_place(store)
    Repository(place, cache_folder() / "models").take(checked, place.url)
    return place.url, " --on SERVER"
