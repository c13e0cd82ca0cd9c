"""The promise of blocks, for models of cells and nuclei: both compartments, their numbers and both tables."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from tests.block_cases import (
    WHOLE,
    Case,
    Cut,
    Filter,
    assert_same,
    assert_same_labels,
    assert_same_rows,
    cases,
    cuts,
    segmented,
    specs,
)

from cellfleet.errors import OutputError, UsageError
from cellfleet.images.read import image_from_array
from cellfleet.models import LoadedModel
from cellfleet.pipeline.nuclei import match, overlaps
from cellfleet.results.labelled import Rows, all_columns, read_all
from cellfleet.run.parts import PlaceParts
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.spec.choices import CompartmentChoice
from cellfleet.spec.model import ModelManifest, Tile
from cellfleet.spec.postprocess import DeepWatershed
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.stores.place import FolderPlace

VALIDATION = Path(__file__).parents[2] / "data" / "nuclear" / "val" / "images"


@st.composite
def both(draw: st.DrawFn, largest: int = 60) -> Case:
    """Draw a case of two compartments, from the same two heads."""
    case, nuclei = draw(cases(largest)), draw(specs)
    manifest = case.model.manifest.model_copy(update={"compartment": "whole-cell", "nuclei": nuclei})
    return replace(case, model=replace(case.model, manifest=manifest))


def asked(case: Case, compartment: CompartmentChoice | None) -> Case:
    return replace(case, spec=case.spec.model_copy(update={"compartment": compartment}))


def assert_same_nuclei(found: Segmented, expected: Segmented) -> None:
    its, theirs = found.nuclei, expected.nuclei
    assert its and theirs
    assert_same_labels(its.objects.labels, theirs.objects.labels)
    assert_same_rows(its.objects.rows, theirs.objects.rows)
    assert (its.without_cell, its.cells_without) == (theirs.without_cell, theirs.cells_without)
    shown = found.shown_nuclei()
    assert shown is not None
    np.testing.assert_array_equal(shown, expected.shown_nuclei())


def test_blocks_of_every_size_in_any_order_give_what_one_block_gives() -> None:
    seen = Counter[str]()

    @settings(max_examples=150)
    @given(both(), cuts)
    def holds(case: Case, cut: Cut) -> None:
        with patch("cellfleet.pipeline.block._HALO_PX", cut.halo):
            found = segmented(case, cut.side, cut.threads, cut.order)
        expected = segmented(case, WHOLE)
        assert_same(found, expected)
        assert_same_nuclei(found, expected)
        assert found.nuclei
        seen.update(cut=found.blocks > 1, nuclei=found.nuclei.objects.rows.count > 1, redone=found.redone > 0)
        seen.update(homeless=found.nuclei.without_cell > 0, empty=found.nuclei.cells_without > 0)

    holds()
    assert min(seen[what] for what in ("cut", "nuclei", "redone", "homeless", "empty")) > 10, (
        "hardly anything was tried"
    )


@settings(max_examples=40)
@given(both(), cuts)
def test_each_compartment_is_what_it_is_without_the_other(case: Case, cut: Cut) -> None:
    found = segmented(case, cut.side)
    assert found.nuclei and found.compartment == "whole-cell"
    cells, nuclei = (segmented(asked(case, one), cut.side) for one in ("whole-cell", "nuclear"))
    assert cells.nuclei is None and nuclei.nuclei is None and nuclei.compartment == "nuclear"
    assert_same_labels(found.labels, cells.labels)
    alone, beside = all_columns(cells.rows), all_columns(found.rows)
    assert list(beside)[: len(alone)] == list(alone)
    assert all(beside[name].tobytes() == values.tobytes() for name, values in alone.items())
    assert found.areas().tolist() == cells.areas().tolist()
    # The same nuclei under other numbers.
    ours, theirs = read_all(found.nuclei.objects.labels), read_all(nuclei.labels)
    pairs = np.unique(np.stack([ours[theirs > 0], theirs[theirs > 0]]), axis=1)
    assert (ours > 0).tolist() == (theirs > 0).tolist()
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1] == nuclei.labels.count
    order = np.argsort(pairs[0])
    renamed, measured = all_columns(nuclei.rows), all_columns(found.nuclei.objects.rows)
    for name in renamed.keys() - {"label"}:
        assert measured[name].tobytes() == renamed[name][pairs[1][order] - 1].tobytes(), name


@settings(max_examples=60)
@given(both(), cuts)
def test_numbers_and_columns_follow_from_the_labels(case: Case, cut: Cut) -> None:
    found = segmented(case, cut.side)
    assert found.nuclei
    cells, nuclei = read_all(found.labels), read_all(found.nuclei.objects.labels)
    raster = read_all(segmented(asked(case, "nuclear"), WHOLE).labels)
    size = cells.shape[-1]
    expected = match(overlaps(raster.reshape(-1, size), cells.reshape(-1, size)), int(raster.max()), found.labels.count)
    np.testing.assert_array_equal(nuclei, expected.number[raster])
    table, its = all_columns(found.rows), all_columns(found.nuclei.objects.rows)
    assert its["label"].tolist() == sorted(np.unique(nuclei[nuclei > 0]).tolist())
    np.testing.assert_array_equal(its["cell"], expected.cell[np.argsort(expected.number[1:]) + 1])
    for row, cell in enumerate(table["label"]):
        assert table["nuclei"][row] == np.count_nonzero(its["cell"] == cell)
        place = np.flatnonzero(its["label"] == cell)
        for name in ("area_px", "y_min_px", "x_px", "eccentricity"):
            told = table[f"nucleus_{name}"][row]
            assert told == its[name][place[0]] if len(place) else np.isnan(told)
    channel = next(name for name in its if name.startswith("mean_"))
    has = np.isin(table["label"], its["label"])
    assert table[f"nucleus_{channel}"][has].tolist() == its[channel][its["label"] <= found.labels.count].tolist()


def test_files_of_blocks_give_what_memory_gives(tmp_path: Path) -> None:
    case = two_real_channels(512)
    place = FolderPlace(tmp_path)

    def found() -> Segmented:
        with Pools(1, case.model) as pools:
            how = How(pools, parts=lambda: PlaceParts(place, "parts"), block=200)
            segments = segment_image(image_from_array(case.pixels, axes="CYX"), case.spec, case.model, how)
        assert isinstance(segments, Segmented)
        return segments

    first, expected = found(), segmented(case, WHOLE)
    assert_same(first, expected)
    assert_same_nuclei(first, expected)
    with patch.object(Filter, "predict", side_effect=AssertionError("all blocks are there")):
        again = found()
    assert_same_nuclei(again, expected)


def test_both_compartments_come_from_one_pass_of_the_network() -> None:
    case = two_real_channels(512)
    calls = Counter[str]()
    original = Filter.predict

    def counted(self: Filter, *given: object) -> object:
        calls["predict"] += 1
        return original(self, *given)  # type: ignore[arg-type]

    with patch.object(Filter, "predict", counted):
        segmented(asked(case, "whole-cell"), 256)
        alone = calls.pop("predict")
        segmented(case, 256)
    assert calls["predict"] == alone > 4


def test_more_numbers_than_a_label_image_holds_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = two_real_channels(256)
    # Moved, so that there are nuclei without cells and cells without nuclei.
    case = replace(case, pixels=np.stack([case.pixels[0], np.roll(case.pixels[1], 30, 1)]))
    found = segmented(case, WHOLE)
    assert found.nuclei
    numbers = found.nuclei.objects.labels.count
    assert numbers > max(found.labels.count, found.nuclei.objects.rows.count)
    monkeypatch.setattr("cellfleet.run.stitch._LARGEST_LABEL", numbers - 1)
    with pytest.raises(OutputError, match="E513"):
        segmented(case, WHOLE)


@pytest.mark.parametrize("compartment", ["both", "whole-cell"])
def test_what_a_model_does_not_find_is_refused(compartment: CompartmentChoice) -> None:
    case = two_real_channels(64)
    manifest = case.model.manifest.alone("nuclear")
    with pytest.raises(UsageError, match="finds nuclear objects") as caught:
        segmented(asked(replace(case, model=replace(case.model, manifest=manifest)), compartment), WHOLE)
    assert caught.value.code == "E050" and caught.value.action


def test_a_manifest_of_nuclei_is_one_of_cells() -> None:
    heads = {"name": "m", "version": "1", "heads": ("outer_distance", "inner_distance"), "nuclei": DeepWatershed()}
    assert ModelManifest(**heads, compartment="whole-cell").compartments == ("whole-cell", "nuclear")
    with pytest.raises(ValueError, match="compartment must be"):
        ModelManifest(**heads, compartment="nuclear")
    with pytest.raises(ValueError, match="heads lack"):
        ModelManifest(**heads | {"nuclei": DeepWatershed(maxima_head="other")}, compartment="whole-cell")


def test_the_key_of_results_is_that_of_before_where_all_is_wanted() -> None:
    assert "compartment" not in SegmentSpec().model_dump_json()
    assert SegmentSpec(compartment="both").digest("m") != SegmentSpec().digest("m")


# --- real images ---------------------------------------------------------------------------------------------------


def two_real_channels(side: int) -> Case:
    """Return a validation image as the nuclear channel, and a blurred one of it, as wide as cells, as the other."""
    nuclear = np.zeros((side, side), np.float64)
    for number, path in enumerate(sorted(VALIDATION.iterdir())[:4]):
        tile = tifffile.imread(path)[: side // 2, : side // 2].astype(np.float64)
        y, x = number // 2 * (side // 2), number % 2 * (side // 2)
        nuclear[y : y + tile.shape[0], x : x + tile.shape[1]] = tile / max(tile.max(), 1)
    cells = ndimage.gaussian_filter(nuclear, 3)
    pixels = (np.stack([nuclear, cells]) * 60_000).astype(np.uint16)
    manifest = ModelManifest(
        name="filter",
        version="1",
        roles=("nuclear", "membrane"),
        compartment="whole-cell",
        heads=("peaks", "outer_distance"),
        tile=Tile(multiple=2, halo=2, largest=128),
        postprocess=DeepWatershed(maxima_head="outer_distance", maxima_threshold=0.05, interior_threshold=0.15),
        nuclei=DeepWatershed(maxima_head="peaks", interior_head="peaks", maxima_smooth=1, interior_threshold=0.3),
    )
    channels = tuple(map(ChannelChoice.parse, ("nuclear=1", "membrane=2")))
    spec = SegmentSpec(channels=channels, microns_per_pixel=0.5)
    return Case(pixels, "CYX", spec, LoadedModel(manifest, "0" * 64, Filter(), "cpu"), "real")


def test_real_images() -> None:
    case = two_real_channels(512)
    expected = segmented(case, WHOLE)
    assert expected.nuclei and expected.labels.count > 40 < expected.nuclei.objects.rows.count
    for side, threads, order in ((64, 1, None), (150, 3, 5)):
        with patch("cellfleet.pipeline.block._HALO_PX", 16):
            found = segmented(case, side, threads, order)
        assert_same(found, expected)
        assert_same_nuclei(found, expected)


def test_tables_come_in_batches_with_the_rows_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = segmented(two_real_channels(256), 100)
    assert found.nuclei
    whole = [all_columns(rows) for rows in (found.rows, found.nuclei.objects.rows)]
    for name in ("cellfleet.run.stitch._BATCH_ROWS", "cellfleet.run.compartments._BATCH_ROWS"):
        monkeypatch.setattr(name, 3)
    monkeypatch.setattr("cellfleet.run.compartments._TABLES_HELD", 1)
    rows: Rows
    for rows, expected in zip((found.rows, found.nuclei.objects.rows), whole, strict=True):
        assert len(list(rows.batches())) > 3
        for name, values in all_columns(rows).items():
            assert values.tobytes() == expected[name].tobytes()
