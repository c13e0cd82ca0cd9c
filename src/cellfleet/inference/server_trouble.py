"""What may be wrong with a model server, out of the words of its answer, and what users are told. Asks no server.

Statuses and words are those of Triton, seen on version 2.51 (docs/decisions/0024-split.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from cellfleet.errors import DeviceError

Kind = Literal["full", "away", "forgotten", "missing", "late", "ill", "failed", "refused"]
"""`full`: its queue is. `away`: nobody answers. `forgotten`: it was started anew, and knows the shared memory no more.
`missing`: the model is not loaded yet. `late`: no answer in time.
`ill`: the model's process has ended. `failed`: the graph did. `refused`: the request does not fit the model."""
PASSING: Final = frozenset({"full", "away", "forgotten", "missing", "late", "ill"})
"""Kinds of which a request is not the cause."""
_TRIES = 3
"""For a tile with which the graph fails: memory of the device may have been short for a moment."""
_WORDS: Final[dict[str, str]] = {
    "full": "its queue was full",
    "away": "it does not answer",
    "forgotten": "it has forgotten the shared memory",
    "missing": "it does not have the model",
    "late": "it did not answer in time",
}


@dataclass(frozen=True)
class Trouble:
    """Why a request was not answered."""

    kind: Kind
    said: str
    """By the server."""

    def is_over(self, failures: int) -> bool:
        """Say whether to try again is in vain, after so many failures of the graph with this tile."""
        return self.kind == "refused" or (self.kind == "failed" and failures >= _TRIES)

    def error(self, address: str, model: str, waited_seconds: float) -> DeviceError:
        """Return what a user is told who asked for `model`."""
        said = " ".join(self.said.split())[:300]
        if self.kind in {"failed", "refused"}:
            return DeviceError(
                "E524",
                f"the model server cannot predict a tile with {model}: {said}",
                where=address,
                action="Look at its log; `cellfleet segment`, which needs none, tells whether the model is at fault",
            )
        if self.kind == "ill":
            return DeviceError(
                "E525",
                f"{model} on the model server did not recover in {waited_seconds:.0f} s: {said}",
                where=address,
                action="Run `cellfleet triton` beside the server, which loads such a model again; look at its log",
            )
        return DeviceError(
            "E523",
            f"the model server could not be asked for {model} in {waited_seconds:.0f} s: {_WORDS[self.kind]} ({said})",
            where=address,
            action="Start it, or another one; the work is kept, and goes on by itself",
        )


def trouble_of(error: Any) -> Trouble:
    """Return what an ``InferenceServerException`` means."""
    status, said = str(error.status()).removeprefix("StatusCode."), str(error.message())
    return Trouble(_kind(status, said), said)


def is_refusal(error: Any) -> bool:
    """Say whether an answer means that the server did nothing with the request."""
    return hasattr(error, "status") and trouble_of(error).kind in {"full", "forgotten", "missing", "ill"}


def _kind(status: str, said: str) -> Kind:
    if status == "UNAVAILABLE":
        return "full" if "maximum queue size" in said else "away"
    if "shared memory region" in said:
        return "forgotten"
    if status == "INTERNAL":
        return "ill" if "is not healthy" in said else "failed"
    by_status: dict[str, Kind] = {"NOT_FOUND": "missing", "DEADLINE_EXCEEDED": "late", "CANCELLED": "away"}
    return by_status.get(status, "refused")
