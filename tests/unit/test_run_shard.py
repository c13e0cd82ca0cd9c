"""Which part of the work falls to which machine: every image and block to exactly one, without anyone to ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import UsageError
from cellfleet.run.shard import owns, shard_of_array_job, share_of_blocks, share_of_images
from cellfleet.spec.segment import Shard

counts = st.integers(1, 12)


def shards(count: int) -> list[Shard]:
    return [Shard(number=number, count=count) for number in range(1, count + 1)]


@given(st.integers(0, 100), counts)
def test_every_image_falls_to_one_machine_and_none_has_more_than_one_more(images: int, count: int) -> None:
    shares = [share_of_images(range(images), shard) for shard in shards(count)]
    assert sorted(image for share in shares for image in share) == list(range(images))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.integers(1, 100), counts, st.integers(0, 30))
def test_every_block_of_every_image_falls_to_one_machine(blocks: int, count: int, image: int) -> None:
    shares = [share_of_blocks(range(blocks), shard, image) for shard in shards(count)]
    assert [block for share in shares for block in share] == list(range(blocks))
    if blocks > 1:
        assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert [owns(image, shard) for shard in shards(count)].count(True) == 1


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "8"}, "1/8"),
        (
            {
                "SLURM_ARRAY_TASK_ID": "20",
                "SLURM_ARRAY_TASK_COUNT": "3",
                "SLURM_ARRAY_TASK_MIN": "10",
                "SLURM_ARRAY_TASK_STEP": "5",
            },
            "3/3",
        ),
        ({"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}, "4/4"),
        ({"BATCH_TASK_INDEX": "0", "BATCH_TASK_COUNT": "4"}, "1/4"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "9", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, "10/10"),
        ({"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"}, "2/2"),
        ({"SLURM_ARRAY_TASK_ID": "", "JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"}, "2/2"),
    ],
)
def test_a_task_of_an_array_job_knows_its_part(environment: dict[str, str], expected: str) -> None:
    assert str(shard_of_array_job({"PATH": "/bin", **environment})) == expected


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "SLURM"),
        ({"JOB_COMPLETION_INDEX": "1"}, "JOB_COMPLETIONS"),
        ({"JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "many"}, "JOB_COMPLETIONS"),
        ({"BATCH_TASK_INDEX": "4", "BATCH_TASK_COUNT": "4"}, "BATCH_TASK_COUNT"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "x", "AWS_BATCH_JOB_ARRAY_SIZE": "10"}, "AWS_BATCH_JOB_ARRAY_SIZE"),
        (
            {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "5"},
            "SLURM_ARRAY_TASK_COUNT",
        ),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_STEP": "0"}, "SLURM_ARRAY_TASK_COUNT"),
    ],
)
def test_a_task_that_cannot_know_its_part_is_refused(environment: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named) as caught:
        shard_of_array_job(environment)
    assert caught.value.code == "E038" and caught.value.action


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/3", "1/3/3", "", "a/b", "1 / 3"])
def test_a_text_that_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="E037"):
        Shard.parse(text)
