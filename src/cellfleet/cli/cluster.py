"""`cellfleet cluster`: one file describes a cluster, and this makes it so. Words only; see `cellfleet.cluster`."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter, validators

if TYPE_CHECKING:
    from cellfleet.planning.cluster_costs import ClusterCosts
    from cellfleet.spec.cluster import ClusterSpec

_HOW = Group("How", sort_key=1)
_WHAT = Group("What 'init' writes; it asks for the rest", sort_key=2)
_NONE_OR_MORE = validators.Number(gte=0)


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How it goes."""

    file: Annotated[
        str,
        Parameter(name=["--file", "-f"], group=_HOW, metavar="FILE", help="The description: a path, or its address."),
    ] = "cluster.yaml"
    against: Annotated[
        str | None,
        Parameter(group=_HOW, metavar="FILE", help="diff: compare with this. [default: what the bucket keeps]"),
    ] = None
    out: Annotated[
        str | None, Parameter(name=["--out", "-o"], group=_HOW, metavar="DIR", help="render: where files are written.")
    ] = None
    chart: Annotated[
        str | None,
        Parameter(
            group=_HOW, metavar="CHART", help="Folder, archive or oci:// address. [default: deploy/chart around here]"
        ),
    ] = None
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], group=_HOW, help="Ask nothing.")] = False
    dry_run: Annotated[bool, Parameter(group=_HOW, help="Print what would be done, and do nothing.")] = False
    overwrite: Annotated[bool, Parameter(group=_HOW, help="init, render: replace files.")] = False


@Parameter(name="*")
@dataclass(frozen=True)
class What:
    """Answers to the questions of `init`."""

    where: Annotated[
        Literal["gke", "eks", "aks", "kubeconfig"] | None, Parameter(group=_WHAT, help="Whose Kubernetes.")
    ] = None
    name: Annotated[str | None, Parameter(group=_WHAT, help="Of the cluster. [default: cellfleet]")] = None
    project: Annotated[str | None, Parameter(group=_WHAT, help="gke: who pays. aks: the resource group.")] = None
    region: Annotated[str | None, Parameter(group=_WHAT, help="Like us-west1.")] = None
    zone: Annotated[
        tuple[str, ...], Parameter(group=_WHAT, show_default=False, help="Like us-west1-b; repeat for more.")
    ] = ()
    context: Annotated[str | None, Parameter(group=_WHAT, help="kubeconfig: the entry to use.")] = None
    bucket: Annotated[str | None, Parameter(group=_WHAT, metavar="URL", help="gs://…, s3://… or az://…")] = None
    secret: Annotated[str | None, Parameter(group=_WHAT, help="Kubernetes Secret that opens the bucket.")] = None
    gpu: Annotated[str | None, Parameter(group=_WHAT, help="t4, l4, v100, p100, a10g, a100, h100 or none.")] = None
    spot: Annotated[
        bool | None,
        Parameter(group=_WHAT, negative="--on-demand", help="Spare machines, or such that stay. [default: spot]"),
    ] = None
    min_gpus: Annotated[
        int | None, Parameter(group=_WHAT, validator=_NONE_OR_MORE, help="That run even without work. [default: 0]")
    ] = None
    max_gpus: Annotated[int | None, Parameter(group=_WHAT, validator=_NONE_OR_MORE, help="At a time.")] = None
    max_cpus: Annotated[
        int | None, Parameter(group=_WHAT, validator=_NONE_OR_MORE, help="Machines without GPU at a time.")
    ] = None
    budget: Annotated[float | None, Parameter(group=_WHAT, help="USD a month after which no work is begun.")] = None
    mode: Annotated[Literal["fused", "split"] | None, Parameter(group=_WHAT, help="split: GPUs run Triton.")] = None
    address: Annotated[str | None, Parameter(group=_WHAT, metavar="HOST", help="Host name of the web page.")] = None


def cluster(
    action: Annotated[
        Literal["init", "render", "diff", "up", "status", "down"], Parameter(name="ACTION", help="What to do.")
    ],
    /,
    *,
    how: How = How(),
    what: What = What(),
) -> int:
    """Describe a cluster, make it, look at it, delete it; the text of its help stands in `cellfleet.cli.help`."""
    if action == "init":
        return _init(how, what)
    actions = {"render": _render, "diff": _diff, "up": _up, "status": _status, "down": _down}
    return actions[action](how)


