"""Scores of the bundled models: the page, the cards and the packages say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cellfleet.models import bundled_names
from cellfleet.models.load import BUNDLED, read_declared

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "models.md"
TABLE = re.search(r"^<!-- scores: .*?^<!-- end of scores -->", PAGE.read_text(encoding="utf-8"), re.M | re.S)
ROW = re.compile(r"^\| `([^`]+)` (\S+) \|[^|]*\|[^|]*\|[^|]*\| (0\.\d{3} \| 0\.\d{3} \| 0\.\d{3}) \|$", re.MULTILINE)


def test_the_table_is_there() -> None:
    assert TABLE and {name for name, _, _ in ROW.findall(TABLE[0])} <= set(bundled_names())


@pytest.mark.parametrize(("name", "version", "numbers"), ROW.findall(TABLE[0] if TABLE else ""))
def test_the_page_says_what_package_and_card_say(name: str, version: str, numbers: str) -> None:
    declared = read_declared(name)
    assert declared.version == version
    scores = getattr(declared, "scores", {}).values()
    assert numbers in [f"{score['f1']:.3f} | {score['ap']:.3f} | {score['mean_ap']:.3f}" for score in scores]
    card = BUNDLED / name / "README.md"
    assert not card.is_file() or numbers in card.read_text(encoding="utf-8")
