"""Which machine carries a GPU at which provider, and which machines do the rest, when nobody says otherwise.

One GPU per machine: small machines are found more often as spare ones, and one that is taken away costs less work.
Knows no prices.

Sources: the providers' pages on machine types (GKE "GPU platforms", Amazon EC2 "Accelerated computing", Azure "NC
family"), read 2026-11; the T4 on n1-standard-8 is the machine of the Google Batch benchmark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

Where = Literal["gke", "eks", "aks", "kubeconfig"]
"""Google, Amazon, Microsoft, or a Kubernetes that is there already."""
GpuType = Literal["t4", "l4", "v100", "p100", "a10g", "a100", "h100"]


@dataclass(frozen=True)
class Machine:
    """A kind of machine."""

    name: str
    """In the provider's words."""
    cores: int
    """Virtual CPUs."""
    memory_gib: float


_GPU_MACHINES: Mapping[tuple[Where, GpuType], Machine] = MappingProxyType(
    {
        ("gke", "t4"): Machine("n1-standard-8", 8, 30),
        ("gke", "l4"): Machine("g2-standard-8", 8, 32),
        ("gke", "p100"): Machine("n1-standard-8", 8, 30),
        ("gke", "v100"): Machine("n1-standard-8", 8, 30),
        ("gke", "a100"): Machine("a2-highgpu-1g", 12, 85),
        ("gke", "h100"): Machine("a3-highgpu-1g", 26, 234),
        ("eks", "t4"): Machine("g4dn.2xlarge", 8, 32),
        ("eks", "l4"): Machine("g6.2xlarge", 8, 32),
        ("eks", "a10g"): Machine("g5.2xlarge", 8, 32),
        ("eks", "v100"): Machine("p3.2xlarge", 8, 61),
        ("aks", "t4"): Machine("Standard_NC8as_T4_v3", 8, 56),
        ("aks", "a100"): Machine("Standard_NC24ads_A100_v4", 24, 220),
        ("aks", "h100"): Machine("Standard_NC40ads_H100_v5", 40, 320),
    }
)
_CPU_MACHINES: Mapping[Where, Machine] = MappingProxyType(
    {
        "gke": Machine("n2-standard-8", 8, 32),
        "eks": Machine("m5.2xlarge", 8, 32),
        "aks": Machine("Standard_D8s_v5", 8, 32),
    }
)
_SYSTEM_MACHINES: Mapping[Where, Machine] = MappingProxyType(
    {
        "gke": Machine("n2-standard-2", 2, 8),
        "eks": Machine("m5.large", 2, 8),
        "aks": Machine("Standard_D2s_v5", 2, 8),
    }
)
GKE_ACCELERATORS: Mapping[GpuType, str] = MappingProxyType(
    {
        "t4": "nvidia-tesla-t4",
        "l4": "nvidia-l4",
        "p100": "nvidia-tesla-p100",
        "v100": "nvidia-tesla-v100",
        "a100": "nvidia-tesla-a100",
        "h100": "nvidia-h100-80gb",
    }
)
"""GPU → Google's name of it."""


def gpu_types(where: Where) -> tuple[GpuType, ...]:
    """Return the GPUs that this provider has on machines with one of them; all where it is not known."""
    known_there = tuple(gpu for place, gpu in _GPU_MACHINES if place == where)
    return known_there or get_args(GpuType)


def gpu_machine(where: Where, gpu: GpuType) -> str | None:
    """Return the usual machine with one such GPU; None: there is none there, or it is not ours to choose."""
    usual = _GPU_MACHINES.get((where, gpu))
    return usual.name if usual else None


def cpu_machine(where: Where) -> str | None:
    """Return the usual machine for workers without GPU; None where it is not ours to choose."""
    usual = _CPU_MACHINES.get(where)
    return usual.name if usual else None


def system_machine(where: Where) -> str | None:
    """Return the machine that always runs, for the service, its ledger and the autoscaler; None: it is there."""
    usual = _SYSTEM_MACHINES.get(where)
    return usual.name if usual else None


def known(name: str | None) -> Machine | None:
    """Return what is known of a machine; None: it is none of the usual ones."""
    usual = (*_GPU_MACHINES.values(), *_CPU_MACHINES.values(), *_SYSTEM_MACHINES.values())
    return next((machine for machine in usual if machine.name == name), None)
