"""The formulas of `cellfleet bench load` and `serve`, against numbers worked out by hand."""

from __future__ import annotations

import math
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cellfleet.bench.endpoint import read_answer, write_request
from cellfleet.bench.load import ImageTimes, Load, LoadRun, cost_of, times_of, workers_told, zip_of
from cellfleet.bench.load_table import images_table, numbers_table
from cellfleet.bench.networks import NETWORKS, make_network
from cellfleet.bench.serve import CHECKED, Configuration, Inputs, Measured, efficiencies, measure, same_answer
from cellfleet.bench.serve_open import grid
from cellfleet.bench.serve_table import serve_table
from cellfleet.bench.statistics import (
    bound_images_per_second,
    latencies,
    scaling_efficiency,
    spread,
    usd_per_1000,
)
from cellfleet.errors import UsageError
from cellfleet.inference.graph import Tensor
from cellfleet.planning.prices import load_prices
from cellfleet.spec.record import ImageRecord
from cellfleet.spec.usage import Bill, BillLine, Machine

SEVEN = Tensor("image", "FP32", (-1, 7, -1, 3))


def test_spread_is_that_of_a_sample() -> None:
    found = spread([2, 4, 4, 4, 5, 5, 7, 9])
    assert (found.mean, found.runs) == (5, 8)
    assert found.sd == pytest.approx(math.sqrt(32 / 7))
    assert math.isnan(spread([3]).sd)


def test_percentiles_and_variation() -> None:
    found = latencies([float(second) for second in range(1, 102)])
    assert (found.p50, found.p95, found.p99) == (51, 96, 100)
    assert latencies([1, 3]).variation == pytest.approx(math.sqrt(2) / 2)
    assert latencies([1]).variation == 0


def test_price_scaling_and_bound() -> None:
    # 0.38 $/h at 10 images a second: 36 000 images an hour.
    assert usd_per_1000(0.36, 10) == pytest.approx(0.01)
    assert scaling_efficiency(45, 3, 18) == pytest.approx(45 / 54)
    # The paper's images have 1.5 MB: 12.5 GB a second are 8333 of them.
    assert bound_images_per_second(100, 1.5e6) == pytest.approx(8333.33, rel=1e-6)


def measured(replicas: int, throughput: float, device: str = "cpu", concurrency: int = 4) -> Measured:
    return Measured(
        Configuration("net", device, replicas, concurrency), 100, 100 / throughput, latencies([0.1, 0.2]), 10, 10
    )


def test_efficiency_compares_only_what_differs_in_replicas_alone() -> None:
    runs = [measured(1, 10), measured(2, 18), measured(4, 30), measured(2, 50, "cuda"), measured(2, 18, "cpu", 1)]
    assert efficiencies(runs) == pytest.approx([1.0, 0.9, 0.75, None, None])


def test_the_table_prices_as_many_machines_as_the_replicas_need() -> None:
    rows = serve_table([measured(1, 10), measured(3, 20)], 0.36, 2).where()
    assert [row["$ per 1000 images"] for row in rows] == pytest.approx([0.01, 0.01])
    assert serve_table([measured(3, 20)], None, 1).where()[0]["$ per 1000 images"] == ""
    assert serve_table([measured(3, 20)], 0.36, 0).where()[0]["$ per 1000 images"] == pytest.approx(0.005)


def test_no_two_requests_are_equal_and_the_same_number_is_the_same_request() -> None:
    inputs = Inputs((Tensor("image", "UINT8", (-1, 2, 2, 1)),), 8)
    seen = {inputs(number)["image"].tobytes() for number in range(12)}
    assert len(seen) == 12
    assert Inputs((SEVEN,), 5)(3)["image"].shape == (1, 7, 5, 3)
    np.testing.assert_array_equal(Inputs((SEVEN,), 5)(3)["image"], Inputs((SEVEN,), 5)(3)["image"])
    with pytest.raises(UsageError, match="E771"):
        Inputs((Tensor("words", "BYTES", (-1, 1)),), 8)


class Doubling:
    """Answers with the double, and now and then with something else."""

    inputs = (SEVEN,)

    def __init__(self, wrong_every: int = 0) -> None:
        self.asked: list[bytes] = []
        self._wrong_every = wrong_every

    def infer(self, inputs: Any) -> dict[str, NDArray[Any]]:
        self.asked.append(inputs["image"].tobytes())
        wrong = self._wrong_every and len(self.asked) % self._wrong_every == 0
        return {"scores": inputs["image"] * (3 if wrong else 2)}

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(("wrong_every", "right"), [(0, CHECKED), (1, 0)])
def test_answers_are_compared_and_no_request_comes_twice(wrong_every: int, right: int) -> None:
    endpoint = Doubling(wrong_every)
    found = measure(Configuration("net", "cpu", 2, 2), endpoint, Inputs((SEVEN,), 5), 40, 7, Doubling().infer)
    assert (found.images, found.right, found.checked) == (40, right, CHECKED)
    assert len(endpoint.asked) == len(set(endpoint.asked)) == 41
    assert found.throughput == pytest.approx(40 / found.seconds)


