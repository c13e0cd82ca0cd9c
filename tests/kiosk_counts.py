"""A zip of images through the kiosk's routes and a bucket, sent by kiosk-client; counts every request of the bucket."""

from __future__ import annotations

import io
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile
from tests.kiosks import kiosk_client, working
from tests.services import running_service
from tests.traffic import Moved, counted

from cellfleet.stores.place import open_place


@dataclass(frozen=True)
class Counted:
    """What went between the service and its bucket, and what the client sent and got."""

    images: int
    input_bytes: int
    result_bytes: int
    requests: list[Moved]

    @property
    def moved(self) -> float:
        """Bytes to and from the bucket for each byte of input."""
        return sum(request.up + request.down for request in self.requests) / self.input_bytes

    @property
    def moved_with_client(self) -> float:
        """The same with what the client sends and gets."""
        return self.moved + (self.input_bytes + self.result_bytes) / self.input_bytes

    def of(self, kind: str, *methods: str) -> list[Moved]:
        """Return the requests of these methods for objects whose name holds `kind`."""
        return [request for request in self.requests if kind in request.path and request.method in methods]


def count(folder: Path, endpoint: str, images: int, side: int) -> Counted:
    """Send a zip of so many images of `side` px through the whole of the service, with a bucket of the S3 server."""
    plate = folder / "plate.zip"
    write_zip(plate, images, side)
    with counted(endpoint) as traffic:
        os.environ.update(traffic.server.environment)
        store = open_place(f"s3://{traffic.server.new_bucket()}/service")
        with running_service(folder / "service", store=store) as running, working(running):
            traffic.requests.clear()
            ran = kiosk_client(folder / "client", running.url, str(plate))
    assert [job["status"] for job in ran.jobs] == ["done"], ran.jobs
    return Counted(images, plate.stat().st_size, ran.files[str(plate)].stat().st_size, list(traffic.requests))


def write_zip(path: Path, images: int, side: int) -> None:
    """Write a zip of equal images, discs on a noisy ground, 16 bits, without compression."""
    y, x = np.mgrid[:side, :side] % 40 - 20
    pixels = np.random.default_rng(0).normal(100, 5, (side, side)) + 800 * (y**2 + x**2 < 80)
    tifffile.imwrite(file := io.BytesIO(), pixels.astype(np.uint16))
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(images):
            archive.writestr(f"plate/well {number:05}.tif", file.getvalue())
