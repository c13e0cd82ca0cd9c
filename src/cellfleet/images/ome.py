"""OME-XML: the few facts of the first image that we use. A bounded, plain parse; documents with a DTD are refused.

See https://docs.openmicroscopy.org/ome-model/ (Pixels, Channel). Knows no files.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from xml.etree import ElementTree

from cellfleet.images.pixel_size import PixelSize, from_unit

LONGEST_XML = 64 << 20
"""Characters; plates of ten thousand fields stay below."""


@dataclass(frozen=True)
class OmeImage:
    """Names and size of the first image."""

    channel_names: tuple[str, ...] = ()
    pixel_size: PixelSize | None = None


def is_unsafe(xml: str) -> bool:
    """Tell whether a text may not be given to an XML parser: entity declarations can grow without bound."""
    return len(xml) > LONGEST_XML or re.search(r"<!\s*(DOCTYPE|ENTITY)", xml, re.IGNORECASE) is not None


def announced_planes(xml: str) -> int:
    """Return the largest number of planes that a text announces anywhere, without parsing it.

    tifffile makes lists of that length before it looks at the pages.
    """
    counts = [int(count) for count in re.findall(r"\b(?:PlaneCount|NumPlanes)\s*=\s*[\"'](\d{1,18})", xml)]
    for pixels in re.findall(r"<(?:\w+:)?Pixels\b[^>]*>", xml):
        sizes = re.findall(r"\bSize[CZT]\s*=\s*[\"'](\d{1,18})", pixels)
        counts.append(math.prod(map(int, sizes)))
    return max(counts, default=0)


def parse_ome(xml: str) -> OmeImage:
    """Read channel names and pixel size of the first image.

    Raises:
        xml.etree.ElementTree.ParseError: `xml` is not well formed.
    """
    root = ElementTree.fromstring(xml)
    # OME-XML exists in several namespaces (2003 … 2016-06); `{*}` takes any of them.
    pixels = root.find(".//{*}Image/{*}Pixels")
    if pixels is None:
        return OmeImage()
    names = tuple(channel.get("Name", "").strip() for channel in pixels.findall("{*}Channel"))
    return OmeImage(channel_names=names, pixel_size=_pixel_size(pixels))


def _pixel_size(pixels: ElementTree.Element) -> PixelSize | None:
    sizes = []
    for axis in "YX":
        value = _number(pixels.get(f"PhysicalSize{axis}"))
        if value is not None:
            sizes.append(from_unit(value, value, pixels.get(f"PhysicalSize{axis}Unit", "µm"), "ome"))
    known = [size for size in sizes if size is not None]
    if not known:
        return None
    return PixelSize(y=known[0].y, x=known[-1].x, source="ome")


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return math.nan  # told as a size that cannot be true
