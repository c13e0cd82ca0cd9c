"""The file of a cluster: it says back what was said, refuses what it does not know, and tells what differs."""

from __future__ import annotations

import contextlib
import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.errors import UsageError
from cellfleet.planning.cluster_changes import consequences
from cellfleet.planning.cluster_costs import cluster_costs, costs_in_words
from cellfleet.spec import machines
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool, ImageRef
from cellfleet.spec.cluster_file import (
    LARGEST_BYTES,
    changes,
    check_cluster,
    diff_cluster,
    parse_cluster,
    write_cluster,
)

TEXT = """\
name: lab
where: gke
project: lab-1
region: us-west1
zones: [us-west1-b]
bucket: gs://lab-cells
gpu:
  type: t4
  max: 4
budget_per_month: 300
"""
SPEC = parse_cluster(TEXT)


def pools(kind: type[GpuPool] | type[CpuPool]) -> st.SearchStrategy[GpuPool | CpuPool]:
    bounds = st.tuples(st.integers(0, 50), st.integers(1, 50)).map(sorted)
    types = st.sampled_from(["t4", "l4", "v100", "a100"]) if kind is GpuPool else st.none()
    machine = st.sampled_from([None, "n1-standard-4", "1e3", "0x1f"])

    def pool(bounds: list[int], gpu: str | None, spot: bool, name: str | None) -> GpuPool | CpuPool:
        fields = {"min": bounds[0], "max": bounds[1], "spot": spot, "machine": name}
        return kind.model_validate({**fields, **({"type": gpu} if gpu else {})})

    return st.builds(pool, bounds, types, st.booleans(), machine)


TAGS = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12).filter(
    lambda tag: tag[0] not in "._-"
)
SPECS = st.builds(
    lambda gpu, cpu, split, budget, tag, retention, address, models: ClusterSpec(
        name="no", where="gke", project="null", region="us-west1", zones=("us-west1-a", "us-west1-b"), bucket="gs://on/1.0",
        gpu=gpu, cpu=cpu, mode="split" if split and gpu else "fused", autoscaling="paper" if split and gpu else "work",
        budget_per_month=budget, retention_days=retention, address=address, models=models, image=ImageRef(tag=tag),
    ),
    st.none() | pools(GpuPool), pools(CpuPool), st.booleans(),
    st.none() | st.floats(0.01, 1e6, allow_nan=False), st.none() | TAGS, st.none() | st.integers(1, 4000),
    st.sampled_from([None, "cells.lab.example", "1.2"]), st.lists(TAGS, max_size=3).map(tuple),
)  # fmt: skip


@settings(max_examples=40)
@given(SPECS)
def test_what_is_written_reads_as_the_same(spec: ClusterSpec) -> None:
    text = write_cluster(spec)
    assert parse_cluster(text) == spec
    assert check_cluster(spec.model_dump(mode="json")) == spec
    # Other programs read YAML by its own rules of types, and must find the same.
    assert ClusterSpec.model_validate(yaml.safe_load(text)) == spec


@pytest.mark.parametrize("tag", ["none", "None", "null", "true", "on", "1.10", "0x1f", "1e3", "2026-11-23"])
def test_a_word_that_looks_like_something_else_stays_a_word(tag: str) -> None:
    spec = SPEC.model_copy(update={"image": ImageRef(tag=tag)})
    assert parse_cluster(write_cluster(spec)) == spec
    assert parse_cluster(TEXT + f"image: {{tag: '{tag}'}}\n") == spec


@settings(max_examples=40)
@given(SPECS, SPECS)
def test_a_diff_names_exactly_the_fields_that_changed(one: ClusterSpec, two: ClusterSpec) -> None:
    old, new = one.model_dump(mode="json"), two.model_dump(mode="json")
    for name, (before, after) in changes(one, two).items():
        top, *inner = name.split(".")
        for tree, value in ((old[top], before), (new[top], after)):
            assert (tree if not inner else (tree or {}).get(inner[0])) == value
        assert before != after
    touched = {name.split(".")[0] for name in changes(one, two)}
    assert touched == {name for name in old if old[name] != new[name]}
    assert (diff_cluster(one, two) == "") == (one == two)


def test_a_diff_reads_like_one() -> None:
    assert SPEC.gpu
    more = SPEC.model_copy(update={"gpu": SPEC.gpu.model_copy(update={"max": 8})})
    lines = diff_cluster(SPEC, more).splitlines()
    assert [line for line in lines if line[0] in "+-"] == [
        "--- cluster.yaml",
        "+++ cluster.yaml",
        "-  max: 4",
        "+  max: 8",
    ]


