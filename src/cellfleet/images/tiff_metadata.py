"""What a TIFF file tells beside its pixels: channel names, pixel size, and which further images it holds.

Sources are OME-XML, ImageJ's description, the texts of slide scanners and the resolution tags. Decodes no pixels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import tifffile

from cellfleet.errors import InputError, Notice
from cellfleet.images.ome import OmeImage, announced_planes, is_unsafe, parse_ome
from cellfleet.images.pixel_size import PixelSize, from_unit

RESOLUTION_UNITS = {2: "inch", 3: "cm"}
"""TIFF tag ResolutionUnit; 1 means a ratio without unit."""
SLIDE_KINDS = frozenset({"svs", "ndpi", "qpi", "scn", "bif", "philips"})
"""tifffile's names for the files of slide scanners."""
LONGEST_LABEL = 60
"""Characters of an ImageJ slice label that may be a channel's name; longer ones are file names."""


def refuse_unsafe_xml(tif: tifffile.TiffFile, name: str) -> None:
    """Refuse OME-XML that could cost any amount of memory, before tifffile parses it."""
    description: object = tif.pages.first.description
    if not isinstance(description, str):  # text in an unknown encoding comes as bytes, and nobody parses it
        return
    if is_unsafe(description):
        raise InputError(
            "E106",
            "its OME-XML declares entities or is larger than any real one: it is not parsed",
            where=name,
            action="Export the file again with the microscope's software or Fiji",
        )
    planes = announced_planes(description)
    if planes > tif.filehandle.size:  # every plane takes at least a byte
        raise InputError(
            "E107",
            f"its metadata announce {planes} planes, more than the file can hold",
            where=name,
            action="The file is damaged: copy or export it again",
        )


def channel_names(tif: tifffile.TiffFile, ome: OmeImage) -> tuple[str, ...]:
    """Return the names of the channels of the first series, empty where there are none."""
    if any(ome.channel_names):
        return ome.channel_names
    if tif.is_qpi:
        return tuple(_qptiff_name(page) for page in tif.series[0].pages)
    if not tif.is_imagej:
        return ()
    series = tif.series[0]
    labels = (tif.imagej_metadata or {}).get("Labels")
    count = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
    if not isinstance(labels, list) or len(labels) < count:
        return ()
    # ImageJ orders slices c fastest, so the first labels are those of the first plane's channels.
    names = tuple(str(label).strip() for label in labels[:count])
    useful = all(0 < len(label) <= LONGEST_LABEL and label.isprintable() for label in names)
    return names if useful and len(set(names)) == len(names) else ()


def _qptiff_name(page: tifffile.TiffPage | tifffile.TiffFrame | None) -> str:
    """Return the marker of a page of a QPTIFF file, else the dye, else nothing; each page has a text of its own."""
    xml = page.description if isinstance(page, tifffile.TiffPage) else ""
    if not isinstance(xml, str) or is_unsafe(xml) or not xml.strip():
        return ""
    root = ElementTree.fromstring(xml.partition("?>")[2] or xml)  # its encoding is not the one that it declares
    found = (root.findtext(f".//{tag}") for tag in ("Biomarker", "Name"))
    return next((name.strip() for name in found if name and name.strip()), "")


def ome_image(tif: tifffile.TiffFile) -> OmeImage:
    """Return the facts of the OME-XML, or none."""
    xml = tif.ome_metadata
    if not xml:
        return OmeImage()
    image = parse_ome(xml)
    # The names are those of the whole set; which of them this file holds is not known.
    return replace(image, channel_names=()) if is_part_of_set(tif) else image


def is_part_of_set(tif: tifffile.TiffFile) -> bool:
    """Tell whether the file's OME-XML describes several files, so that its own pages have lost their meaning."""
    return tif.is_ome and tif.series[0].kind != "ome"


def pixel_sizes(tif: tifffile.TiffFile, ome: OmeImage) -> tuple[PixelSize, ...]:
    """Return every claim about the pixel size, best first."""
    tags = tif.pages.first.tags
    per_y, per_x = (_ratio(tags.valueof(code)) for code in (283, 282))
    claims = [ome.pixel_size]
    if tif.is_svs:
        microns = tifffile.tifffile.svs_description_metadata(tif.pages.first.description).get("MPP")
        if isinstance(microns, (int, float)) and microns > 0:
            claims.append(from_unit(float(microns), float(microns), "um", "slide"))
    if per_y and per_x:
        if tif.is_imagej:
            unit = str((tif.imagej_metadata or {}).get("unit", ""))
            claims.append(from_unit(1 / per_y, 1 / per_x, unit, "imagej"))
        unit = RESOLUTION_UNITS.get(_integer(tags.valueof(296, default=2)), "")
        claims.append(from_unit(1 / per_y, 1 / per_x, unit, "tiff"))
    return tuple(claim for claim in claims if claim is not None)


def other_series(tif: tifffile.TiffFile) -> tuple[Notice, ...]:
    """Tell about images of the file, or of its set, that are not read."""
    others = tif.series[1:]
    if is_part_of_set(tif):
        return (
            Notice(
                "W113",
                "Is one file of a set that its OME-XML describes; its own pages are read, the other files are"
                " images of their own",
            ),
        )
    if not others or tif.series[0].kind in SLIDE_KINDS:  # slides come with an overview and a picture of their label
        return ()
    first = _sizes(tif.series[0].shape)
    shown = ", ".join(_sizes(series.shape) for series in others[:3]) + (", …" if len(others) > 3 else "")
    return (
        Notice(
            "W101",
            f"Holds {len(others) + 1} images; only the first ({first}) is read, not {shown}."
            " Save the others as files of their own if they are wanted",
        ),
    )


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape)


def _ratio(value: Any) -> float | None:
    """Return a rational tag as a number, None where it is missing or says nothing."""
    if not isinstance(value, tuple) or len(value) != 2:
        return None
    numerator, denominator = value
    return numerator / denominator if numerator and denominator else None


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, int) else 1
