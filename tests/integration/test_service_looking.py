"""A look at inputs over HTTP: what it tells, what it costs, and what it refuses."""

from __future__ import annotations

import io
import resource
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from tests.looks import a_set, look, look_at, picture, tiff, try_out
from tests.services import Running, running_service
from tests.support import discs, header_claiming
from tests.tus import Tus

from cellfleet.service.state import Settings


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service that asks for tokens, with one folder that everybody may read."""
    folder = tmp_path_factory.mktemp("shared")
    tifffile.imwrite(folder / "allowed.tif", discs())
    settings = Settings(allowed_inputs=(str(folder),))
    with running_service(tmp_path_factory.mktemp("service"), login=True, settings=settings) as service:
        yield service


@pytest.fixture
def tus(running: Running) -> Tus:
    return Tus(running.client("ann"))


# --- a look ----------------------------------------------------------------------------------------------------------


def test_a_look_tells_what_the_file_says(tus: Tus) -> None:
    stack = np.stack([discs(), discs()[::-1]])
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "µ"]}, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    found = look_at(tus, tiff(stack, ome=True, metadata=metadata), "plate 1, µ.ome.tif").json()
    assert (found["images"], found["more_images"], found["image"]) == (
        ["plate 1, µ.ome.tif"],
        False,
        "plate 1, µ.ome.tif",
    )
    assert (found["axes"], found["shape"], found["dtype"]) == ("CYX", [2, 64, 80], "uint16")
    assert found["channel_names"] == ["DAPI", "µ"]
    assert (found["microns_per_pixel"], found["microns_per_pixel_source"]) == (0.5, "ome")
    shown = picture(found["thumbnail"])
    assert max(shown.shape[:2]) <= 512
    assert shown.max() > 100


def test_axes_may_be_said(tus: Tus) -> None:
    into = a_set(tus, **{"a.tif": tiff(np.stack([discs()] * 5))})
    assert look(tus, f"set:{into}", axes="TYX").json()["axes"] == "TYX"
    assert look(tus, f"set:{into}", axes="TCYX").status_code == 422


def test_an_input_of_many_images_names_the_first_hundred(tus: Tus) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(120):
            archive.writestr(f"{number:03}.tif", tiff(discs()[number % 7 :]))
    into = a_set(tus, **{"many.zip": file.getvalue(), "z.tif": tiff(discs())})
    found = look(tus, f"set:{into}/many.zip").json()
    assert found["images"] == [f"{number:03}.tif" for number in range(100)]
    assert found["more_images"] and found["image"] == "000.tif"
    assert look(tus, f"set:{into}/many.zip", image="115.tif").json()["shape"] == [64 - 115 % 7, 80]
    assert look(tus, f"set:{into}").json()["images"] == ["z.tif"]
    answer = look(tus, f"set:{into}", image="none.tif")
    assert (answer.status_code, answer.json()["code"]) == (404, "E934")


def test_the_picture_of_a_large_image_comes_from_its_pyramid(tus: Tus) -> None:
    # Only the small copies have anything to show: so it is seen which one is read.
    small = np.zeros((1024, 512), np.uint8)
    small[:512] = np.arange(512) % 256
    file = io.BytesIO()
    with tifffile.TiffWriter(file, ome=True) as writer:
        flat: dict[str, Any] = {"tile": (256, 256), "compression": "zlib"}
        writer.write(np.zeros((8192, 4096), np.uint8), subifds=1, **flat)
        writer.write(small, subfiletype=1, **flat)
    found = look_at(tus, file.getvalue(), "slide.ome.tif").json()
    assert (found["shape"], found["notices"]) == ([8192, 4096], [])
    shown = picture(found["thumbnail"])
    assert shown.shape == (512, 256, 3)
    assert shown[:250].std() > 30
    assert shown[260:].std() < 5


def test_the_picture_of_a_large_zarr_comes_from_its_pyramid(tus: Tus, tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", shape=(20_000, 20_000), chunks=(1000, 1000), dtype="u1")
    group.create_array("1", shape=(600, 600), chunks=(600, 600), dtype="u1")[:300] = 200
    axes = [{"name": name, "type": "space"} for name in "yx"]
    levels = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [scale, scale]}]}
        for number, scale in enumerate((1.0, 33.3))
    ]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": levels}]
    into = tus.new_set()
    for path in sorted((tmp_path / "a.zarr").rglob("*")):
        if path.is_file():
            tus.upload(into, path.relative_to(tmp_path).as_posix(), path.read_bytes())
    found = look(tus, f"set:{into}").json()
    assert (found["images"], found["shape"]) == (["a.zarr"], [20_000, 20_000])
    shown = picture(found["thumbnail"])
    assert shown[:200].min() > 100
    assert shown[300:].max() < 20


def test_a_large_image_without_pyramid_is_shown_by_windows(tus: Tus) -> None:
    pixels = np.zeros((12_000, 12_000), np.uint8)
    pixels[:6000] = 200
    found = look_at(tus, tiff(pixels, tile=(256, 256), compression="zlib"), "large.tif").json()
    assert [told["code"] for told in found["notices"]] == ["W920"]
    shown = picture(found["thumbnail"])
    assert shown.shape == (512, 512, 3)
    assert shown[:250].min() > 100
    assert shown[260:].max() < 20


def test_colours_are_shown_as_they_are(tus: Tus) -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32, :, 0] = pixels[32:, :, 2] = 250
    pixels[::2, ::2, 1] = 10
    shown = picture(look_at(tus, tiff(pixels, photometric="rgb"), "a.tif").json()["thumbnail"]).astype(int)
    top, bottom = shown[: len(shown) // 2 - 8].mean((0, 1)), shown[len(shown) // 2 + 8 :].mean((0, 1))
    assert top[0] > top[2] + 50 and bottom[2] > bottom[0] + 50


# --- what is refused -------------------------------------------------------------------------------------------------


def bomb_zip() -> bytes:
    """A small archive with a member that unpacks to 80 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.tif", b"II*\0" + bytes(80 << 20))
    return file.getvalue()


