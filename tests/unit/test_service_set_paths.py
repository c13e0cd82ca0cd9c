"""Which paths a file of a set may have."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import ServiceError
from cellfleet.service.sets import check_path
from cellfleet.stores.atomic import is_temporary
from cellfleet.stores.place import FolderPlace


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "plate 1/µ, A01 🦠.ome.tif",
        ".hidden/.x",
        "a..b/...",
        "%2e%2e/x",
        "x" * 255,
        "n/" * 499 + "ab",
        "~/$HOME",
        "CON",
    ],
)
def test_a_path_that_stays_in_its_set_is_fine(path: str) -> None:
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "./a",
        "a//b",
        "a/",
        "..\\x",
        "C:\\x",
        "a\x00b",
        "a\nb",
        "a\x7f",
        "\ud800",
        "x" * 256,
        "µ" * 128,
        "n/" * 500 + "a",
        ".cellfleet/run",
        "a/.CellFleet-1-2.part",
    ],
)
def test_a_path_that_leads_elsewhere_or_is_nobodys_is_refused(path: str) -> None:
    with pytest.raises(ServiceError) as error:
        check_path(path)
    assert (error.value.code, error.value.status) == ("E920", 400)
    assert error.value.where.isprintable()


@given(
    st.text(st.characters(exclude_categories=()), max_size=40) | st.from_regex(r"([./\\a]|\.\.){1,9}", fullmatch=True)
)
def test_whatever_is_accepted_names_a_file_inside_the_set(path: str) -> None:
    try:
        check_path(path)
    except ServiceError:
        return
    top = Path("/store")
    found = FolderPlace(top).local(f"uploads/1/{path}")
    assert found.is_relative_to(top / "uploads/1") and found != top / "uploads/1"
    assert found.relative_to(top / "uploads/1").as_posix() == path
    assert not any(is_temporary(part) for part in found.parts)
