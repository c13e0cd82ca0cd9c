"""What kiosk clients say and read: forms, names of jobs and of uploads, fields."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cellfleet.errors import ServiceError
from cellfleet.service.kiosk_fields import archive_stem, status_of, uploaded_name
from cellfleet.service.kiosk_form import PredictForm, job_request, model_versions
from cellfleet.service.kiosk_key import Refusal, job_key, named_by, refusal_key
from cellfleet.service.kiosk_upload import file_name
from cellfleet.service.sets import check_path
from cellfleet.spec.http import Job, JobProgress, JobRequest, ModelInfo
from cellfleet.spec.job import FINAL_JOB_STATES, JobState, PinnedModel
from cellfleet.spec.record import Told
from cellfleet.spec.segment import SegmentSpec


def model(name: str, version: str, roles: tuple[str, ...] = ("nuclear",), microns: float | None = None) -> ModelInfo:
    """Return a model."""
    return ModelInfo(
        name=name,
        version=version,
        sha256="0" * 64,
        bundled=True,
        description="",
        roles=roles,
        microns_per_pixel=microns,
        licence="",
        size_bytes=1,
    )


MODELS = [
    model("nuclei", "1.0.0"),
    model("otsu", "1.0"),
    model("cells", "2.1", ("nuclear", "membrane"), 0.5),
    model("cells", "1.4", ("nuclear", "membrane"), 0.5),
    model("tissue", "1.0.0", ("nuclear", "membrane"), 0.5),
]


def requested(**fields: Any) -> JobRequest:
    """Return the job that a client asks for with these fields."""
    form = PredictForm.model_validate({"jobType": "segmentation", "imageName": "a.png", **fields})
    return job_request(form, "set1", "a.png", MODELS)


def channels(request: JobRequest) -> list[int | str]:
    """Return the channel of each role."""
    return [channel for choice in request.segment.channels for channel in choice.channels]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "nuclei"),
        ({"modelName": ""}, "nuclei"),
        ({"modelName": None, "dataLabel": 0}, "nuclei"),
        ({"modelName": "NuclearSegmentation", "modelVersion": "5"}, "nuclei"),
        ({"modelName": "NuclearSegmentation", "modelVersion": 1}, "nuclei"),
        ({"modelName": "otsu"}, "otsu"),
        ({"modelName": "otsu", "modelVersion": "1"}, "otsu:1.0"),
        ({"modelName": "cells", "modelVersion": "1"}, "cells:1.4"),
        ({"modelName": "cells", "modelVersion": "2.1"}, "cells:2.1"),
        ({"modelName": "cells"}, "cells"),
    ],
)
def test_models_of_the_original_and_our_own_can_be_asked_for(fields: dict[str, Any], expected: str) -> None:
    assert requested(**fields).segment.model == expected


def test_a_model_with_the_name_of_an_original_takes_its_place() -> None:
    form = PredictForm.model_validate({"imageName": "a.png", "dataLabel": 1})
    own = [*MODELS, model("CytoplasmSegmentation", "3")]
    assert job_request(form, "set1", "a.png", own).segment.model == "CytoplasmSegmentation"
    assert model_versions(own)["CytoplasmSegmentation"] == ["3"]


def test_versions_are_told_as_the_whole_numbers_that_clients_can_ask_for() -> None:
    ours = {"nuclei": ["1"], "otsu": ["1"], "cells": ["2", "1"], "tissue": ["1"]}
    theirs = {"NuclearSegmentation": ["1"], "MultiplexSegmentation": ["1"], "Mesmer": ["1"]}
    assert model_versions(MODELS) == ours | theirs


@pytest.mark.parametrize(
    ("fields", "microns"),
    [
        ({"dataRescale": 0.5}, 0.325),
        ({"dataRescale": "2"}, 1.3),
        ({"jobForm": {"scale": "2"}, "dataRescale": 0.5}, 1.3),
        ({"jobForm": {"scale": ""}, "dataRescale": 0.5}, 0.325),
        ({"dataRescale": 2, "modelName": "cells"}, 1.0),
        ({"dataRescale": 0}, None),
        ({"dataRescale": ""}, None),
        ({"dataRescale": None, "jobForm": None}, None),
    ],
)
def test_a_scale_is_a_pixel_size_relative_to_the_models(fields: dict[str, Any], microns: float | None) -> None:
    assert requested(**fields).segment.microns_per_pixel == (None if microns is None else pytest.approx(microns))


@pytest.mark.parametrize(
    ("model_name", "selected", "expected"),
    [
        ("", "", []),
        ("", "2,", [3]),
        ("cells", "0,1,", [1, 2]),
        ("cells", "3,0", [4, 1]),
        ("otsu", "1", [2]),
    ],
)
def test_selected_channels_are_counted_from_0_there_and_from_1_here(
    model_name: str, selected: str, expected: list[int]
) -> None:
    assert channels(requested(modelName=model_name, jobForm={"selectedChannels": selected})) == expected


@pytest.mark.parametrize("named", [{}, {"modelName": "MultiplexSegmentation", "modelVersion": "9"}], ids=str)
def test_a_mesmer_job_finds_whole_cells_at_half_a_micron_with_the_nuclear_channel_first(named: dict[str, str]) -> None:
    request = requested(jobType="mesmer", dataRescale=2, **named)
    assert (request.segment.model, request.segment.compartment) == ("tissue", "whole-cell")
    assert channels(request) == [1, 2]
    assert request.segment.microns_per_pixel == 1.0
    assert channels(requested(jobType="mesmer", jobForm={"selectedChannels": "3,0,"})) == [4, 1]


@pytest.mark.parametrize(
    "fields",
    [
        {"modelName": "GoldStandard"},
        {"jobType": "mesmer", "jobForm": {"selectedChannels": "0,1,2"}},
        {"modelName": "cells", "modelVersion": "3"},
        {"dataLabel": 1},
        {"dataLabel": "2"},
        {"dataLabel": 7},
        {"dataRescale": "nan"},
        {"dataRescale": "inf"},
        {"dataRescale": -0.5},
        {"dataRescale": "x"},
        {"jobForm": {"selectedChannels": "0,1,"}},
        {"jobForm": {"selectedChannels": ",1,"}},
        {"jobForm": {"selectedChannels": "-1,"}},
        {"jobForm": {"selectedChannels": "DAPI"}},
    ],
    ids=str,
)
def test_what_no_model_here_can_do_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as caught:
        requested(**fields)
    assert caught.value.code == "E957"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = [field.alias or "" for field in PredictForm.model_fields.values()]


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON))
def test_whatever_a_client_sends_is_a_job_or_refused(body: dict[str, Any]) -> None:
    try:
        form = PredictForm.model_validate(body)
        assert all(letter in "0123456789abcdefghijklmnopqrstuvwxyz" for letter in form.upload)
        job_request(form, "set1", "a.png", MODELS)
    except (ValidationError, ServiceError):
        pass


@given(st.text(), st.from_regex("[0-9a-z][0-9a-z-]{0,62}", fullmatch=True))
def test_the_name_of_a_job_leads_back_to_it_whatever_its_image_is_called(image: str, job: str) -> None:
    assert named_by(job_key("segmentation", image, job)) == job


@given(st.text(max_size=200), st.text(max_size=3000, alphabet=st.characters(exclude_categories=["Cs"])))
def test_a_refusal_carries_its_reason(image: str, reason: str) -> None:
    found = named_by(refusal_key("segmentation", image, reason))
    assert isinstance(found, Refusal) and found.reason == reason[:1000]


@given(st.text())
def test_no_other_text_is_more_than_a_possible_id(key: str) -> None:
    found = named_by(key)
    assert found is None or (isinstance(found, str) and not set(found) & set("./:\\ "))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a.png", "a.png"),
        ("in/a.png", "a.png"),
        ("/abs/in/a.png", "a.png"),
        ("C:\\data\\a.tif", "a.tif"),
        ("../../etc/passwd", "passwd"),
        ("well A1, field µ 🦠.ome.tif", "well A1, field µ 🦠.ome.tif"),
        ("", "image"),
        ("..", "image"),
        (".cellfleet", "image"),
        ("a\x00b.png", "image.png"),
        ("a\r\nb.png", "image.png"),
    ],
)
def test_a_file_keeps_the_last_part_of_its_name_if_a_file_can_have_it(sent: str, kept: str) -> None:
    assert file_name(sent) == kept


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_a_store_takes(sent: str) -> None:
    name = file_name(sent)
    assert check_path(name) == name and len(name.encode()) <= 200 and "/" not in name


@given(st.text(max_size=400))
def test_the_name_of_an_upload_leads_back_to_its_set(sent: str) -> None:
    named = uploaded_name("019a2b3c4d5e6f", file_name(sent))
    assert PredictForm.model_validate({"imageName": "x", "uploadedName": named}).upload == "019a2b3c4d5e6f"


@pytest.mark.parametrize("prefix", ["uploads/", "", "mine/../uploads/", "../uploads/"])
def test_another_upload_prefix_of_the_client_changes_nothing(prefix: str) -> None:
    body = json.dumps({"imageName": "../uploads/abc.png", "uploadedName": f"{prefix}abc.png"})
    assert PredictForm.model_validate_json(body).upload == "abc"


def a_job(state: JobState, *, done: int = 0, running: int = 0, summarised: bool = False, problem: bool = False) -> Job:
    """Return a job of two images."""
    progress = JobProgress(
        images=2,
        listed=True,
        images_done=done,
        images_failed=2 - done if state in FINAL_JOB_STATES else 0,
        objects=0,
        pixels=0,
        tasks=1,
        tasks_done=0,
        tasks_running=running,
        tasks_dead=0,
        submitted_ms=1,
        started_ms=None,
        finished_ms=None,
        seconds_left=None,
    )
    return Job(
        id="job-1",
        name="../well A1, µ.tar.gz",
        owner="ann",
        state=state,
        priority="normal",
        inputs=("set:a/b.png",),
        segment=SegmentSpec(),
        model=PinnedModel(name="nuclei", version="1", sha256="0" * 64),
        formats=("labels-tiff",),
        out=None,
        progress=progress,
        problem=Told(code="E101", what="nothing") if problem else None,
        summarised=summarised,
    )


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (a_job("queued"), "new"),
        (a_job("paused"), "new"),
        (a_job("running"), "started"),
        (a_job("running", running=1), "predicting"),
        (a_job("done", done=2), "saving-results"),
        (a_job("done", done=2, summarised=True), "done"),
        (a_job("failed", done=1), "saving-results"),
        (a_job("failed", done=1, summarised=True), "done"),
        (a_job("failed", summarised=True), "failed"),
        (a_job("failed", problem=True), "failed"),
        (a_job("cancelled", done=1), "failed"),
    ],
)
def test_states_have_the_originals_words(job: Job, expected: str) -> None:
    assert status_of(job) == expected


def test_the_zip_of_a_job_has_a_name_that_needs_no_decoding_and_that_no_other_job_has() -> None:
    assert archive_stem(a_job("done")) == "well_A1____tar_job-1"
