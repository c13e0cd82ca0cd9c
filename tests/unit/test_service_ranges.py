"""What the headers of a request for a file mean."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cellfleet.service.ranges import Wanted, entity_tag, has_already, range_applies, wanted_range

NUMBERS = st.integers(0, 300)


@given(NUMBERS, st.none() | NUMBERS, NUMBERS)
def test_a_range_is_what_is_written_cut_at_the_end_of_the_file(first: int, last: int | None, size: int) -> None:
    wanted = wanted_range(f"bytes={first}-{'' if last is None else last}")
    if last is not None and last < first:
        assert wanted is None, "the whole file"
        return
    assert wanted is not None
    expected = [i for i in range(size) if i >= first and (last is None or i <= last)]
    assert list(wanted.of(size) or ()) == expected


@given(NUMBERS, NUMBERS)
def test_a_range_without_a_beginning_is_the_end_of_the_file(count: int, size: int) -> None:
    wanted = wanted_range(f"bytes=-{count}")
    assert wanted is not None
    assert list(wanted.of(size) or ()) == list(range(size))[max(0, size - count) :]


@given(st.text(max_size=30))
def test_any_other_header_asks_for_the_whole_file(header: str) -> None:
    assert wanted_range(header) is None or header.strip().lower().startswith("bytes=")
    assert wanted_range(f"bytes=0-1,{header}") is None
    assert wanted_range(None) is None


def test_a_file_has_one_tag_per_version_and_a_weak_one_where_the_store_says_so() -> None:
    strong, weak = entity_tag('"a"'), entity_tag('W/"a"')
    assert (strong[0], weak[:3], entity_tag("")) == ('"', 'W/"', "")
    assert len({strong, weak, entity_tag('"b"')}) == 3
    assert has_already(weak, weak) and not has_already(strong, weak)
    assert range_applies(strong, strong) and range_applies(None, weak)
    assert not range_applies(weak, weak), "equal weak tags do not say that bytes are equal"
    assert not has_already("*", "") and not range_applies("", "")


def test_the_whole_of_an_empty_file_is_no_range() -> None:
    assert Wanted().of(0) is None
