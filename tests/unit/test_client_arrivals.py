"""Of a job that goes on in any order each image is taken once, soon after it is done."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.client import arrivals
from cellfleet.client.arrivals import Arrivals
from cellfleet.spec.http import JobImage
from cellfleet.spec.record import ImageRecord
from cellfleet.stores.place import FolderPlace


def image(number: int, status: str) -> JobImage:
    name = f"{number}.tif"
    record = None if status == "waiting" else ImageRecord(image=name, status=status, key="")
    return JobImage(number=number, image=name, status=status, record=record)


@given(
    seen=st.lists(st.lists(st.sampled_from(["waiting", "failed", "done"]), min_size=6, max_size=6), max_size=5),
    last=st.lists(st.sampled_from(["failed", "done"]), min_size=6, max_size=6),
)
def test_each_image_is_taken_once(seen: list[list[str]], last: list[str]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        states: list[str] = []

        def listed(connection: Any, job: str, *, start: int = 0) -> Any:
            return (image(number, status) for number, status in enumerate(states) if number >= start)

        monkeypatch.setattr(arrivals, "images_of", listed)
        known = {"5.tif"}
        taking = Arrivals(SimpleNamespace(), "job", FolderPlace(Path("nowhere")), {}, known)
        taken, done = [], set()
        for now in [*seen, last]:
            # What is done stays done.
            states = ["done" if number in done else status for number, status in enumerate(now)]
            done = {number for number, status in enumerate(states) if status == "done"}
            taken += [one.number for one in taking._new(to_the_end=now is last)]
            assert set(taken) >= done - {5}
        assert sorted(taken) == [0, 1, 2, 3, 4]
