"""A stand-in for Google's cloud and a Kubernetes: answers gcloud, kubectl and helm in their own words, and keeps count.

Imported, it is called in process; as a program (see `install`) it stands on the path under the names of the three. It
can be told to fail, or to be cut off before or after a command took effect.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellfleet.cluster.programs import Answer, Command

NOT_FOUND = "ERROR: ({}) ResponseError: code=404, message=Not found: {}."
NAMES = ("gcloud", "kubectl", "helm", "gke-gcloud-auth-plugin")


class CutOffError(Exception):
    """The program was killed."""


def empty() -> dict[str, Any]:
    """Return a project with nothing in it."""
    return {
        "log": [], "services": [], "buckets": {}, "accounts": {}, "project_policy": [], "clusters": {}, "objects": {},
        "contexts": [], "releases": {}, "namespaces": [], "disks": [], "rules": [], "kinds": [],
        "quotas": {"NVIDIA_T4_GPUS": 4, "PREEMPTIBLE_NVIDIA_T4_GPUS": 8, "IN_USE_ADDRESSES": 8},
        "slow": 2, "fault": None,
    }  # fmt: skip


class Cloud:
    """All state, and what each command does to it."""

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        """Begin with a state."""
        self.state = empty() if state is None else state

    @property
    def changes(self) -> list[list[str]]:
        """Commands that changed something, or tried to."""
        return [entry for entry in self.state["log"] if _changes(entry)]

    def run(self, command: Command) -> Answer:
        """Answer one command."""
        self.state["log"].append(list(command))
        fault = self.state["fault"]
        hit = fault if fault and _changes(list(command)) and len(self.changes) == fault["at"] else None
        if hit and hit["how"] == "refused":
            return Answer(1, "", hit["words"])
        if hit and hit["how"] == "before":
            raise CutOffError(" ".join(command))
        answer = self._answer(list(command))
        if hit and hit["how"] == "lost":
            return Answer(1, "", "ERROR: the answer was lost on its way")
        if hit and hit["how"] == "after":
            raise CutOffError(" ".join(command))
        return answer

    def _answer(self, words: list[str]) -> Answer:
        plain = [word for word in words[1:] if not word.startswith("--")]
        flags = dict(word.removeprefix("--").partition("=")[::2] for word in words if word.startswith("--"))
        verbs: dict[str, Callable[[list[str], dict[str, str]], Answer]] = {
            "gcloud": self._gcloud, "kubectl": self._kubectl, "helm": self._helm,
        }  # fmt: skip
        return verbs[words[0]](plain, flags)

    # gcloud

    def _gcloud(self, words: list[str], flags: dict[str, str]) -> Answer:
        for depth in (3, 2, 1):
            found = getattr(self, "_" + "_".join(words[:depth]).replace("-", "_"), None)
            if found:
                return found(words[depth:], flags)
        raise AssertionError(f"the stand-in does not know: {words}")

    def _auth_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json([{"account": "ann@lab.example", "status": "ACTIVE"}])

    def _config_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json({"core": {"project": "lab-1"}})

    def _projects_describe(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json({"projectId": rest[0], "lifecycleState": "ACTIVE"})

    def _projects_get_iam_policy(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _policy(self.state["project_policy"])

    def _projects_add_iam_policy_binding(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _bind(self.state["project_policy"], flags)

    def _projects_remove_iam_policy_binding(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _unbind(self.state["project_policy"], flags)

    def _services_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json([{"config": {"name": name}} for name in self.state["services"]])

    def _services_enable(self, rest: list[str], flags: dict[str, str]) -> Answer:
        self.state["services"] = sorted({*self.state["services"], *rest})
        return _json(None)

    def _compute_regions_describe(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json({"quotas": [{"metric": key, "limit": value} for key, value in self.state["quotas"].items()]})

    def _compute_project_info_describe(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json({"quotas": []})

    def _compute_accelerator_types_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        zones = ("us-west1-a", "us-west1-b", "us-east1-c")
        return _json(
            [{"name": "nvidia-tesla-t4", "zone": f"https://www.googleapis.com/zones/{zone}"} for zone in zones]
        )

    def _compute_instances_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json([{"name": "somebody-elses", "zone": "zones/us-west1-b", "labels": {}}])

    def _compute_disks_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json(self.state["disks"])

    def _compute_addresses_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json([])

    def _compute_forwarding_rules_list(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _json(self.state["rules"])

    def _storage_buckets_describe(self, rest: list[str], flags: dict[str, str]) -> Answer:
        if rest[0] not in self.state["buckets"]:
            return Answer(1, "", f"ERROR: (gcloud.storage.buckets.describe) {rest[0]} not found: 404.")
        return _json({"location": self.state["buckets"][rest[0]]["location"].upper()})

    def _storage_buckets_create(self, rest: list[str], flags: dict[str, str]) -> Answer:
        self.state["buckets"][rest[0]] = {"location": flags["location"], "policy": []}
        return _json(None)

    def _storage_buckets_get_iam_policy(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _policy(self.state["buckets"][rest[0]]["policy"])

    def _storage_buckets_add_iam_policy_binding(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _bind(self.state["buckets"][rest[0]]["policy"], flags)

    def _storage_buckets_remove_iam_policy_binding(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return _unbind(self.state["buckets"][rest[0]]["policy"], flags)

    def _storage_cat(self, rest: list[str], flags: dict[str, str]) -> Answer:
        if rest[0] not in self.state["objects"]:
            return Answer(
                1, "", f"ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:\n{rest[0]}"
            )
        return Answer(0, self.state["objects"][rest[0]], "")

    def _storage_cp(self, rest: list[str], flags: dict[str, str]) -> Answer:
        self.state["objects"][rest[1]] = Path(rest[0]).read_text()
        return Answer(0, "", "")

    def _storage_du(self, rest: list[str], flags: dict[str, str]) -> Answer:
        return Answer(0, f"{3 * 2**30}     {rest[0]}\n", "")

    def _iam_service_accounts(self, rest: list[str], flags: dict[str, str]) -> Answer:
        verb, name, accounts = rest[0], rest[1], self.state["accounts"]
        if verb == "create":
            accounts[f"{name}@{flags['project']}.iam.gserviceaccount.com"] = []
            return _json(None)
        if name not in accounts:
            return Answer(1, "", f"ERROR: (gcloud.iam.service-accounts.{verb}) NOT_FOUND: Unknown service account")
        if verb == "delete":
            del accounts[name]
        if verb == "add-iam-policy-binding":
            return _bind(accounts[name], flags)
        return _policy(accounts[name]) if verb == "get-iam-policy" else _json({"email": name})

    def _container_clusters(self, rest: list[str], flags: dict[str, str]) -> Answer:
        verb, clusters = rest[0], self.state["clusters"]
        if verb == "list":
            wanted = flags.get("filter", "").removeprefix("name=")
            return _json([it for it in clusters.values() if not wanted or it["name"] == wanted])
        name = rest[1]
        if verb == "create":
            self._make_cluster(name, flags)
            return _json(None)
        if name not in clusters or clusters[name]["location"] != flags["zone"]:
            return Answer(1, "", NOT_FOUND.format(f"gcloud.container.clusters.{verb}", f"clusters/{name}"))
        if verb == "delete":
            del clusters[name]
            self.state["releases"], self.state["namespaces"], self.state["contexts"] = {}, [], []
        elif verb == "get-credentials":
            self.state["contexts"].append(f"gke_{flags['project']}_{flags['zone']}_{name}")
        elif verb == "describe":
            self._time_passes(clusters[name])
            return _json({key: value for key, value in clusters[name].items() if key != "pools"})
        return _json(None)

    def _make_cluster(self, name: str, flags: dict[str, str]) -> None:
        self.state["clusters"][name] = {
            "name": name, "location": flags["zone"], "status": "PROVISIONING", "left": self.state["slow"], "pools": {},
        }  # fmt: skip

    def _container_node_pools(self, rest: list[str], flags: dict[str, str]) -> Answer:
        verb = rest[0]
        pools = self.state["clusters"].get(flags["cluster"], {}).get("pools")
        if verb == "list":
            return _json([{"name": "default-pool", "status": "RUNNING"}, *pools.values()])
        name = rest[1]
        if verb == "create":
            pools[name] = {
                "name": name, "status": "PROVISIONING", "left": min(1, self.state["slow"]), "flags": sorted(flags),
                "autoscaling": _bounds(flags), "locations": flags["node-locations"].split(","),
            }  # fmt: skip
            return _json(None)
        if pools is None or name not in pools:
            return Answer(1, "", NOT_FOUND.format(f"gcloud.container.node-pools.{verb}", f"nodePools/{name}"))
        if verb == "update" and "node-locations" in flags:
            pools[name]["locations"] = flags["node-locations"].split(",")
        elif verb == "update":
            pools[name]["autoscaling"] = _bounds(flags)
        if verb == "delete":
            del pools[name]
            return _json(None)
        self._time_passes(pools[name])
        return _json(pools[name])

    def _time_passes(self, thing: dict[str, Any]) -> None:
        thing["left"] -= 1
        if thing["status"] == "PROVISIONING" and thing["left"] < 0:
            thing["status"] = "RUNNING"

    # kubectl and helm

    def _kubectl(self, words: list[str], flags: dict[str, str]) -> Answer:
        if words[:2] == ["config", "get-contexts"]:
            there = words[2] in self.state["contexts"]
            return Answer(0, words[2], "") if there else Answer(1, "", f"error: context {words[2]} not found")
        if flags["context"] not in self.state["contexts"]:
            return Answer(1, "", f'error: context "{flags["context"]}" does not exist')
        if words[:2] == ["delete", "namespace"]:
            self.state["namespaces"].remove(words[2])
            return Answer(0, "", "")
        if words[:2] == ["get", "namespace"] and words[2] not in self.state["namespaces"]:
            return Answer(1, "", f'Error from server (NotFound): namespaces "{words[2]}" not found')
        return self._get(words)

    def _get(self, words: list[str]) -> Answer:
        if words[:2] == ["get", "crd"] and words[2] not in self.state["kinds"]:
            return Answer(1, "", f'Error from server (NotFound): customresourcedefinitions "{words[2]}" not found')
        if words[:2] == ["get", "nodes"]:
            labels = [{}, {"cellfleet-pool": "gpu"}]
            return _json({"items": [{"metadata": {"labels": label}} for label in labels]})
        if words[:2] == ["get", "pods"]:
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            return _json({"items": [{"metadata": {"labels": {"app.kubernetes.io/component": "api"}}, "status": ready}]})
        return _json({})

    def _helm(self, words: list[str], flags: dict[str, str]) -> Answer:
        if flags["kube-context"] not in self.state["contexts"]:
            return Answer(1, "", f'Error: context "{flags["kube-context"]}" does not exist')
        releases, space = self.state["releases"], flags["namespace"]
        if words[0] == "list":
            there = [it for key, it in releases.items() if key.startswith(f"{space}/")]
            return _json([{"name": it["name"], "chart": it["chart"], "status": it["info"]["status"]} for it in there])
        key = f"{space}/{words[1]}"
        if words[0] == "upgrade":
            self._install(words, flags, key)
            return Answer(0, "", "")
        if key not in releases:
            return Answer(1, "", "Error: release: not found")
        if words[0] == "uninstall":
            del releases[key]
        elif words[0] == "rollback":
            releases[key]["info"]["status"] = "deployed"
        return _json(releases.get(key, {}))

    def _install(self, words: list[str], flags: dict[str, str], key: str) -> None:
        import yaml  # as a program it is started often, and seldom needs this

        values = yaml.safe_load(Path(flags["values"]).read_text()) if "values" in flags else {}
        version = self.state["releases"].get(key, {}).get("version", 0) + 1
        chart = Path(words[2], "Chart.yaml")
        described = f"cellfleet-{yaml.safe_load(chart.read_text())['version']}" if chart.is_file() else words[2]
        self.state["namespaces"] = sorted({*self.state["namespaces"], key.split("/", maxsplit=1)[0]})
        self.state["releases"][key] = {
            "name": words[1], "info": {"status": "deployed"}, "version": version, "config": values, "chart": described,
        }  # fmt: skip


def install(folder: Path) -> dict[str, str]:
    """Put the stand-in on a path of its own; return the environment in which it is found."""
    folder.mkdir()
    (folder / "state.json").write_text(json.dumps(empty()))
    for name in NAMES:
        program = folder / name
        program.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(Path(__file__).parents[1])!r})\n")
        with program.open("a") as file:
            file.write(f"from tests import clouds\nsys.exit(clouds.main({str(folder)!r}, {name!r}))\n")
        program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def main(folder: str, name: str) -> int:
    """Answer one call of a program."""
    place = Path(folder, "state.json")
    cloud = Cloud(json.loads(place.read_text()))
    try:
        answer = cloud.run((name, *sys.argv[1:]))
    except CutOffError:
        answer = Answer(137, "", "Killed")
    place.write_text(json.dumps(cloud.state))
    sys.stdout.write(answer.out)
    sys.stderr.write(answer.err)
    return answer.code


def _changes(words: list[str]) -> bool:
    looks = {
        "list", "describe", "get-iam-policy", "cat", "du", "get-contexts", "current-context", "get", "status", "config",
    }  # fmt: skip
    return not looks.intersection(words[:5])


def _json(value: Any) -> Answer:
    return Answer(0, json.dumps(value), "")


def _bounds(flags: dict[str, str]) -> dict[str, Any]:
    # Google leaves out zeros.
    bounds = {"totalMinNodeCount": int(flags["total-min-nodes"]), "totalMaxNodeCount": int(flags["total-max-nodes"])}
    return {"enabled": True, **{key: value for key, value in bounds.items() if value}}


def _policy(bindings: list[list[str]]) -> Answer:
    return _json({"bindings": [{"role": role, "members": [member]} for role, member in bindings], "etag": "BwX="})


def _bind(bindings: list[list[str]], flags: dict[str, str]) -> Answer:
    bindings.append([flags["role"], flags["member"]])
    return _policy(bindings)


def _unbind(bindings: list[list[str]], flags: dict[str, str]) -> Answer:
    bindings.remove([flags["role"], flags["member"]])
    return _policy(bindings)
