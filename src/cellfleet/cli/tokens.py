"""`cellfleet tokens`: make, list and revoke tokens in the store of a service. Words only; see `service.access`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

if TYPE_CHECKING:
    from cellfleet.service.access import Access
    from cellfleet.spec.access import NewToken, TokenInfo

_AT_LEAST_ONE = validators.Number(gte=1)


@Parameter(name="*")
@dataclass(frozen=True)
class Added:
    """What a new token may do."""

    role: Annotated[
        Literal["admin", "user", "viewer"], Parameter(help="admin: sees and does everything; viewer: changes nothing.")
    ] = "user"
    days: Annotated[int | None, Parameter(validator=_AT_LEAST_ONE, help="Until it expires. [default: never]")] = None
    uploads: Annotated[
        str | None, Parameter(metavar="SIZE", help="The user may store so much, like 500GB. [default: as before]")
    ] = None
    running_jobs: Annotated[
        int | None, Parameter(validator=_AT_LEAST_ONE, help="The user may run so many jobs. [default: as before]")
    ] = None
    note: Annotated[str, Parameter(show_default=False, help="What it is for.")] = ""


def tokens(
    action: Annotated[Literal["add", "list", "revoke"], Parameter(name="ACTION", help="add, list or revoke.")],
    name: Annotated[
        str | None, Parameter(name="NAME", show_default=False, help="add: of the user. revoke: id of the token.")
    ] = None,
    /,
    *,
    data: Annotated[str, Parameter(metavar="DIR", help="Folder of the service, as 'cellfleet serve' has it.")] = (
        "cellfleet-data"
    ),
    store: Annotated[str | None, Parameter(metavar="URL", help="Its store, where that is elsewhere.")] = None,
    added: Added = Added(),
) -> int:
    """Make, list and revoke tokens; the text of its help stands in `cellfleet.cli.help`."""
    from cellfleet.errors import UsageError
    from cellfleet.service.access import Access
    from cellfleet.stores.place import open_place

    access = Access(open_place(store or Path(data) / "store"))
    if action == "list":
        sys.stdout.writelines(f"{line}\n" for line in _table(access.tokens()))
    elif name is None:
        needed = "the name of a user" if action == "add" else "the id of a token; 'cellfleet tokens list' shows it"
        raise UsageError("E914", f"'cellfleet tokens {action}' needs {needed}")
    elif action == "revoke":
        access.revoke(name)
    else:
        _add(access, _new_token(access, name, added))
    return 0


def _new_token(access: Access, user: str, added: Added) -> NewToken:
    from pydantic import ValidationError

    from cellfleet.errors import UsageError
    from cellfleet.run.request import parse_memory
    from cellfleet.spec.access import NewToken

    try:
        new = NewToken(user=user, role=added.role, days=added.days, note=added.note)
    except ValidationError as error:
        fault = error.errors()[0]
        what = f"{fault['loc'][0]}: {fault['msg']}"
        action = "Names of users are small letters, digits and . _ @ -; notes are short"
        raise UsageError("E914", what, where=user, action=action) from error
    quota = {"bytes": parse_memory(added.uploads), "running_jobs": added.running_jobs}
    said = {field: value for field, value in quota.items() if value is not None}
    return new.model_copy(update={"quota": access.quota(user).model_copy(update=said)} if said else {})


def _add(access: Access, new: NewToken) -> None:
    made = access.make_token(new)
    sys.stderr.write(f"Token {made.info.id} of {made.info.user} ({made.info.role}); it is not shown again:\n")
    sys.stdout.write(f"{made.token}\n")


def _table(infos: list[TokenInfo]) -> list[str]:
    rows = [("id", "user", "role", "made", "expires", "note")]
    for info in infos:
        rows.append((info.id, info.user, info.role, _day(info.created_ms), _day(info.expires_ms), info.note))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _day(at_ms: int | None) -> str:
    return "never" if at_ms is None else f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
