"""The list of decisions names every one, by its title."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "docs" / "decisions"


def test_the_list_of_decisions_is_whole() -> None:
    rows = [line for line in (FOLDER / "README.md").read_text("utf-8").splitlines() if line.startswith("| [")]
    pages = sorted(page for page in FOLDER.glob("[0-9]*.md") if page.name != "0000-template.md")
    titles = [page.read_text("utf-8").splitlines()[0].removeprefix("# ").partition(" ") for page in pages]
    assert rows == [
        f"| [{number}]({page.name}) | {title} |" for page, (number, _, title) in zip(pages, titles, strict=True)
    ]
