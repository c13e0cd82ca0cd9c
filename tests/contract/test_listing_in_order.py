"""Folders and buckets list the same files in the same order, from any name on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellfleet.stores.listing import list_in_order
from cellfleet.stores.place import BucketPlace, FolderPlace, Place

NAMES = [
    "a/b",
    "a-b",
    "a.tif",
    "a/b.tif",
    "a b/c",
    "b",
    "µ/x",
    "µ.tif",
    "🦠/1",
    "a/b/c"[:3] + ".d/e",
    "z/y/x/w",
    ".h/i",
]


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return FolderPlace(tmp_path / "store")
    return BucketPlace(f"{request.getfixturevalue('bucket')}/store")


def test_all_files_are_listed_with_their_sizes_in_the_order_of_their_names(place: Place) -> None:
    for size, name in enumerate(NAMES):
        place.write(f"top/{name}", b"x" * size)
    place.write("top2/a", b"")
    ordered = sorted(NAMES, key=str.encode)
    assert [file.name for file in list_in_order(place, "top")] == ordered
    assert {file.name: file.size for file in list_in_order(place, "top")} == {name: i for i, name in enumerate(NAMES)}
    for after in [*ordered, "a", "zz", "µ", "0", "a/c/d"]:
        expected = [name for name in ordered if name.encode() > after.encode()]
        assert [file.name for file in list_in_order(place, "top", after=after)] == expected


def test_of_a_folder_that_is_not_there_nothing_is_listed(place: Place) -> None:
    place.write("a/b", b"")
    for folder in ("none", "a/b", "a/b/c"):
        assert list(list_in_order(place, folder)) == []


_part = st.text(st.sampled_from("ab-./µ0"), min_size=1, max_size=3).map(
    lambda text: text.replace("/", "~").strip(".") or "d"
)
_names = st.lists(_part, min_size=1, max_size=3).map("/".join)


@given(names=st.sets(_names, max_size=12), after=_names)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_pages_of_a_folder_miss_nothing(tmp_path: Path, names: set[str], after: str) -> None:
    place = FolderPlace(tmp_path / str(abs(hash((frozenset(names), after)))))
    files = {name for name in names if not any(other.startswith(f"{name}/") for other in names)}
    for name in files:
        place.write(f"s/{name}", b"")
    ordered = sorted(files, key=str.encode)
    assert [file.name for file in list_in_order(place, "s")] == ordered
    assert [file.name for file in list_in_order(place, "s", after=after)] == [
        name for name in ordered if name.encode() > after.encode()
    ]
