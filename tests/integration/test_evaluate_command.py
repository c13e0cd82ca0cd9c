"""`cellfleet evaluate` pairs the files of two folders, prints a table, writes JSON and says what it left out."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from cellfleet.cli import main
from cellfleet.cli.evaluate import evaluate as command
from cellfleet.errors import CellfleetError, ImageError, InputError, UsageError
from cellfleet.evaluation.evaluate import evaluate

TRUTH = np.kron(np.array([[1, 2], [3, 4]], np.uint16), np.ones((6, 6), np.uint16))
ONE_SPLIT = np.where((TRUTH == 1) & (np.arange(12) < 3), 9, TRUTH).astype(np.uint32)


def _write(path: Path, labels: NDArray[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(labels.astype(np.uint8)).save(path)
    else:
        tifffile.imwrite(path, labels)
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A results folder of two images in sub-folders, and the truth under the images' own names."""
    pred, truth = tmp_path / "results", tmp_path / "truth"
    _write(pred / "plate" / "a_labels.tif", ONE_SPLIT)
    _write(pred / "b.ome_labels.tif", TRUTH)
    _write(pred / "thumbnail.png", TRUTH)
    _write(pred / ".cellfleet" / "c_labels.tif", TRUTH)
    _write(truth / "plate" / "a.png", TRUTH)
    _write(truth / "b.ome.tif", TRUTH)
    return pred, truth


