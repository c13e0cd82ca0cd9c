"""Gives a Triton the models of a store and sees to it that they answer: loads what is missing, reloads what is ill.

It runs beside one server, in the same pod, and asks it alone. Triton says that a model is ready also when its process
has died, and loading it again changes nothing unless it is unloaded before (seen on 2.51): so what counts is a canary.
Knows no HTTP and no command line.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from cellfleet.errors import CellfleetError, InputError, ModelError, OutputError
from cellfleet.inference.served import PIXEL_TYPES, PixelType, served_name
from cellfleet.inference.server_trouble import Trouble
from cellfleet.inference.shared_memory import sweep
from cellfleet.inference.triton_client import is_here, library
from cellfleet.models.canary import Canary, make_canary
from cellfleet.models.repository import Repository
from cellfleet.models.triton import Backend, served_model
from cellfleet.observe import metrics
from cellfleet.spec.job import PinnedModel

LOOK_SECONDS = 30.0
"""Between two looks at the store."""
PATIENCE_SECONDS = 120.0
"""Without any answer the server is not live."""
START_SECONDS = 600.0
"""The same before its first answer: it may have many models to load."""
_CANARY_SECONDS = 20.0
"""For the answer to a canary, which waits in the queue like any request."""
_LOAD_SECONDS = 600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
"""Between two attempts at a model that cannot be loaded."""
_SAYS_NOTHING = frozenset({"away", "late", "missing"})
"""Troubles that a model may have before it was ever loaded."""

State = Literal["untried", "ready", "ill", "broken"]
"""`ill`: it answered a short while ago. `broken`: not for long, or never; that takes the server from no other model."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Kept:
    """One model on the server, for pixels of one type."""

    pinned: PinnedModel
    kind: PixelType
    state: State = "untried"
    well_at: float = -PATIENCE_SECONDS
    """When it answered last."""
    why: str = ""
    canary: Canary | None = None
    executions: int = 0
    """As the server counted them when a canary was late."""
    next_load_at: float = 0.0
    pause: float = _FIRST_PAUSE

    @property
    def name(self) -> str:
        """Of the model on the server."""
        return served_name(self.pinned.name, self.pinned.version, self.pinned.sha256, self.kind)

    def answered(self, trouble: Trouble | None) -> None:
        """Take note of what came of a canary."""
        self.why = trouble.said if trouble else ""
        now = time.monotonic()
        if trouble is None:
            self.state, self.well_at, self.next_load_at, self.pause = "ready", now, 0.0, _FIRST_PAUSE
        elif self.state != "untried" or trouble.kind not in _SAYS_NOTHING:
            self.state = "ill" if now - self.well_at < PATIENCE_SECONDS else "broken"


