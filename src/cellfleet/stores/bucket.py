"""A part of a bucket as the place of results. Knows no local folder of results and no format."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from cellfleet.errors import InputError, OutputError
from cellfleet.stores import atomic
from cellfleet.stores.client import asking, connect, no_such_bucket
from cellfleet.stores.part import Part, replaced
from cellfleet.stores.traffic import TRAFFIC
from cellfleet.stores.url import Address, child, split_url, without_secrets

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_T = TypeVar("_T")

PART_BYTES = 8 << 20
"""Size of the parts of an upload. At most `_PARTS_AT_ONCE` of them stand in memory."""
_PARTS_AT_ONCE = 4
_MOST_PARTS = 9_000
"""S3 takes 10 000 parts; larger files get larger parts."""
_FILES_AT_ONCE = 8
_PAGE = 1000
"""Objects that a server lists, or removes, in one request."""


@dataclass(frozen=True)
class BucketPlace:
    """Results below a bucket address; see `Place` for what each method promises.

    An object appears when its upload is complete: a process that dies leaves no half object. What it leaves are the
    parts of an unfinished upload, which nobody sees but the bill (docs/how-to/buckets.md).
    """

    url: str

    def __post_init__(self) -> None:
        """Refuse what cannot hold results: InputError E150."""
        if split_url(self.url).kind == "http":
            action = "Give a folder, s3://bucket/name, gs://bucket/name or az://container/name"
            where = without_secrets(self.url)
            raise InputError("E150", "results cannot be written to a web server", where=where, action=action)

    def exists(self, name: str) -> bool:
        """Say whether there is an object of this name, or a tree whose last object has arrived."""
        return any(self.size(whole) is not None for whole in (name, f"{name}/zarr.json", f"{name}/.zgroup"))

    def size(self, name: str) -> int | None:
        """Return the size of an object, bytes; None if there is none."""
        return self._found(name, lambda key: self._store.head(key)["size"])

    def read(self, name: str) -> bytes | None:
        """Return the content of an object; None if there is none."""
        return self._found(name, lambda key: TRAFFIC.received(bytes(self._store.get(key).bytes())))

    def read_range(self, name: str, start: int, stop: int, *, version: str = "") -> Part | None:
        """Return a part of an object with its size and version, in one request; None if there is none."""
        part = self._found(name, lambda key: self._part(key, start, stop))
        if part is not None and version not in {"", part.version}:
            raise replaced(child(self.url, name))
        return part

    def names(self, prefix: str = "") -> Iterator[str]:
        """Yield the objects below `prefix`, page by page."""
        above = f"{self._address.key}/" if self._address.key else ""
        with self._asking(prefix, reads=0):
            for page in self._store.list(self._key(prefix) or None, chunk_size=_PAGE):
                TRAFFIC.add(writes=1)  # what listing a page costs
                yield from (meta["path"].removeprefix(above) for meta in page)

    def write(self, name: str, content: bytes) -> None:
        """Write an object."""
        with self._asking(name, reads=0, writes=1):
            self._store.put(self._key(name), content, use_multipart=False)
        TRAFFIC.add(written_bytes=len(content))

    def create(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one; of several that try, one is told True.

        Needs a server that knows conditional writes (If-None-Match), as those of the three large clouds do.
        """
        from obstore.exceptions import AlreadyExistsError  # noqa: PLC0415 (only for buckets)

        with self._asking(name, reads=0, writes=1):
            try:
                self._store.put(self._key(name), content, mode="create")
            except AlreadyExistsError:
                return False
        TRAFFIC.add(written_bytes=len(content))
        return True

    def remove(self, name: str) -> None:
        """Remove an object, or a tree: first what makes it one, so that no half of it is taken for whole."""
        tree, metadata = False, []
        for part in self.names(name):
            tree = True
            metadata += [part] if _is_metadata(part) else []
        for part in (name, *sorted(metadata, key=_depth)):
            self._found(part, self._store.delete)
        if not tree:
            return
        with self._asking(name):
            for page in self._store.list(self._key(name), chunk_size=_PAGE):
                self._store.delete([meta["path"] for meta in page])

    @contextlib.contextmanager
    def replacing(self, name: str, *, needed_bytes: int | None = None) -> Iterator[Path]:
        """Yield a local path; when the block ends well, its file is uploaded."""
        with _scratch(needed_bytes) as folder:
            temporary = folder / "file"
            yield temporary
            temporary.stat()
            self._upload(temporary, name)

    @contextlib.contextmanager
    def replacing_tree(self, name: str) -> Iterator[Path]:
        """Yield a local folder; when the block ends well, its files are uploaded, those that make it a tree last.

        An older tree of this name is removed just before.
        """
        with _scratch() as folder:
            yield folder
            files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
            metadata = sorted(filter(_is_metadata, files), key=_depth, reverse=True)
            self.remove(name)
            with ThreadPoolExecutor(_FILES_AT_ONCE, thread_name_prefix="upload") as pool:
                chunks = [pool.submit(self._upload, files[part], f"{name}/{part}") for part in files.keys() - metadata]
                try:
                    for chunk in chunks:
                        chunk.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
            for part in metadata:
                self._upload(files[part], f"{name}/{part}")

    def sweep(self) -> int:
        """Remove what dead processes left in this machine's folder for temporary files."""
        return atomic.sweep_scratch(Path(tempfile.gettempdir()))

    def lock(self) -> AbstractContextManager[None]:
        """Do nothing: a bucket has no lock that ends with its holder.

        Two runs into one place waste work but spoil nothing: objects are written whole, and equal work has equal names
        and equal bytes. Work that must be done once is claimed with `create`.
        """
        return nullcontext()

    @property
    def _address(self) -> Address:
        return split_url(self.url)

    @property
    def _store(self) -> ObjectStore:
        return connect(self._address)

    def _key(self, name: str) -> str:
        assert ".." not in PurePosixPath(name).parts and not name.startswith("/"), f"unsafe name {name!r}"
        return "/".join(part for part in (self._address.key, name) if part)

    def _found(self, name: str, ask: Callable[[str], _T]) -> _T | None:
        """Return what the server says of the object `name`; None if there is none."""
        with self._asking(name):
            try:
                return ask(self._key(name))
            except FileNotFoundError as error:
                if no_such_bucket(error):
                    raise
                return None

    def _part(self, key: str, start: int, stop: int) -> Part:
        from obstore.exceptions import GenericError  # noqa: PLC0415 (only for buckets)

        if start < stop:
            try:
                answer = self._store.get(key, options={"range": (start, stop)})
                return Part(TRAFFIC.received(bytes(answer.bytes())), answer.meta["size"], answer.meta["e_tag"] or "")
            except GenericError as error:
                # Status 416: the object ends before `start`.
                if "status code: 416" not in str(error):
                    raise
        meta = self._store.head(key)
        return Part(b"", meta["size"], meta["e_tag"] or "")

    def _asking(self, name: str, *, reads: int = 1, writes: int = 0) -> AbstractContextManager[None]:
        return asking(child(self.url, name), writing=True, reads=reads, writes=writes)

    def _upload(self, path: Path, name: str) -> None:
        size = path.stat().st_size
        part = max(PART_BYTES, size // _MOST_PARTS + 1)
        # A file of several parts is begun and completed besides.
        with self._asking(name, reads=0, writes=1 if size <= part else size // part + 3):
            self._store.put(self._key(name), path, chunk_size=part, max_concurrency=_PARTS_AT_ONCE)
        TRAFFIC.add(written_bytes=size)


@contextlib.contextmanager
def _scratch(needed_bytes: int | None = None) -> Iterator[Path]:
    """Yield a private local folder. Raises `OutputError` (E301–E308) for what goes wrong with the disk inside."""
    top = Path(tempfile.gettempdir())
    try:
        with atomic.scratch(top) as folder:
            yield folder
    except OSError as error:
        told = atomic.output_error(error, top, needed_bytes=needed_bytes)
        action = "Free some space there, or name another folder for temporary files in TMPDIR"
        raise OutputError(told.code, told.what, where=told.where, action=action) from error


def _is_metadata(name: str) -> bool:
    return PurePosixPath(name).name in atomic.METADATA_NAMES


def _depth(name: str) -> int:
    return name.count("/")
