"""Channels are found by number, name or meaning; nothing is chosen by position, and every refusal lists the choices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import ImageError, Notice
from cellfleet.images.channels import choice_notices, choose_channels
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array
from cellfleet.spec.segment import ChannelChoice

NUCLEAR = ("nuclear",)
BOTH = ("nuclear", "membrane")


def image(*names: str, blank: set[int] | None = None) -> Image:
    count = len(names)
    return Image(
        name="x.tif",
        axes="CYX"[count == 1 :],
        shape=(count, 4, 5)[count == 1 :],
        dtype=np.dtype(np.uint8),
        reader=lambda *region: np.zeros((count, 4, 5), np.uint8),
        channel_names=names,
        blank_channels=frozenset(blank or ()),
    )


def choose(picture: Image, *texts: str, roles: tuple[str, ...] = NUCLEAR) -> dict[str, tuple[int, ...]]:
    return choose_channels(picture, tuple(ChannelChoice.parse(text) for text in texts), roles)


def refusal(picture: Image, *texts: str, roles: tuple[str, ...] = NUCLEAR) -> str:
    with pytest.raises(ImageError) as caught:
        choose(picture, *texts, roles=roles)
    return str(caught.value)


def notices(picture: Image, *texts: str, roles: tuple[str, ...] = NUCLEAR) -> list[str]:
    choices = tuple(ChannelChoice.parse(text) for text in texts)
    return [str(notice) for notice in choice_notices(picture, choices, choose_channels(picture, choices, roles))]


PANEL = image("CD4", "CD45", "DAPI", "PanCK (Opal 520)", "488")


# What the user says


@given(st.integers(1, 5))
def test_numbers_are_counted_from_one(number: int) -> None:
    assert choose(PANEL, str(number)) == {"nuclear": (number - 1,)}


@pytest.mark.parametrize(
    ("text", "channels"),
    [
        ("DAPI", (2,)),
        ("dapi", (2,)),
        ("CD4", (0,)),
        ("panck", (3,)),
        ("488", (4,)),
        ("1+DAPI+2", (0, 2, 1)),
        ("2+2", (1,)),
        ("nuclear=3", (2,)),
        ("Nuclear=DAPI", (2,)),
    ],
)
def test_names_numbers_and_sums(text: str, channels: tuple[int, ...]) -> None:
    assert choose(PANEL, text) == {"nuclear": channels}


def test_roles_by_name_and_in_order() -> None:
    wanted = {"nuclear": (2,), "membrane": (3, 1)}
    assert choose(PANEL, "membrane=PanCK+CD45", "nuclear=DAPI", roles=BOTH) == wanted
    assert choose(PANEL, "DAPI", "PanCK+CD45", roles=BOTH) == wanted
    assert choose(PANEL, "PanCK+CD45", "nuclear=DAPI", roles=BOTH) == wanted
    assert list(choose(PANEL, "membrane=2", "nuclear=3", roles=BOTH)) == ["nuclear", "membrane"]


@pytest.mark.parametrize("text", ["CD", "ap", "PI", "Pan"])
def test_parts_of_words_are_no_names(text: str) -> None:
    assert "[E213]" in refusal(PANEL, text)


# What the names mean


def test_the_only_channel_needs_no_choice() -> None:
    assert choose(image("")) == {"nuclear": (0,)}
    assert choose(image("GFP")) == {"nuclear": (0,)}
    assert notices(image("GFP")) == []


@pytest.mark.parametrize(
    "name",
    [
        "DAPI",
        "dapi-T3",
        "Hoechst 33342",
        "Hoechst33342",
        "DNA1",
        "nuclei",
        "H2B-GFP",
        "DRAQ5",
        "SYTO 13",
        "PI",
        "c1:DAPI",
    ],
)
def test_nuclear_stains_are_known(name: str) -> None:
    picture = image("actin", name, "CD45")
    assert choose(picture) == {"nuclear": (1,)}
    assert notices(picture) == [
        f"Has 3 channels; channel 2 ({name}) is taken as nuclear by its name. --channel nuclear=… changes that [W120]"
    ]


@pytest.mark.parametrize("name", ["PIP2", "PI3K", "Nucleolin", "spiral", "EDNA", "mPI"])
def test_words_that_only_look_alike_are_not(name: str) -> None:
    assert "[E211]" in refusal(image("actin", name))


def test_a_role_that_was_not_named_is_found_by_its_name() -> None:
    picture = image("DAPI", "membrane", "actin")
    assert choose(picture, roles=BOTH) == {"nuclear": (0,), "membrane": (1,)}
    assert choose(picture, "membrane=actin", roles=BOTH) == {"nuclear": (0,), "membrane": (2,)}
    assert len(notices(picture, "membrane=actin", roles=BOTH)) == 1
    assert len(notices(picture, "membrane=actin", "nuclear=1", roles=BOTH)) == 0


def test_the_only_colour_with_a_signal_is_taken() -> None:
    picture = image("red", "green", "blue", blank={0, 1})
    assert choose(picture) == {"nuclear": (2,)}
    assert notices(picture) == [
        "Only its blue holds a signal: taken as nuclear. --channel nuclear=… changes that [W121]"
    ]
    assert "[E211]" in refusal(image("red", "green", "blue", blank={0}))


def test_a_blue_picture_from_a_file_to_the_choice() -> None:
    colours = np.zeros((6, 7, 3), np.uint8)
    colours[2:4, 2:4, 2] = 200
    assert choose(image_from_array(colours, axes="YXS")) == {"nuclear": (2,)}


# Refusals


def test_several_channels_and_no_choice() -> None:
    assert refusal(image("actin", "CD45")) == (
        "x.tif: has 2 channels and none is known to be nuclear. It has 2 channels: 1 actin, 2 CD45."
        " Write for example --channel 1 or --channel actin; --channel 1+2 sums two. [E211]"
    )
    assert refusal(image("", "")) == (
        "x.tif: has 2 channels and none is known to be nuclear. It has 2 channels without names."
        " Write for example --channel 1; --channel 1+2 sums two. [E211]"
    )
    assert "channels 1 DAPI c1, 2 DAPI c2 may all be nuclear." in refusal(image("DAPI c1", "DAPI c2"))
    # What is typed next must not lead to the next refusal.
    assert refusal(image("", "", ""), roles=BOTH).endswith(
        " Write for example --channel nuclear=1 --channel membrane=2; --channel nuclear=1+2 sums two. [E211]"
    )


def test_a_refusal_tells_what_was_assumed_about_nameless_pages() -> None:
    assumed = Notice("W103", "Taken as 2 channels. If these are z-planes use --axes ZYX")
    pages = replace(image("", ""), notices=(assumed,))
    for choices in ((), ("3",), ("DAPI",)):
        assert "Taken as 2 channels. If these are z-planes use --axes ZYX. Write" in refusal(pages, *choices)


def test_fewer_channels_than_roles() -> None:
    assert refusal(image(""), roles=BOTH) == (
        "x.tif: has 1 channel; the model needs a nuclear and a membrane channel."
        " Use a model that needs fewer, or join the channels into one file. [E210]"
    )


def test_numbers_out_of_range() -> None:
    assert refusal(image("DAPI", "GFP"), "0") == (
        "x.tif: channels are counted from 1. It has 2 channels: 1 DAPI, 2 GFP."
        " Write for example --channel 1 or --channel DAPI; --channel 1+2 sums two. [E212]"
    )
    assert refusal(image(""), "3") == (
        "x.tif: there is no channel 3. It has 1 channel without names."
        " Leave out --channel, or write --channel 1. [E212]"
    )


def test_wrong_names() -> None:
    assert refusal(image("DAPI", "Alexa 488"), "DAPPI") == (
        "x.tif: has no channel named 'DAPPI' (did you mean 'DAPI'?). It has 2 channels: 1 DAPI, 2 Alexa 488."
        " Write for example --channel 1 or --channel DAPI; --channel 1+2 sums two. [E213]"
    )
    assert '--channel 1 or --channel "Alexa 488";' in refusal(image("Alexa 488", "DAPI"), "x")
    assert "It has 2 channels without names. Write for example --channel 1;" in refusal(image("", ""), "DAPI")


def test_names_that_fit_several() -> None:
    assert refusal(image("DAPI", "GFP", "dapi"), "DAPI") == (
        "x.tif: the name 'DAPI' fits 2 channels: 1 DAPI, 3 dapi. Give the channel's number instead. [E214]"
    )
    assert "fits 2 channels: 1 Opal 520, 2 Opal 570." in refusal(image("Opal 520", "Opal 570"), "opal")


def test_wrong_roles() -> None:
    assert refusal(PANEL, "nucleer=1") == (
        "x.tif: the model has no role 'nucleer', only nuclear (did you mean 'nuclear'?)."
        " Write for example --channel nuclear=1. [E215]"
    )


def test_more_choices_than_roles() -> None:
    assert refusal(PANEL, "1", "2") == (
        "x.tif: 2 channel choices were given, the model has 1 role (nuclear) and each takes one."
        " Join channels that are to be summed: --channel nuclear=1+2. [E216]"
    )
    assert "[E216]" in refusal(PANEL, "nuclear=1", "nuclear=2", roles=BOTH)


@given(st.lists(st.text(max_size=12), min_size=1, max_size=9), st.text(max_size=6), st.integers(-2, 12))
def test_any_names_give_a_channel_or_a_refusal(names: list[str], word: str, number: int) -> None:
    picture = image(*names)
    for wanted in (word, number):
        choices = (ChannelChoice(channels=(wanted,)),)
        try:
            chosen = choose_channels(picture, choices, NUCLEAR)
        except ImageError as error:
            refused = error
        else:
            assert 0 <= chosen["nuclear"][0] < len(names)
            continue
        assert refused.where == "x.tif"
        assert refused.action
