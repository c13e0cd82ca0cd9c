"""Workflows: the image that is predicted, by region; steps that are missing, go in circles or do not fit."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.packages import write_otsu, write_package
from tests.workflows import PLANES, REACH, stack, write_chain, write_translator, write_workflow

from cellfleet.errors import CellfleetError, ModelError
from cellfleet.images.image import Image
from cellfleet.images.read import image_from_array
from cellfleet.models import LoadedModel, load_model
from cellfleet.models.check import check_package
from cellfleet.models.repository import Repository
from cellfleet.models.source import open_source
from cellfleet.pipeline.predicted import stack_contrast
from cellfleet.results.labelled import all_columns, read_all
from cellfleet.run.calibrate import calibrate
from cellfleet.run.pools import Pools
from cellfleet.run.segment_image import How, Segmented, segment_image
from cellfleet.run.speed_log import own_speeds, read_speeds
from cellfleet.run.workflow import predicted_image
from cellfleet.spec.segment import ChannelChoice, SegmentSpec
from cellfleet.stores.folder import FolderPlace

SPEC = SegmentSpec()


@pytest.fixture
def chain(tmp_path: Path) -> LoadedModel:
    return load_model(write_chain(tmp_path))


@pytest.fixture
def pools(chain: LoadedModel) -> Iterator[Pools]:
    with Pools(2, chain) as pools:
        yield pools


def predicted(array: np.ndarray, model: LoadedModel, pools: Pools, axes: str = "ZYX", **asked: Any) -> Image:
    return predicted_image(image_from_array(array, axes=axes), SegmentSpec(**asked), model, pools)[0]


def truth(planes: np.ndarray, places: list[int] | None = None) -> np.ndarray:
    """What the translator predicts of whole planes, in NumPy."""
    taken = planes if places is None else planes[places]
    contrast = stack_contrast(taken.reshape(len(taken), -1))
    low, high = contrast.T[:, :, None, None]
    mean = ((taken - low) / (high - low)).mean(0)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(mean, REACH, mode="edge"), (5, 5))
    return np.asarray(np.clip(np.rint(1000 * (1 + windows.mean((2, 3)))), 0, 65535))


def code_of(error: pytest.ExceptionInfo[CellfleetError]) -> str:
    return error.value.code


# --- the predicted image ----------------------------------------------------------------------------------------------


def test_the_stack_is_used_up_and_the_stain_is_what_the_network_predicts(chain: LoadedModel, pools: Pools) -> None:
    planes = stack(tiles=(2, 2))
    image = predicted(planes, chain, pools)
    assert (image.axes, image.shape, image.dtype, image.channel_names) == ("YX", (128, 160), np.uint16, ("DAPI",))
    assert np.abs(image.read_plane()[0].astype(float) - truth(planes)).max() <= 1


@pytest.mark.parametrize("asked", [{}, {"diameter_px": 7}])
def test_a_region_is_that_of_the_whole_whatever_is_read_first(asked: dict[str, float], tmp_path: Path) -> None:
    chain = load_model(write_chain(tmp_path, diameter_px=10))
    planes, random = stack(tiles=(2, 2)), np.random.default_rng(0)
    with Pools(2, chain) as pools:
        whole = predicted(planes, chain, pools, **asked).read_plane()
        parts = predicted(planes, chain, pools, **asked)
        for _ in range(30):
            y0, x0 = random.integers(0, 120), random.integers(0, 150)
            y, x = slice(y0, y0 + random.integers(1, 80)), slice(x0, x0 + random.integers(1, 90))
            np.testing.assert_array_equal(parts.read(y=y, x=x), whole[:, y, x])


def test_threads_that_read_at_once_see_the_same_and_predict_each_tile_once(
    chain: LoadedModel, pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, calls, lock = predicted(stack(tiles=(2, 2)), chain, pools), [], threading.Lock()
    (step,) = chain.before
    predict = step.translator.predict

    def counted(*given: Any) -> Any:
        with lock:
            calls.append(1)
        return predict(*given)

    monkeypatch.setattr(step.translator, "predict", counted)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: image.read_plane(), range(16)))
    assert all(np.array_equal(one, found[0]) for one in found)
    assert len(calls) == 4 * 4  # 128 × 160 px in tiles of 40


@pytest.mark.parametrize("block", [32, 50, 4096])
def test_labels_and_tables_are_the_same_for_every_block_size(block: int, chain: LoadedModel, pools: Pools) -> None:
    planes, found = stack(tiles=(2, 2)), []
    for side in (block, 4096):
        image, rest = predicted_image(image_from_array(planes, axes="ZYX"), SPEC, chain, pools)
        one = segment_image(image, rest, chain, How(pools, block=side))
        assert isinstance(one, Segmented)
        found.append(one)
    np.testing.assert_array_equal(read_all(found[0].labels), read_all(found[1].labels))
    assert found[0].labels.count == 16
    tables = [all_columns(one.rows) for one in found]
    assert tables[0].keys() == tables[1].keys() >= {"mean_DAPI"}
    for name in tables[0]:
        np.testing.assert_array_equal(tables[0][name], tables[1][name], err_msg=name)


def test_where_memory_is_short_tiles_are_predicted_one_after_the_other(
    chain: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    (step,) = chain.before
    predict, lock, now, most = step.translator.predict, threading.Lock(), [0], [0]

    def counted(*given: Any) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            return predict(*given)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(step.translator, "predict", counted)
    with Pools(4, chain) as pools, ThreadPoolExecutor(8) as threads:
        monkeypatch.setattr(pools.budget, "total_bytes", 1 << 20)
        image = predicted(stack(tiles=(3, 3)), chain, pools)
        boxes = [(slice(y, y + 40), slice(x, x + 40)) for y in range(0, 192, 40) for x in range(0, 240, 40)]
        list(threads.map(lambda box: image.read(y=box[0], x=box[1]), boxes))
    assert most == [1]


def test_time_points_have_stacks_and_one_contrast(chain: LoadedModel, pools: Pools) -> None:
    dim, bright = stack(), stack() * 2
    image = predicted(np.stack([dim, dim, bright]), chain, pools, axes="TZYX")
    assert (image.axes, image.shape) == ("TYX", (3, 64, 80))
    np.testing.assert_array_equal(image.read_plane(0), image.read_plane(1))
    assert image.read_plane(2).mean() > 1.5 * image.read_plane(1).mean()


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_time_point_in_which_there_is_nothing_hides_no_other(chain: LoadedModel, pools: Pools, empty: int) -> None:
    movie = np.stack([stack()] * 3)
    movie[empty] = 0
    image = predicted(movie, chain, pools, axes="TZYX")
    alone = predicted(stack(), chain, pools).read_plane()
    for t in {0, 1, 2} - {empty}:
        np.testing.assert_array_equal(image.read_plane(t), alone)


def test_a_stack_in_which_there_is_nothing_predicts_nothing(chain: LoadedModel, pools: Pools) -> None:
    image = predicted(np.full((PLANES, 64, 80), 7, np.uint16), chain, pools)
    assert not image.read_plane().any()


def test_values_that_are_no_numbers_do_not_spread(chain: LoadedModel, pools: Pools) -> None:
    planes = stack().astype(np.float32)
    planes[1, 20:22, 30] = np.nan
    planes[2, 5, 5] = np.inf
    image = predicted(planes, chain, pools)
    assert image.read_plane().std() > 0
    assert image.read(y=slice(30, 60), x=slice(40, 70)).mean() == pytest.approx(
        predicted(stack(), chain, pools).read(y=slice(30, 60), x=slice(40, 70)).mean(), rel=0.05
    )


def test_images_smaller_than_a_halo_are_predicted(chain: LoadedModel, pools: Pools) -> None:
    assert predicted(stack()[:, :1, :2], chain, pools).read_plane().shape == (1, 1, 2)


def test_where_the_scale_is_unknown_both_steps_take_that_of_the_training_images(tmp_path: Path) -> None:
    chain = load_model(write_chain(tmp_path, diameter_px=14))
    with Pools(1, chain) as pools:
        image, rest = predicted_image(image_from_array(stack(), axes="ZYX"), SPEC, chain, pools)
        assert rest.diameter_px == 14 and [notice.code for notice in image.notices] == ["W418"]
        for asked in (SegmentSpec(diameter_px=9), SegmentSpec(microns_per_pixel=0.5)):
            image, rest = predicted_image(image_from_array(stack(), axes="ZYX"), asked, chain, pools)
            assert rest == asked and not image.notices


# --- which planes -----------------------------------------------------------------------------------------------------


def test_a_stack_of_another_depth_is_refused_where_the_model_wants_its_own(chain: LoadedModel, pools: Pools) -> None:
    for planes in (PLANES + 1, PLANES - 1):
        with pytest.raises(ModelError, match=f"{planes} z-planes.*needs 3") as caught:
            predicted(stack(planes=planes), chain, pools)
        assert code_of(caught) == "E417"
    with pytest.raises(ModelError, match=r"--axes ZYX") as caught:
        predicted(stack()[0], chain, pools, axes="YX")
    assert code_of(caught) == "E417"


@pytest.mark.parametrize(("there", "places"), [(2, [0, 0, 1]), (5, [0, 2, 4]), (9, [0, 4, 8])])
def test_a_stack_of_another_depth_is_spread_evenly_where_the_model_allows_it(
    there: int, places: list[int], tmp_path: Path
) -> None:
    chain = load_model(write_chain(tmp_path, fewest_planes=2))
    planes = stack(planes=there)
    with Pools(1, chain) as pools:
        image = predicted(planes, chain, pools)
        assert np.abs(image.read_plane()[0].astype(float) - truth(planes, places)).max() <= 1
        assert [notice.code for notice in image.notices] == ["W417"]


def test_planes_may_lie_along_the_channels(tmp_path: Path) -> None:
    chain = load_model(write_chain(tmp_path, axis="C"))
    planes = stack()
    with Pools(1, chain) as pools:
        image = predicted(np.stack([planes, planes], 1), chain, pools, axes="CZYX")
        assert (image.axes, image.shape) == ("ZYX", (2, 64, 80))
        assert np.abs(image.read_plane(0, 1)[0].astype(float) - truth(planes)).max() <= 1


def test_the_channel_of_the_planes_is_chosen_by_its_role_and_the_rest_is_for_the_next_step(
    chain: LoadedModel, pools: Pools
) -> None:
    both = np.stack([np.zeros_like(stack()), stack()])
    choices = (ChannelChoice(role="brightfield", channels=(2,)), ChannelChoice(role="nuclear", channels=(1,)))
    image, rest = predicted_image(image_from_array(both, axes="CZYX"), SegmentSpec(channels=choices), chain, pools)
    assert np.abs(image.read_plane()[0].astype(float) - truth(stack())).max() <= 1
    assert rest.channels == (choices[1],)
    with pytest.raises(CellfleetError) as caught:
        predicted(both, chain, pools, axes="CZYX")
    assert code_of(caught) == "E211"


def test_a_model_may_predict_several_channels_of_which_the_next_step_takes_its_own(tmp_path: Path) -> None:
    chain = load_model(write_chain(tmp_path, outputs=2))
    with Pools(1, chain) as pools:
        image, rest = predicted_image(
            image_from_array(stack(), axes="ZYX"),
            SegmentSpec(channels=(ChannelChoice(role="nuclear", channels=(2,)),)),
            chain,
            pools,
        )
        assert (image.axes, image.channel_names) == ("CYX", ("predicted DAPI 1", "predicted DAPI 2"))
        found = segment_image(image, rest, chain, How(pools))
        assert isinstance(found, Segmented) and found.channels_used == {"nuclear": (1,)}


# --- declared ---------------------------------------------------------------------------------------------------------


def test_any_model_that_finds_objects_can_be_the_last_step(tmp_path: Path) -> None:
    write_translator(tmp_path / "stain")
    write_package(tmp_path / "small", "small")
    for step in ("otsu", "nuclei", "small"):
        model = load_model(write_workflow(tmp_path / f"with-{step}", "stain", step, name=f"with-{step}"))
        assert model.manifest.name == f"with-{step}" and [one.name for one in model.steps] == ["stain", step]
        assert model.manifest.heads == load_model(tmp_path / step if step == "small" else step).manifest.heads


def test_a_workflow_may_end_in_a_workflow(tmp_path: Path) -> None:
    write_chain(tmp_path)
    model = load_model(write_workflow(tmp_path / "longer", "chain", name="longer"))
    assert [step.name for step in model.steps] == ["stain", "finder"]


def test_its_content_is_that_of_its_steps_too(tmp_path: Path) -> None:
    before = load_model(write_chain(tmp_path / "one")).sha256
    assert load_model(write_chain(tmp_path / "same")).sha256 == before
    assert load_model(write_chain(tmp_path / "other", role="phase")).sha256 != before


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        (["stain", "nothing"], "E413"),
        (["stain:2.0", "finder"], "E413"),
        (["chain"], "E414"),
        (["stain", "around"], "E414"),
        (["finder", "stain"], "E415"),
        (["finder", "finder"], "E415"),
        (["stain"], "E415"),
        (["around", "finder"], "E415"),
    ],
)
def test_steps_that_cannot_be_are_said_here_and_in_a_service(steps: list[str], code: str, tmp_path: Path) -> None:
    models = tmp_path / "store" / "models"
    write_translator(models / "stain")
    write_otsu(models / "finder", "finder", "1.0")
    write_workflow(models / "around", "stain", "chain" if code == "E414" else "finder", name="around")
    write_workflow(models / "chain", *steps)
    with pytest.raises(ModelError) as caught:
        load_model(models / "chain")
    assert code_of(caught) == code
    repository = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    with pytest.raises(ModelError) as caught:
        repository.resolve("chain")
    assert code_of(caught) == code
    assert "chain" not in {model.name for model in repository.list()}


def test_a_graph_that_is_not_what_its_description_says_is_refused(tmp_path: Path) -> None:
    write_chain(tmp_path, planes=4)
    with pytest.raises(ModelError, match="maps pixels FP32") as caught:
        load_model(tmp_path / "chain")
    assert code_of(caught) == "E412"


def test_a_translation_model_finds_no_objects_by_itself(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"docs/how-to/workflows\.md") as caught:
        load_model(write_translator(tmp_path / "stain"))
    assert code_of(caught) == "E416"


def test_a_translation_model_is_tried_before_it_is_taken_in(tmp_path: Path) -> None:
    folder = write_translator(tmp_path / "stain")
    assert check_package(open_source(str(folder))).package.has_test
    image = np.load(folder / "test_image.npy")
    np.save(folder / "test_image.npy", image + 100)
    (folder / "rdf.yaml").write_text(
        (folder / "rdf.yaml").read_text().replace(_sha(image, tmp_path), _sha(image + 100, tmp_path))
    )
    with pytest.raises(ModelError) as caught:
        check_package(open_source(str(folder)))
    assert code_of(caught) == "E407"


def _sha(array: np.ndarray, folder: Path) -> str:
    np.save(folder / "array.npy", array)
    return hashlib.sha256((folder / "array.npy").read_bytes()).hexdigest()


# --- pinned -----------------------------------------------------------------------------------------------------------


def test_a_name_means_the_steps_that_it_had_when_it_was_first_used(tmp_path: Path) -> None:
    models = tmp_path / "store" / "models"
    write_chain(models)
    repository = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    pinned = repository.resolve("chain")
    assert repository.load(pinned).sha256 == pinned.sha256 == load_model(models / "chain").sha256
    # A newer stain is what a new workflow takes; the one that was used keeps its own.
    write_translator(models / "newer", "stain", "2.0")
    again = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    assert again.resolve("chain") == pinned
    assert [f"{step.name}:{step.version}" for step in again.steps(pinned)] == ["stain:1.0", "finder:1.0"]
    write_workflow(models / "second", "stain", "finder", name="second")
    fresh = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    assert [step.version for step in fresh.steps(fresh.resolve("second"))] == ["2.0", "1.0"]


def test_a_step_that_is_gone_is_said(tmp_path: Path) -> None:
    models = tmp_path / "store" / "models"
    write_chain(models)
    Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache").resolve("chain")
    (models / "stain" / "rdf.yaml").unlink()
    with pytest.raises(ModelError, match=r"stain:1\.0") as caught:
        Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache").resolve("chain")
    assert code_of(caught) == "E413"


def test_a_workflow_is_added_when_its_steps_are_there(tmp_path: Path) -> None:
    repository = Repository(FolderPlace(tmp_path / "store"), tmp_path / "cache")
    write_chain(tmp_path / "packages")
    with pytest.raises(ModelError) as caught:
        repository.add(tmp_path / "packages" / "chain")
    assert code_of(caught) == "E413"
    for name in ("stain", "finder"):
        repository.add(tmp_path / "packages" / name)
    added = repository.add(tmp_path / "packages" / "chain")
    assert (added.task, added.steps, added.roles) == ("workflow", ("stain:1.0", "finder:1.0"), ("brightfield",))
    assert added in repository.list()
    assert repository.add(tmp_path / "packages" / "chain") == added


@pytest.mark.parametrize("axis", ["Z", "C"])
def test_its_speed_is_measured_on_a_stack(axis: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLFLEET_CACHE", str(tmp_path / "cache"))
    chain = write_chain(tmp_path, axis=axis)
    calibrate(str(chain), device="cpu", threads=1)
    place = own_speeds()
    assert place
    (speed,) = read_speeds(place, load_model(chain).sha256)
    assert speed.megapixels > PLANES * 0.1
