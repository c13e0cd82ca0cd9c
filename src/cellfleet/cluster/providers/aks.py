"""A cluster of Microsoft's AKS: the commands to make and delete it, to be run by hand. Runs nothing.

Words after the pages of ``az aks``, ``az identity`` and ``az storage``; az was not installed where they were written,
so no program has checked them. What one command's answer gives to another stands in angle brackets.
"""

from __future__ import annotations

from cellfleet.cluster.manual import Manual, Told
from cellfleet.cluster.providers.gke import ACCOUNT_OF_PODS, POOL_KEY
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool


def context(spec: ClusterSpec) -> str:
    """Return the entry of the kubeconfig that the commands make."""
    return spec.name


def container_and_account(spec: ClusterSpec) -> tuple[str, str]:
    """Return the blob container and the storage account of the bucket."""
    container, _, host = spec.bucket.removeprefix("az://").split("/")[0].partition("@")
    return container, host.split(".")[0]


def manual(spec: ClusterSpec) -> Manual:
    """Return what to run by hand."""
    in_group, group = (f"--name={spec.name}", f"--resource-group={spec.project}"), f"--resource-group={spec.project}"
    look = (
        Told("Who is logged in", ("az", "account", "show")),
        Told("Granted virtual CPUs by family of machines", ("az", "vm", "list-usage", f"--location={spec.region}")),
    )
    delete = (
        Told("Delete the cluster with its machines and disks", ("az", "aks", "delete", *in_group, "--yes")),
        Told("Delete its identity", ("az", "identity", "delete", *in_group)),
    )
    left = (
        Told("All that is left in the group; the storage account is kept", ("az", "resource", "list", group)),
        Told("The cluster's own group, which must be gone", ("az", "group", "exists", f"--name={_own_group(spec)}")),
    )
    return Manual(look=look, make=_make(spec, in_group), delete=delete, left=left, files={})


def _make(spec: ClusterSpec, in_group: tuple[str, str]) -> tuple[Told, ...]:
    group, (container, account) = in_group[1], container_and_account(spec)
    place = (f"--name={spec.project}", f"--location={spec.region}")
    kept = (f"--name={container}", f"--account-name={account}", "--auth-mode=login")
    cluster = (
        *("az", "aks", "create", *in_group, "--tier=free", "--node-count=1", f"--node-vm-size={spec.system_machine}"),
        *("--enable-oidc-issuer", "--enable-workload-identity", "--network-plugin=azure", "--generate-ssh-keys"),
    )
    storage = ("az", "storage", "account", "create", f"--name={account}", group, "--sku=Standard_LRS")
    reach = ("az", "aks", "get-credentials", *in_group, f"--context={context(spec)}")
    return (
        Told("Make the resource group", ("az", "group", "create", *place)),
        Told("Make the storage account", storage),
        Told("Make the container", ("az", "storage", "container", "create", *kept)),
        Told("Make the cluster, about 5 minutes; its control plane is free of charge", cluster),
        *(_pool(spec, group, "cpu", spec.cpu, spec.cpu_machine) if spec.cpu.max else ()),
        *(_pool(spec, group, "gpu", spec.gpu, spec.gpu_machine) if spec.gpu and spec.gpu.max else ()),
        *(() if spec.secret else _identity(spec, group, account)),
        Told("Tell kubectl and helm how to reach it", reach),
    )


def _own_group(spec: ClusterSpec) -> str:
    return f"MC_{spec.project}_{spec.name}_{spec.region}"


def _pool(spec: ClusterSpec, group: str, kind: str, pool: CpuPool | GpuPool, machine: str | None) -> tuple[Told, ...]:
    spot = ("--priority=Spot", "--eviction-policy=Delete", "--spot-max-price=-1") if pool.spot else ()
    command = (
        *("az", "aks", "nodepool", "add", f"--cluster-name={spec.name}", group, f"--name={kind}"),
        *(f"--node-vm-size={machine}", "--enable-cluster-autoscaler", f"--node-count={pool.min}"),
        *(f"--min-count={pool.min}", f"--max-count={pool.max}", *spot),
        *(f"--labels={POOL_KEY}={kind}", f"--node-taints={POOL_KEY}={kind}:NoSchedule"),
    )
    return (Told(f"Make the {kind.upper()} pool of {pool.min}–{pool.max} machines", command),)


def _identity(spec: ClusterSpec, group: str, account: str) -> tuple[Told, ...]:
    named = (f"--name={spec.name}", group)
    issuer = ("az", "aks", "show", *named, "--query=oidcIssuerProfile.issuerUrl", "--output=tsv")
    storage = ("az", "storage", "account", "show", f"--name={account}", group, "--query=id", "--output=tsv")
    return (
        Told(
            "Make an identity for cellfleet; its answer tells <clientId> and <principalId>",
            ("az", "identity", "create", *named),
        ),
        Told("Its answer is <storageId>", storage),
        Told(
            "Let it read and write the container",
            (
                *("az", "role", "assignment", "create", "--role=Storage Blob Data Contributor", "--scope=<storageId>"),
                *("--assignee-object-id=<principalId>", "--assignee-principal-type=ServicePrincipal"),
            ),
        ),
        Told("Its answer is <issuer>", issuer),
        Told(
            "Let the pods of cellfleet use it; no key is made",
            (
                *("az", "identity", "federated-credential", "create", f"--name={spec.name}", group),
                *(f"--identity-name={spec.name}", "--issuer=<issuer>", "--audiences=api://AzureADTokenExchange"),
                f"--subject=system:serviceaccount:{spec.name}:{ACCOUNT_OF_PODS}",
            ),
        ),
        Told(
            "After the chart is installed: tell its account which identity is its own",
            (
                *(
                    "kubectl",
                    "annotate",
                    "serviceaccount",
                    ACCOUNT_OF_PODS,
                    "azure.workload.identity/client-id=<clientId>",
                ),
                *("--overwrite", f"--namespace={spec.name}", f"--context={context(spec)}"),
            ),
        ),
    )
