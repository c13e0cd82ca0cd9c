"""Which server is meant, and with which token; tokens never stand in settings and never travel unprotected."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellfleet.client.servers import HERE, find_server, is_loopback
from cellfleet.errors import UsageError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an empty home."""
    for name in ("CELLFLEET_SERVER", "CELLFLEET_TOKEN", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    work = tmp_path / "work" / "deep"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    return work


def settings(folder: Path, text: str) -> None:
    (folder / "cellfleet.toml").write_text(text, encoding="utf-8")


def refusal(given: str | None, **more: bool) -> str:
    with pytest.raises(UsageError) as caught:
        find_server(given, **more)
    return str(caught.value)


def test_without_a_word_this_machine_is_asked_or_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_server(None).url == HERE
    monkeypatch.setenv("CELLFLEET_SERVER", "https://lab.example/")
    monkeypatch.setenv("CELLFLEET_TOKEN", "secret")
    found = find_server(None)
    assert (found.url, found.token, str(found)) == ("https://lab.example", "secret", "https://lab.example")
    assert find_server(None, token="other").token == "other"


def test_a_name_stands_in_the_folder_or_above_else_in_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Path.home() / ".config" / "cellfleet"
    home.mkdir(parents=True)
    (home / "config.toml").write_text(
        '[servers.lab]\nurl = "https://home.example"\n[servers.far]\nurl = "https://far.example"\n'
    )
    settings(folder.parent, '[servers.lab]\nurl = "https://lab.example/"\ntoken_env = "LAB_TOKEN"\n')
    monkeypatch.setenv("LAB_TOKEN", "of the lab")
    lab = find_server("lab")
    assert (lab.url, lab.token, str(lab)) == ("https://lab.example", "of the lab", "lab")
    assert find_server("far").url == "https://far.example"
    assert "known are far, lab" in refusal("elsewhere")


def test_a_token_is_read_from_its_file(folder: Path) -> None:
    (folder / "token").write_text("of the file\n")
    settings(folder, '[servers.lab]\nurl = "https://lab.example"\ntoken_file = "token"\n')
    assert find_server("lab").token == "of the file"
    (folder / "token").unlink()
    assert "[E966]" in refusal("lab")


def test_a_variable_that_is_not_set_is_named(folder: Path) -> None:
    settings(folder, '[servers.lab]\nurl = "https://lab.example"\ntoken_env = "LAB_TOKEN"\n')
    assert "LAB_TOKEN is not set" in refusal("lab")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[servers.lab]\nurl = "https://lab.example"\ntoken = "secret"\n', "a token stands in"),
        ("[servers.lab]\n", "has no url"),
        ('[servers.lab]\nurl = "https://lab.example"\ntokn_env = "X"\n', "'tokn_env', which means nothing"),
        ('[servers.lab]\nurl = "ftp://lab.example"\n', "is no address of a server"),
        ('[servers.lab]\nurl = "https://ann:secret@lab.example"\n', "is no address of a server"),
        ('servers = "lab"\n', "servers is no table"),
        ("[servers.lab\n", "cannot be read"),
    ],
)
def test_wrong_settings_are_refused_and_named(folder: Path, text: str, why: str) -> None:
    settings(folder, text)
    said = refusal("lab")
    assert why in said and said.endswith("[E965]")


def test_a_token_in_settings_is_not_repeated_in_the_message(folder: Path) -> None:
    settings(folder, '[servers.lab]\nurl = "https://lab.example"\ntoken = "s3cr3t"\n')
    assert "s3cr3t" not in refusal("lab")


def test_a_token_does_not_travel_unprotected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_server("http://lab.example").token is None
    monkeypatch.setenv("CELLFLEET_TOKEN", "secret")
    assert refusal("http://lab.example").endswith("[E964]")
    assert find_server("http://lab.example", insecure=True).insecure
    settings(folder, '[servers.lab]\nurl = "http://lab.example"\ninsecure = true\n')
    assert find_server("lab").token == "secret"
    for here in ("http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "https://lab.example"):
        assert find_server(here).token == "secret"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1.example", "http://localhost.example", "http://10.0.0.1", "http://0.0.0.0", "http://::1"]
)
def test_what_only_looks_like_this_machine_is_not(url: str) -> None:
    assert not is_loopback(url)


def test_a_token_is_not_shown() -> None:
    assert "secret" not in repr(find_server("https://lab.example", token="secret"))
