"""Writes minimal ND2 and LIF files: their layouts by hand, for no library writes them. (CZI: Zeiss' library does.)

ND2 (version 3): chunks `magic, length of name, length of data, name, data`, a map of their places at the end; metadata
are trees of typed values, names and texts in UTF-16. LIF: an XML header in UTF-16, then blocks of pixels.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ND2_MAGIC = 0x0ABECEDA
ND2_START = b"ND2 FILE SIGNATURE CHUNK NAME01!"
ND2_MAP = b"ND2 FILEMAP SIGNATURE NAME 0001!"
ND2_END = b"ND2 CHUNK MAP SIGNATURE 0000001!"
ND2_LOOPS = {"T": 1, "P": 2, "Z": 4}
LOSSLESS, UNCOMPRESSED = 0, 2


def write_nd2(
    path: Path,
    pixels: NDArray[Any],
    loops: str,
    names: Sequence[str],
    microns: float | None = 0.5,
    compressed: bool = False,
    row_padding: int = 0,
    missing: int = 0,
) -> None:
    """`pixels`: the loops in their order, then C, Y, X, and S where a pixel has colours. The last may be `missing`."""
    frame = pixels.shape[len(loops) :]
    channels, height, width = frame[:3]
    samples = frame[3] if len(frame) == 4 else 1
    row_bytes = width * channels * samples * pixels.itemsize + row_padding
    attributes = {
        "uiWidth": width,
        "uiWidthBytes": row_bytes,
        "uiHeight": height,
        "uiComp": channels * samples,
        "uiBpcInMemory": pixels.itemsize * 8,
        "uiBpcSignificant": pixels.itemsize * 8,
        "uiSequenceCount": int(np.prod(pixels.shape[: len(loops)])) - missing,
        "eCompression": LOSSLESS if compressed else UNCOMPRESSED,
    }
    dye = {"m_EmissionSpectrum": {"uiCount": 0}}
    planes = {
        f"a{i}": {"uiCompCount": samples, "uiSampleIndex": i, "sDescription": name, "pFluorescentProbe": dye}
        for i, name in enumerate(names)
    }
    picture = {
        "bCalibrated": microns is not None,
        "dCalibration": microns or 1.0,
        "sPicturePlanes": {"uiCount": len(names), "sPlaneNew": planes},
    }
    chunks = {
        b"ImageAttributesLV!": nd2_tree({"SLxImageAttributes": attributes}),
        b"ImageMetadataSeqLV|0!": nd2_tree({"SLxPictureMetadata": picture}),
    }
    if loops:
        chunks[b"ImageMetadataLV!"] = nd2_tree({"SLxExperiment": nd2_loops(loops, pixels.shape)})
    frames = pixels.reshape(-1, channels, height, width, samples).transpose(0, 2, 3, 1, 4)
    for number, values in enumerate(frames[: len(frames) - missing]):
        rows = np.zeros((height, row_bytes), np.uint8)
        rows[:, : row_bytes - row_padding] = np.ascontiguousarray(values).view(np.uint8).reshape(height, -1)
        data = rows.tobytes()
        chunks[b"ImageDataSeq|%d!" % number] = bytes(8) + (zlib.compress(data) if compressed else data)
    nd2_file(path, chunks)


def nd2_loops(loops: str, lengths: Sequence[int]) -> dict[str, Any]:
    """Describe nested loops, outermost first."""
    length = lengths[0]
    parameters: dict[str, Any] = {
        "T": {"uiCount": length, "dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0},
        "P": {"uiCount": length, "Points": {f"i{i}": {"dPosX": 9.0 * i, "dPosY": 0.0} for i in range(length)}},
        "Z": {"uiCount": length, "dZStep": 1.0},
    }[loops[0]]
    inner = {"ppNextLevelEx": {"i0": nd2_loops(loops[1:], lengths[1:])}} if loops[1:] else {}
    return {"eType": ND2_LOOPS[loops[0]], "uLoopPars": parameters} | inner


def nd2_tree(values: dict[str, Any]) -> bytes:
    return b"".join(nd2_value(name, value) for name, value in values.items())


def nd2_value(name: str, value: Any) -> bytes:
    types = {bool: (1, "<B"), int: (3, "<I"), float: (6, "<d"), str: (8, ""), dict: (11, "")}
    number, form = types[type(value)]
    head = struct.pack("<BB", number, len(name) + 1) + f"{name}\0".encode("utf-16-le")
    if isinstance(value, str):
        return head + f"{value}\0".encode("utf-16-le")
    if not isinstance(value, dict):
        return head + struct.pack(form, value)
    inside = nd2_tree(value)
    return head + struct.pack("<IQ", len(value), len(head) + 12 + len(inside)) + inside + bytes(8 * len(value))


def nd2_file(path: Path, chunks: dict[bytes, bytes]) -> None:
    data = bytearray(nd2_chunk(ND2_START, b"Ver3.0".ljust(64, b"\0")))
    places = {}
    for name, content in chunks.items():
        places[name] = (len(data), len(content))
        # The data of a frame begin 4096 bytes after its chunk; eight of them are a time.
        data += nd2_chunk(name.ljust(4096 - 16 - 8 if name.startswith(b"ImageData") else 32, b"\0"), content)
    entries = b"".join(name + struct.pack("<QQ", *place) for name, place in places.items())
    start = len(data)
    data += nd2_chunk(ND2_MAP, entries + ND2_END + struct.pack("<Q", start))
    path.write_bytes(data)


def nd2_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<IIQ", ND2_MAGIC, len(name), len(content)) + name + content


LIF_DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4, "M": 10}


def write_lif(path: Path, images: Sequence[tuple[NDArray[Any], str, str]]) -> None:
    """Every image: pixels, axes in the order stored (S: interleaved blue, green, red), more XML of its channels."""
    blocks = [np.ascontiguousarray(pixels).tobytes() for pixels, _, _ in images]
    children = "".join(lif_image(number, *image) for number, image in enumerate(images))
    xml = (
        f'<LMSDataContainerHeader Version="2"><Element Name="a.lif"><Children>{children}</Children></Element>'
        "</LMSDataContainerHeader>"
    )
    data = struct.pack("<IIBI", 0x70, 2 * len(xml) + 5, 0x2A, len(xml)) + xml.encode("utf-16-le")
    for number, block in enumerate(blocks):
        name = f"MemBlock_{number}"
        data += struct.pack("<IIBQBI", 0x70, 2 * len(name) + 14, 0x2A, len(block), 0x2A, len(name))
        data += name.encode("utf-16-le") + block
    path.write_bytes(data)


def lif_image(number: int, pixels: NDArray[Any], axes: str, more: str) -> str:
    strides = dict(zip(axes, np.ascontiguousarray(pixels).strides, strict=True))
    lengths = dict(zip(axes, pixels.shape, strict=True))
    spread, count = next(((strides[axis], lengths[axis]) for axis in "CS" if axis in axes), (0, 1))
    tags = [3, 2, 1] if "S" in axes else [0] * count
    channels = "".join(
        f'<ChannelDescription DataType="{int(pixels.dtype.kind == "f")}" ChannelTag="{tag}"'
        f' Resolution="{pixels.itemsize * 8}" NameOfMeasuredQuantity="" Min="0" Max="1" Unit="" LUTName="Colour {i}"'
        f' IsLUTInverted="0" BytesInc="{i * spread}" BitInc="0">{more}</ChannelDescription>'
        for i, tag in enumerate(tags)
    )
    dimensions = "".join(
        f'<DimensionDescription DimID="{LIF_DIMENSIONS[axis]}" NumberOfElements="{lengths[axis]}" Origin="0"'
        f' Length="{5e-7 * (lengths[axis] - 1)}" Unit="m" BytesInc="{strides[axis]}" BitInc="0"/>'
        for axis in reversed(axes)
        if axis in LIF_DIMENSIONS
    )
    return (
        f'<Element Name="Series{number}"><Data><Image><ImageDescription><Channels>{channels}</Channels>'
        f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
        f'<Memory Size="{pixels.nbytes}" MemoryBlockID="MemBlock_{number}"/></Element>'
    )
