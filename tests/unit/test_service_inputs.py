"""Which addresses and paths a job may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellfleet.errors import InputError
from cellfleet.service.inputs import check_place
from cellfleet.service.state import Settings


def allowed(given: str, *below: str, login: bool = True) -> bool:
    try:
        check_place(Settings(login=login, allowed_inputs=below), given)
    except InputError as error:
        return error.code != "E818"
    return True


def test_with_login_nothing_is_allowed_that_was_not_named() -> None:
    for given in ("/data", "data", "s3://bucket/a", "https://example.org/a.tif", "file:///data", "store:uploads/x", ""):
        assert not allowed(given)
        assert allowed(given, login=False)


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("/data/plates", True),
        ("/data/plates/", True),
        ("/data/plates/a/b.tif", True),
        ("/data/plates/*.tif", True),
        ("file:///data/plates/a.tif", True),
        ("/data/plates2", False),
        ("/data", False),
        ("/data/plates/../secret", False),
        ("/data/plates/*/../../secret", False),
        ("file:///data/plates/%2e%2e/secret", False),
        ("data/plates/a.tif", False),
        ("store:data/plates/a.tif", False),
        ("s3://data/plates/a.tif", False),
    ],
)
def test_a_path_is_allowed_below_one_that_is(given: str, fits: bool) -> None:
    assert allowed(given, "s3://elsewhere", "/data/plates") is fits


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("s3://bucket/day", True),
        ("s3://bucket/day/", True),
        ("s3://bucket/day/a b#%20?.tif", True),
        ("s3://bucket/day2/a.tif", False),
        ("s3://bucket", False),
        ("s3://bucket/day/../night/a.tif", False),
        ("s3://bucket/day/%2e%2e/night/a.tif", False),
        ("s3://bucket/day\\..\\night", False),
        ("s3://bucket/day/..\\night", False),
        ("gs://bucket/day/a.tif", False),
        ("/bucket/day", False),
    ],
)
def test_an_address_is_allowed_below_one_that_is(given: str, fits: bool) -> None:
    assert allowed(given, "/data", "s3://bucket/day/") is fits


def test_a_link_leads_out_of_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "plates").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "plates" / "link").symlink_to(tmp_path / "secret")
    assert allowed(str(tmp_path / "plates" / "a"), str(tmp_path / "plates"))
    assert not allowed(str(tmp_path / "plates" / "link"), str(tmp_path / "plates"))