@dataclass(eq=False)
class Sidecar:
    """See `run`; its probes may be asked from any thread."""

    repository: Repository
    client: Any
    """Of Triton's library."""
    address: str
    backend: Backend = "onnxruntime"
    names: Sequence[str] = ()
    """Of the models to serve, as ``name`` or ``name:version``; empty: all that have a graph."""
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _looked_at: float = -LOOK_SECONDS
    _began_at: float = field(default_factory=time.monotonic)
    _answered_at: float | None = None
    _started: bool = False
    """Whether all models were tried: one that comes later takes the server from nobody while it is loaded."""

    def run(self, stop: threading.Event, every_seconds: float) -> None:
        """Go on until `stop` is set. Raises `ModelError` E401 at the first look: there is no such model."""
        metrics.prepare("sidecar")
        while True:
            began = time.monotonic()
            self.turn()
            if stop.wait(max(0.0, began + every_seconds - time.monotonic())):
                return

    def turn(self) -> None:
        """Look at the store when it is time, and at every model once."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._look()
        for kept in list(self._kept.values()):
            self._see_to(kept)
        counted = [kept.state for kept in self._kept.values()]
        self._started |= "untried" not in counted
        metrics.models_served({state: counted.count(state) for state in ("ready", "ill", "broken")})
        if is_here(self.address):
            sweep(self.client)

    def not_ready(self) -> str:
        """Say why workers should not ask this server now; empty: they may."""
        models, waited_for = list(self._kept.values()), {"ill"} if self._started else {"ill", "untried"}
        if waiting := [kept for kept in models if kept.state in waited_for]:
            return "; ".join(f"{kept.name}: {kept.why or 'not tried yet'}" for kept in waiting)
        return "" if any(kept.state == "ready" for kept in models) else "no model is served"

    def not_live(self) -> str:
        """Say why this server is to be started anew; empty: it is not."""
        now = time.monotonic()
        if self._answered_at is None:
            return f"no answer in {START_SECONDS:.0f} s" if now - self._began_at > START_SECONDS else ""
        silent = now - self._answered_at
        return f"no answer for {silent:.0f} s" if silent > PATIENCE_SECONDS else ""

    # --- which models --------------------------------------------------------------------------------------------

    def _look(self) -> None:
        first = self._looked_at < 0
        try:
            wanted = {kept.name: kept for kept in self._wanted()}
        except (InputError, OutputError, ModelError) as error:
            if first:
                raise
            _log.warning("the models stay as they are: %s", error)
            return
        finally:
            self._looked_at = time.monotonic()
        for name in self._kept.keys() - wanted.keys():
            self._unload(name)
        self._kept = {name: self._kept.get(name, kept) for name, kept in wanted.items()}

    def _wanted(self) -> Iterable[_Kept]:
        if self.names:
            pinned = [self.repository.resolve(name) for name in self.names]
        else:
            known = [one for one in self.repository.list() if one.task == "segmentation"]
            pinned = [PinnedModel(name=one.name, version=one.version, sha256=one.sha256) for one in known]
        servable = [model for model in pinned if self.repository.package(model).is_servable]
        return [_Kept(model, kind) for model in servable for kind in PIXEL_TYPES]

    # --- one model -----------------------------------------------------------------------------------------------

    def _see_to(self, kept: _Kept) -> None:
        trouble = self._try(kept)
        kept.answered(trouble)
        if trouble is None or not self._needs_loading(kept, trouble) or time.monotonic() < kept.next_load_at:
            return
        expected = kept.state == "untried"
        _log.log(logging.INFO if expected else logging.WARNING, "%s is loaded: %s", kept.name, trouble.said)
        kept.answered(self._load(kept, anew=trouble.kind != "missing") or self._try(kept))
        kept.next_load_at = time.monotonic() + kept.pause
        kept.pause = min(2 * kept.pause, _LONGEST_PAUSE)

    def _try(self, kept: _Kept) -> Trouble | None:
        """Send the canary; None: it came back. A server whose queue is full is well."""
        if kept.canary is None:
            try:
                package, _, tensors = self.repository.content(kept.pinned)
            except CellfleetError as error:
                return Trouble("refused", str(error))
            kept.canary = make_canary(kept.name, package, tensors, kept.kind)
        trouble = kept.canary.ask(self.client, _CANARY_SECONDS)
        if trouble is None or trouble.kind == "full":
            self._answered_at = time.monotonic()
            return None
        return trouble

    def _needs_loading(self, kept: _Kept, trouble: Trouble) -> bool:
        """Say whether to load a model anew. One that is late is only busy while it answers others."""
        if trouble.kind == "late":
            before, kept.executions = kept.executions, self._executions(kept.name)
            return kept.executions == before
        return trouble.kind in {"missing", "ill", "failed"}

    def _executions(self, name: str) -> int:
        try:
            found = self.client.get_inference_statistics(name, client_timeout=_CANARY_SECONDS)
        except library().InferenceServerException:
            return 0
        return sum(int(model.execution_count) for model in found.model_stats)

    def _load(self, kept: _Kept, *, anew: bool) -> Trouble | None:
        """Give the server a model; return why it did not take it."""
        try:
            package, weights, _ = self.repository.content(kept.pinned)
        except CellfleetError as error:
            return Trouble("refused", str(error))
        model = served_model(package, weights, kept.kind, self.backend)
        files = {f"file:{path}": content for path, content in model.files.items()}
        if anew:
            self._unload(kept.name)
        metrics.model_reloaded(f"{kept.pinned.name}:{kept.pinned.version}")
        try:
            self.client.load_model(kept.name, config=model.config_json, files=files, client_timeout=_LOAD_SECONDS)
        except library().InferenceServerException as error:
            _log.error(
                "the model server does not take %s: %s [E526]", kept.name, " ".join(str(error.message()).split())
            )
            return Trouble("failed", str(error.message()))
        return None

    def _unload(self, name: str) -> None:
        try:
            self.client.unload_model(name, client_timeout=_LOAD_SECONDS)
        except library().InferenceServerException as error:
            _log.warning("%s is not unloaded: %s", name, error.message())
