"""What runs on any Kubernetes: KEDA, for the paper's policy Prometheus, and cellfleet's chart, by helm and kubectl.

The namespace has the cluster's name, the release is called cellfleet. Knows no provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from cellfleet.cluster.programs import Answer, Command, parsed
from cellfleet.cluster.steps import Found, Step
from cellfleet.cluster.values import helm_values
from cellfleet.errors import ClusterError
from cellfleet.spec.cluster import ClusterSpec

RELEASE: Final = "cellfleet"
_KEDA: Final = ("keda", "https://kedacore.github.io/charts", "2.20.2")
"""Release and chart, where it is published, version: the one that the chart's autoscaling was tried with."""
_PROMETHEUS: Final = ("kube-prometheus-stack", "https://prometheus-community.github.io/helm-charts", "85.0.0")
_KINDS: Final = {"KEDA": "scaledobjects.keda.sh", "Prometheus": "prometheuses.monitoring.coreos.com"}
"""What there is in a cluster where it is installed, however that was done."""
_WAIT: Final = ("--wait", "--timeout=15m")


@dataclass(frozen=True)
class Reached:
    """A Kubernetes that helm and kubectl reach."""

    context: str
    """Entry of the kubeconfig."""
    namespace: str

    def helm(self, *words: str, namespace: str | None = None) -> Command:
        """Return a command of helm."""
        return ("helm", *words, f"--kube-context={self.context}", f"--namespace={namespace or self.namespace}")

    def kubectl(self, *words: str) -> Command:
        """Return a command of kubectl."""
        return ("kubectl", *words, f"--context={self.context}")


@dataclass(frozen=True)
class Chart:
    """The chart, and the values for it, as files or addresses."""

    where: str
    """Folder, archive or ``oci://`` address."""
    values: Path

    @property
    def version(self) -> str | None:
        """Version of a chart in a folder; None: it is not to be seen from here."""
        described = Path(self.where) / "Chart.yaml"
        if not described.is_file():
            return None
        return str(yaml.safe_load(described.read_text(encoding="utf-8"))["version"])


def find_chart(given: str | None) -> str:
    """Return where the chart is: as said, or in a checkout of cellfleet around this folder.

    Raises:
        ClusterError: E717, it is not to be found.
    """
    if given:
        if "://" not in given and not Path(given).exists():
            raise ClusterError("E717", "there is no chart here", where=given, action="Give its folder or archive")
        return given
    for folder in (Path.cwd(), *Path.cwd().parents, *Path(__file__).resolve().parents):
        if (folder / "deploy" / "chart" / "Chart.yaml").is_file():
            return str(folder / "deploy" / "chart")
    what = "the chart of cellfleet is not to be found here"
    raise ClusterError("E717", what, action="Say where it is with --chart: a folder, an archive or an oci:// address")


def installing(spec: ClusterSpec, at: Reached, chart: Chart) -> list[Step]:
    """Return the steps from a Kubernetes to a running service."""
    metrics = (
        [_helper(at, "Prometheus", "prometheus", "monitoring", _PROMETHEUS)] if spec.autoscaling == "paper" else []
    )
    return [_helper(at, "KEDA", "keda", "keda", _KEDA), *metrics, _release(spec, at, chart)]


def removing(at: Reached, gone: tuple[Command, Callable[[Answer], bool]] | None) -> list[Step]:
    """Return the steps that remove cellfleet with its disks and addresses.

    Args:
        at: Where it runs.
        gone: A look at the cluster, and whether its answer means that it is gone, and all on it.
    """
    first = (gone[0],) if gone else ()

    def absent(look: Command) -> Callable[[tuple[Answer, ...]], Found]:
        def found(answers: tuple[Answer, ...]) -> Found:
            if gone and gone[1](answers[0]):
                return Found("done")
            return Found("done" if parsed(answers[-1], look) is None else "missing")

        return found

    status = at.helm("status", RELEASE, "--output=json")
    namespace = at.kubectl("get", "namespace", at.namespace, "--output=json")
    return [
        Step(
            "cellfleet",
            "Uninstall cellfleet; workers finish or give back what they have begun",
            at.helm("uninstall", RELEASE, *_WAIT),
            (*first, status),
            absent(status),
            minutes=2,
        ),
        Step(
            "namespace",
            f"Delete the namespace {at.namespace} with the ledger's disk and what the outside reached it by",
            at.kubectl("delete", "namespace", at.namespace, "--timeout=10m"),
            (*first, namespace),
            absent(namespace),
            minutes=1,
        ),
    ]


def _helper(at: Reached, name: str, release: str, namespace: str, source: tuple[str, str, str]) -> Step:
    """Return the step that installs somebody else's chart, unless it is there in whatever version."""
    chart, repository, version = source
    look = at.helm("status", release, "--output=json", namespace=namespace)
    kind = at.kubectl("get", "crd", _KINDS[name], "--output=json")
    command = at.helm(
        *("upgrade", release, chart, "--install", f"--repo={repository}", f"--version={version}"),
        *("--create-namespace", *_WAIT),
        namespace=namespace,
    )

    def found(answers: tuple[Answer, ...]) -> Found:
        here = parsed(answers[0], look)
        if here is None and parsed(answers[1], kind) is not None:
            return Found("done", "installed in another way")
        return _installed(here, at, release, namespace)

    purpose = {"KEDA": "which adds and takes away workers", "Prometheus": "which the paper's policy asks"}[name]
    return Step(name, f"Install {name} {version}, {purpose}", command, (look, kind), found, minutes=2)


def _release(spec: ClusterSpec, at: Reached, chart: Chart) -> Step:
    status = at.helm("status", RELEASE, "--output=json")
    listed = at.helm("list", f"--filter={RELEASE}", "--output=json")
    command = at.helm(
        *("upgrade", RELEASE, chart.where, "--install", f"--values={chart.values}", "--reset-values"),
        *("--create-namespace", *_WAIT),
    )

    def found(answers: tuple[Answer, ...]) -> Found:
        here = parsed(answers[0], status)
        state = _installed(here, at, RELEASE, at.namespace)
        if state.state != "done":
            return state
        if (here.get("config") or {}) != helm_values(spec):
            return Found("different", "other values than the description leads to")
        release: Mapping[str, Any] = next(
            (entry for entry in parsed(answers[1], listed) or () if entry["name"] == RELEASE), {}
        )
        if chart.version and release.get("chart") != f"{RELEASE}-{chart.version}":
            return Found("different", f"the chart is {release.get('chart')}, not {RELEASE}-{chart.version}")
        return state

    return Step("cellfleet", "Install cellfleet from its chart", command, (status, listed), found, minutes=3)


def _installed(here: Mapping[str, Any] | None, at: Reached, release: str, namespace: str) -> Found:
    """Say how a release stands. One that a helm left half done when it was cut off stands in the way of the next."""
    if here is None:
        return Found("missing")
    status = here.get("info", {}).get("status", "")
    if status == "deployed":
        return Found("done")
    if status == "uninstalling" or (status.startswith("pending") and int(here.get("version", 1)) == 1):
        remove = at.helm("uninstall", release, *_WAIT, namespace=namespace)
        return Found("different", "a former installation was cut off: it is removed first", remove)
    if status.startswith("pending"):
        back = at.helm("rollback", release, *_WAIT, namespace=namespace)
        return Found("different", "a former upgrade was cut off: it is taken back first", back)
    return Found("different", f"helm says {status}")
