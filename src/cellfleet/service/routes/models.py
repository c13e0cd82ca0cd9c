"""Models: which there are, and new ones. Everybody may look; administrators add."""

from __future__ import annotations

import mimetypes

from fastapi import APIRouter, Response, status
from fastapi.responses import PlainTextResponse

from cellfleet.errors import ModelError, ServiceError
from cellfleet.service.context import Admin, Asking, Shared
from cellfleet.service.inputs import SET, check_place
from cellfleet.service.sets import check_path, find_set, folder_of
from cellfleet.service.state import Service
from cellfleet.spec.http import ModelInfo, ModelList, NewModel
from cellfleet.spec.job import PinnedModel
from cellfleet.stores.url import is_url

router = APIRouter(prefix="/api/v1/models", tags=["models"])


@router.get("")
def list_models(service: Shared, user: Asking) -> ModelList:
    """List the models that jobs can use, by name; of each the newest version first."""
    return ModelList(models=tuple(service.models.list()))


@router.get("/{name}", name="get_model")
@router.get("/{name}/{version}", name="get_model_version")
def get_model(service: Shared, user: Asking, name: str, version: str | None = None) -> ModelInfo:
    """Describe a model; without version, the newest one."""
    for model in service.models.list():
        if model.name == name and version in {None, model.version}:
            return model
    raise _missing(name, version)


@router.post("", status_code=status.HTTP_201_CREATED)
def add_model(service: Shared, admin: Admin, new: NewModel) -> ModelInfo:
    """Take in a model package: an uploaded folder or zip, or one at an address. It is tried first."""
    if is_url(new.input):
        check_place(service.settings, new.input)
        return service.models.add(new.input)
    identity, _, path = new.input.removeprefix(SET).partition("/")
    if not new.input.startswith(SET):
        action = "Upload the package and name it as set:ID or set:ID/package.zip, or give its https address"
        raise ServiceError(
            "E410", "this is no set of uploads and no address", status=400, where=new.input[:200], action=action
        )
    folder = folder_of(find_set(service, admin, identity).id)
    name = f"{folder}/{check_path(path)}" if path else folder
    return service.models.add(f"{service.store.url}/{name}")


@router.put("/{name}/default")
def set_default_model(service: Shared, admin: Admin, name: str) -> ModelInfo:
    """Have pages offer this model first."""
    model_to_use(service, name, None)
    service.models.set_default(name)
    return get_model(service, admin, name)


@router.get("/{name}/{version}/picture", response_class=Response)
def get_picture(service: Shared, user: Asking, name: str, version: str) -> Response:
    """Send the picture that a model brings."""
    found = service.models.picture(model_to_use(service, name, version))
    if found is None:
        raise ServiceError("E943", "this model brings no picture", status=404, where=name[:200])
    return Response(found[1], media_type=mimetypes.guess_type(found[0])[0] or "application/octet-stream")


@router.get("/{name}/{version}/card", response_class=PlainTextResponse)
def get_card(service: Shared, user: Asking, name: str, version: str) -> PlainTextResponse:
    """Send the documentation that a model brings: Markdown."""
    card = service.models.card(model_to_use(service, name, version))
    if card is None:
        raise ServiceError("E943", "this model brings no documentation", status=404, where=name[:200])
    return PlainTextResponse(card, media_type="text/markdown")


def model_to_use(service: Service, name: str, version: str | None) -> PinnedModel:
    """Return the model of this name, from now on always with the same content. Raises `ModelError` E405.

    Raises:
        ServiceError: E401, there is none.
    """
    try:
        return service.models.resolve(name if version is None else f"{name}:{version}")
    except ModelError as error:
        if error.code != "E401":
            raise
        raise _missing(name, version) from error


def _missing(name: str, version: str | None) -> ServiceError:
    where = (name if version is None else f"{name}:{version}")[:200]
    return ServiceError(
        "E401", "there is no such model", status=404, where=where, action="GET /api/v1/models lists all"
    )
