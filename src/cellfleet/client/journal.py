"""What has been sent to a server so far: lines added to a file, so that another process can go on.

A line that was cut off by a crash is left out; what it told is asked of the server or done again. Knows no server.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cellfleet.client.parcel import LocalFile
from cellfleet.stores.atomic import output_error


@dataclass
class Begun:
    """An upload that was begun."""

    size: int
    mtime_ns: int
    at: str = ""
    """Address (tus) or id (straight to the bucket) of the upload."""
    parts: dict[int, str] = field(default_factory=dict)
    """Parts that the bucket has, with what it answered."""
    sent: bool = False


class Journal:
    """One request to one server: its set, its uploads, its job. May be used from several threads."""

    def __init__(self, path: Path | None) -> None:
        """Read what stands in the file; None: nothing is remembered."""
        self._path, self._lock = path, threading.Lock()
        self._forget()
        for line in self._lines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._take(json.loads(line))

    def begin(self, request: str, set_id: str) -> None:
        """Forget all before, and remember a request (a hash of it) and its set, if any. Raises `OutputError`."""
        with self._lock:
            self._forget()
            self._write({"what": "set", "request": request, "id": set_id, "key": secrets.token_hex(16)}, anew=True)

    def upload(self, file: LocalFile, at: str) -> None:
        """Remember where an upload goes on."""
        self._add({"what": "upload", "path": file.path, "size": file.size, "mtime_ns": file.mtime_ns, "at": at})

    def part(self, file: LocalFile, number: int, etag: str) -> None:
        """Remember that a part has arrived."""
        self._add({"what": "part", "path": file.path, "number": number, "etag": etag})

    def sent(self, file: LocalFile) -> None:
        """Remember that a file is there whole."""
        self._add({"what": "sent", "path": file.path})

    def submitted(self, job: str) -> None:
        """Remember the job."""
        self._add({"what": "job", "id": job})

    def ended(self) -> None:
        """Remember that all results of the job have been fetched."""
        self._add({"what": "ended"})

    def begun(self, file: LocalFile) -> Begun | None:
        """Return the upload of a file, if that has not changed since."""
        found = self.uploads.get(file.path)
        return found if found and (found.size, found.mtime_ns) == (file.size, file.mtime_ns) else None

    def fits(self, files: Sequence[LocalFile]) -> bool:
        """Say whether all that was begun is among these files, unchanged: else the set holds what is not wanted."""
        wanted = {file.path: file for file in files}
        return all(path in wanted and self.begun(wanted[path]) for path in self.uploads)

    def remove(self) -> None:
        """Forget everything."""
        if self._path:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _forget(self) -> None:
        self.request = self.set_id = ""
        self.key = ""
        """With which the job is handed in, however often."""
        self.job = ""
        self.has_ended = False
        self.uploads: dict[str, Begun] = {}

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(encoding="utf-8", errors="replace").splitlines() if self._path else []
        except OSError:
            return []

    def _add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._write(entry)

    def _write(self, entry: dict[str, Any], *, anew: bool = False) -> None:
        self._take(entry)
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "w" if anew else "a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise output_error(error, self._path) from error

    def _take(self, entry: dict[str, Any]) -> None:
        what = entry["what"]
        if what == "set":
            self.request, self.set_id, self.key = entry["request"], entry["id"], entry["key"]
        elif what == "upload":
            self.uploads[entry["path"]] = Begun(entry["size"], entry["mtime_ns"], entry["at"])
        elif what == "part":
            self.uploads[entry["path"]].parts[entry["number"]] = entry["etag"]
        elif what == "sent":
            self.uploads[entry["path"]].sent = True
        elif what == "job":
            self.job, self.has_ended = entry["id"], False
        elif what == "ended":
            self.has_ended = True
