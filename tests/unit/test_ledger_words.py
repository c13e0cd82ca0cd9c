"""The tables of states and keys: documented, closed, and obeyed by the scripts because these are made from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from cellfleet.jobs.keys import KEYS, stray
from cellfleet.spec.job import (
    FINAL_JOB_STATES,
    NEXT_JOB_STATES,
    NEXT_TASK_STATES,
    ImageRef,
    JobSpec,
    JobState,
    PinnedModel,
    Task,
    TaskState,
)
from cellfleet.spec.segment import SegmentSpec, Shard

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "ledger.md"
MODEL = PinnedModel(name="nuclei", version="1", sha256="0")


def test_the_reference_shows_the_tables() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    keys = [f"| `{key.template}` | {key.type} | {key.life} | {key.meaning} |" for key in KEYS]
    assert _rows(text, "## Keys") == keys
    tables: dict[str, Mapping[Any, Any]] = {"job": NEXT_JOB_STATES, "task": NEXT_TASK_STATES}
    states = [
        f"| {what} | {state} | {', '.join(s for s in table if s in after) or '–'} |"
        for what, table in tables.items()
        for state, after in table.items()
    ]
    assert _rows(text, "## States") == states


def _rows(text: str, heading: str) -> list[str]:
    section = text.partition(f"{heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("|")][2:]


def test_every_state_has_a_row_and_every_way_leads_to_an_end() -> None:
    assert set(NEXT_JOB_STATES) == set(get_args(JobState)) and set(NEXT_TASK_STATES) == set(get_args(TaskState))
    for table, ends in ((NEXT_JOB_STATES, set(FINAL_JOB_STATES)), (NEXT_TASK_STATES, {"done", "dead"})):
        for state in table:
            reached, new = {state}, {state}
            while new:
                new = {after for one in new for after in table[one]} - reached
                reached |= new
            assert reached & ends, state


def test_keys_outside_the_table_are_found() -> None:
    names = ["cellfleet:about", "cellfleet:job:a-1", "cellfleet:job:a-1:dead", "cellfleet:tasks:batch"]
    names += [f"cellfleet:user:{user}:running" for user in ("local", "a.b_c-d@example.org")]
    assert stray(names) == []
    assert stray(["cellfleet:job:a-1:old", "cellfleet:x", "cellfleet:job:a:b:dead"]) != []


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "a:b", "a" * 64, "ä", "a\n"])
def test_an_id_is_fit_for_keys_and_files(name: str) -> None:
    with pytest.raises(ValidationError):
        JobSpec(id=name, model=MODEL, segment=SegmentSpec(), results="r")


def test_a_message_is_read_as_it_was_written_and_refuses_what_it_does_not_know() -> None:
    job = JobSpec(id="a-1", name="µ, 🦠", model=MODEL, segment=SegmentSpec(channels=()), results="r")
    assert JobSpec.model_validate_json(job.model_dump_json()) == job
    image, share = ImageRef(path="p", name="n", stem="n"), Shard(number=2, count=3)
    with pytest.raises(ValidationError, match="the blocks of one image are shared"):
        Task(job="a-1", number=0, first_image=0, images=(image, image), share=share)
    task = Task(job="a-1", number=0, first_image=0, images=(image,), share=share)
    assert Task.model_validate_json(task.model_dump_json()) == task
    with pytest.raises(ValidationError):
        Task.model_validate({**task.model_dump(), "colour": "red"})
    with pytest.raises(ValidationError):
        Task.model_validate({**task.model_dump(), "format_version": 2})
