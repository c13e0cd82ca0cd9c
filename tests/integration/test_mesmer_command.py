"""`cellfleet mesmer`: what a pipeline hands to deepcell-applications, and the file that it expects back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image
from tests.packages import write_package, write_tissue
from tests.workflows import write_translator, write_workflow

import cellfleet
from cellfleet.cli import main

HEIGHT, WIDTH = 64, 80
_CENTRES = ((16, 16), (16, 50), (46, 24), (46, 60))


def discs(radius: int) -> NDArray[np.uint16]:
    """Return a bright disc around each centre."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    near = [np.hypot(y - cy, x - cx) for cy, cx in _CENTRES]
    return (1000 + 3000 * np.clip(radius - np.min(near, 0), 0, 4) / 4).astype(np.uint16)


NUCLEI, CELLS = discs(6), discs(12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tissue(tmp_path_factory.mktemp("model") / "small-tissue"))


@pytest.fixture
def stains(tmp_path: Path) -> tuple[str, str]:
    """A file for each stain."""
    for name, pixels in (("nuc", NUCLEI), ("mem", CELLS)):
        tifffile.imwrite(tmp_path / f"{name}.tif", pixels)
    return str(tmp_path / "nuc.tif"), str(tmp_path / "mem.tif")


def mask(folder: Path, model: str, *words: str) -> NDArray[Any]:
    """Run the command and return what it wrote."""
    out = folder / "out"
    assert main(["mesmer", *words, "-o", str(out), "-f", "mask.tif", "--model", model, "--threads", "1"]) == 0
    labels: NDArray[Any] = tifffile.imread(out / "mask.tif")
    (out / "mask.tif").unlink()
    return labels


def test_shape_and_type_are_those_of_the_original(tmp_path: Path, model: str, stains: tuple[str, str]) -> None:
    files = ("-n", stains[0], "-m", stains[1])
    cells = mask(tmp_path, model, *files)
    assert (cells.shape, cells.dtype, cells.max()) == ((1, HEIGHT, WIDTH, 1), np.int32, 4)
    both = mask(tmp_path, model, *files, "--compartment", "both")
    assert both.shape == (1, HEIGHT, WIDTH, 2) and both.dtype == np.int32
    np.testing.assert_array_equal(both[..., 0], cells[..., 0])
    assert mask(tmp_path, model, *files, "--squeeze", "-c", "both").shape == (HEIGHT, WIDTH, 2)
    nuclei = mask(tmp_path, model, *files, "--squeeze", "-c", "nuclear")
    np.testing.assert_array_equal(nuclei > 0, both[0, ..., 1] > 0)


def test_a_nucleus_has_the_number_of_its_cell(tmp_path: Path, model: str, stains: tuple[str, str]) -> None:
    cells, nuclei = np.moveaxis(mask(tmp_path, model, "-n", stains[0], "-m", stains[1], "-c", "both")[0], -1, 0)
    assert set(np.unique(nuclei)) == {0, 1, 2, 3, 4}
    np.testing.assert_array_equal(nuclei[nuclei > 0], cells[nuclei > 0])


def test_labels_are_those_of_segment_on_one_file_with_both_channels(
    tmp_path: Path, model: str, stains: tuple[str, str]
) -> None:
    tifffile.imwrite(tmp_path / "joined.tif", np.stack([NUCLEI, CELLS]), metadata={"axes": "CYX"})
    words = ["--channel", "nuclear=1", "--channel", "membrane=2", "--pixel-size", "0.25"]
    assert main(["segment", str(tmp_path / "joined.tif"), "-o", str(tmp_path / "s"), "--model", model, *words]) == 0
    files = ("-n", stains[0], "-m", stains[1], "--image-mpp", "0.25", "--squeeze")
    expected = tifffile.imread(tmp_path / "s" / "joined_labels.tif")
    assert expected.max() == 4
    np.testing.assert_array_equal(mask(tmp_path, model, *files), expected)


