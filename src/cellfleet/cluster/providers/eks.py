"""A cluster of Amazon's EKS: the commands and files to make and delete it, to be run by hand. Runs nothing.

EKS Auto Mode makes machines when pods wait for them and takes them away when they are empty, spare ones too, and brings
GPU drivers and disks; the pools are its NodePools. Words after eksctl's schema ``eksctl.io/v1alpha5``, Karpenter's
``karpenter.sh/v1`` and the AWS CLI 1.45, whose options were checked; no account of Amazon's has seen them.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from cellfleet.cluster.manual import Manual, Told
from cellfleet.cluster.providers.gke import ACCOUNT_OF_PODS, POOL_KEY
from cellfleet.spec import machines
from cellfleet.spec.cluster import ClusterSpec, CpuPool, GpuPool

CLUSTER_FILE: Final = "eks-cluster.yaml"
POOLS_FILE: Final = "eks-pools.yaml"


def context(spec: ClusterSpec) -> str:
    """Return the entry of the kubeconfig that the commands make."""
    return spec.name


def manual(spec: ClusterSpec) -> Manual:
    """Return what to run by hand."""
    bucket, place = spec.bucket.removeprefix("s3://").split("/")[0], f"--region={spec.region}"
    location = (
        () if spec.region == "us-east-1" else (f"--create-bucket-configuration=LocationConstraint={spec.region}",)
    )
    make = (
        Told("Make the bucket", ("aws", "s3api", "create-bucket", f"--bucket={bucket}", place, *location)),
        Told(
            "Make the cluster, about 15 minutes; $0.10 an hour",
            ("eksctl", "create", "cluster", f"--config-file={CLUSTER_FILE}"),
        ),
        Told(
            "Tell kubectl and helm how to reach it",
            ("aws", "eks", "update-kubeconfig", f"--name={spec.name}", f"--alias={context(spec)}", place),
        ),
        Told("Make the pools", ("kubectl", "apply", f"--filename={POOLS_FILE}", f"--context={context(spec)}")),
    )
    quota = "L-3819A6DF" if spec.gpu and spec.gpu.spot else "L-DB2E81BA"
    look = (
        Told("Who is logged in", ("aws", "sts", "get-caller-identity")),
        Told(
            "Granted virtual CPUs of GPU machines (types G and VT), in use at a time",
            ("aws", "service-quotas", "get-service-quota", "--service-code=ec2", f"--quota-code={quota}", place),
        ),
    )
    delete = (
        Told(
            "Delete the cluster with its machines",
            ("eksctl", "delete", "cluster", f"--name={spec.name}", place, "--wait"),
        ),
    )
    tagged = f"--filters=Name=tag:aws:eks:cluster-name,Values={spec.name}"
    left = (
        Told("Clusters", ("aws", "eks", "list-clusters", place)),
        Told("Machines", ("aws", "ec2", "describe-instances", tagged, place)),
        Told("Disks", ("aws", "ec2", "describe-volumes", "--filters=Name=status,Values=available", place)),
        Told("Load balancers", ("aws", "elbv2", "describe-load-balancers", place)),
        Told("Addresses", ("aws", "ec2", "describe-addresses", place)),
    )
    files = {CLUSTER_FILE: _dump(_cluster(spec, bucket)), POOLS_FILE: _pools(spec)}
    return Manual(look=look, make=make, delete=delete, left=left, files=files)


def _cluster(spec: ClusterSpec, bucket: str) -> dict[str, Any]:
    statements = [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
            "Resource": f"arn:aws:s3:::{bucket}",
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"],
            "Resource": f"arn:aws:s3:::{bucket}/*",
        },
    ]
    identity = {
        "namespace": spec.name,
        "serviceAccountName": ACCOUNT_OF_PODS,
        "permissionPolicy": {"Version": "2012-10-17", "Statement": statements},
    }
    made: dict[str, Any] = {
        "apiVersion": "eksctl.io/v1alpha5",
        "kind": "ClusterConfig",
        "metadata": {"name": spec.name, "region": spec.region},
        "autoModeConfig": {"enabled": True},
        "iam": {"podIdentityAssociations": [] if spec.secret else [identity]},
    }
    if spec.zones:
        made["availabilityZones"] = list(spec.zones)
    return made


def _pools(spec: ClusterSpec) -> str:
    pools = [_pool("cpu", spec.cpu, spec.cpu_machine)] if spec.cpu.max else []
    if spec.gpu and spec.gpu.max:
        pools.append(_pool("gpu", spec.gpu, spec.gpu_machine))
    return "---\n".join(map(_dump, pools))


def _pool(kind: str, pool: CpuPool | GpuPool, machine: str | None) -> dict[str, Any]:
    known = machines.known(machine)
    limits: dict[str, Any] = {"nvidia.com/gpu": pool.max} if kind == "gpu" else {}
    if known:
        limits["cpu"] = pool.max * known.cores
    requirements = [
        {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["spot" if pool.spot else "on-demand"]},
        {"key": "node.kubernetes.io/instance-type", "operator": "In", "values": [machine]},
    ]
    of_machines = {
        "metadata": {"labels": {POOL_KEY: kind}},
        "spec": {
            "nodeClassRef": {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": "default"},
            "requirements": requirements,
            "taints": [{"key": POOL_KEY, "value": kind, "effect": "NoSchedule"}],
        },
    }
    disruption = {"consolidationPolicy": "WhenEmpty", "consolidateAfter": "60s"}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": f"cellfleet-{kind}"},
        "spec": {"template": of_machines, "limits": limits, "disruption": disruption},
    }


def _dump(tree: dict[str, Any]) -> str:
    return str(yaml.safe_dump(tree, sort_keys=False))