def _init(how: How, what: What) -> int:
    from cellfleet.cli.cluster_words import ask, check_lines, say
    from cellfleet.cluster import file, plan
    from cellfleet.cluster.draft import draft
    from cellfleet.cluster.programs import run_program
    from cellfleet.planning.cluster_costs import cluster_costs, costs_in_words
    from cellfleet.spec.cluster_file import write_cluster

    path = Path(how.file)
    # Before a dozen questions are answered in vain.
    file.refuse_existing(path, replace=how.overwrite or how.dry_run)
    said: dict[str, Any] = {name: value for name, value in vars(what).items() if name not in {"zone", "budget"}}
    said |= {"zones": list(what.zone) or None, "budget_per_month": what.budget}
    spec = draft(said, ask(quiet=how.yes), run_program)
    say(*check_lines(plan.check(spec, run_program)))
    text = write_cluster(spec)
    say(costs_in_words(spec, cluster_costs(spec)))
    if how.dry_run:
        sys.stdout.write(text)
        return 0
    file.write_text(path, text, replace=how.overwrite)
    say(f"Wrote {path}. Look at it, then: cellfleet cluster up")
    return 0


def _render(how: How) -> int:
    from cellfleet.cli.cluster_words import say
    from cellfleet.cluster import file, plan
    from cellfleet.errors import UsageError

    spec, costs = _read(how)
    texts = plan.rendered(spec, costs, how.chart or "deploy/chart")
    if how.dry_run:
        sys.stdout.write("\n".join(f"# --- {name} ---\n{text}" for name, text in texts.items()))
        return 0
    if how.out is None:
        raise UsageError("E717", "'cellfleet cluster render' needs a folder to write to", action="Add -o DIR")
    for name, text in texts.items():
        file.write_text(Path(how.out, name), text, replace=how.overwrite)
    say(f"Wrote {', '.join(texts)} to {how.out}.")
    return 0


def _diff(how: How) -> int:
    from cellfleet.cluster import file, plan
    from cellfleet.cluster.programs import run_program
    from cellfleet.planning.cluster_changes import consequences
    from cellfleet.spec.cluster_file import diff_cluster

    spec, _ = _read(how)
    before = file.read_cluster(how.against) if how.against else plan.kept(spec, run_program)
    names = (how.against or "in the bucket", how.file)
    sys.stdout.write(diff_cluster(before, spec, names))
    sys.stderr.writelines(f"{sentence}\n" for sentence in consequences(before, spec))
    return 0


def _up(how: How) -> int:
    from cellfleet.cli.cluster_words import agreed, carrier, check_lines, plan_lines, reach_lines, say
    from cellfleet.cluster import checks, kubernetes, plan
    from cellfleet.cluster.programs import run_program
    from cellfleet.planning.cluster_costs import costs_in_words

    spec, costs = _read(how)
    chart = kubernetes.find_chart(how.chart)
    with tempfile.TemporaryDirectory(prefix="cellfleet-cluster-") as folder:
        files = plan.Files(Path(folder))
        steps = plan.up_steps(spec, costs, chart, files)
        if how.dry_run:
            say(*plan_lines(steps, commands=True), costs_in_words(spec, costs))
            return 0
        found = plan.check(spec, run_program)
        say(*check_lines(found))
        checks.refuse(found)
        say(*plan_lines(steps), costs_in_words(spec, costs))
        if not agreed(f"Make the cluster {spec.name}?", yes=how.yes):
            return 0
        plan.write_files(spec, files, run_program)
        done = carrier(spec).carry_out(steps)
    say("Everything was done already." if done == 0 else f"Done: {done} of {len(steps)} steps, the others before.")
    say(*reach_lines(spec))
    return 0


def _status(how: How) -> int:
    from cellfleet.cli.cluster_words import say
    from cellfleet.cluster import status
    from cellfleet.cluster.programs import run_program

    spec, costs = _read(how)
    say(*status.status_lines(spec, costs, run_program))
    return 0


def _down(how: How) -> int:
    from cellfleet.cli.cluster_words import agreed, carrier, left_lines, plan_lines, say
    from cellfleet.cluster import plan
    from cellfleet.cluster.manual import told
    from cellfleet.cluster.programs import run_program

    spec, _ = _read(how)
    steps = plan.down_steps(spec)
    say(*plan_lines(steps, commands=how.dry_run))
    if how.dry_run:
        return 0
    say(f"Jobs that run are given back to the ledger, which goes too; they can be recovered from {spec.bucket}.")
    if not agreed(f"Delete the cluster {spec.name}? The bucket is kept.", yes=how.yes):
        return 0
    carrier(spec).carry_out(steps)
    by_hand = plan.manual(spec)
    if by_hand:
        say("cellfleet is gone. The cluster itself is deleted, and what is left is found, by hand:")
        sys.stdout.write(told("Delete", by_hand.delete) + told("What could still cost money", by_hand.left))
        return 0
    looked = plan.look_for_leftovers(spec, run_program)
    say(*left_lines(spec, looked, plan.bucket_bytes(spec, run_program)))
    return 5 if any(each.found for each in looked) else 0


def _read(how: How) -> tuple[ClusterSpec, ClusterCosts]:
    from cellfleet.cluster.file import read_cluster
    from cellfleet.planning.cluster_costs import cluster_costs

    spec = read_cluster(how.file)
    return spec, cluster_costs(spec)
