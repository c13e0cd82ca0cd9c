"""Axes are what the file or the user says; a nameless dimension is never guessed from its size in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import ImageError
from cellfleet.images.axes import settle_axes


def settle(axes: str, *shape: int, override: str | None = None) -> tuple[str, list[str]]:
    letters, notices = settle_axes(axes, shape, override=override, name="x.tif")
    return letters, [str(notice) for notice in notices]


def refusal(axes: str, *shape: int, override: str | None = None) -> str:
    with pytest.raises(ImageError) as caught:
        settle(axes, *shape, override=override)
    return str(caught.value)


@pytest.mark.parametrize("axes", ["YX", "CYX", "TZCYX", "YXS", "ZYXS", "CZYX", "SYX", "XY"])
def test_known_axes_are_used_whatever_their_sizes(axes: str) -> None:
    assert settle(axes, *[7] * len(axes)) == (axes, [])
    assert settle(axes, *[2] * len(axes)) == (axes, [])


def test_axes_of_length_one_are_dropped_but_never_y_or_x() -> None:
    assert settle("TZCYXS", 1, 3, 1, 1, 1, 1) == ("_Z_YX_", [])
    assert settle("QQYX", 1, 1, 5, 6) == ("__YX", [])
    assert settle("PYX", 1, 5, 6) == ("_YX", [])


@pytest.mark.parametrize("letter", ["I", "Q"])
@pytest.mark.parametrize("pages", [2, 3, 4])
def test_few_pages_are_channels_and_that_is_said(letter: str, pages: int) -> None:
    assert settle(f"{letter}YX", pages, 50, 60) == (
        "CYX",
        [
            f"{pages} pages and no axis information. Taken as {pages} channels."
            " If these are z-planes use --axes ZYX, if time points use --axes TYX [W103]"
        ],
    )


def test_advice_names_only_letters_that_are_free() -> None:
    letters, notices = settle("IZYX", 2, 9, 50, 60)
    assert letters == "CZYX"
    assert "If these are time points use --axes TZYX [W103]" in notices[0]
    assert "z-planes" not in notices[0]


@given(st.integers(5, 10_000), st.integers(1, 9), st.integers(5, 9))
def test_many_pages_are_never_guessed(pages: int, height: int, width: int) -> None:
    assert refusal("IYX", pages, height, width) == (
        f"x.tif: {pages} pages and no axis information. They can be one image of {pages} channels (--axes CYX),"
        f" or {pages} z-planes (--axes ZYX), or {pages} time points (--axes TYX)."
        " Give the --axes that is right. [E203]"
    )


@pytest.mark.parametrize(("axes", "shape"), [("QQYX", (2, 3, 5, 6)), ("PYX", (2, 5, 6)), ("ICYX", (2, 3, 5, 6))])
def test_more_than_one_riddle_is_an_error(axes: str, shape: tuple[int, ...]) -> None:
    sizes = " × ".join(map(str, shape))
    assert refusal(axes, *shape) == (
        f"x.tif: it is not known what its dimensions {sizes} are (the file says {axes})."
        " Say it with --axes, one letter per dimension out of T C Z Y X S, for example --axes TCYX. [E203]"
    )


def test_a_picture_with_its_colours_last_is_named_as_one() -> None:
    assert refusal("QYX", 50, 60, 3).endswith(
        "or one image in colour (--axes YXS). Give the --axes that is right. [E203]"
    )
    assert "colour" not in refusal("QYX", 50, 60, 5)


def test_the_users_axes_win() -> None:
    assert settle("IYX", 9, 5, 6, override="ZYX") == ("ZYX", [])
    assert settle("CYX", 3, 5, 6, override="tyx") == ("TYX", [])
    assert settle("YXS", 5, 6, 3, override="YXC") == ("YXC", [])
    assert settle("QYX", 5, 6, 3, override="YXC") == ("YXC", [])


def test_the_users_axes_may_count_axes_of_length_one_or_not() -> None:
    assert settle("QQQYX", 3, 1, 2, 5, 6, override="TZCYX") == ("T_CYX", [])
    assert settle("QQQYX", 3, 1, 2, 5, 6, override="TCYX") == ("T_CYX", [])
    assert settle("YX", 5, 6, override="ZYX") == ("YX", [])
    assert settle("YX", 5, 6, override="YX") == ("YX", [])


@pytest.mark.parametrize("axes", ["", "ZZYX", "ZY", "ABYX", "Z YX", "CYZ"])
def test_axes_that_are_none(axes: str) -> None:
    assert refusal("IYX", 3, 5, 6, override=axes) == (
        f"x.tif: axes {axes!r} cannot be used: each letter once, out of T C Z Y X S, with Y and X."
        " Write one letter per dimension, for example --axes CYX. [E201]"
    )


def test_axes_that_do_not_fit() -> None:
    assert refusal("CYX", 3, 5, 6, override="TCYX") == (
        "x.tif: axes TCYX name 4 dimensions, the image has 3 (3 × 5 × 6, in the file CYX)."
        " Give 3 letters to --axes, or leave it out. [E202]"
    )
    assert "the image has 3 (3 × 5 × 6). Give 3" in refusal("IYX", 3, 5, 6, override="YX")
