"""What the metadata of OME-Zarr say about axes, channels and pixel sizes, in every version and where they are off."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from yaozarrs import DimSpec, v05

from cellfleet.images.ome_zarr_metadata import axis_letters, channel_names, parse_node, pixel_sizes
from cellfleet.images.pixel_size import PixelSize

SCALE = {"type": "scale", "scale": [1, 3, 3]}
AXES = [{"name": "c", "type": "channel"}] + [{"name": name, "unit": "micrometer"} for name in "yx"]


def sizes(dataset_steps: Any, axes: list[Any] = AXES, **more: Any) -> tuple[PixelSize, ...]:
    dataset = {"path": "0", "coordinateTransformations": dataset_steps}
    node = parse_node({"multiscales": [{"axes": axes, "datasets": [dataset], **more}]})
    return pixel_sizes(node.multiscales[0])


def both(value: float) -> tuple[PixelSize, ...]:
    return (PixelSize(value, value, "ome-zarr"),)


@given(
    st.sampled_from(["tczyx", "czyx", "zyx", "tyx", "cyx", "yx"]),
    st.floats(0.01, 100),
    st.sampled_from([("nanometer", 1e-3), ("micrometer", 1.0), ("millimeter", 1e3), ("angstrom", 1e-4), (None, None)]),
)
def test_what_the_reference_models_accept_is_understood_as_they_do(
    axes: str, scale: float, unit: tuple[str | None, float | None]
) -> None:
    dims = [DimSpec(name=name, scale=scale, unit=unit[0] if name in "zyx" else None) for name in axes]
    image = v05.Image(multiscales=[v05.Multiscale.from_dims(dims, n_levels=2)])

    multiscale = parse_node({"ome": image.model_dump(mode="json", exclude_none=True)}).multiscales[0]

    assert axis_letters(multiscale) == axes.upper()
    assert pixel_sizes(multiscale) == (both(scale * unit[1]) if unit[1] else ())
    assert multiscale.datasets[0].path == image.multiscales[0].datasets[0].path


@pytest.mark.parametrize(
    ("axes", "letters"),
    [
        (None, "TCZYX"),
        (["c", "y", "x"], "CYX"),
        ([{"name": "Y"}, {"name": "X"}], "YX"),
        (
            [{"name": "frame", "type": "time"}, {"name": "stain", "type": "channel"}, {"name": "y"}, {"name": "x"}],
            "TCYX",
        ),
        ([{"name": "angle", "type": "space"}, {"name": "y"}, {"name": "x"}], "QYX"),
    ],
)
def test_axes_are_named_by_letter_or_by_type(axes: Any, letters: str) -> None:
    described = {"datasets": [{"path": "0"}]} | ({"axes": axes} if axes else {})

    assert axis_letters(parse_node({"multiscales": [described]}).multiscales[0]) == letters


def test_the_axes_of_the_drafts_of_0_6_are_those_of_the_system_mapped_to() -> None:
    microns = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    described = {
        "coordinateSystems": [
            {"name": "array", "axes": [{"name": "i"}, {"name": "j"}]},
            {"name": "world", "axes": microns},
        ],
        "datasets": [
            {
                "path": "s0",
                "coordinateTransformations": [
                    {
                        "type": "sequence",
                        "input": "s0",
                        "output": "world",
                        "transformations": [
                            {"type": "scale", "scale": [0.5, 0.25]},
                            {"type": "translation", "translation": [9, 9]},
                        ],
                    }
                ],
            }
        ],
    }

    multiscale = parse_node({"ome": {"version": "0.6.dev3", "multiscales": [described]}}).multiscales[0]

    assert axis_letters(multiscale) == "YX"
    assert pixel_sizes(multiscale) == (PixelSize(0.5, 0.25, "ome-zarr"),)


def test_the_scales_of_the_level_and_of_all_levels_are_multiplied() -> None:
    assert sizes([SCALE]) == both(3.0)
    assert sizes([SCALE, {"type": "translation", "translation": [0, 1, 1]}]) == both(3.0)
    assert sizes([SCALE], coordinateTransformations=[{"type": "scale", "scale": [1, 0.5, 0.5]}]) == both(1.5)


@pytest.mark.parametrize(
    "steps",
    [
        None,
        [],
        "scale",
        [{"type": "scale", "scale": [1, 3]}],
        [{"type": "scale", "path": "somewhere"}],
        [{"type": "affine", "affine": [[1, 0]]}],
        [{"type": "scale", "scale": ["a", "b", "c"]}],
    ],
)
def test_scales_that_cannot_be_used_cost_the_pixel_size_only(steps: Any) -> None:
    assert sizes(steps) == ()


def test_a_scale_without_a_unit_of_length_says_nothing() -> None:
    assert sizes([SCALE], axes=["c", "y", "x"]) == ()
    assert sizes([SCALE], axes=[{"name": name, "unit": "second"} for name in "cyx"]) == ()


@pytest.mark.parametrize(
    ("omero", "names"),
    [
        ({"channels": [{"label": "DAPI"}, {}, {"label": None}]}, ("DAPI", "", "")),
        ({"channels": [{"label": 3}]}, ()),
        ({"channels": "none"}, ()),
        ({}, ()),
        (None, ()),
    ],
)
def test_channels_have_names_where_the_display_settings_are_sound(omero: Any, names: tuple[str, ...]) -> None:
    assert channel_names(parse_node({"omero": omero})) == names


@pytest.mark.parametrize("path", ["..", "a/../../b", "\\..\\b", "C:b", "a\\..\\..\\b"])
def test_a_path_out_of_the_store_is_refused(path: str) -> None:
    for attributes in (
        {"plate": {"wells": [{"path": path}]}},
        {"well": {"images": [{"path": path}]}},
        {"series": [path]},
    ):
        with pytest.raises(ValidationError, match="leads out"):
            parse_node(attributes)