def test_answers_are_equal_up_to_rounding() -> None:
    floats, bytes_ = np.ones((1, 3), np.float32), np.full((1, 3), 7, np.uint8)
    assert same_answer({"a": floats * np.float32(1.0005)}, {"a": floats})
    assert not same_answer({"a": floats * np.float32(1.01)}, {"a": floats})
    assert same_answer({"a": bytes_ + np.uint8(2)}, {"a": bytes_})
    assert not same_answer({"a": bytes_ + np.uint8(3)}, {"a": bytes_})
    assert not same_answer({"a": floats}, {"b": floats}) and not same_answer({"a": floats}, {"a": floats[:, :2]})


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_come_back_as_they_went(binary: bool) -> None:
    sent = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.arange(4, dtype=np.uint8)}
    body, headers = write_request(sent, binary=binary)
    length = headers.get("Inference-Header-Content-Length")
    # Inputs of a request look as the outputs of an answer do.
    back = read_answer(body.replace(b'"inputs"', b'"outputs"'), int(length) + 1 if length else None)
    for name, values in sent.items():
        np.testing.assert_array_equal(back[name], values)


def test_the_grid_is_all_combinations_that_the_servers_allow() -> None:
    assert len(grid(["a", "b"], (1, 2), (1, 4), "both", 0)) == 16
    assert grid(["a"], (3,), (2,), "cpu", 1) == [Configuration("a", "server", 3, 2)]
    for replicas, servers in (((1, 2), 1), ((1, 3), 2)):
        with pytest.raises(UsageError, match="E771"):
            grid(["a"], replicas, (1,), "cpu", servers)


@pytest.mark.parametrize("name", ["mobilenet-v2", "nasnet-mobile", "resnet-50"])
def test_a_network_has_the_parameters_that_the_talk_prints(name: str) -> None:
    require_parameters(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet-152", "nasnet-large"])
def test_a_large_network_has_the_parameters_that_the_talk_prints(name: str) -> None:
    require_parameters(name)


def require_parameters(name: str) -> None:
    count, network = make_network(name).count_params(), NETWORKS[name]
    low, high = network.printed_millions
    assert count == network.stated_parameters
    # Printed with one decimal, or without.
    assert low - 0.5 < count / 1e6 < high + 0.5


# --- the load --------------------------------------------------------------------------------------------------------


def test_a_zip_holds_so_many_images_with_names_of_their_own() -> None:
    load = Load(b"pixels", "cell.ome.tif", 2, 0, images_per_zip=3)
    with zipfile.ZipFile(BytesIO(zip_of(load, 1))) as archive:
        assert archive.namelist() == [f"cell_0001_000{image}.ome.tif" for image in range(3)]
        assert {archive.read(name) for name in archive.namelist()} == {b"pixels"}


def test_an_image_waits_for_the_network_and_shares_its_upload() -> None:
    seconds = {"read": 0.25, "predict": 1.0, "postprocess": 0.5, "write": 0.125, "survey": 9.0}
    record = ImageRecord(image="a", status="done", key="", seconds=seconds, waiting_seconds={"predict": 2.0})
    assert times_of(record, 4, 0.5) == ImageTimes(4, "a", 0.875, 3.0, 0.5)


def bill(seconds: float, usd: float | None, requests: float | None = None) -> Bill:
    line = BillLine(machine=Machine(), seconds=seconds, gpu_seconds=0, usd_per_hour=None, usd=usd)
    return Bill(job="j", owner="local", final=True, submitted_ms=0, lines=(line,), usd=usd, requests_usd=requests)


def test_the_cost_is_that_of_the_bills_else_of_the_machine_that_was_named() -> None:
    quote = load_prices().machine("n1-standard-2")
    assert cost_of([bill(10, 1.5), bill(10, 2.5)], quote) == 4
    assert cost_of([bill(1800, None, 0.01), bill(1800, None)], quote) == pytest.approx(quote.on_demand + 0.01)
    assert cost_of([bill(10, 1.5), bill(10, None)], None) is None


def test_workers_are_counted_on_the_page_of_metrics() -> None:
    page = "# HELP cellfleet_workers Workers that run.\ncellfleet_workers_x 9\ncellfleet_workers 2\n"
    assert workers_told(page) == 2


def test_numbers_are_means_over_the_repeats() -> None:
    load = Load(b"", "a.tif", 1, 0.5, images_per_zip=2)
    times = (ImageTimes(0, "a", 1, 2, 3), ImageTimes(0, "b", 3, 4, 5))
    runs = [LoadRun(seconds, 1, 2_500_000, times, ((0.0, 1.0), (1.0, 2.0)), 8, None) for seconds in (4.0, 2.0)]
    rows = {row["what"]: row for row in numbers_table(load, runs).where()}
    assert (rows["throughput"]["mean"], rows["throughput"]["sd"]) == (0.75, pytest.approx(math.sqrt(0.125)))
    assert (rows["total time"]["mean"], rows["inference per image"]["mean"], rows["offered"]["mean"]) == (3, 3, 4)
    assert (rows["workers, most"]["mean"], rows["cost"]["mean"]) == (2, "not known")
    assert (rows["bound by 100 Gbps"]["mean"], rows["share of this bound"]["mean"]) == (10_000, 0.0075)
    assert len(images_table(runs).rows) == 4
