"""PNG and JPEG files: header by hand (so that nothing is allocated on its word), pixels by imagecodecs.

Print densities (PNG ``pHYs``, JPEG JFIF) are not pixel sizes and are ignored, as is EXIF orientation: labels lie
on the pixels as stored. Does not know what colours mean.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from cellfleet.errors import InputError
from cellfleet.images.border import damaged, decoding
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.content import Content
from cellfleet.images.stored import DEFLATE_RATIO, DENSE_RATIO, Stored, check_claim, check_piece, check_sizes

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
PNG_ESSENTIAL = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
JPEG_MAGIC = b"\xff\xd8\xff"
PNG_SAMPLES = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Samples per pixel by colour type; a palette (3) is decoded to RGB."""
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers; the three others in the range are tables."""
JPEG_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length."""
JPEG_SCAN, JPEG_END = 0xDA, 0xD9

Kind = Literal["PNG", "JPEG"]


@dataclass(frozen=True)
class _Header:
    height: int
    width: int
    samples: int
    bits: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.height, self.width) if self.samples == 1 else (self.height, self.width, self.samples)


def read_picture_header(content: Content, name: str, kind: Kind) -> Stored:
    """Read a PNG or JPEG file up to its pixels. They can only be unpacked whole: after the first region they are kept.

    Raises:
        InputError: E104, E106, E107, E108, E111.
        ImageError: E205.
    """
    with decoding(content.path, name, kind, part="header"), content.open() as file:
        header = _png_header(file, name) if kind == "PNG" else _jpeg_header(file, name)
        size = file.seek(0, 2)
    check_sizes(header.shape, name)
    dtype = np.dtype(np.uint8 if header.bits <= 8 else np.uint16)
    plane_bytes = math.prod(header.shape) * dtype.itemsize
    check_piece(plane_bytes, name)
    ratio = DEFLATE_RATIO * 8 if kind == "PNG" else DENSE_RATIO  # 1-bit PNG pixels unpack to bytes
    check_claim(plane_bytes, size, ratio, name)
    cache = ChunkCache(plane_bytes)

    def read(fixed: Mapping[int, int | slice]) -> NDArray[np.generic]:
        wanted = tuple(fixed.get(i, slice(None)) for i in range(len(header.shape)))

        def decode() -> NDArray[np.generic]:
            return _decode(content, name, kind, header, dtype)

        return cache.get(name, decode)[wanted] if _is_part(wanted, header.shape) else decode()[wanted]

    return Stored(
        axes="YXS"[: len(header.shape)],
        shape=header.shape,
        dtype=dtype,
        read=read,
        colours=header.samples > 1,
        region_bytes=plane_bytes,
    )


def _is_part(wanted: tuple[int | slice, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether less than all rows and columns are wanted, so that others will be wanted later."""
    parts = zip(wanted[:2], shape[:2], strict=True)
    return any(isinstance(part, slice) and len(range(length)[part]) < length for part, length in parts)


def announced_size(data: bytes, name: str) -> tuple[int, int]:
    """Return height and width that a PNG or JPEG stream announces, 0 × 0 where it is neither.

    Raises:
        InputError: E106, its header makes no sense.
    """
    if data.startswith(PNG_MAGIC):
        header = _png_header(io.BytesIO(data), name)
    elif data.startswith(JPEG_MAGIC):
        header = _jpeg_frame(io.BytesIO(data), name)
    else:
        return 0, 0
    return header.height, header.width


def _decode(content: Content, name: str, kind: Kind, header: _Header, dtype: np.dtype[Any]) -> NDArray[np.generic]:
    decoder: Callable[[bytes], NDArray[np.generic]] = (
        imagecodecs.png_decode if kind == "PNG" else imagecodecs.jpeg_decode
    )
    with decoding(content.path, name, kind, part="pixels"):
        with content.open() as file:
            data = file.read()
        if kind == "PNG":
            data = _essential_chunks(data, name)
        elif data.rfind(bytes((0xFF, JPEG_END))) < data.find(bytes((0xFF, JPEG_SCAN))):
            # libjpeg would fill the missing rest with grey.
            raise damaged(name, kind, "its end is missing")
        pixels = decoder(data)
    if pixels.shape != header.shape or pixels.dtype != dtype:
        raise damaged(name, kind, f"{pixels.shape} pixels were stored where {header.shape} were announced")
    return pixels


def _exactly(file: BinaryIO, name: str, count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise damaged(name, "picture", "its header is incomplete")
    return data


def _png_header(file: BinaryIO, name: str) -> _Header:
    """Read IHDR, and look for tRNS (transparency, decoded to one more sample) before the pixels."""
    start = _exactly(file, name, 33)
    width, height, bits, colour_type = struct.unpack(">IIBB", start[16:26])
    if start[12:16] != b"IHDR" or colour_type not in PNG_SAMPLES:
        raise damaged(name, "PNG", "its header makes no sense")
    samples = PNG_SAMPLES[colour_type]
    chunk = b""
    while chunk != b"IDAT":
        length, chunk = struct.unpack(">I4s", _exactly(file, name, 8))
        if chunk == b"tRNS" and colour_type in (0, 2, 3):
            samples += 1
        file.seek(length + 4, 1)
    return _Header(height, width, samples, bits)


def _essential_chunks(data: bytes, name: str) -> bytes:
    """Return a PNG file of only the chunks that pixels are made of, after checking their sums.

    The others (colour profiles, gamma, text) change nothing that we use, but libpng would complain about their
    faults on the terminal.
    """
    kept, place, chunk = [PNG_MAGIC], len(PNG_MAGIC), b""
    while chunk != b"IEND":
        length, chunk = struct.unpack_from(">I4s", data, place) if place + 8 <= len(data) else (len(data), b"")
        end = place + length + 12
        if end > len(data):
            raise damaged(name, "PNG", "its end is missing")
        if chunk in PNG_ESSENTIAL:
            (checksum,) = struct.unpack_from(">I", data, end - 4)
            if zlib.crc32(memoryview(data)[place + 4 : end - 4]) != checksum:
                raise damaged(name, "PNG", f"the checksum of its {chunk.decode()} part is wrong")
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def _jpeg_header(file: BinaryIO, name: str) -> _Header:
    header = _jpeg_frame(file, name)
    if header.samples not in (1, 3):
        raise InputError(
            "E111",
            f"its colours are stored as {header.samples} inks (CMYK), which is not read",
            where=name,
            action="Export it as RGB or grey",
        )
    return header


def _jpeg_frame(file: BinaryIO, name: str) -> _Header:
    """Walk the segments up to the frame header, which has the size."""
    _exactly(file, name, 2)
    while True:
        start, marker = _exactly(file, name, 2)
        while marker == 0xFF:  # fill bytes
            (marker,) = _exactly(file, name, 1)
        if start != 0xFF or marker in (JPEG_SCAN, JPEG_END):
            raise damaged(name, "JPEG", "it has no frame header")
        if marker in JPEG_BARE:
            continue
        (length,) = struct.unpack(">H", _exactly(file, name, 2))
        if marker in JPEG_FRAMES:
            bits, height, width, samples = struct.unpack(">BHHB", _exactly(file, name, 6))
            return _Header(height, width, samples, bits)
        file.seek(length - 2, 1)
