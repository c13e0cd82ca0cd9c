"""The user's own models: packages in a folder of this machine, found by name as the bundled ones are.

A folder per package, whatever it is called; ``name:version`` means one content. Knows no store of a service.
"""

from __future__ import annotations

from cellfleet.errors import ModelError
from cellfleet.models.chained import with_steps
from cellfleet.models.check import Checked
from cellfleet.models.listing import Entry, find_packages
from cellfleet.models.load import BUNDLED, split_name
from cellfleet.models.package import RDF
from cellfleet.models.versions import newness
from cellfleet.stores.data import models_folder
from cellfleet.stores.folder import FolderPlace


def local_models() -> list[Entry]:
    """Return the bundled models and the user's own, by name, of each the newest version first."""
    bundled = FolderPlace(BUNDLED)
    entries = with_steps([*find_packages(bundled, bundled.names(), bundled=True), *own_models()], lambda entry: [])
    newest_first = sorted(entries, key=lambda entry: newness(entry.version), reverse=True)
    return sorted(newest_first, key=lambda entry: entry.name)


def own_models() -> list[Entry]:
    """Return the user's own models, by folder."""
    place = FolderPlace(models_folder())
    return find_packages(place, [f"{rdf.parent.name}/{RDF}" for rdf in place.path.glob(f"*/{RDF}")])


def add_own(checked: Checked) -> Entry:
    """Keep a package that was checked; one that is there already stays as it is.

    Raises:
        ModelError: E437, its name and version stand for another content here; E413–E415, it is a workflow whose steps
            are not there or do not go together.
        OutputError: The folder cannot be written.
    """
    declared, sha256 = checked.package.declared, checked.package.sha256
    place, folder = FolderPlace(models_folder()), f"{declared.name}-{declared.version}"
    added = Entry(place, folder, checked.content, checked.package, checked.weights_bytes, bundled=False)
    *_, added = with_steps([*local_models(), added], lambda entry: [])
    if added.trouble is not None:
        raise added.trouble
    for entry in local_models():
        if (entry.name, entry.version) == (declared.name, declared.version):
            if entry.package.sha256 == sha256:
                return entry
            raise ModelError(
                "E437",
                f"another model is called {entry.name}:{entry.version} here",
                where=entry.where,
                action="Give the new one another version in its rdf.yaml, or take the other away: cellfleet models "
                f"remove {entry.name}:{entry.version}",
            )
    for name, content in checked.files.items():
        place.write(f"{folder}/{name}", content)
    # It makes the folder a package, so it comes last.
    place.write(f"{folder}/{RDF}", checked.content)
    return added


def remove_own(model: str) -> Entry:
    """Delete one of the user's own models; return what it was.

    Args:
        model: ``name``, of which there is one version only, or ``name:version``.

    Raises:
        ModelError: E401 there is none, E438 there are several versions.
        OutputError: Its folder cannot be deleted.
    """
    name, version = split_name(model) or (model, None)
    found = [entry for entry in own_models() if entry.name == name and version in {None, entry.version}]
    if not found:
        raise ModelError(
            "E401",
            "is none of your own models",
            where=model[:200],
            action="'cellfleet models list' shows them; those that come with cellfleet stay",
        )
    if len(found) > 1:
        versions = ", ".join(entry.version for entry in found)
        raise ModelError("E438", f"has the versions {versions}", where=name, action=f"Write {name}:VERSION")
    entry = found[0]
    # A package no more, whatever happens next.
    entry.place.remove(f"{entry.folder}/{RDF}")
    entry.place.remove(entry.folder)
    return entry
