"""The papers' figures: near what the papers print, on the page as the command gives them, drawn as small files."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from cellfleet.cli import main
from cellfleet.planning.paper import Table, csv_text, markdown, said, table
from cellfleet.planning.paper_figures import Everything, everything
from cellfleet.planning.paper_kiosk import GPUS, IMAGES, MBPS, V100_IMAGES_PER_SECOND
from cellfleet.planning.paper_style import file_content
from cellfleet.planning.prices import KIOSK, load_prices

DOCS = Path(__file__).parents[2] / "docs"
FORMULA, RULE, OURS = "kiosk, paper's formula", "kiosk, installed rule", "cellfleet"


@pytest.fixture(scope="module")
def found() -> Everything:
    """All runs, simulated once."""
    return everything(load_prices(KIOSK), load_prices())


def named(found: Everything, name: str) -> Table:
    """The table of a name."""
    return next(content for content in found.tables if content.name == name)


def test_a_table_is_csv_and_markdown() -> None:
    content = table("t", "T", [{"a": "x", "b": 1.23456789}, {"a": "y, z", "b": 1234.5}, {"a": "", "b": 2}])
    assert csv_text(content) == 'a,b\nx,1.23457\n"y, z",1234.5\n,2\n'
    assert markdown(content) == "| a | b |\n| --- | --- |\n| x | 1.23 |\n| y, z | 1234 |\n|  | 2 |\n"
    assert content.where(a="x") == [{"a": "x", "b": 1.23456789}]
    assert [said(0.0), said(99.96), said(1e6)] == ["0", "100", "1000000"]


def test_the_whole_grid_of_the_paper_is_there(found: Everything) -> None:
    rows = named(found, "deepcell-time-and-cost-2019-06-17").where()
    cells = {(row["images"], row["gpus"], row["upload_mbps"], row["system"]) for row in rows}
    assert cells == {
        (images, gpus, mbps, system)
        for images in IMAGES
        for gpus in GPUS
        for mbps in MBPS
        for system in (FORMULA, RULE, OURS)
    }


def test_no_run_beats_its_upload_or_its_gpus_and_more_gpus_are_not_slower(found: Everything) -> None:
    grid = named(found, "deepcell-time-and-cost-2019-06-17")
    for row in grid.where():
        assert row["hours"] >= row["upload_hours"] * (1 - 1e-9)
        assert row["hours"] >= row["images"] / row["gpus"] / V100_IMAGES_PER_SECOND / 3600 * (1 - 1e-9)
        parts = (row[f"{part}_usd"] for part in ("gpu", "cpu", "data", "zones"))
        assert row["total_usd"] == pytest.approx(sum(parts))
    for system in (FORMULA, OURS):
        for images in IMAGES:
            for mbps in MBPS:
                hours = [row["hours"] for row in grid.where(system=system, images=images, upload_mbps=mbps)]
                assert hours == sorted(hours, reverse=True) or hours == pytest.approx(sorted(hours, reverse=True), 0.01)


def test_the_headlines_come_out_near_what_is_printed(found: Everything) -> None:
    heads = named(found, "deepcell-headline")
    small = heads.where(images=100_000, prices="2019-06-17", system=FORMULA)[0]
    large = heads.where(images=1_000_000, prices="2019-06-17", system=FORMULA)[0]
    assert small["hours"] == pytest.approx(1.5, rel=0.1)
    assert large["hours"] == pytest.approx(5.5, rel=0.1)
    assert large["total_usd"] == pytest.approx(250, rel=0.1)
    assert large["total_usd"] - large["zones_usd"] < 100
    assert 5 < small["total_usd"] - small["zones_usd"] < 10
    # 33 MB an image, half of it to the other zone, a cent a GB.
    assert large["zones_usd"] == pytest.approx(165.15, abs=0.01)
    assert small["zones_usd"] == pytest.approx(16.515, abs=0.001)


def test_cellfleet_is_no_slower_and_cheaper_on_the_same_machines(found: Everything) -> None:
    grid = named(found, "deepcell-time-and-cost-2019-06-17")
    for ours, theirs in zip(grid.where(system=OURS), grid.where(system=FORMULA), strict=True):
        assert ours["hours"] <= theirs["hours"]
        assert ours["total_usd"] < theirs["total_usd"]


def test_the_blogs_numbers(found: Everything) -> None:
    numbers = {row["what"]: row for row in found.numbers.where()}
    theirs = "theirs, simulated"
    assert numbers["15 jobs of 3 min, 4 nodes, no pool"][theirs] == pytest.approx(12.0)
    assert numbers["the same with a pool"][theirs] == pytest.approx(6.6)
    assert [numbers[f"15 images, {what}"][theirs] for what in ("no pool", "cold", "warm")] == [32.5, 7.5, 2.5]
    assert [round(numbers[f"15 images, {what}"]["cellfleet"], 2) for what in ("cold", "warm")] == [6.85, 1.63]
    assert round(numbers["15 images, cold, start-up of 2 min"]["cellfleet"], 2) == 3.85
    shares = [numbers[f"share of set-up in a job of {minutes} min"][theirs] for minutes in (1, 30, 100)]
    assert [round(share, 1) for share in shares] == [75.0, 9.1, 2.9]
    assert round(numbers["inference, share of the time: DeepCell, 16 vCPU + T4"][theirs]) == 39


def test_work_is_the_same_with_every_pool_and_what_is_paid_is_not(found: Everything) -> None:
    rows = {row["system"]: row for row in named(found, "batch-pools").where()}
    theirs = [rows[f"DeepCell, {pool} pool"] for pool in ("no", "cold", "warm")]
    assert {row["work_node_min"] for row in theirs} == {15 * 37.5 / 60}
    assert [row["paid_node_min"] for row in theirs] == pytest.approx([54.375, 22.0, 10.0])


def test_the_page_holds_the_numbers_that_the_command_gives(found: Everything) -> None:
    page = (DOCS / "reference" / "paper-figures.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- numbers: cellfleet bench paper -->\n")[2].partition("<!-- end of numbers -->")[0]
    assert shown == markdown(found.numbers)


def test_the_page_shows_every_figure_as_a_small_file_and_names_every_table(found: Everything) -> None:
    page = (DOCS / "reference" / "paper-figures.md").read_text(encoding="utf-8")
    for drawing in found.drawings:
        assert f"](../images/paper/{drawing.name}.svg)" in page
        assert (DOCS / "images" / "paper" / f"{drawing.name}.svg").stat().st_size < 60_000
    assert [content.name for content in found.tables if f"`{content.name}.csv`" not in page] == []


def test_the_command_writes_tables_and_figures(found: Everything, tmp_path: Path, capsys) -> None:
    assert main(["bench", "paper", "-o", str(tmp_path / "new" / "figures"), "--figures", "svg"]) == 0
    out = tmp_path / "new" / "figures"
    for content in (*found.tables, found.numbers):
        with (out / f"{content.name}.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        assert (tuple(rows[0]), len(rows) - 1) == (content.columns, len(content.rows))
    for drawing in found.drawings:
        picture = ElementTree.fromstring((out / f"{drawing.name}.svg").read_bytes())
        assert picture.tag.endswith("svg")
        # Words are words, which readers can search and screen readers say.
        assert len(list(picture.iter("{http://www.w3.org/2000/svg}text"))) > 5
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["what", "unit", "printed", "theirs,", "simulated", "cellfleet"]
    assert len(lines) == 1 + len(found.numbers.rows)


def test_a_figure_is_the_same_bytes_each_time(found: Everything) -> None:
    drawing = found.drawings[-1]
    assert file_content(drawing.drawer, drawing.content, "svg") == file_content(drawing.drawer, drawing.content, "svg")
    assert file_content(drawing.drawer, drawing.content, "png").startswith(b"\x89PNG")


def test_without_matplotlib_the_tables_are_written_and_what_to_install_is_said(
    found: Everything, tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["bench", "paper", "-o", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "[E745]" in message and "pip install 'cellfleet[bench]'" in message
    assert len(list(tmp_path.glob("*.csv"))) == len(found.tables) + 1
    assert main(["bench", "paper", "-o", str(tmp_path), "--figures", "none"]) == 0


def test_a_folder_that_cannot_be_written_is_said(found: Everything, tmp_path: Path, capsys) -> None:
    (tmp_path / "file").touch()
    assert main(["bench", "paper", "-o", str(tmp_path / "file"), "--figures", "none"]) == 6
    assert "[E746]" in capsys.readouterr().err


def test_another_price_table_takes_the_place_of_todays(found: Everything, tmp_path: Path, capsys) -> None:
    todays = Path(sys.modules["cellfleet.planning"].__path__[0]) / "tables" / "2026-11-23.csv"
    dearer = tmp_path / "dear.csv"
    dearer.write_text(todays.read_text(encoding="utf-8").replace(",2.48,1.2338,", ",2.48,12.338,"), encoding="utf-8")
    before = found.numbers.where(what="1 000 000 images: cost, prices of 2026")[0]["cellfleet"]
    assert main(["bench", "paper", "--prices", str(dearer)]) == 0
    line = next(
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("1 000 000 images: cost, prices of 2026")
    )
    assert float(line.split()[-1]) > 5 * before
