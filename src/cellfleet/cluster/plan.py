"""All that is to be done for one description, whichever the provider: plans up and down, texts, checks.

The only module that knows all providers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cellfleet.cluster import checks, kubernetes
from cellfleet.cluster.checks import Check
from cellfleet.cluster.kubernetes import Chart, Reached
from cellfleet.cluster.leftovers import Looked
from cellfleet.cluster.manual import Manual, Told, told
from cellfleet.cluster.programs import Answer, Command, Run, parsed
from cellfleet.cluster.providers import aks, eks, gke, gke_checks, gke_down
from cellfleet.cluster.steps import Advise, Found, Step
from cellfleet.cluster.values import values_yaml
from cellfleet.planning.cluster_costs import ClusterCosts
from cellfleet.spec.cluster import ClusterSpec
from cellfleet.spec.cluster_file import GRANTED, IN_STORE, NAME, parse_cluster, write_cluster
from cellfleet.stores.place import open_place

VALUES = "values.yaml"
COMMANDS = "commands.txt"


@dataclass(frozen=True)
class Files:
    """Where a plan's files stand: helm reads the values, the provider's CLI the description."""

    folder: Path

    @property
    def values(self) -> Path:
        """Of the chart."""
        return self.folder / VALUES

    @property
    def description(self) -> Path:
        """As it is kept in the store."""
        return self.folder / NAME

    @property
    def granted(self) -> Path:
        """What the provider grants, as the service's page wants to know it."""
        return self.folder / "granted.json"


def reached(spec: ClusterSpec) -> Reached:
    """Return how helm and kubectl reach the cluster."""
    if spec.where == "kubeconfig":
        return Reached(str(spec.context), spec.name)
    entry = {"gke": gke.context, "eks": eks.context, "aks": aks.context}[spec.where](spec)
    return Reached(entry, spec.name)


def manual(spec: ClusterSpec) -> Manual | None:
    """Return what is to be run by hand; None where cellfleet does all of it."""
    if spec.where == "eks":
        return eks.manual(spec)
    return aks.manual(spec) if spec.where == "aks" else None


def check(spec: ClusterSpec, run: Run) -> list[Check]:
    """Look at what can be looked at before anything is made."""
    if spec.where == "gke":
        return gke_checks.check(spec, run)
    found = checks.programs(("kubectl", "helm"))
    if any(each.state == "wrong" for each in found):
        return found
    at = reached(spec)
    answer = run(("kubectl", "config", "get-contexts", at.context, "--output=name"))
    if answer.code == 0:
        return [*found, Check("access", "ok", at.context)]
    if spec.where == "kubeconfig":
        action, text = "'kubectl config get-contexts' lists those that there are", f"has no entry {at.context}"
        return [*found, Check("kubeconfig", "wrong", text, action)]
    action = f"Run the commands of {COMMANDS} first: cellfleet cluster render -o DIR"
    return [*found, Check("cluster", "wrong", f"{spec.name} is not there yet", action, "E718")]


def up_steps(spec: ClusterSpec, costs: ClusterCosts, chart: str, files: Files) -> list[Step]:
    """Return the plan to a running service; nothing is written yet."""
    installing = kubernetes.installing(spec, reached(spec), Chart(chart, files.values))
    if spec.where != "gke":
        return installing
    keeping = [
        _keep(spec, files.granted, GRANTED, "what Google grants, for the web page,"),
        _keep(spec, files.description, IN_STORE, "this description"),
    ]
    return [*gke.before(spec, costs), *installing, *keeping]


def write_files(spec: ClusterSpec, files: Files, run: Run) -> None:
    """Write what the plan's commands read."""
    files.values.write_text(values_yaml(spec), encoding="utf-8")
    files.description.write_text(write_cluster(spec), encoding="utf-8")
    if spec.where == "gke":
        files.granted.write_text(gke_checks.granted(spec, run).model_dump_json(indent=1), encoding="utf-8")