def bomb_png() -> bytes:
    """A third of a megabyte that is a picture of 300 MB, and really is."""
    side, packer = 10_000, zlib.compressobj(6)
    row = bytes(1 + 3 * side)
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def giant_header(tmp_path: Path) -> bytes:
    tifffile.imwrite(tmp_path / "a.tif", discs())
    header_claiming(tmp_path / "a.tif", 4_000_000)
    return (tmp_path / "a.tif").read_bytes()


def giant_tile() -> bytes:
    """A tile of 320 MB of zeros in a third of a megabyte."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        packed = zlib.compress(bytes(16_384 * 20_480), 6)
        writer.write(iter([packed]), shape=(16_384, 20_480), dtype=np.uint8, tile=(16_384, 20_480), compression="zlib")
    return file.getvalue()


@pytest.mark.slow
def test_bombs_are_refused_and_cost_little_memory(tus: Tus, tmp_path: Path) -> None:
    bombs = {
        "a.zip": (bomb_zip(), "E132"),
        "a.png": (bomb_png(), "E108"),
        "a.tif": (giant_header(tmp_path), "E107"),
        "b.tif": (giant_tile(), "E108"),
    }
    assert max(len(content) for content, _ in bombs.values()) < 2 << 20
    look_at(tus, tiff(discs()), "warm.tif")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, (content, code) in bombs.items():
        into = a_set(tus, **{name: content})
        for answer in (look(tus, f"set:{into}/{name}"), try_out(tus, f"set:{into}/{name}")):
            assert (answer.status_code, answer.json()["code"]) == (422, code), name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10, "kB"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.tif", b"", "E105"),
        ("a.tif", b"not a picture", "E105"),
        ("a.tif", tiff(discs())[:200], "E106"),
        ("a.zip", b"PK\3\4 broken", "E106"),
        ("a.txt", b"hello", "E103"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_as_a_job_would_tell_it(
    running: Running, tus: Tus, name: str, content: bytes, code: str
) -> None:
    into = a_set(tus, **{name: content})
    answer = look(tus, f"set:{into}/{name}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert str(running.store.url) not in answer.text
    assert try_out(tus, f"set:{into}/{name}").json()["code"] == code


def test_others_sets_and_the_servers_files_are_not_to_be_had(running: Running, tus: Tus, tmp_path: Path) -> None:
    into = a_set(tus, **{"a.tif": tiff(discs())})
    own = a_set(Tus(running.client("eve")), **{"a.tif": tiff(discs())})
    eve = Tus(running.client("eve"))
    tifffile.imwrite(tmp_path / "secret.tif", discs())
    refused = {
        f"set:{into}": "E921",
        f"set:{into}/a.tif": "E921",
        f"set:{own}/../{into}/a.tif": "E817",
        f"set:{own}/..": "E817",
        "set:": "E921",
        "set:../sets": "E921",
        str(tmp_path / "secret.tif"): "E818",
        (tmp_path / "secret.tif").as_uri(): "E818",
        f"{running.service.settings.allowed_inputs[0]}/../secret.tif": "E818",
        f"store:uploads/{into}/a.tif": "E818",
        "s3://bucket/a.tif": "E818",
        "http://169.254.169.254/latest/meta-data": "E818",
    }
    for given, code in refused.items():
        for answer in (look(eve, given), try_out(eve, given)):
            assert answer.json()["code"] == code, given
            assert 400 <= answer.status_code < 500
    assert look(eve, f"{running.service.settings.allowed_inputs[0]}/allowed.tif").status_code == 200
