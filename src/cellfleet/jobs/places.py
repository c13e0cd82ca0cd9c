"""Where the things of a job are, seen from a process that reaches the store in its own way."""

from __future__ import annotations

from cellfleet.images.source import Source
from cellfleet.spec.job import ImageRef, JobSpec
from cellfleet.stores.place import FolderPlace, Place, open_place
from cellfleet.stores.url import child, is_url

_IN_STORE = "store:"


def path_for_all(path: str, store: Place) -> str:
    """Return a path or address as every process that has the store can follow it."""
    root = f"{_root(store)}/"
    return _IN_STORE + path.removeprefix(root) if path.startswith(root) else path


def path_here(path: str, store: Place) -> str:
    """Return the path or address that `path_for_all` gave, as this process reaches it."""
    return child(_root(store), path.removeprefix(_IN_STORE)) if path.startswith(_IN_STORE) else path


def source_here(image: ImageRef, store: Place) -> Source:
    """Return an image of a task as this process can open it."""
    return Source(path_here(image.path, store), image.name, image.inside)


def results_of(job: JobSpec, store: Place) -> Place:
    """Return the place of a job's results."""
    return open_place(job.results) if is_url(job.results) else below(store, job.results)


def below(store: Place, name: str) -> Place:
    """Return a folder of a place as a place."""
    return FolderPlace(store.local(name)) if isinstance(store, FolderPlace) else open_place(child(store.url, name))


def _root(store: Place) -> str:
    return str(store.path.absolute()) if isinstance(store, FolderPlace) else store.url.rstrip("/")
