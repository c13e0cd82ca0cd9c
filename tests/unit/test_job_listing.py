"""The images of a job: the same images, names and stems as a run on this machine has, in bounded memory."""

from __future__ import annotations

import string
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellfleet.errors import InputError
from cellfleet.images.find import find_images
from cellfleet.jobs.listing import list_images
from cellfleet.run.names import folded, output_stems

parts = st.text(alphabet="aAb~é2", min_size=1, max_size=3)
names = st.builds(lambda stem, *ends: stem + "".join(ends), parts, *[st.sampled_from(["", ".png", ".tif", ".TIF"])] * 2)


def touch(folder: Path, name: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * len(name))


@settings(max_examples=60, deadline=None)
@given(st.sets(names.map(lambda name: name + ".tif"), min_size=1, max_size=12))
def test_stems_are_those_of_a_run_here(tmp_path_factory: pytest.TempPathFactory, files: set[str]) -> None:
    folder = tmp_path_factory.mktemp("images")
    for name in files:
        touch(folder, name)
    here = sorted(find_images([folder]), key=lambda source: source.name)
    expected = dict(zip(here, output_stems([source.name for source in here]), strict=True))
    listed = list(list_images([str(folder)]))
    assert {image.source: image.stem for image in listed} == expected
    assert len({folded(image.stem) for image in listed}) == len(files)
    assert all(image.size == len(image.source.name) for image in listed)


def test_several_inputs_have_the_names_of_a_run_here(tmp_path: Path) -> None:
    for name in ("one/a.tif", "two/a.tif", "two/b, µ 😀.png"):
        touch(tmp_path, name)
    inputs = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert {image.source for image in list_images(inputs)} == set(find_images(inputs))


def test_an_input_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="E101"):
        list(list_images([str(tmp_path)]))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    for number, letter in enumerate(string.ascii_lowercase):
        (tmp_path / letter).mkdir()
        for image in range(800):
            (tmp_path / letter / f"{number:04}-{image:06}-{'x' * 100}.tif").touch()
    peak_of(tmp_path / "a", 800)  # what is imported then counts no more
    assert peak_of(tmp_path, 26 * 800) < 3_000_000


def peak_of(folder: Path, images: int) -> int:
    tracemalloc.start()
    assert sum(1 for _ in list_images([str(folder)])) == images
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak
