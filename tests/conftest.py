"""For all tests: property tests try the same examples every time, however slow the machine."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("same-every-time", derandomize=True, deadline=None, database=None)
settings.load_profile("same-every-time")

pytest_plugins = ["tests.servers", "tests.ledgers"]
