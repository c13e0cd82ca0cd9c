"""Addresses: what they name, what of them may be shown, and which credentials go with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from cellfleet.errors import InputError, OutputError
from cellfleet.stores import bucket
from cellfleet.stores.client import connect
from cellfleet.stores.credentials import UNSIGNED, signing
from cellfleet.stores.place import open_place
from cellfleet.stores.url import Address, child, is_url, local_path, split_url, without_secrets


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://bucket/day 1/ä#?%20.tif", Address("s3", "bucket", "day 1/ä#?%20.tif")),
        ("S3A://bucket/", Address("s3", "bucket", "")),
        ("gs://bucket/a/b/", Address("gs", "bucket", "a/b")),
        ("az://container/a", Address("az", "container", "a")),
        ("az://container@lab.blob.core.windows.net/a", Address("az", "container", "a", "lab")),
        ("abfss://container@lab.dfs.core.windows.net/a/b", Address("az", "container", "a/b", "lab")),
        ("https://server:8443/a%20b.tif?sig=x%2F#top", Address("http", "https://server:8443", "/a%20b.tif?sig=x%2F")),
        ("http://127.0.0.1/a", Address("http", "http://127.0.0.1", "/a")),
    ],
)
def test_an_address_is_taken_apart(url: str, expected: Address) -> None:
    assert is_url(url)
    assert split_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "ftp://server/a",
        "s3:///a",
        "s3://",
        "https:///a",
        "https://me:SECRET@server/a",
        "az://c@lab.example.org/a",
        "a.tif",
    ],
)
def test_an_address_that_names_nothing_readable_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(InputError, match="E150") as caught:
        split_url(url)
    assert caught.value.action
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("path", ["a.tif", "/data/a.tif", "C:\\data\\a.tif", "C:/data", "a://b"[:1], "plate:1/a", ""])
def test_a_path_is_no_address(path: str) -> None:
    assert not is_url(path)
    assert not is_url(Path(path))


def test_a_file_address_is_a_path(tmp_path: Path) -> None:
    path = tmp_path / "day 1" / "ä%.tif"
    assert local_path(path.as_uri()) == path
    assert local_path("file://localhost/data/a") == Path("/data/a")
    assert local_path("s3://file/a") is None
    with pytest.raises(InputError, match="E150"):
        local_path("file://server/share/a")


def test_what_is_shown_of_a_web_address_holds_no_signature() -> None:
    assert without_secrets("https://me:pw@server:1/a%20b?sig=x#y") == "https://server:1/a%20b"
    assert without_secrets("s3://bucket/a?b#c") == "s3://bucket/a?b#c"
    assert child("s3://bucket/out/", "a/b") == "s3://bucket/out/a/b"


def test_results_go_to_no_web_server() -> None:
    for url in ("https://server/out", "ftp://server/out"):
        with pytest.raises(InputError, match="E150"):
            open_place(url)


@pytest.fixture
def home(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return tmp_path


@pytest.mark.usefixtures("home")
def test_each_kind_of_address_gets_its_store(clean_environment: pytest.MonkeyPatch) -> None:
    """Google's and Azure's servers cannot be run here: this is as far as tests of them go."""
    store = connect(split_url("gs://bucket/a"))
    assert isinstance(store, GCSStore) and store.config["bucket"] == "bucket"
    store = connect(split_url("abfss://container@lab.dfs.core.windows.net/a"), prefix="a")
    assert isinstance(store, AzureStore) and store.prefix == "a"
    assert (store.config["container_name"], store.config["account_name"]) == ("container", "lab")
    with pytest.raises(InputError, match="AZURE_STORAGE_ACCOUNT_NAME"):
        connect(split_url("az://container/a"))
    clean_environment.setenv("AZURE_STORAGE_ACCOUNT_NAME", "lab")
    store = connect(split_url("az://container/a"))
    assert isinstance(store, AzureStore) and store.config["account_name"] == "lab" and "lab" in repr(store)
    assert connect(split_url("az://container/b")) is store


def test_settings_that_change_are_seen_and_half_of_a_key_is_none(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("AWS_ACCESS_KEY_ID", "one")
    with pytest.raises(InputError, match="E157"):
        connect(split_url("s3://bucket"))
    clean_environment.setenv("AWS_SECRET_ACCESS_KEY", "two")
    assert isinstance(connect(split_url("s3://bucket")), S3Store)


def test_keys_come_from_the_environment_then_files_then_the_machine_then_none_are_used(home: Path) -> None:
    env, machine = {"HOME": str(home)}, home / "dmi"
    machine.mkdir()
    for kind in ("s3", "gs", "az"):
        assert signing(kind, env, machine) == UNSIGNED
    for kind, name, said in [
        ("s3", "sys_vendor", "Amazon EC2"),
        ("gs", "product_name", "Google Compute Engine"),
        ("az", "chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77"),
    ]:
        (machine / name).write_text(f"{said}\n")
        assert signing(kind, env, machine) == {}
        (machine / name).unlink()
    gcloud = home / ".config/gcloud/application_default_credentials.json"
    gcloud.parent.mkdir(parents=True)
    gcloud.write_text("{}")
    assert signing("gs", env, machine) == {}
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text("[default]\naws_access_key_id = A%B\naws_secret_access_key = C\n")
    (home / ".aws/config").write_text("[default]\nregion = eu-north-1\n[profile open]\nregion = us-west-2\n")
    keys = {"access_key_id": "A%B", "secret_access_key": "C"}
    assert signing("s3", env, machine) == {**keys, "region": "eu-north-1"}
    assert signing("s3", {**env, "AWS_REGION": "x"}, machine) == keys
    assert signing("s3", {**env, "AWS_ACCESS_KEY_ID": "E"}, machine) == {"region": "eu-north-1"}
    assert signing("s3", {**env, "AWS_PROFILE": "open"}, machine) == {"region": "us-west-2", **UNSIGNED}
    for kind, name in [("gs", "GOOGLE_SERVICE_ACCOUNT_KEY"), ("az", "AZURE_STORAGE_SAS_TOKEN")]:
        assert signing(kind, {**env, name: "x"}, machine) == {}


@pytest.mark.parametrize(
    ("config", "profile", "what"),
    [
        ("[profile lab]\nsso_session = lab\n", "lab", "single sign-on"),
        ("[profile lab]\nrole_arn = x\nsource_profile = y\n", "lab", "single sign-on"),
        ("[profile lab]\nregion = x\n", "other", "no such profile"),
        ("not an ini file", "lab", "cannot be read"),
    ],
)
def test_a_profile_that_cannot_be_used_is_told(home: Path, config: str, profile: str, what: str) -> None:
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text(config)
    with pytest.raises(InputError, match=what) as caught:
        signing("s3", {"HOME": str(home), "AWS_PROFILE": profile}, home)
    assert caught.value.code == "E157"
    assert caught.value.action


def test_certificates_that_are_not_there_are_told(clean_environment: pytest.MonkeyPatch) -> None:
    clean_environment.setenv("AWS_CA_BUNDLE", "/no/such/file.pem")
    with pytest.raises(InputError, match="E157"):
        connect(split_url("s3://bucket"))


def test_a_full_disk_for_temporary_files_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bucket.tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OutputError, match="TMPDIR") as caught, open_place("s3://bucket").replacing("a"):
        raise OSError(28, "No space left on device")
    assert (caught.value.code, caught.value.where) == ("E301", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