def _keep(spec: ClusterSpec, file: Path, name: str, what: str) -> Step:
    """Return the step that keeps a file in the store, where the service and its page find it."""
    there = f"{spec.bucket.rstrip('/')}/{name}"
    look = ("gcloud", "storage", "cat", there, "--quiet")

    def found(answers: tuple[Answer, ...]) -> Found:
        if answers[0].code:
            return Found("missing")
        # Nobody has written the files where one only looks.
        same = not file.exists() or answers[0].out.strip() == file.read_text(encoding="utf-8").strip()
        return Found("done" if same else "different", "" if same else "the bucket has another one")

    command = ("gcloud", "storage", "cp", str(file), there, "--quiet")
    return Step(Path(name).stem, f"Keep {what} as {there}", command, (look,), found)


def kept(spec: ClusterSpec, run: Run) -> ClusterSpec | None:
    """Return the description that the bucket keeps: what the cluster was brought up with; None: there is none.

    Raises:
        ClusterError: E713, the bucket cannot be looked into.
        OutputError: The same, where no program of the provider's is asked.
        UsageError: E710, E711, it is none that this version reads.
    """
    place = f"{spec.bucket.rstrip('/')}/{IN_STORE}"
    if spec.where != "gke":
        content = open_place(spec.bucket).read(IN_STORE)
        return None if content is None else parse_cluster(content, place)
    look = ("gcloud", "storage", "cat", place, "--quiet")
    answer = run(look)
    if answer.code:
        parsed(answer, look)
        return None
    return parse_cluster(answer.out, place)


def down_steps(spec: ClusterSpec) -> list[Step]:
    """Return the plan that removes everything but the bucket."""
    at = reached(spec)
    if spec.where != "gke":
        return kubernetes.removing(at, None)
    gone = gke_down.cluster_is_gone(spec)
    access = gke.credentials(spec)

    def found(answers: tuple[Answer, ...]) -> Found:
        return Found("done") if gone[1](answers[0]) else access.found(answers[1:])

    to_reach = Step(access.name, access.what, access.command, (gone[0], *access.look), found)
    return [to_reach, *kubernetes.removing(at, gone), *gke_down.deleting(spec)]


def look_for_leftovers(spec: ClusterSpec, run: Run) -> list[Looked]:
    """Look for what could still cost money, where cellfleet can."""
    return gke_down.look_for_leftovers(spec, run) if spec.where == "gke" else []


def bucket_bytes(spec: ClusterSpec, run: Run) -> int | None:
    """Return what lies in the bucket, which is kept; None: it is not there, or cannot be looked at from here."""
    return gke_down.bucket_bytes(spec, run) if spec.where == "gke" else None


def advise(spec: ClusterSpec) -> Advise:
    """Return what knows what to do about the words of the provider's programs."""
    return gke.advise if spec.where == "gke" else lambda words: ""


def rendered(spec: ClusterSpec, costs: ClusterCosts, chart: str) -> dict[str, str]:
    """Return the files of `cellfleet cluster render`: name → content."""
    by_hand, files = manual(spec), Files(Path())
    helm = _told(up_steps(spec, costs, chart, files))
    texts = {VALUES: values_yaml(spec)}
    if by_hand:
        parts = [
            told("Look first", by_hand.look),
            told("Make the cluster", by_hand.make),
            told("Then 'cellfleet cluster up' runs", helm),
            told("To delete it: 'cellfleet cluster down', then", by_hand.delete),
            told("What could still cost money", by_hand.left),
        ]
        texts |= by_hand.files
    else:
        parts = [told("'cellfleet cluster up' runs, of these, what is not done yet", helm)]
        parts.append(told("'cellfleet cluster down' runs, of these, what is there", _told(down_steps(spec))))
    if spec.where == "gke":
        texts[NAME] = write_cluster(spec)
        helm = [told for told in helm if "granted.json" not in told.command[3]]
    return {**texts, COMMANDS: "\n".join(parts)}


def _told(steps: Sequence[Step]) -> list[Told]:
    return [Told(step.what, step.command) for step in steps if not _is_only_a_sample(step.command)]


def _is_only_a_sample(command: Command) -> bool:
    # Old pools are known only when the cluster is looked at.
    return command[:4] == ("gcloud", "container", "node-pools", "delete")
