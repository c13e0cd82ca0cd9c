"""Open Inference Protocol v2: tiles → heads, images → scores, at once, by the models in this process.

For programs that cut and stitch themselves. What it costs is bounded: bodies, tiles, and how many are worked on at a
time. What requests and answers look like stands in `service/oip.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any, Final, cast

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

import cellfleet
from cellfleet.errors import CellfleetError, ServiceError
from cellfleet.models.load import LoadedClassifier, LoadedModel
from cellfleet.service import oip
from cellfleet.service.context import Asking, Shared
from cellfleet.service.errors import answer, status_of
from cellfleet.service.routes.models import model_to_use

LARGEST_BODY_BYTES: Final = 64 << 20
WORKED_AT_ONCE: Final = 2
TAKEN_AT_ONCE: Final = 8
"""Worked on, waiting for that, or still arriving: so many bodies are in memory."""
_JSON_LENGTH: Final = "Inference-Header-Content-Length"

_log = logging.getLogger(__name__)


class Turns:
    """How many are served at a time. One per application; used in its event loop."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self.working = asyncio.Semaphore(WORKED_AT_ONCE)
        self._taken = 0

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Take a request, while the block runs. Raises `ServiceError` E953."""
        if self._taken >= TAKEN_AT_ONCE:
            action = "Ask again in some seconds, or submit images as a job"
            raise ServiceError("E953", f"{self._taken} other inferences are being served", status=503, action=action)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


class OipError(BaseModel):
    """Why there is no answer."""

    error: str
    code: str


class _OipRoute(APIRoute):
    """Tells failures as the protocol wants it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                return await handle(request)
            except CellfleetError as error:
                if status_of(error) >= 500:
                    _log.error("%s %s: %s", request.method, request.url.path, error)
                told = answer(error)
                problem = json.loads(bytes(told.body))
                body = OipError(error=problem["message"], code=problem["code"])
                kept = {
                    name: told.headers[name] for name in ("WWW-Authenticate", "Retry-After") if name in told.headers
                }
                return JSONResponse(body.model_dump(), told.status_code, kept)

        return answered


_ERRORS: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": OipError, "description": "The request is refused, or there is no such model."},
    "5XX": {"model": OipError, "description": "The model cannot answer now."},
}
router = APIRouter(prefix="/v2", tags=["inference"], route_class=_OipRoute, responses=_ERRORS)


class Live(BaseModel):
    """Whether the server lives."""

    live: bool


class Ready(BaseModel):
    """Whether the server answers inferences."""

    ready: bool


class ModelReady(BaseModel):
    """Whether a model is loaded."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str = "cellfleet"
    version: str = cellfleet.__version__
    extensions: tuple[str, ...] = ("binary_tensor_data",)


class ModelMetadata(BaseModel):
    """What a model takes and returns."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: list[oip.Tensor]
    outputs: list[oip.Tensor]


@router.get("/health/live")
def oip_live(user: Asking) -> Live:
    """Say that the server lives."""
    return Live(live=True)


@router.get("/health/ready")
def oip_ready(user: Asking) -> Ready:
    """Say that the server answers."""
    return Ready(ready=True)


@router.get("")
def oip_server(user: Asking) -> ServerMetadata:
    """Tell what the server is."""
    return ServerMetadata()


def _model(service: Shared, user: Asking, name: str, version: str | None = None) -> LoadedModel | LoadedClassifier:
    pinned = model_to_use(service, name, version)
    if service.models.steps(pinned):
        raise oip.unfit(f"{name} is a workflow, which works on whole stacks. Submit images as a job", status=501)
    model = service.warm.get_any(pinned)
    if isinstance(model, LoadedModel) and model.manifest.detection:
        raise oip.unfit(f"{name} detects objects: it has no heads to answer with. Submit images as a job", status=501)
    return model


Model = Annotated[LoadedModel | LoadedClassifier, Depends(_model)]
"""The model that an address names, loaded."""


@router.get("/models/{name}", name="oip_model")
@router.get("/models/{name}/versions/{version}", name="oip_model_version")
def metadata(model: Model) -> ModelMetadata:
    """Tell what a model takes and returns; without version, the newest one."""
    if isinstance(model, LoadedClassifier):
        inputs, outputs = _scoring_tensors(model)
        platform = "onnxruntime_onnx"
    else:
        inputs, outputs = oip.tensors(model.manifest)
        platform = "onnxruntime_onnx" if model.manifest.predictor == "onnx" else "cellfleet_otsu"
    manifest = model.manifest
    return ModelMetadata(
        name=manifest.name, versions=(manifest.version,), platform=platform, inputs=inputs, outputs=outputs
    )


def _scoring_tensors(model: LoadedClassifier) -> tuple[list[oip.Tensor], list[oip.Tensor]]:
    """Return input and output of a classifier, which its graph names."""
    pair = (model.classifier.input, model.classifier.output)
    takes, returns = (oip.Tensor(name=one.name, datatype=one.datatype, shape=one.shape) for one in pair)
    return [takes], [returns]


@router.get("/models/{name}/ready", name="oip_model_ready")
@router.get("/models/{name}/versions/{version}/ready", name="oip_model_version_ready")
def ready(model: Model) -> ModelReady:
    """Say that a model answers; it is loaded for that."""
    return ModelReady(name=model.manifest.name, ready=True)


_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "parameters": [{"name": _JSON_LENGTH, "in": "header", "required": False, "schema": {"type": "string"}}],
}


@router.post("/models/{name}/infer", name="oip_infer", response_class=Response, openapi_extra=_BODY)
@router.post(
    "/models/{name}/versions/{version}/infer", name="oip_infer_version", response_class=Response, openapi_extra=_BODY
)
async def infer(request: Request, model: Model) -> Response:
    """Predict the heads of a batch of tiles, or score images; tensors may be JSON, or binary behind the JSON."""
    turns = cast(Turns, request.app.state.turns)
    with turns.taken():
        length = _json_length(request)
        body = await _body(request)
        async with turns.working:
            content, json_length = await run_in_threadpool(_answered, model, body, length)
    headers = {} if json_length is None else {_JSON_LENGTH: str(json_length)}
    return Response(content, headers=headers, media_type="application/octet-stream" if headers else "application/json")


def _answered(model: LoadedModel | LoadedClassifier, body: bytes, json_length: int | None) -> tuple[bytes, int | None]:
    name, version = model.manifest.name, model.manifest.version
    if isinstance(model, LoadedClassifier):
        (takes,), (returns,) = _scoring_tensors(model)
        wanted = oip.read_scoring(body, json_length, takes, returns)
        scores = model.classifier.scores(wanted.images)
        return oip.write_answer(wanted, scores, name, version, output=returns.name)
    asked = oip.read_request(body, json_length, model.manifest)
    heads = [model.predictor.predict(*tile) for tile in zip(asked.pixels, asked.contrast, strict=True)]
    return oip.write_answer(asked, np.stack(heads), name, version)


def _json_length(request: Request) -> int | None:
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise oip.unfit("its body is compressed", status=415)
    said = request.headers.get(_JSON_LENGTH)
    if said is None:
        return None
    if not said.isascii() or not said.isdigit() or len(said) > len(str(LARGEST_BODY_BYTES)):
        raise oip.unfit(f"{_JSON_LENGTH} is no length")
    return int(said)


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_BODY_BYTES:
            raise oip.too_large(f"it has more than {LARGEST_BODY_BYTES >> 20} MiB", "Send fewer tiles at a time")
    return bytes(body)
