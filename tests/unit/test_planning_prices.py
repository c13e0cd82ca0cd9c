"""Prices: what a machine costs is what the table says, with its date; what the table does not know is an error."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellfleet.errors import UsageError
from cellfleet.planning import prices
from cellfleet.planning.prices import KIOSK, TABLES, TODAY, MachineType, load_prices, parse_machine, read_prices, stale

HEAD = "provider,region,kind,name,vcpus,memory_gb,gpu,gpus,unit,on_demand,spot,date,source"


def test_the_kiosks_table_gives_the_kiosks_prices() -> None:
    table = load_prices(KIOSK)
    node = table.machine("n1-highmem-2+nvidia-tesla-v100:1", "us-west1")
    assert node.on_demand == pytest.approx(0.1184 + 2.48) and node.spot == pytest.approx(0.025 + 0.74)
    assert table.machine("n1-standard-4").hourly(spot=True) == 0.04
    known = {"storage": 0.026, "egress": 0.12}
    rows = {row.kind: row.on_demand for row in table.rows if row.kind in known and row.name != "inter-zone"}
    assert rows == known


def test_a_machine_and_its_accelerators_are_added_up() -> None:
    four = load_prices().machine("n1-standard-8+nvidia-tesla-t4:4", "us-central1")
    one = load_prices().machine("n1-standard-8+nvidia-tesla-t4", "us-central1")
    assert (one.gpu, one.gpus, one.vcpus) == ("nvidia-tesla-t4", 1, 8) and four.gpus == 4
    assert one.on_demand == pytest.approx(0.38 + 0.35) and one.spot == pytest.approx(0.12765 + 0.1915)
    assert four.on_demand == pytest.approx(one.on_demand + 3 * 0.35)


def test_a_machine_that_comes_with_its_gpu_says_so() -> None:
    for name, gpu in (("g2-standard-8", "nvidia-l4"), ("g4dn.xlarge", "nvidia-tesla-t4")):
        assert (load_prices().machine(name).gpu, load_prices().machine(name).gpus) == (gpu, 1)


@pytest.mark.parametrize(
    ("machine", "region", "code", "told"),
    [
        ("n1-standart-8", "us-central1", "E740", "n1-standard-8"),
        ("n1-standard-8+nvidia-tesla-t5:1", "us-central1", "E740", "nvidia-tesla-t4"),
        ("n1-standard-8", "moon-1", "E741", "us-central1"),
        ("n1-standard-8+nvidia-tesla-v100:1", "europe-west1", "E741", "europe-west4"),
    ],
)
def test_what_the_table_does_not_know_is_an_error_that_lists_what_it_does(
    machine: str, region: str, code: str, told: str
) -> None:
    with pytest.raises(UsageError) as error:
        load_prices().machine(machine, region)
    assert error.value.code == code and told in str(error.value)


def test_a_spot_price_that_no_source_states_is_not_made_up() -> None:
    quote = load_prices().machine("g4dn.xlarge", "us-east-1")
    assert quote.spot is None and quote.hourly(spot=False) == 0.526
    with pytest.raises(UsageError, match="E742"):
        quote.hourly(spot=True)


@pytest.mark.parametrize("text", ["", "+", "+nvidia-tesla-t4:1", "n1-standard-8+", "n1+t4:0", "n1+t4:", "n1+t4:x"])
def test_a_text_that_names_no_machine_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="E740"):
        parse_machine(text)


@given(st.text("abc-0189.", min_size=1, max_size=12), st.text("abc-018", min_size=1, max_size=12), st.integers(0, 64))
def test_a_machine_reads_back_as_it_is_written(name: str, gpu: str, gpus: int) -> None:
    machine = MachineType(name, gpu if gpus else "", gpus)
    assert parse_machine(str(machine)) == machine


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_package_is_dated_sourced_and_told_once(name: str) -> None:
    rows = load_prices(name).rows
    keys = [(row.provider, row.region, row.kind, row.name) for row in rows]
    assert len(set(keys)) == len(keys)
    assert all(row.source and row.on_demand > 0 for row in rows)
    assert all(row.spot is None or 0 < row.spot < row.on_demand for row in rows)
    assert all(row.date <= date.fromisoformat(name) for row in rows)


def test_old_prices_are_told() -> None:
    rows = load_prices(KIOSK).machine("n1-standard-1").rows
    assert stale(rows, date(2019, 12, 14)) is None
    notice = stale(rows, date(2019, 12, 15))
    assert notice is not None and notice.code == "W703" and "2019-06-17" in notice.text and "181 days" in notice.text
    assert stale((), date(2030, 1, 1)) is None


def test_a_table_of_ones_own_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "ours.csv"
    file.write_text(f"{HEAD}\nours,cellar,machine,big,64,256,,,hour,1.5,,2026-01-01,the bill of 2025\n", "utf-8")
    quote = load_prices(file).machine("big")
    assert (quote.provider, quote.region, quote.on_demand, quote.vcpus) == ("ours", "cellar", 1.5, 64)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "provider,region\ngcp,x\n",
        f"{HEAD}\ngcp,x,machine,m,1,1,,,hour,dear,,2026-01-01,s\n",
        f"{HEAD}\ngcp,x,machine,m,1,1,,,hour,-1,,2026-01-01,s\n",
        f"{HEAD}\ngcp,x,machine,m,1,1,,,hour,nan,,2026-01-01,s\n",
        f"{HEAD}\ngcp,x,rocket,m,1,1,,,hour,1,,2026-01-01,s\n",
        f"{HEAD}\ngcp,x,machine,,1,1,,,hour,1,,2026-01-01,s\n",
        f"{HEAD}\ngcp,x,machine,m,1,1,,,hour,1,,yesterday,s\n",
        f"{HEAD}\ngcp,x,machine\n",
    ],
)
def test_a_table_that_is_none_is_an_error_with_the_line(text: str) -> None:
    with pytest.raises(UsageError, match="E744"):
        read_prices(text, "ours.csv")


def test_a_table_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match="E743") as error:
        load_prices("no/such.csv")
    assert TODAY in str(error.value) and KIOSK in str(error.value)


def test_storage_and_requests_have_a_price_where_a_source_states_it() -> None:
    table = load_prices()
    assert table.unit("storage", "standard", "us-central1", provider="gcp").on_demand == 0.02  # type: ignore[union-attr]
    assert table.unit("operations", "write", "europe-west4", provider="gcp").on_demand == 0.05  # type: ignore[union-attr]
    assert table.unit("storage", "standard", "eastus", provider="azure") is None


def test_the_tables_stand_in_the_package() -> None:
    assert {file.stem for file in (Path(prices.__file__).parent / "tables").glob("*.csv")} == set(TABLES)
