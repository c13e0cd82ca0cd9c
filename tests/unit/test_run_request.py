"""A wrong request is refused before any image is read; a right one becomes the same spec from both sides."""

import pytest
from pydantic import ValidationError

from cellfleet.errors import UsageError
from cellfleet.run.request import make_spec, python_channels
from cellfleet.spec.segment import ChannelChoice, SegmentSpec


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"microns_per_pixel": 0}, "E011"),
        ({"microns_per_pixel": float("nan")}, "E011"),
        ({"diameter_px": -3}, "E011"),
        ({"diameter_px": float("inf")}, "E011"),
        ({"axes": "ZZYX"}, "E012"),
        ({"axes": "QYX"}, "E012"),
        ({"axes": "TC"}, "E012"),
        ({"channels": [ChannelChoice.parse("0")]}, "E013"),
    ],
)
def test_refused(request_: dict, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_spec(model="otsu", **request_)
    assert caught.value.code == code and caught.value.action


@pytest.mark.parametrize(
    ("in_python", "in_command"),
    [
        (0, ["1"]),
        ("DAPI", ["DAPI"]),
        ([1, "DAPI"], ["2", "DAPI"]),
        ([[0, 2]], ["1+3"]),
        ({"nuclear": 0, "membrane": ["PanCK", 3]}, ["nuclear=1", "membrane=PanCK+4"]),
        (None, []),
    ],
)
def test_channels_count_from_0_in_python_and_from_1_in_the_command(in_python: object, in_command: list[str]) -> None:
    assert python_channels(in_python) == tuple(ChannelChoice.parse(text) for text in in_command)


def test_negative_channels_are_refused() -> None:
    with pytest.raises(UsageError, match="E013"):
        python_channels(-1)


@pytest.mark.parametrize("field", ["microns_per_pixel", "diameter_px"])
def test_an_endless_length_is_refused_however_it_is_sent(field: str) -> None:
    for sent in ("Infinity", float("inf")):
        with pytest.raises(ValidationError, match="finite"):
            SegmentSpec.model_validate({field: sent})
