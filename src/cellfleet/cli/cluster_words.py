"""What `cellfleet cluster` says and asks on a terminal. Decides nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cellfleet.cluster.checks import Check
from cellfleet.cluster.draft import Ask, Question
from cellfleet.cluster.leftovers import Looked
from cellfleet.cluster.plan import advise, reached
from cellfleet.cluster.programs import line_of, run_program
from cellfleet.cluster.steps import Carrier, Event, Step
from cellfleet.errors import UsageError
from cellfleet.planning.cluster_costs import HOURS_PER_MONTH
from cellfleet.planning.prices import load_prices
from cellfleet.spec.cluster import ClusterSpec


def say(*lines: str) -> None:
    """Write lines for people."""
    sys.stderr.writelines(f"{line}\n" for line in lines)
    sys.stderr.flush()


def ask(*, quiet: bool) -> Ask:
    """Return what asks on the terminal; `quiet`, or without a terminal, it takes the defaults."""

    def asks(question: Question) -> str:
        if quiet or not sys.stdin.isatty():
            return question.default
        choices = f" ({', '.join(question.choices)})" if question.choices else ""
        say(f"{question.text}{choices}", f"  {question.why}")
        sys.stderr.write(f"  [{question.default}] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip() or question.default

    return asks


def agreed(question: str, *, yes: bool) -> bool:
    """Ask once; Enter alone is a no.

    Raises:
        UsageError: E717, there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("E717", "there is no terminal to ask at", action="Add --yes to agree beforehand")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def check_lines(checks: Sequence[Check]) -> list[str]:
    """Return what was looked at: what is well on one line, the rest one to a line."""
    well = [str(check) for check in checks if check.state == "ok"]
    other = [check for check in checks if check.state != "ok"]
    lines = [f"Checked: {' · '.join(well)}"] if well else []
    return lines + [f"{check.name}: {check.text}. {check.action}".rstrip() for check in other]


def plan_lines(steps: Sequence[Step], *, commands: bool = False) -> list[str]:
    """Return a plan: each step, what it costs from then on, and how long it takes."""
    lines = []
    for number, step in enumerate(steps, 1):
        lines.append(f"{number:>3}. {step.what}{_cost(step)}{_time(step)}")
        if commands:
            lines.append(f"     {line_of(step.command)}")
    return lines


def carrier(spec: ClusterSpec) -> Carrier:
    """Return what carries plans out and tells each step."""
    return Carrier(run_program, _tell, advise(spec))


def reach_lines(spec: ClusterSpec) -> list[str]:
    """Return how the service is reached, and how the first token is made."""
    at = reached(spec)
    enter = at.kubectl("exec", "deploy/cellfleet-api", f"--namespace={at.namespace}", "--")
    token = (*enter, "cellfleet", "tokens", "add", "admin", "--role=admin", f"--store={spec.bucket}")
    forward = at.kubectl("port-forward", "service/cellfleet-api", "8000:80", f"--namespace={at.namespace}")
    lines = [f"Make the first token:  {line_of(token)}"]
    if spec.address:
        look = at.kubectl("get", "ingress", f"--namespace={at.namespace}")
        return [*lines, f"Point the name {spec.address} to the address that this tells:  {line_of(look)}"]
    return [*lines, f"Reach the page at http://127.0.0.1:8000 while this runs:  {line_of(forward)}"]


def left_lines(spec: ClusterSpec, looked: Sequence[Looked], bucket_bytes: int | None) -> list[str]:
    """Return what was looked for and found after a cluster was deleted, and what the bucket costs."""
    lines = []
    for each in looked:
        lines.append(f"Looked for {each.kind}: {len(each.found) or 'none'} left.")
        for left in each.found:
            size = f", {left.size_gb:g} GB" if left.size_gb else ""
            lines.append(
                f"  {left.name} ({left.place or 'everywhere'}{size}) costs money. Delete it: {line_of(left.delete)}"
            )
    if bucket_bytes is not None:
        lines.append(f"Kept: {spec.bucket}, {bucket_bytes / 2**30:.1f} GB{_storage(spec, bucket_bytes)}.")
    elif looked:
        lines.append(f"Kept, if it was ever made: {spec.bucket}.")
    else:
        lines.append(f"Kept: {spec.bucket}, and KEDA, which others may use: helm uninstall keda --namespace=keda")
    return lines


def _storage(spec: ClusterSpec, count: int) -> str:
    prices = load_prices()
    for region in (spec.region or "", "us-central1"):
        price = prices.unit("storage", "standard", region, provider="gcp")
        if price:
            note = "" if region == spec.region else f" at the price of {region}"
            return f", ${count / 2**30 * price.on_demand:.2f} a month{note}"
    return ""


def _tell(event: Event, step: Step, detail: str) -> None:
    more = f" ({detail})" if detail else ""
    texts = {
        "done": f"  ✓ {step.name}: as it should be{more}",
        "begin": f"  … {step.what}{_time(step)}{more}",
        "change": f"  … {step.name}: {detail or step.what}",
        "wait": f"  … {step.name}: waiting{more}",
        "end": f"  ✓ {step.name}",
    }
    say(texts[event])


def _cost(step: Step) -> str:
    if step.usd_per_hour is None:
        return " — costs money; there is no price for it here"
    idle, full = step.usd_per_hour
    if full == 0:
        return ""
    if idle == full:
        return f" — ${idle:.2f} an hour (${idle * HOURS_PER_MONTH:.0f} a month)"
    return f" — ${idle:.2f} to ${full:.2f} an hour"


def _time(step: Step) -> str:
    return f", about {step.minutes:g} min" if step.minutes else ""