@pytest.mark.parametrize(
    ("wrong", "code", "told"),
    [
        (TEXT + "zonez: [a]\n", "E711", "line 11: there is no field zonez. Did you mean zones?"),
        (TEXT.replace("type: t4", "typ: t4"), "E711", "line 8: there is no field gpu.typ. Did you mean type?"),
        (TEXT.replace("t4", "t5"), "E711", "line 8: gpu.type is 't5', but can be"),
        (
            TEXT.replace("gke", "gek"),
            "E711",
            "line 2: where is 'gek', but can be 'gke', 'eks', 'aks' or 'kubeconfig'. Did you",
        ),
        (TEXT.replace("max: 4", "max: 4\n  min: 5"), "E711", "line 7: gpu: min is 5 and max 4"),
        (TEXT.replace("gs://", "s3://"), "E711", "line 6: bucket must begin with gs://"),
        (TEXT.replace("[us-west1-b]", "[us-east1-b]"), "E711", "zone us-east1-b is not in region us-west1"),
        (TEXT.replace("[us-west1-b]", "us-west1-b"), "E711", "line 5: zones is 'us-west1-b', but must be a list"),
        (TEXT.replace("project: lab-1", "project: --help"), "E711", "line 3: project is '--help', which cannot be"),
        (TEXT.replace("project: lab-1\n", ""), "E711", "where is gke, so project must be said"),
        (TEXT + "context: other\n", "E711", "which takes no context"),
        (TEXT + "autoscaling: paper\n", "E711", "line 11: autoscaling is paper, which is made for mode: split"),
        (TEXT.replace("type: t4", "type: a10g"), "E711", "for which Google GKE has no usual machine"),
        (TEXT + "name: two\n", "E710", "line 11: says name twice"),
        (TEXT + "a: &x 1\nb: *x\n", "E710", "line 11: uses anchors"),
        (TEXT + "a: !!python/object/apply:os.getcwd []\n", "E710", "line 11: uses tags"),
        ("a: " + "[" * 5000, "E710", "is nested deeper than 8 levels"),
        (TEXT + "'", "E710", "line 11: is no YAML"),
        (TEXT + "#" * LARGEST_BYTES, "E710", f"at most {LARGEST_BYTES} are read"),
        ("\x07", "E710", "is no YAML"),
        ("", "E711", "must have fields of its own"),
        ("- a", "E711", "must have fields of its own"),
    ],
)
def test_a_mistake_is_told_in_a_sentence_with_its_line(wrong: str, code: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_cluster(wrong)
    assert raised.value.code == code
    assert told in str(raised.value)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (TEXT + text).encode("utf-8", "surrogatepass")))
def test_no_bytes_lead_to_anything_but_a_description_or_a_sentence(content: bytes) -> None:
    with contextlib.suppress(UsageError):
        parse_cluster(content)


def test_every_field_says_what_it_means_and_stands_in_the_file() -> None:
    for model in (ClusterSpec, GpuPool, CpuPool, ImageRef):
        assert all(field.description for field in model.model_fields.values())
    text = write_cluster(SPEC)
    assert all(f"\n{name}:" in text for name in ClusterSpec.model_fields)


def test_idle_and_full_cost_add_up_from_the_table() -> None:
    costs = cluster_costs(SPEC)
    each = {part.name: part.usd_per_hour or 0 for part in costs.parts}
    assert costs.idle == pytest.approx(each["control plane"] + each["system machine"] + each["disk"])
    assert costs.full == pytest.approx(costs.idle + 4 * each["GPU machine"] + 4 * each["CPU machine"])
    assert each["GPU machine"] == pytest.approx(0.12765 + 0.1915)  # n1-standard-8 and a T4, spot, us-west1
    assert not costs.unknown


def test_what_has_no_price_is_named() -> None:
    rare = SPEC.model_copy(update={"gpu": GpuPool(type="h100")})
    assert cluster_costs(rare).unknown == ("GPU machine",)
    assert "Not counted, because there is no price for it here: GPU machine" in costs_in_words(
        rare, cluster_costs(rare)
    )


def test_a_budget_is_said_to_be_for_jobs_and_what_is_idle_comes_on_top() -> None:
    poor = SPEC.model_copy(update={"budget_per_month": 20.0})
    costs = cluster_costs(poor)
    said = costs_in_words(poor, costs)
    assert "$20 a month is for jobs" in said and f"makes ${20 + costs.idle * 730:.0f};" in said
    assert f"{20 / (costs.full - costs.idle):.0f} hours with every machine" in said


def test_consequences_tell_of_another_cluster_of_other_machines_and_of_results_that_go() -> None:
    assert consequences(SPEC, SPEC) == ("Nothing changes.",)
    moved = " ".join(consequences(SPEC, SPEC.model_copy(update={"name": "lab2"})))
    assert "the present one stays, and costs" in moved
    other = " ".join(consequences(SPEC, SPEC.model_copy(update={"gpu": GpuPool(type="l4", max=4)})))
    assert "The GPU machines become others" in other and "Before, it was $" in other
    kept = SPEC.model_copy(update={"retention_days": 90})
    assert "ended 90 days ago and before are deleted" in " ".join(consequences(SPEC, kept))
    assert "deleted" not in " ".join(consequences(kept, SPEC))
    without = SPEC.model_copy(update={"cpu": CpuPool(max=0)})
    assert "The CPU machines go" in " ".join(consequences(SPEC, without))
    # What was not there does not go.
    assert "machines go" not in " ".join(consequences(without, without.model_copy(update={"budget_per_month": 9.0})))


@pytest.mark.parametrize("where", ["gke", "eks", "aks"])
def test_every_gpu_that_a_provider_is_said_to_have_has_a_machine(where: machines.Where) -> None:
    assert all(machines.known(machines.gpu_machine(where, gpu)) for gpu in machines.gpu_types(where))
