"""Records survive a round trip; a damaged one is never taken for a finished image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.results.record import (
    load_records,
    load_run_record,
    record_name,
    thumbnail_name,
    write_image_record,
    write_run_record,
)
from cellfleet.spec.record import ImageRecord, InputFile, ModelUsed, RunRecord, Scale, Told
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.place import FolderPlace


def _image(name: str) -> ImageRecord:
    return ImageRecord(
        image=name,
        status="done",
        key="k" * 64,
        input=InputFile(path=f"/data/{name}", size_bytes=2**40, mtime_ns=2**62, sha256="0" * 64),
        outputs={"labels-tiff": "a_labels.tif"},
        shape=(2, 30, 40),
        axes="CYX",
        contrast=((0.1, 65535.0),),
        scale=Scale(zoom=1.5, source="estimated", diameter_px=18.25),
        notices=(Told(code="W104", what="µ"),),
        diameter_histogram={"edges": [0, 1, 2], "counts": [3, 4]},
    )


def _run(*images: ImageRecord) -> RunRecord:
    return RunRecord(
        cellfleet="0.1.0",
        command="cellfleet segment",
        python="import cellfleet",
        started="2026-01-01T00:00:00+00:00",
        status="done",
        spec=SegmentSpec(),
        key="k",
        model=ModelUsed(name="nuclei", version="1", sha256="0" * 64),
        formats=("labels-tiff",),
        device="CPU",
        threads=2,
        images=images,
    )


def test_records_of_images_read_back_equal(tmp_path: Path) -> None:
    names = ["a.tif", "A.tif", "day1/a.tif", "day1_a.tif", 'µ "<b>".tif', "x" * 250]
    for name in names:
        write_image_record(FolderPlace(tmp_path), _image(name))
    assert load_records(FolderPlace(tmp_path)) == {name: _image(name) for name in names}


def test_the_run_reads_back_equal_and_can_be_read_by_people(tmp_path: Path) -> None:
    run = _run(_image("a.tif"), _image("b.tif"))
    write_run_record(FolderPlace(tmp_path), run)
    path = tmp_path / "run.json"
    assert load_run_record(FolderPlace(tmp_path)) == run
    assert len(path.read_text("utf-8").splitlines()) > 40
    assert json.loads(path.read_text("utf-8"))["format_version"] == 1


@given(st.text(min_size=1), st.text(min_size=1))
def test_every_image_has_a_record_and_a_thumbnail_of_its_own(one: str, other: str) -> None:
    names = [make(image) for make in (record_name, thumbnail_name) for image in {one, other}]
    assert len({name.lower() for name in names}) == 2 * len({one, other})
    assert all(name.isascii() for name in names)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"done"', '"maybe"'),
        lambda text: text.replace('"format_version": 1', '"format_version": 2'),
        lambda text: text.replace('"a.tif"', '"b.tif"'),
        lambda text: text.replace('"a_labels.tif"', '"/a_labels.tif"'),
        lambda text: text.replace('"a_labels.tif"', '"b/../../a_labels.tif"'),
        lambda text: text.replace('"thumbnail": ""', '"thumbnail": "../secret.jpg"'),
    ],
    ids=[
        "empty",
        "half",
        "unknown status",
        "other version",
        "record of another image",
        "absolute result",
        "result outside",
        "thumbnail outside",
    ],
)
def test_the_image_of_a_damaged_record_counts_as_not_done(damage: object, tmp_path: Path) -> None:
    assert callable(damage)
    out = FolderPlace(tmp_path)
    write_image_record(out, _image("a.tif"))
    write_image_record(out, _image("fine.tif"))
    path = out.local(record_name("a.tif"))
    path.write_text(damage(path.read_text("utf-8")), "utf-8")
    assert list(load_records(out)) == ["fine.tif"]


def test_a_folder_without_records_is_empty_and_a_broken_run_is_none(tmp_path: Path) -> None:
    assert not load_records(FolderPlace(tmp_path / "missing"))
    assert load_run_record(FolderPlace(tmp_path)) is None
    (tmp_path / "run.json").write_text("{", "utf-8")
    assert load_run_record(FolderPlace(tmp_path)) is None


def test_a_record_of_a_newer_version_is_read_in_part(tmp_path: Path) -> None:
    out = FolderPlace(tmp_path)
    write_image_record(out, _image("a.tif"))
    path = out.local(record_name("a.tif"))
    path.write_text(path.read_text("utf-8").replace('"axes"', '"of_tomorrow": 1, "axes"', 1), "utf-8")
    assert load_records(out) == {"a.tif": _image("a.tif")}
