"""For all tests: property tests try the same examples every time, however slow the machine."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("same-every-time", derandomize=True, deadline=None, database=None)
settings.load_profile("same-every-time")
# No test sees the models of who runs it.
os.environ["CELLFLEET_MODELS"] = "/nonexistent/models"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seeds", type=int, default=2, help="how many random orders of events the fault tests try")


pytest_plugins = ["tests.servers", "tests.ledgers"]