@pytest.mark.parametrize("form", ["cyx.tif", "yxc.tif", "yxc.npy", "rgb.png", "zyx.tif", "cyx.npy"])
def test_channels_are_found_wherever_the_file_has_them_and_several_are_summed(
    tmp_path: Path, model: str, form: str
) -> None:
    left = np.where(np.arange(WIDTH) < WIDTH // 2, CELLS, 1000).astype(np.uint16)
    right = np.where(np.arange(WIDTH) < WIDTH // 2, 1000, CELLS).astype(np.uint16)
    blank = np.full_like(CELLS, 1000)
    planes = [NUCLEI, left, right] if form == "rgb.png" else [NUCLEI, left, right, blank, blank, blank]
    stack = np.stack(planes) // 16
    channels_last = np.moveaxis(stack, 0, -1)
    path = tmp_path / form
    if form.endswith(".npy"):
        np.save(path, channels_last if form.startswith("yxc") else stack)
    elif form.endswith(".png"):
        Image.fromarray(channels_last.astype(np.uint8)).save(path)
    elif form == "yxc.tif":
        tifffile.imwrite(path, channels_last, photometric="minisblack", metadata=None)
    else:
        metadata = {"axes": "ZYX"} if form == "zyx.tif" else None
        tifffile.imwrite(path, stack, photometric="minisblack", metadata=metadata)
    found = mask(tmp_path, model, "-n", str(path), "-nc", "0", "-m", str(path), "-mc", "1", "2", "-c", "both")
    assert found.max((0, 1, 2)).tolist() == [4, 4]


def test_without_a_membrane_image_nuclei_are_found_all_the_same(
    tmp_path: Path, model: str, stains: tuple[str, str]
) -> None:
    assert mask(tmp_path, model, "-n", stains[0], "-c", "nuclear").max() == 4


def test_the_pixel_size_is_what_is_said_and_another_one_in_the_file_is_told(
    tmp_path: Path, model: str, stains: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"resolution": (1e4 / 0.25, 1e4 / 0.25), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(tmp_path / "sized.tif", NUCLEI, **said)
    files = ("-n", str(tmp_path / "sized.tif"), "-m", stains[1])
    np.testing.assert_array_equal(mask(tmp_path, model, *files), mask(tmp_path, model, "-n", stains[0], *files[2:]))
    assert "[W055]" in capsys.readouterr().err


def test_options_without_a_meaning_are_taken_and_told(
    tmp_path: Path, model: str, stains: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    mask(tmp_path, model, "-n", stains[0], "-m", stains[1], "-b", "8", "-L", "DEBUG")
    told = capsys.readouterr().err
    assert "--batch-size" in told and "--log-level" in told


def test_a_file_that_is_there_stays_as_it_is(
    tmp_path: Path, model: str, stains: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mask.tif").write_text("mine")
    words = ["-n", stains[0], "-m", stains[1], "-o", str(tmp_path), "-f", "mask.tif", "--model", model]
    assert main(["mesmer", *words]) == 6
    assert "[E057]" in capsys.readouterr().err and (tmp_path / "mask.tif").read_text() == "mine"


def _other_size(folder: Path) -> list[str]:
    tifffile.imwrite(folder / "other.tif", CELLS[:-1])
    return ["-m", str(folder / "other.tif")]


def _volume(folder: Path) -> list[str]:
    tifffile.imwrite(folder / "volume.ome.tif", np.stack([[CELLS] * 2] * 2), metadata={"axes": "CZYX"})
    return ["-m", str(folder / "volume.ome.tif")]


def _empty_file(folder: Path) -> list[str]:
    (folder / "cut.npy").touch()
    return ["-m", str(folder / "cut.npy")]


def _several_arrays(folder: Path) -> list[str]:
    with (folder / "zip.npy").open("wb") as file:
        np.savez(file, CELLS)
    return ["-m", str(folder / "zip.npy")]


def _one_channel_model(folder: Path) -> list[str]:
    return ["--model", str(write_package(folder / "small"))]


def _workflow(folder: Path) -> list[str]:
    write_translator(folder / "stain")
    write_tissue(folder / "small-tissue")
    return ["--model", str(write_workflow(folder / "chain", "stain", "small-tissue"))]


@pytest.mark.parametrize(
    ("words", "code", "exit_code"),
    [
        (lambda _: ["-nc", "1"], "E055", 4),
        (_volume, "E055", 4),
        (_other_size, "E056", 4),
        (_empty_file, "E106", 4),
        (_several_arrays, "E106", 4),
        (_one_channel_model, "E058", 2),
        (_workflow, "E058", 2),
        (lambda _: ["--image-mpp", "0"], "E011", 2),
        (lambda _: ["--compartment", "membrane"], "E001", 2),
        (lambda folder: ["-m", str(folder / "missing.tif")], "E104", 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_done_is_said_and_leaves_no_file(
    tmp_path: Path,
    model: str,
    stains: tuple[str, str],
    capsys: pytest.CaptureFixture[str],
    words: Any,
    code: str,
    exit_code: int,
) -> None:
    given = [*words(tmp_path)]
    given += [] if "-m" in given else ["-m", stains[1]]
    given += [] if "--model" in given else ["--model", model]
    assert main(["mesmer", "-n", stains[0], "-o", str(tmp_path / "out"), *given]) == exit_code
    assert f"[{code}]" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*"))


def test_the_images_program_is_the_command(tmp_path: Path, model: str, stains: tuple[str, str]) -> None:
    """As pipelines call it: python /usr/src/app/run_app.py mesmer …"""
    program = Path(__file__).parents[2] / "deploy" / "images" / "run_app.py"
    words = ["--nuclear-image", stains[0], "--membrane-image", stains[1], "--output-directory", ".", "--squeeze"]
    ran = subprocess.run(
        [sys.executable, str(program), "mesmer", *words, "--model", model],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    python = cellfleet.segment(np.stack([NUCLEI, CELLS]), axes="CYX", model=model, channels=[0, 1], pixel_size=0.5)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "mask.tif"), python.labels)
