"""Local images → the files to send, and where in the set each goes, so that names there are those of a run here.

Images that were found go under their names into one folder of the set, archives whole beside it. Asks the disk only;
knows no server.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cellfleet.errors import InputError, UsageError
from cellfleet.images import formats
from cellfleet.images.find import find_images, name_images
from cellfleet.images.names import printable
from cellfleet.images.search import Found, Root, search_file
from cellfleet.images.source import Source
from cellfleet.stores.url import is_url, local_path

_FOLDER = "images"
"""Of the set, where archives stand beside it."""


@dataclass(frozen=True)
class LocalFile:
    """One file to send."""

    local: str
    path: str
    """In the set, with ``/``."""
    size: int
    """Bytes."""
    mtime_ns: int


@dataclass(frozen=True)
class Parcel:
    """What goes into a set, and what a job of it is asked to look at."""

    files: tuple[LocalFile, ...]
    places: tuple[str, ...]
    """Folders and archives of the set; empty: all of it. Without any the parcel is of addresses alone."""
    addresses: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, InputError], ...] = ()
    """Local paths of what cannot be sent, and why."""

    def inputs(self, set_id: str) -> tuple[str, ...]:
        """Return the inputs of the job."""
        return (*(f"set:{set_id}/{place}" if place else f"set:{set_id}" for place in self.places), *self.addresses)

    def digest(self, *more: str) -> str:
        """Return a hash of what is sent, as far as the disk tells without reading the files, and of `more`."""
        listed = [(file.local, file.path, file.size, file.mtime_ns) for file in self.files]
        return hashlib.sha256(repr((more, self.places, self.addresses, listed)).encode("utf-8", "replace")).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def split_inputs(inputs: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return paths of this machine, and addresses."""
    remote = tuple(given for given in inputs if is_url(given) and local_path(given) is None)
    return [given for given in inputs if given not in remote], remote


def pack(inputs: Sequence[str]) -> Parcel:
    """Find the images of `inputs` and pack what they are in. Raises as `find_images`, and as `pack_images`."""
    local, addresses = split_inputs(inputs)
    return pack_images(find_images(local) if local else (), addresses)


def pack_images(sources: Iterable[Source], addresses: tuple[str, ...] = ()) -> Parcel:
    """Pack images that `find_images` has found together.

    Raises:
        UsageError: E972, images of an archive would have other names there.
    """
    images = list(sources)
    archives = sorted({image.path for image in images if formats.is_archive(image.path)})
    folder = _FOLDER if archives else ""
    layout = {image.path: _path_of(image, folder) for image in images if not formats.is_archive(image.path)}
    top = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in archives]) if archives else ""
    layout |= {path: _portable(os.path.relpath(os.path.abspath(path), top)) for path in archives}
    _require_same_names(images, archives, layout, folder)
    files, failed = _files(layout)
    loose = len(layout) > len(archives)
    places = (*((folder,) if loose else ()), *(layout[path] for path in archives))
    return Parcel(tuple(files), places, addresses, tuple(failed))


def _path_of(image: Source, folder: str) -> str:
    """Return where the file of an image goes: under the image's name, less what is the image inside the file."""
    inside = printable(image.inside)
    name = image.name.removesuffix(f"/{inside}") if inside else image.name
    return f"{folder}/{name}" if folder else name


def _portable(path: str) -> str:
    return printable(path.replace(os.sep, "/"))


def _require_same_names(images: Sequence[Source], archives: Sequence[str], layout: dict[str, str], folder: str) -> None:
    """Name the images as the server will, and refuse what would have another name there."""
    top = ("/", "set")
    loose = [image for image in images if image.path not in archives]
    roots = [Root((*top, folder), tuple(Found(i.path, _name_there(i, layout, folder), i.inside) for i in loose))]
    for path in archives:
        parts = PurePosixPath(layout[path][: -len(formats.ARCHIVE_SUFFIX)]).parts
        roots.append(Root((*top, *parts), search_file(path).found))
    named = {(image.path, image.inside): image.name for image in name_images(roots)}
    for image in images:
        if named.get((image.path, image.inside)) != image.name:
            raise UsageError(
                "E972",
                f"on a server the image {image.name} would have another name than here",
                where=printable(image.path),
                action="Give this archive in a command of its own, or unpack it",
            )


def _name_there(image: Source, layout: dict[str, str], folder: str) -> str:
    name = layout[image.path].removeprefix(f"{folder}/" if folder else "")
    inside = printable(image.inside)
    return f"{name}/{inside}" if inside and image.name.endswith(f"/{inside}") else name


def _files(layout: dict[str, str]) -> tuple[list[LocalFile], list[tuple[str, InputError]]]:
    files: list[LocalFile] = []
    failed = []
    for local, path in sorted(layout.items(), key=lambda item: item[1]):
        try:
            files += _below(local, path) if os.path.isdir(local) else [_file(local, path)]
        except OSError as error:
            failed.append((local, unreadable(path, error)))
    return files, failed


def package_files(package: Path) -> tuple[LocalFile, ...]:
    """Return the files of a model package, a folder or an archive. Raises `InputError` E973."""
    try:
        if not package.is_dir():
            return (_file(str(package), printable(package.name)),)
        paths = sorted(path for path in package.rglob("*") if path.is_file())
        return tuple(_file(str(path), _portable(str(path.relative_to(package)))) for path in paths)
    except OSError as error:
        raise unreadable(str(package), error) from error


def unreadable(path: str, error: OSError) -> InputError:
    """Return the error that says that a file cannot be sent."""
    what = f"cannot be read, so it is not sent ({error.strerror or error})"
    return InputError("E973", what, where=path, action="Check that you may read it, then run again")


def _file(local: str, path: str) -> LocalFile:
    with open(local, "rb") as file:
        status = os.fstat(file.fileno())
    return LocalFile(local, path, status.st_size, status.st_mtime_ns)


def _below(local: str, path: str) -> Iterator[LocalFile]:
    """Yield all files of a Zarr folder. Raises `OSError`."""

    def refuse(error: OSError) -> None:
        raise error

    for top, folders, names in os.walk(local, onerror=refuse, followlinks=True):
        folders.sort()
        inside = os.path.relpath(top, local)
        prefix = path if inside == "." else f"{path}/{_portable(inside)}"
        for name in sorted(names):
            place = os.path.join(top, name)
            status = os.stat(place)
            yield LocalFile(place, f"{prefix}/{printable(name)}", status.st_size, status.st_mtime_ns)
