"""OME-Zarr stores: every image in them is found, and any region of it comes back equal."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.input_images import pixels, whole
from tests.contract.ome_zarr_stores import multiscale, write_array, write_group, write_image

from cellfleet.errors import CellfleetError, InputError
from cellfleet.images.assemble import assemble
from cellfleet.images.chunks import ChunkCache
from cellfleet.images.image import Image
from cellfleet.images.ome_zarr import list_ome_zarr_images, read_ome_zarr_header
from cellfleet.images.source import Source
from cellfleet.images.stored import Stored

LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "0.4": ("0.4", {}),
    "0.4, chunks named with dots": ("0.4", {"chunk_key_encoding": {"name": "v2", "separator": "."}}),
    "0.4, Fortran order, zlib": ("0.4", {"order": "F", "compressors": {"id": "zlib", "level": 1}}),
    "0.4, big endian": ("0.4", {"dtype": ">u2"}),
    "0.5": ("0.5", {}),
    "0.5, sharded": ("0.5", {"shards": (2, 1, 32, 32), "chunks": (1, 1, 16, 8)}),
    "0.5, uncompressed": ("0.5", {"compressors": None}),
}


def header(path: Path, inside: str = "") -> Stored:
    return read_ome_zarr_header(Source(str(path), "image", inside), "image", ChunkCache())


def image(path: Path, inside: str = "") -> Image:
    return assemble(header(path, inside), "image", None)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_image_comes_back_equal_in_every_layout(tmp_path: Path, layout: str) -> None:
    version, options = LAYOUTS[layout]
    stored = pixels((2, 3, 40, 50))
    write_image(tmp_path / "a.zarr", stored, "tcyx", version, **options)
    if version == "0.5":
        yaozarrs.validate_zarr_store(tmp_path / "a.zarr")

    read = image(tmp_path / "a.zarr")

    assert (read.axes, read.shape, read.dtype) == ("TCYX", (2, 3, 40, 50), np.dtype("uint16"))
    assert (read.microns_per_pixel, read.microns_per_pixel_source) == (0.5, "ome-zarr")
    assert read.notices == ()
    np.testing.assert_array_equal(whole(read), stored)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 39), st.integers(0, 39)),
        min_size=3,
        max_size=3,
    )
)
def test_any_region_is_what_the_array_holds_there(
    tmp_path_factory: pytest.TempPathFactory, selections: list[tuple[bool, int, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "regions.zarr"
    stored = pixels((40, 40, 40))
    if not path.exists():
        write_image(path, stored, "zyx", shards=(20, 32, 32), chunks=(5, 16, 16))
    fixed = {
        i: low if single else slice(min(low, high), max(low, high) + 1)
        for i, (single, low, high) in enumerate(selections)
    }

    np.testing.assert_array_equal(header(path).read(fixed), stored[tuple(fixed[i] for i in range(3))])


def test_only_the_chunks_of_the_region_are_read(tmp_path: Path) -> None:
    stored = pixels((64, 64))
    write_image(tmp_path / "a.zarr", stored, "yx")
    for chunk in (tmp_path / "a.zarr" / "0" / "c").rglob("*"):
        if chunk.is_file() and chunk.parts[-2:] != ("1", "2"):
            chunk.write_bytes(b"broken")

    np.testing.assert_array_equal(
        header(tmp_path / "a.zarr").read({0: slice(16, 32), 1: slice(34, 40)}), stored[16:32, 34:40]
    )


def test_a_chunk_of_several_planes_is_decoded_once(tmp_path: Path) -> None:
    stored = pixels((5, 32, 32))
    write_image(tmp_path / "a.zarr", stored, "zyx", chunks=(4, 32, 32))
    read = image(tmp_path / "a.zarr")
    first = read.read_plane(0, 0)
    for chunk in (tmp_path / "a.zarr" / "0" / "c").rglob("0"):
        if chunk.is_file():
            chunk.write_bytes(b"broken")

    np.testing.assert_array_equal(first[0], stored[0])
    for z in (3, 1, 2):
        np.testing.assert_array_equal(read.read_plane(0, z)[0], stored[z])
    with pytest.raises(InputError, match="damaged"):
        read.read_plane(0, 4)


def test_missing_chunks_hold_the_fill_value(tmp_path: Path) -> None:
    stored = pixels((32, 32))
    write_image(tmp_path / "a.zarr", stored, "yx", fill_value=7)
    (tmp_path / "a.zarr" / "0" / "c" / "0" / "1").unlink()

    plane = image(tmp_path / "a.zarr").read_plane()[0]

    assert (plane[:16, 16:] == 7).all()
    np.testing.assert_array_equal(plane[16:], stored[16:])


def test_many_threads_may_read_one_image(tmp_path: Path) -> None:
    stored = pixels((4, 64, 64))
    write_image(tmp_path / "a.zarr", stored, "zyx")
    read = image(tmp_path / "a.zarr")

    with ThreadPoolExecutor(8) as pool:
        planes = list(pool.map(lambda z: read.read_plane(0, z % 4)[0], range(64)))

    for z, plane in enumerate(planes):
        np.testing.assert_array_equal(plane, stored[z % 4])


def test_every_field_of_a_plate_is_an_image(tmp_path: Path) -> None:
    plate = tmp_path / "plate.zarr"
    fields = write_plate(plate)

    assert list_ome_zarr_images(str(plate)) == ["A/01/0", "A/01/1", "B/03/0", "B/03/1"]
    for inside, stored in fields.items():
        np.testing.assert_array_equal(image(plate, inside).read_plane(), stored)
    assert list_ome_zarr_images(str(plate / "B" / "03")) == ["0", "1"]


def write_plate(path: Path, version: str = "0.4") -> dict[str, Any]:
    """Two wells of two fields, and a third well that was never written."""
    wells = [{"path": well, "rowIndex": 0, "columnIndex": 0} for well in ("A/01", "B/03", "B/04")]
    rows, columns = [{"name": "A"}, {"name": "B"}], [{"name": "01"}, {"name": "03"}, {"name": "04"}]
    write_group(path, {"plate": {"rows": rows, "columns": columns, "wells": wells, "version": version}}, version)
    fields = {}
    for seed, inside in enumerate(["A/01/0", "A/01/1", "B/03/0", "B/03/1"]):
        fields[inside] = pixels((2, 24, 32), seed=seed)
        well = path / Path(inside).parent
        write_group(well, {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version) if inside.endswith(
            "0"
        ) else None
        write_image(path / inside, fields[inside], "cyx", version)
    return fields


@pytest.mark.parametrize("listed", [True, False])
def test_every_series_of_a_bioformats2raw_container_is_an_image(tmp_path: Path, listed: bool) -> None:
    path = tmp_path / "a.zarr"
    write_group(path, {"bioformats2raw.layout": 3}, "0.4")
    for series in range(2):
        write_image(path / str(series), pixels((8, 9), seed=series), "yx", "0.4")
    if listed:
        write_group(path / "OME", {"series": ["1", "0"]}, "0.4")

    assert list_ome_zarr_images(str(path)) == (["1", "0"] if listed else ["0", "1"])
    np.testing.assert_array_equal(image(path, "1").read_plane()[0], pixels((8, 9), seed=1))


def test_images_one_level_down_are_found_and_label_images_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    write_group(path, {})
    write_image(path / "first", pixels((8, 9)), "yx")
    write_image(path / "second", pixels((8, 9)), "yx")
    write_image(path / "labelled", pixels((8, 9)), "yx", attributes={"image-label": {"source": {"image": "../"}}})
    write_group(path / "first" / "labels", {"labels": ["cells"]})
    write_image(path / "first" / "labels" / "cells", pixels((8, 9)), "yx")

    assert list_ome_zarr_images(str(path)) == ["first", "second"]
    assert list_ome_zarr_images(str(path / "first")) == [""]
    with pytest.raises(InputError, match="label image") as caught:
        header(path, "labelled")
    assert caught.value.code == "E141"


@pytest.mark.parametrize("prefix", ["", "inner.zarr/"])
@pytest.mark.parametrize("ending", [".zarr.zip", ".ozx"])
def test_a_zipped_store_is_read_like_a_folder(tmp_path: Path, ending: str, prefix: str) -> None:
    stored = pixels((3, 40, 50))
    write_image(tmp_path / "a.zarr", stored, "cyx")
    zipped = zip_store(tmp_path / "a.zarr", tmp_path / f"a{ending}", prefix)

    assert list_ome_zarr_images(str(zipped)) == [prefix.rstrip("/")]
    np.testing.assert_array_equal(image(zipped, prefix.rstrip("/")).read_plane(), stored)
    zipped.unlink()  # on Windows: nothing holds it open


def zip_store(store: Path, target: Path, prefix: str = "", compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(target, "w", compression) as archive:
        for path in sorted(store.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + path.relative_to(store).as_posix())
    return target


def test_channels_are_named_and_pixel_sizes_multiplied(tmp_path: Path) -> None:
    channels = [{"label": "DAPI", "color": "0000FF"}, {"color": "not a colour"}]
    described = multiscale("cyx", 250.0)
    for axis in described["axes"][1:]:
        axis["unit"] = "nanometer"
    described["coordinateTransformations"] = [{"type": "scale", "scale": [1, 2, 2]}]
    write_group(tmp_path / "a.zarr", {"multiscales": [described], "omero": {"channels": channels}})
    write_array(tmp_path / "a.zarr" / "0", pixels((2, 8, 9)), "cyx")

    read = image(tmp_path / "a.zarr")

    assert read.channel_names == ("DAPI", "")
    assert read.microns_per_pixel == pytest.approx(0.5)


def test_the_fixed_dimensions_of_the_first_versions_are_known(tmp_path: Path) -> None:
    stored = pixels((1, 2, 3, 8, 9))
    write_group(tmp_path / "a.zarr", {"multiscales": [{"version": "0.1", "datasets": [{"path": "0"}]}]}, "0.1")
    write_array(tmp_path / "a.zarr" / "0", stored, "tczyx", "0.1", chunk_key_encoding={"name": "v2", "separator": "."})

    read = image(tmp_path / "a.zarr")

    assert (read.axes, read.shape, read.microns_per_pixel) == ("CZYX", (2, 3, 8, 9), None)
    np.testing.assert_array_equal(whole(read), stored[0].swapaxes(0, 1))


NONSENSE: dict[str, tuple[str, Callable[[dict[str, Any], dict[str, Any]], object]]] = {
    "path out of the store": ("E106", lambda image, _: image["datasets"][0].update(path="../../a.zarr/0")),
    "path to another drive": ("E106", lambda image, _: image["datasets"][0].update(path="C:0")),
    "no such array": ("E106", lambda image, _: image["datasets"][0].update(path="8")),
    "axes of another form": ("E106", lambda image, _: image.update(axes={"c": 1})),
    "too few axes": ("E106", lambda image, _: image["axes"].pop()),
    "no datasets": ("E106", lambda image, _: image.update(datasets=[])),
    "huge chunks": ("E145", lambda _, array: array.update(shape=[2, 60_000, 60_000], chunks=[1, 60_000, 60_000])),
    "huge planes": ("E142", lambda _, array: array.update(shape=[2, 10**9, 10**9])),
    "endless planes": ("E142", lambda _, array: array.update(shape=[10**15, 32, 32])),
    "nothing": ("E205", lambda _, array: array.update(shape=[2, 0, 32])),
    "pickled objects": ("E106", lambda _, array: array.update(dtype="|O", filters=[{"id": "pickle"}])),
    "pickled chunks": ("E106", lambda _, array: array.update(compressor={"id": "pickle"})),
    "unknown codec": ("E109", lambda _, array: array.update(compressor={"id": "never-heard-of"})),
    "texts": ("E204", lambda _, array: array.update(dtype="<U8", fill_value="")),
    "complex numbers": ("E204", lambda _, array: array.update(dtype="<c8", fill_value=None)),
}
"""What was done to the metadata of the image and of its array, and the error that tells it."""


@pytest.mark.parametrize("what", NONSENSE)
def test_a_store_that_makes_no_sense_is_refused_by_name(tmp_path: Path, what: str) -> None:
    code, spoil = NONSENSE[what]
    write_image(tmp_path / "a.zarr", pixels((2, 32, 32)), "cyx", "0.4")
    group, member = tmp_path / "a.zarr" / ".zattrs", tmp_path / "a.zarr" / "0" / ".zarray"
    attributes, array = json.loads(group.read_text()), json.loads(member.read_text())
    spoil(attributes["multiscales"][0], array)
    group.write_text(json.dumps(attributes))
    member.write_text(json.dumps(array))

    with pytest.raises(CellfleetError, match=r"^image: ") as caught:
        header(tmp_path / "a.zarr")
    assert caught.value.code == code


def test_a_path_that_leads_out_of_the_store_is_not_followed(tmp_path: Path) -> None:
    for name in "ab":
        write_image(tmp_path / f"{name}.zarr", pixels((2, 32, 32)), "cyx")

    with pytest.raises(InputError, match="damaged"):
        header(tmp_path / "a.zarr", "../b.zarr")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_broken_chunk_is_an_error_of_the_image(tmp_path: Path, layout: str) -> None:
    version, options = LAYOUTS[layout]
    write_image(tmp_path / "a.zarr", pixels((2, 3, 40, 50)), "tcyx", version, **options)
    for chunk in (tmp_path / "a.zarr" / "0").rglob("*"):
        if chunk.is_file() and chunk.suffix != ".json" and not chunk.name.startswith(".z"):
            chunk.write_bytes(chunk.read_bytes()[: chunk.stat().st_size // 2])
    read = image(tmp_path / "a.zarr")

    with pytest.raises(InputError, match=r"^image: .*damaged") as caught:
        read.read_plane()
    assert caught.value.code == "E106"


def test_a_store_without_images_says_so(tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "a.zarr", shape=(4, 4), dtype="u1")

    with pytest.raises(InputError, match="no image was found") as caught:
        list_ome_zarr_images(str(tmp_path / "a.zarr"))
    assert caught.value.code == "E141"


def test_a_packed_zip_entry_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zarr.json", b"0" * 1000)
    data = bytearray((tmp_path / "a.zarr.zip").read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (2 << 30).to_bytes(4, "little")
    (tmp_path / "a.zarr.zip").write_bytes(data)

    with pytest.raises(InputError) as caught:
        list_ome_zarr_images(str(tmp_path / "a.zarr.zip"))
    assert caught.value.code == "E145"


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_random_damage_gives_an_image_or_an_error_of_ours(tmp_path: Path, version: str) -> None:
    random = np.random.default_rng(0)
    write_image(tmp_path / "a.zarr", pixels((2, 16, 16)), "cyx", version)
    files = [path for path in (tmp_path / "a.zarr").rglob("*") if path.is_file() and "1" not in path.parts[-2:]]
    sound = {path: path.read_bytes() for path in files}
    outcomes = set()
    for _ in range(60):
        path = files[random.integers(len(files))]
        data = bytearray(sound[path])
        for place in random.integers(0, len(data), random.integers(1, 4)):
            data[place] = random.integers(256)
        path.write_bytes(data[: random.integers(1, 2 * len(data))])
        try:
            for inside in list_ome_zarr_images(str(tmp_path / "a.zarr")):
                image(tmp_path / "a.zarr", inside).read_plane()
            outcomes.add("image")
        except CellfleetError as error:
            outcomes.add(error.code)
        path.write_bytes(sound[path])

    assert {"image", "E106"} <= outcomes
