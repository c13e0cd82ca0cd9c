"""OME-Zarr stores in buckets and on web servers are read like folders, and only by the chunks that are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.contract.input_images import pixels
from tests.contract.ome_zarr_stores import write_group, write_image
from tests.servers import S3, web_server

from cellfleet.errors import InputError
from cellfleet.images.find import find_images
from cellfleet.images.ome_zarr import list_ome_zarr_images
from cellfleet.images.read import open_image
from cellfleet.images.source import Source
from cellfleet.stores.place import open_place

pytestmark = pytest.mark.slow


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_every_field_of_a_plate_in_a_bucket_is_an_image(bucket: str, tmp_path: Path, version: str) -> None:
    write_group(tmp_path, {"plate": {"wells": [{"path": "A/1"}]}}, version)
    write_group(tmp_path / "A" / "1", {"well": {"images": [{"path": "0"}, {"path": "1"}]}}, version)
    for field in range(2):
        write_image(tmp_path / "A" / "1" / str(field), pixels((40, 50), seed=field), "yx", version)
    for name, content in files(tmp_path).items():
        open_place(bucket).write(f"day/plate.zarr/{name}", content)

    sources = find_images([f"{bucket}/day/"])

    assert [source.name for source in sources] == ["plate.zarr/A/1/0", "plate.zarr/A/1/1"]
    for field, source in enumerate(sources):
        region = open_image(source).read(y=slice(3, 30), x=slice(20, 45))
        np.testing.assert_array_equal(region[0], pixels((40, 50), seed=field)[3:30, 20:45])


def test_only_the_chunks_that_are_wanted_are_asked_for(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored = pixels((64, 64))
    write_image(tmp_path, stored, "yx")
    with web_server() as web:
        web.files.update({f"/a.zarr/{name}": content for name, content in files(tmp_path).items()})
        image = open_image(Source(f"{web.url}/a.zarr", "a.zarr"))
        web.requests.clear()
        region = image.read(y=slice(16, 32), x=slice(20, 40))
        asked = {path for _, path, _ in web.requests}

    np.testing.assert_array_equal(region[0], stored[16:32, 20:40])
    assert asked == {"/a.zarr/0/c/1/1", "/a.zarr/0/c/1/2"}


def test_a_server_that_refuses_is_told_by_name_and_not_as_damage(
    clean_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_image(tmp_path, pixels((32, 32)), "yx")
    with web_server() as web:
        web.files.update({f"/a.zarr/{name}": content for name, content in files(tmp_path).items()})
        image = open_image(Source(f"{web.url}/a.zarr", "a.zarr"))
        web.status = 403
        for call in (image.read_plane, lambda: list_ome_zarr_images(f"{web.url}/a.zarr")):
            with pytest.raises(InputError) as caught:
                call()
            assert caught.value.code == "E152"


def test_a_store_that_is_not_in_the_bucket_has_no_images(bucket: str) -> None:
    with pytest.raises(InputError, match="no image was found"):
        list_ome_zarr_images(f"{bucket}/nothing.zarr")


def test_a_wrong_secret_is_told_and_never_shown(nanio: S3, clean_environment: pytest.MonkeyPatch) -> None:
    for name, value in nanio.environment.items():
        clean_environment.setenv(name, value)
    address = f"s3://{nanio.new_bucket()}/a.zarr"
    clean_environment.setenv("AWS_SECRET_ACCESS_KEY", "WRONG-SECRET")

    with pytest.raises(InputError) as caught:
        list_ome_zarr_images(address)
    assert caught.value.code == "E152" and "WRONG" not in str(caught.value)


def test_a_zipped_store_behind_an_address_is_refused() -> None:
    with pytest.raises(InputError, match="local") as caught:
        list_ome_zarr_images("https://example.org/a.zarr.zip")
    assert caught.value.code == "E143"
