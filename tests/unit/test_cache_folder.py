"""Where models are cached."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellfleet.stores.cache import cache_folder


def test_a_user_without_a_home_needs_none_where_the_folder_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.setenv("CELLFLEET_CACHE", "/tmp/cache")
    assert cache_folder() == Path("/tmp/cache")
