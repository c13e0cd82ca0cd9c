"""A plan for inputs that this process can read itself: counts them, asks what was measured, and reckons.

For the service over its store, and for `cellfleet plan` over a user's files. What follows from the numbers stands in
`cellfleet.planning.plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cellfleet.errors import UsageError
from cellfleet.inference.threads import usable_threads
from cellfleet.jobs.census import count_images
from cellfleet.models import load_model
from cellfleet.planning.plan import Wanted, make_plan, refuse_gpus_apart
from cellfleet.planning.prices import Prices, Quote
from cellfleet.planning.speeds import rate_on
from cellfleet.run.calibrate import calibrate
from cellfleet.run.speed_log import hardware_here, own_speeds, read_speeds
from cellfleet.spec.choices import Device
from cellfleet.spec.plan import Counted, Hardware, Place, Plan, PlanRequest, Speed
from cellfleet.spec.segment import SegmentSpec
from cellfleet.stores.url import is_url


@dataclass(frozen=True)
class Target:
    """Where the work is to be done."""

    place: Place
    machine: str = ""
    """Of one worker, as price tables name it; "": like this one, at no price."""
    region: str = ""
    spot: bool = False
    max_workers: int = 1
    device: Device = "auto"
    """Of this machine."""
    threads: int | None = None
    """Of this machine; None: all."""
    upload_mbps: float | None = None
    gpus: int = 0
    """Of one worker, where no machine says it."""


def estimate(
    inputs: Sequence[str], spec: SegmentSpec, target: Target, prices: Prices, *, tell: Callable[[str], None]
) -> Plan:
    """Return a plan for images that this machine can read.

    Args:
        inputs: As those of a run.
        spec: What is to be done with them.
        target: Where.
        prices: What machines cost.
        tell: Called with a sentence before something that takes seconds.

    Raises:
        InputError: E1xx, nothing to do.
        ModelError, DeviceError: The model cannot be used here.
        UsageError: E74x, the price table has no such machine; E75x, nothing is known of the speed.
    """
    quote = prices.machine(target.machine, target.region) if target.machine else None
    here = target.place == "here"
    if quote is not None and not here:
        refuse_gpus_apart(quote)
    counted = count_images(inputs, axes=spec.axes)
    model = load_model(spec.model, device=target.device if here else "cpu")
    own = hardware_here(model.device, target.threads or usable_threads())
    wanted = Wanted(
        model=f"{model.manifest.name}:{model.manifest.version}",
        place=target.place,
        hardware=own if here or quote is None else _of(quote),
        max_workers=1 if here else target.max_workers,
        quote=quote,
        spot=target.spot,
        upload_bytes=_to_upload(inputs, counted) if target.place == "cloud" else 0,
        upload_mbps=target.upload_mbps,
        in_bucket=target.place == "cloud",
        unnamed_gpus=quote is None and target.gpus > 0,
        fixed_workers=here,
    )
    rate = rate_on(_measured(model.sha256, own, spec.model, target, tell), wanted.hardware)
    return make_plan(counted, rate, wanted, prices, datetime.now(UTC).date())


def estimate_there(
    request: PlanRequest, counted: Counted, model: str, speeds: Sequence[Speed], prices: Prices, *, in_bucket: bool
) -> Plan:
    """Return a plan for the workers of a service.

    Args:
        request: What is asked for.
        counted: Images of its inputs, or as it says.
        model: ``name:version``.
        speeds: What workers have measured of it.
        prices: What machines cost.
        in_bucket: Whether the service's store is a bucket, which counts requests.

    Raises:
        UsageError: E74x, the price table has no such machine; E750, E751.
    """
    fleet = max(speeds, key=lambda speed: speed.megapixels, default=None)
    machine = request.machine or (fleet.hardware.machine if fleet else "")
    quote = _quote(prices, machine, request)
    if quote is not None:
        refuse_gpus_apart(quote)
    hardware = _of(quote) if quote is not None else None
    if hardware is None or not request.machine:
        hardware = fleet.hardware if fleet else hardware
    if hardware is None:
        raise UsageError(
            "E750",
            f"no worker of this service has run the model {model} yet",
            action="Run it on a few images first, then plan",
        )
    wanted = Wanted(
        model=model,
        place="server",
        hardware=hardware,
        max_workers=request.max_workers,
        quote=quote,
        spot=request.spot,
        upload_bytes=request.upload_bytes,
        upload_mbps=request.upload_mbps,
        in_bucket=in_bucket,
    )
    return make_plan(counted, rate_on(speeds, hardware), wanted, prices, datetime.now(UTC).date())


def _quote(prices: Prices, machine: str, request: PlanRequest) -> Quote | None:
    """Return the price of a machine; None where only the workers named it and the table has it not."""
    if not machine:
        return None
    try:
        return prices.machine(machine, request.region)
    except UsageError:
        if request.machine:
            raise
        return None


def _of(quote: Quote) -> Hardware:
    return Hardware(cpu="", threads=max(1, quote.vcpus), gpu=quote.gpu, machine=str(quote.machine))


def _to_upload(inputs: Sequence[str], counted: Counted) -> int:
    """Return the bytes of what is not in a bucket or on a web server."""
    local = [given for given in inputs if not is_url(given)]
    if len(local) in {0, len(inputs)}:
        return counted.bytes if local else 0
    return count_images(local, most_headers=0).bytes


def _measured(sha256: str, own: Hardware, model: str, target: Target, tell: Callable[[str], None]) -> list[Speed]:
    """Return what was measured on this machine, after a short run where that is nothing."""
    cache = own_speeds()
    speeds = [] if cache is None else read_speeds(cache, sha256)
    if any(speed.hardware.cpu == own.cpu and bool(speed.hardware.gpu) == bool(own.gpu) for speed in speeds):
        return speeds
    if cache is None:
        raise UsageError("E750", "there is no cache folder to measure in", action="Set CELLFLEET_CACHE to a folder")
    tell(f"Nothing is known of the speed of {model} here: measuring it on a sample image, which takes some seconds.")
    calibrate(model, device=target.device if target.place == "here" else "cpu", threads=target.threads)
    return read_speeds(cache, sha256)
