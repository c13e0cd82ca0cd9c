"""The least of a tus client: what a test needs to send exactly the bytes and headers that it means."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import httpx2

VERSION = {"Tus-Resumable": "1.0.0"}
TYPE = {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    """Return the header Upload-Metadata."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())


def checksum(data: bytes, algorithm: str = "sha1") -> dict[str, str]:
    """Return the header Upload-Checksum of a request's body."""
    digest = hashlib.new(algorithm, data).digest()
    return {"Upload-Checksum": f"{algorithm} {base64.b64encode(digest).decode()}"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class Tus:
    """What can be asked of one service, as one user."""

    client: httpx2.Client

    def new_set(self, name: str = "") -> str:
        """Return the id of a new set."""
        answer = self.client.post("/api/v1/sets", json={"name": name})
        assert answer.status_code == 201
        return str(answer.json()["id"])

    def create(
        self, into: str, path: str, length: int, *, content: bytes | None = None, **more: str
    ) -> httpx2.Response:
        """Announce a file; `content` comes along, `more` are metadata."""
        said = metadata(set=into, path=path, **more)
        headers = {**VERSION, "Upload-Length": str(length), "Upload-Metadata": said}
        if content is None:
            return self.client.post("/api/v1/uploads", headers=headers)
        return self.client.post("/api/v1/uploads", headers={**headers, **TYPE}, content=content)

    def announced(self, into: str, path: str, length: int, **more: str) -> str:
        """Return the address of a new upload."""
        answer = self.create(into, path, length, **more)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["Location"])

    def append(self, address: str, start: int, data: bytes, **headers: str) -> httpx2.Response:
        """Send bytes."""
        given = {**VERSION, **TYPE, "Upload-Offset": str(start), **headers}
        return self.client.patch(address, headers=given, content=data)

    def head(self, address: str) -> httpx2.Response:
        return self.client.head(address, headers=VERSION)

    def offset(self, address: str) -> int:
        """Return how many bytes are here."""
        answer = self.head(address)
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["Upload-Offset"])

    def end(self, address: str) -> httpx2.Response:
        return self.client.delete(address, headers=VERSION)

    def upload(self, into: str, path: str, data: bytes, **more: str) -> None:
        """Send a file as a whole."""
        answer = self.create(into, path, len(data), content=data, **more)
        assert answer.status_code == 201, answer.text
        assert answer.headers["Upload-Offset"] == str(len(data))

    def files(self, of: str) -> dict[str, int]:
        """Return path → size of the files of a set."""
        found: dict[str, int] = {}
        after: str | None = ""
        while after is not None:
            page = self.client.get(f"/api/v1/sets/{of}/files", params={"after": after, "limit": 3}).json()
            found |= {file["path"]: file["size"] for file in page["files"]}
            after = page["after"]
        return found
