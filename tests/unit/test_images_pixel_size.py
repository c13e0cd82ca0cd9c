"""The pixel size is the best claim that can be true, in µm, and what is not believed is said."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.images.ome import is_unsafe, parse_ome
from cellfleet.images.pixel_size import PixelSize, from_unit, microns_per_unit, settle_pixel_size


def settle(*sizes: PixelSize | None) -> tuple[float | None, str, list[str]]:
    microns, source, notices = settle_pixel_size([size for size in sizes if size])
    return microns, source, [str(notice) for notice in notices]


@pytest.mark.parametrize(
    ("unit", "microns"),
    [("µm", 1), ("μm", 1), ("\\u00B5m", 1), (" Micron ", 1), ("nm", 1e-3), ("mm", 1e3), ("Å", 1e-4), ("pm", 1e-6)],
)
def test_units(unit: str, microns: float) -> None:
    assert microns_per_unit(unit) == microns


@pytest.mark.parametrize("unit", ["pixel", "pixels", "", "reference frame", "ly"])
def test_units_that_say_nothing(unit: str) -> None:
    assert microns_per_unit(unit) is None
    assert from_unit(1, 1, unit, "ome") is None


def test_the_first_claim_that_can_be_true_wins() -> None:
    tiff, imagej = PixelSize(0.5, 0.5, "tiff", for_print=True), PixelSize(0.3, 0.3, "imagej")
    assert settle(PixelSize(0.2, 0.2, "ome"), imagej, tiff) == (0.2, "ome", [])
    assert settle(imagej, tiff) == (0.3, "imagej", [])
    assert settle(tiff) == (0.5, "tiff", [])
    assert settle() == (None, "", [])


@given(st.floats(max_value=9e-5) | st.floats(min_value=1001) | st.just(math.nan))
def test_a_claim_that_cannot_be_true_is_passed_over_with_a_word(value: float) -> None:
    microns, source, notices = settle(PixelSize(value, value, "ome"), PixelSize(0.3, 0.3, "imagej"))
    assert (microns, source) == (0.3, "imagej")
    assert notices == [
        f"The pixel size in its OME metadata, {value:.4g} µm, cannot be true and is ignored."
        " --pixel-size sets it [W105]"
    ]


@pytest.mark.parametrize("unit", ["inch", "cm"])
def test_densities_for_print_are_passed_over_silently(unit: str) -> None:
    assert settle(from_unit(1 / 72, 1 / 72, unit, "imagej")) == (None, "", [])
    assert settle(from_unit(1 / 72, 1 / 72, unit, "tiff")) == (None, "", [])


def test_nearly_square_pixels_are_square() -> None:
    assert settle(PixelSize(0.2, 0.2019, "ome"))[2] == []
    assert settle(PixelSize(0.2, 0.25, "ome"))[0] == pytest.approx(0.225)
    assert len(settle(PixelSize(0.2, 0.25, "ome"))[2]) == 1


# OME-XML


def pixels(attributes: str) -> str:
    return f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels {attributes}/></Image></OME>'


@pytest.mark.parametrize(
    ("attributes", "y", "x"),
    [
        ('PhysicalSizeX="0.2" PhysicalSizeY="0.3"', 0.3, 0.2),
        ('PhysicalSizeX="0.2"', 0.2, 0.2),
        ('PhysicalSizeX="200" PhysicalSizeXUnit="nm" PhysicalSizeY="0.0003" PhysicalSizeYUnit="mm"', 0.3, 0.2),
    ],
)
def test_ome_size(attributes: str, y: float, x: float) -> None:
    size = parse_ome(pixels(attributes)).pixel_size
    assert size is not None
    assert (size.y, size.x) == (pytest.approx(y), pytest.approx(x))


@pytest.mark.parametrize("attributes", ["", 'PhysicalSizeX="1" PhysicalSizeXUnit="pixel"'])
def test_ome_without_a_size(attributes: str) -> None:
    assert parse_ome(pixels(attributes)).pixel_size is None


def test_ome_size_that_is_no_number_is_told() -> None:
    size = parse_ome(pixels('PhysicalSizeX="0,325"')).pixel_size
    assert settle(size)[2] == [
        "The pixel size in its OME metadata, nan µm, cannot be true and is ignored. --pixel-size sets it [W105]"
    ]


def test_ome_of_other_years_and_without_images() -> None:
    text = pixels('PhysicalSizeX="0.2"').replace("2016-06", "2013-06")
    assert parse_ome(text).pixel_size == PixelSize(0.2, 0.2, "ome")
    assert parse_ome("<OME/>").pixel_size is None


@pytest.mark.parametrize("text", ['<!DOCTYPE x [<!ENTITY a "b">]>', "<! doctype x>", "<!entity"])
def test_entity_declarations_are_unsafe(text: str) -> None:
    assert is_unsafe(f'<?xml version="1.0"?>{text}<OME/>')
    assert not is_unsafe(pixels(""))