def test_the_table_is_shown_where_the_file_cannot_be_written(tmp_path: Path, capsys) -> None:
    labels = np.eye(8, dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", labels)
    (tmp_path / "file").write_text("")
    words = ["evaluate", str(tmp_path / "a.tif"), str(tmp_path / "a.tif"), "--json", str(tmp_path / "file" / "x.json")]
    assert main(words) == 6
    told = capsys.readouterr()
    assert "F1" in told.out and "[E307]" in told.err


def test_table_and_json_agree_with_the_python_call(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pred, truth = folders
    assert command(pred, truth) == 0
    out, err = capsys.readouterr()
    written = json.loads((pred / "evaluate.json").read_text())
    result = evaluate(pred, truth)
    assert {key: written[key] for key in result.as_dict()} == result.as_dict()
    assert list(result.images) == ["b", "plate/a"]
    assert not result.pred_only
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["image", "truth", "pred", "F1@0.5"]
    assert lines[2].split() == [
        "plate/a",
        "4",
        "5",
        "0.889",
        "0.800",
        "0.560",
        "0.875",
        "0.778",
        "1",
        "0",
        "0",
        "0",
        "0",
    ]
    assert lines[3].split()[:4] == ["all", "8", "9", "0.941"]
    assert " ".join(lines[6].split()) == "0.5 8 1 0 0.889 1.000 0.941 0.889 0.882"
    assert len({len(line) for line in lines[:4]}) == 1
    assert str(pred / "evaluate.json") in err


def test_every_field_of_the_json_is_documented(folders: tuple[Path, Path]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "evaluation.md").read_text(encoding="utf-8")
    command(*folders)
    written = json.loads((folders[0] / "evaluate.json").read_text())
    image = written["images"][0]
    fields = {*written, *image, *image["scores"][0], *image["errors"]} - {"iou_threshold"}
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []


def test_pooled_is_the_sum_over_images(folders: tuple[Path, Path]) -> None:
    result = evaluate(*folders)
    pooled, images = result.pooled.at(0.5), [one.at(0.5) for one in result.images.values()]
    assert pooled.true_positives == sum(one.true_positives for one in images) == 8
    assert result.pooled.errors.splits == 1


def test_arrays_files_and_folders_score_the_same(folders: tuple[Path, Path]) -> None:
    pred, truth = folders
    by_folder = evaluate(pred, truth).images["plate/a"]
    files = pred / "plate" / "a_labels.tif", truth / "plate" / "a.png"
    assert evaluate(ONE_SPLIT, TRUTH).pooled == by_folder
    assert evaluate(*map(str, files)).pooled == by_folder
    assert evaluate([files[0], TRUTH], [TRUTH, files[1]]).images["0"] == by_folder
    assert evaluate(files[0], TRUTH).pooled == by_folder


def test_json_alone_on_stdout(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--iou", "0.5:0.7:0.1", "--iou", "0.95", "--json", "-"]
    assert main(["evaluate", *map(str, folders), *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["iou_thresholds"] == [0.5, 0.6, 0.7, 0.95]
    assert printed["pooled"]["scores"][3]["true_positives"] == 7
    assert not (folders[0] / "evaluate.json").exists()


def test_a_bad_pair_is_told_and_the_others_are_scored(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    pred, truth = folders
    _write(pred / "small_labels.tif", TRUTH[:6])
    _write(truth / "small.tif", TRUTH)
    (pred / "text_labels.tif").write_text("no image")
    _write(truth / "text.tif", TRUTH)
    assert command(pred, truth) == 3
    err = capsys.readouterr().err
    assert "small_labels.tif: the prediction measures 6 × 12 and the truth 12 × 12" in err
    assert "[E701]" in err and "[E706]" in err
    failures = json.loads((pred / "evaluate.json").read_text())["failures"]
    assert [failure["code"] for failure in failures] == ["E701", "E706"]


def test_files_without_partner_are_named(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    pred, truth = folders
    _write(pred / "new_labels.tif", TRUTH)
    assert command(pred, truth) == 0
    assert "new_labels.tif [W702]" in capsys.readouterr().err
    _write(truth / "lost.tif", TRUTH)
    assert command(pred, truth) == 3
    assert "lost.tif [W701]" in capsys.readouterr().err


def test_images_that_share_a_stem_find_their_own_truth(tmp_path: Path) -> None:
    pred, truth = tmp_path / "pred", tmp_path / "truth"
    _write(pred / "a.tif_labels.tif", TRUTH)
    _write(pred / "a.png_labels.tif", TRUTH)
    _write(pred / "b.png_labels.tif", TRUTH)
    _write(truth / "a.tif_masks.tif", TRUTH)
    _write(truth / "a.tif", TRUTH)
    _write(truth / "b.tif", TRUTH)
    result = evaluate(pred, truth)
    assert list(result.images) == ["a.tif", "b.png"]
    assert [Path(path).name for path in result.pred_only] == ["a.png_labels.tif"]


def test_a_data_set_is_compared_by_its_labels(tmp_path: Path) -> None:
    _write(tmp_path / "val" / "images" / "a.tif", TRUTH * 7)
    _write(tmp_path / "val" / "labels" / "a.tif", TRUTH)
    _write(tmp_path / "pred" / "a_labels.tif", TRUTH)
    assert evaluate(tmp_path / "pred", tmp_path / "val").pooled.at(0.9).f1 == 1


def test_labels_are_read_as_other_tools_write_them(tmp_path: Path) -> None:
    as_float = _write(tmp_path / "float.tif", TRUTH.astype(np.float32))
    one_plane = _write(tmp_path / "plane.tif", TRUTH[np.newaxis])
    palette = Image.fromarray(TRUTH.astype(np.uint8), mode="P")
    palette.putpalette(list(range(256)) * 3)
    palette.save(tmp_path / "palette.png")
    for path in (as_float, one_plane, tmp_path / "palette.png"):
        assert evaluate(path, TRUTH).pooled.at(0.9).f1 == 1


def test_empty_images_have_no_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = _write(tmp_path / "empty.tif", np.zeros((5, 5), np.uint16))
    assert math.isnan(evaluate(empty, empty).pooled.at(0.5).f1)
    assert command(empty, empty, json=tmp_path / "e.json") == 0
    assert "–" in capsys.readouterr().out
    assert json.loads((tmp_path / "e.json").read_text())["pooled"]["scores"][0]["f1"] is None


def test_nothing_to_compare_is_an_error(tmp_path: Path) -> None:
    _write(tmp_path / "a" / "x.tif", TRUTH)
    _write(tmp_path / "b" / "y.tif", TRUTH)
    (tmp_path / "c").mkdir()
    for pred, truth in (("a", "b"), ("a", "c"), ("nowhere", "a")):
        _expect("E704", InputError, tmp_path / pred, tmp_path / truth)
    _write(tmp_path / "a" / "x.png", TRUTH)
    _expect("E707", InputError, tmp_path / "a", tmp_path / "b")
    _expect("E701", ImageError, _write(tmp_path / "s.tif", TRUTH[:3]), _write(tmp_path / "t.tif", TRUTH))
    _expect("E708", UsageError, [TRUTH], [TRUTH, TRUTH])


def _expect(code: str, kind: type[CellfleetError], pred: Any, truth: Any) -> None:
    with pytest.raises(kind) as caught:
        evaluate(pred, truth)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("half", "E709"),
        ("0.5:0.9", "E709"),
        ("0.5:inf:0.1", "E709"),
        ("0.9:0.5:0.1", "E709"),
        ("0.5:1e9:0.1", "E709"),
        ("0.3", "E703"),
    ],
)
def test_wrong_thresholds_are_refused(text: str, code: str, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.tif", TRUTH)
    with pytest.raises(UsageError) as caught:
        command(path, path, iou=[text])
    assert caught.value.code == code
