"""What a cluster is to be: where, which machines, how many, for how much money. The content of ``cluster.yaml``.

Everything else follows from this one description: the provider's commands, the Helm values, the price. How it stands in
a file is told by `spec.cluster_file`. Knows no provider, price or chart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    model_validator,
)

from cellfleet.spec import machines
from cellfleet.spec.machines import GpuType, Where

Mode = Literal["fused", "split"]
Autoscaling = Literal["work", "paper"]

PROVIDER_NAMES: Mapping[Where, str] = MappingProxyType(
    {"gke": "Google GKE", "eks": "Amazon EKS", "aks": "Azure AKS", "kubeconfig": "a Kubernetes that is there"}
)
"""For people."""
_BUCKETS: Mapping[Where, tuple[str, ...]] = MappingProxyType(
    {"gke": ("gs",), "eks": ("s3",), "aks": ("az",), "kubeconfig": ("gs", "s3", "az")}
)
"""Where → what the address of the bucket may begin with: another cloud's bucket would cost for every byte."""

ClusterName = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$")]
_Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""Of a project, region, zone or machine. Never begins with a dash: it becomes a word of a command."""
_Context = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]*$", max_length=250)]
_Secret = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
_Bucket = Annotated[
    str, StringConstraints(pattern=r"^(gs|s3|az)://[a-z0-9][A-Za-z0-9._@/-]*[A-Za-z0-9]$", max_length=300)
]
_AZURE_BUCKET = re.compile(r"az://([a-z0-9-]+)@([a-z0-9]+)\.blob\.core\.windows\.net(/.*)?")
_Host = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$", max_length=253)
]
_Repository = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][A-Za-z0-9._:/-]*[a-z0-9]$", max_length=250)]
_Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")]
_ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=100)]


def _number(said: object) -> object:
    # A file tells all values as words.
    return int(said) if isinstance(said, str) and said.isdecimal() and len(said) < 10 else said


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Pool(_Part):
    """Machines of one kind, of which there are as many as the work needs, within bounds."""

    machine: _Identifier | None = Field(
        default=None,
        description="Kind of machine, in the provider's words, like n1-standard-8; none: the usual one.",
    )
    spot: bool = Field(
        default=True,
        description="Spare machines of the provider: cheaper by half and more, may be taken away at any time; "
        "the work of one that goes is done by another. false: on demand.",
    )
    min: NonNegativeInt = Field(
        default=0, description="Machines that run even when there is no work. Each costs around the clock."
    )
    max: NonNegativeInt = Field(default=4, le=1000, description="Most machines at a time: the bound of cost.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} and max {self.max}: min must not be above max")
        return self


class GpuPool(_Pool):
    """Machines with one GPU each."""

    type: GpuType = Field(default="t4", description="NVIDIA GPU of each machine.")


class CpuPool(_Pool):
    """Machines without GPU: workers where there is no GPU pool, and the CPU side of split mode."""


class ImageRef(_Part):
    """The container image of cellfleet."""

    repository: _Repository = Field(
        default="ghcr.io/cellfleet/cellfleet", description="Where the image is kept, without tag."
    )
    tag: _Tag | None = Field(default=None, description="Version of the image; none: that of the chart.")


class ClusterSpec(_Part):
    """One cluster."""

    format_version: Annotated[Literal[1], BeforeValidator(_number)] = Field(default=1, description="Of this file.")
    name: ClusterName = Field(
        default="cellfleet",
        description="Name of the cluster and of its namespace: small letters, digits and dashes, at most 20.",
    )
    where: Where = Field(
        description="gke (Google), eks (Amazon), aks (Azure), or kubeconfig: a Kubernetes that is there already."
    )
    project: _Identifier | None = Field(
        default=None, description="gke: the project that pays. aks: the resource group. Otherwise none."
    )
    region: _Identifier | None = Field(
        default=None, description="Region of machines and bucket, like us-west1. kubeconfig: none."
    )
    zones: tuple[_Identifier, ...] = Field(
        default=(),
        max_length=6,
        description="Zones of the region for machines; the first also holds the control plane. gke needs one at least.",
    )
    context: _Context | None = Field(
        default=None, description="kubeconfig: the entry to use, of those that 'kubectl config get-contexts' lists."
    )
    bucket: _Bucket = Field(
        description="Where images, models, jobs and results are kept: gs://…, s3://… or az://…, a folder may follow."
    )
    secret: _Secret | None = Field(
        default=None,
        description="Kubernetes Secret whose entries open the bucket (like AWS_ACCESS_KEY_ID); none: the provider's "
        "own identity of pods does. Secrets themselves never stand in this file.",
    )
    gpu: GpuPool | None = Field(default=None, description="Machines with a GPU; none: CPUs do all the work.")
    cpu: CpuPool = Field(default=CpuPool(), description="Machines without GPU.")
    mode: Mode = Field(
        default="fused",
        description="fused: each worker runs the network itself. split: CPU workers call GPU pods that run Triton.",
    )
    autoscaling: Autoscaling = Field(
        default="work",
        description="work: as many workers as the queue needs, none when it is empty. paper: the policy of the "
        "DeepCell paper, by GPU utilisation; only in split mode.",
    )
    models: tuple[_ModelName, ...] = Field(
        default=(),
        max_length=50,
        description="split: models that Triton serves, like nuclei or nuclei:1.0.0; none: all in the bucket.",
    )
    budget_per_month: PositiveFloat | None = Field(
        default=None, description="USD in a calendar month after which no work is begun; none: no limit."
    )
    retention_days: PositiveInt | None = Field(
        default=None,
        description="Days after which jobs that ended, and uploads, are deleted; none: they are kept.",
    )
    address: _Host | None = Field(
        default=None, description="Host name of the web page, like cells.lab.example; none: reached through kubectl."
    )
    image: ImageRef = Field(default=ImageRef(), description="Container image to run.")

    @property
    def gpu_machine(self) -> str | None:
        """Machine of the GPU pool; None without one, or where it is not ours to choose."""
        return (self.gpu.machine or machines.gpu_machine(self.where, self.gpu.type)) if self.gpu else None

    @property
    def cpu_machine(self) -> str | None:
        """Machine of the CPU pool; None where it is not ours to choose."""
        return self.cpu.machine or machines.cpu_machine(self.where)

    @property
    def system_machine(self) -> str | None:
        """The one machine that always runs; None where it is not ours to choose."""
        return machines.system_machine(self.where)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for fault in (_fault_of_place(self), _fault_of_bucket(self), _fault_of_gpu(self), _fault_of_work(self)):
            if fault:
                raise ValueError(fault)
        return self


def _fault_of_place(spec: ClusterSpec) -> str:
    needed = {
        "gke": ("project", "region", "zones"),
        "eks": ("region",),
        "aks": ("project", "region"),
        "kubeconfig": ("context",),
    }[spec.where]
    for name in ("project", "region", "zones", "context"):
        said = getattr(spec, name)
        if name in needed and not said:
            return f"where is {spec.where}, so {name} must be said"
        if said and (name == "context") != (spec.where == "kubeconfig"):
            return f"where is {spec.where}, which takes no {name}"
    for zone in spec.zones:
        if spec.where != "aks" and not zone.startswith(str(spec.region)):
            return f"zone {zone} is not in region {spec.region}"
    return ""


def _fault_of_bucket(spec: ClusterSpec) -> str:
    allowed = _BUCKETS[spec.where]
    if spec.where == "aks" and not _AZURE_BUCKET.fullmatch(spec.bucket):
        return "bucket must be az://CONTAINER@ACCOUNT.blob.core.windows.net where it is aks, a folder may follow"
    if spec.bucket.partition("://")[0] in allowed:
        return ""
    return f"bucket must begin with {' or '.join(f'{scheme}://' for scheme in allowed)} where it is {spec.where}"


def _fault_of_gpu(spec: ClusterSpec) -> str:
    if spec.gpu is None or spec.gpu.machine or spec.gpu.type in machines.gpu_types(spec.where):
        return ""
    there = ", ".join(machines.gpu_types(spec.where))
    at = PROVIDER_NAMES[spec.where]
    return f"gpu.type is {spec.gpu.type}, for which {at} has no usual machine ({there} have): say gpu.machine too"


def _fault_of_work(spec: ClusterSpec) -> str:
    if spec.mode == "split" and (spec.gpu is None or spec.gpu.max == 0):
        return "mode is split, which needs GPUs: say gpu with a max of 1 at least, or mode: fused"
    if spec.autoscaling == "paper" and spec.mode != "split":
        return "autoscaling is paper, which is made for mode: split"
    if spec.mode == "split" and spec.cpu.max == 0:
        return "mode is split, whose workers run on CPUs: cpu.max must be 1 at least"
    if spec.cpu.max == 0 and (spec.gpu is None or spec.gpu.max == 0):
        return "cpu.max and gpu.max are 0: nothing could do any work"
    return ""
