"""`ClusterSpec` ↔ the text of ``cluster.yaml``: strict, bounded, with the line of every mistake; and what differs.

The YAML is taken as a tree of words, never turned into objects by its tags, so a file can do nothing but be wrong.
Words get their type from the spec alone: ``tag: 1.10`` stays ``1.10``. Knows no file system.
"""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from cellfleet.errors import UsageError
from cellfleet.spec.cluster import ClusterSpec

NAME: Final = "cluster.yaml"
IN_STORE: Final = "cluster/cluster.yaml"
"""Name in the store of a service: what the cluster was brought up with, or what its page has saved since."""
GRANTED: Final = "cluster/granted.json"
"""Beside it: what the provider grants, a `GrantedFile`, as `cellfleet cluster up` has read it."""
LARGEST_BYTES: Final = 1 << 16
_DEEPEST: Final = 8
"""Levels of a file; two are used. Reading deeper ones would exhaust the stack."""
_NOTHING: Final = frozenset({"", "~", "null", "Null", "NULL", "none", "None"})
_ACTION: Final = "docs/reference/cluster.md lists every field; 'cellfleet cluster init' writes a file that fits"
_Tree = dict[str, Any] | list[Any] | str | None

HEADER: Final = (
    "# One cluster for cellfleet. Made by 'cellfleet cluster init'; edit it as you like.\n"
    "#   cellfleet cluster diff      what would change\n"
    "#   cellfleet cluster up        make it so; may be repeated at any point\n"
    "#   cellfleet cluster down      delete all of it but the bucket\n"
)


def parse_cluster(text: str | bytes, where: str = NAME) -> ClusterSpec:
    """Read the text of a file.

    Args:
        text: UTF-8.
        where: Name of the file, for messages.

    Raises:
        UsageError: E710, it is no YAML, or not of the kind that is read; E711, a field is wrong. Both say the line.
    """
    root = _root(text, where)
    try:
        return ClusterSpec.model_validate(_tree(root, where))
    except ValidationError as error:
        raise _mistake(error, root, where) from error


def check_cluster(fields: object, where: str = NAME) -> ClusterSpec:
    """Read what came as fields, of a web page for example. Raises `UsageError` E711."""
    try:
        return ClusterSpec.model_validate(fields)
    except ValidationError as error:
        raise _mistake(error, None, where) from error


def write_cluster(spec: ClusterSpec) -> str:
    """Return the text of a file that reads as this spec, with what each field means as comments."""
    return HEADER + "".join(f"{line}\n" for line in _lines(spec, "", wide=True))


def diff_cluster(before: ClusterSpec | None, after: ClusterSpec, names: tuple[str, str] = (NAME, NAME)) -> str:
    """Return the differences of two descriptions as a unified diff without comments; "": they are equal."""
    old, new = (list(_lines(spec, "", wide=False)) if spec else [] for spec in (before, after))
    return "".join(f"{line}\n" for line in difflib.unified_diff(old, new, *names, lineterm="", n=2))


def changes(before: ClusterSpec, after: ClusterSpec) -> dict[str, tuple[Any, Any]]:
    """Return what differs: ``gpu.max`` → (old, new)."""
    old, new = (dict(_leaves(spec.model_dump(mode="json"))) for spec in (before, after))
    return {name: (old.get(name), new.get(name)) for name in sorted({*old, *new}) if old.get(name) != new.get(name)}


# --- reading ---------------------------------------------------------------------------------------------------------


def _root(text: str | bytes, where: str) -> yaml.Node | None:
    raw = text.encode() if isinstance(text, str) else text
    if len(raw) > LARGEST_BYTES:
        raise _not_read(f"has {len(raw)} bytes; at most {LARGEST_BYTES} are read", where)
    try:
        decoded = raw.decode("utf-8-sig")
        _check_events(decoded, where)
        return yaml.compose(decoded, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise _not_read(f"is not UTF-8 text (byte {error.start})", where) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise _not_read(f"is no YAML: {error.problem or error.context}", where, line) from error
    except yaml.YAMLError as error:
        raise _not_read(f"is no YAML: {' '.join(str(error).split())}", where) from error


def _check_events(text: str, where: str) -> None:
    """Refuse what a description has no use for and a reader could stumble over."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line_of(event)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _not_read("uses anchors (& and *), which are not read", where, line)
        if getattr(event, "tag", None):
            raise _not_read("uses tags (!), which are not read", where, line)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise _not_read(f"is nested deeper than {_DEEPEST} levels", where, line)


def _line_of(part: yaml.Event | yaml.Node) -> int:
    assert part.start_mark is not None, "parsed from text"
    return part.start_mark.line + 1


def _tree(node: yaml.Node | None, where: str) -> _Tree:
    if isinstance(node, yaml.MappingNode):
        fields: dict[str, Any] = {}
        for key, value in node.value:
            line = _line_of(key)
            if not isinstance(key, yaml.ScalarNode):
                raise _not_read("has a field without a plain name", where, line)
            if key.value in fields:
                raise _not_read(f"says {key.value} twice", where, line)
            fields[key.value] = _tree(value, where)
        return fields
    if isinstance(node, yaml.SequenceNode):
        return [_tree(item, where) for item in node.value]
    assert node is None or isinstance(node, yaml.ScalarNode), "there are three kinds of nodes"
    # What stands in quotes is a word, even an empty one.
    return None if node is None or (node.style is None and node.value in _NOTHING) else str(node.value)


def _not_read(what: str, where: str, line: int | None = None) -> UsageError:
    place = f"{where}, line {line}" if line else where
    return UsageError("E710", what, where=place, action=_ACTION)


def _mistake(error: ValidationError, root: yaml.Node | None, where: str) -> UsageError:
    # A wrong name often explains what is missing.
    fault = min(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    name = ".".join(map(str, fault["loc"]))
    what, more = _sentence(fault, name), error.error_count() - 1
    # What is wrong with the whole begins with the field to look at.
    line = _line(root, fault["loc"] or what.split(" ")[0].split("."))
    if more:
        what += f" ({more} more mistake{'s' if more > 1 else ''})"
    action = f"{_did_you_mean(fault, name)}{_ACTION}"
    return UsageError("E711", what, where=f"{where}, line {line}" if line else where, action=action)


def _line(root: yaml.Node | None, place: Sequence[str | int]) -> int | None:
    """Return the line of the deepest part of a place that stands in the file, from 1."""
    node, line = root, None
    for part in place:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        found = next(((key, value) for key, value in reversed(pairs) if key.value == part), None)
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (node.value[part], node.value[part])
        if found is None:
            break
        line, node = _line_of(found[0]), found[1]
    return line


def _sentence(fault: Any, name: str) -> str:
    """Say one fault in words."""
    said, told = f"{name} is {fault['input']!r}", fault["msg"]
    match fault["type"]:
        case "extra_forbidden":
            text = f"there is no field {name}"
        case "missing":
            text = f"{name} must be said: {_description(name)}"
        case "value_error":
            text = f"{name}: {fault['ctx']['error']}" if name else str(fault["ctx"]["error"])
        case "literal_error":
            text = f"{said}, but can be {fault['ctx']['expected']}"
        case "string_pattern_mismatch":
            text = f"{said}, which cannot be: {_description(name)}"
        case "model_type" | "model_attributes_type" | "dict_type":
            text = f"{name or 'the file'} must have fields of its own, one to a line"
        case "tuple_type":
            text = f"{said}, but must be a list: [{fault['input']}]"
        case _:
            text = f"{said}: {told[:1].lower()}{told[1:]}"
    return text.removesuffix(".")


def _did_you_mean(fault: Any, name: str) -> str:
    *parents, last = name.split(".")
    if fault["type"] == "extra_forbidden":
        close = difflib.get_close_matches(last, _fields(parents), n=1)
    elif fault["type"] == "literal_error":
        close = difflib.get_close_matches(str(fault["input"]).casefold(), _choices(parents, last), n=1, cutoff=0.5)
    else:
        return ""
    return f"Did you mean {close[0]}? " if close else ""


def _fields(parents: Sequence[str]) -> list[str]:
    kind = _kind(parents)
    return list(kind.model_fields) if kind else []


def _kind(names: Sequence[str]) -> type[BaseModel] | None:
    """Return the model at the end of a path of fields."""
    kind: type[BaseModel] = ClusterSpec
    for name in names:
        field = kind.model_fields.get(name)
        options = _options(field.annotation) if field else ()
        found = next((part for part in options if isinstance(part, type) and issubclass(part, BaseModel)), None)
        if found is None:
            return None
        kind = found
    return kind


def _options(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in {Union, UnionType} else (annotation,)


def _description(name: str) -> str:
    *parents, last = [part for part in name.split(".") if not part.isdigit()]
    kind = _kind(parents)
    return (kind.model_fields[last].description or "") if kind and last in kind.model_fields else ""


def _choices(parents: Sequence[str], last: str) -> list[str]:
    kind = _kind(parents)
    return [str(choice) for choice in get_args(kind.model_fields[last].annotation)] if kind else []


# --- writing ---------------------------------------------------------------------------------------------------------


def _lines(part: BaseModel, indent: str, *, wide: bool) -> Iterator[str]:
    """Yield the lines of one model; `wide`: with comments."""
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if wide:
            if not indent:
                yield ""
            yield from (f"{indent}# {line}" for line in textwrap.wrap(field.description or "", 110 - len(indent)))
        if isinstance(value, BaseModel):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ", wide=wide)
        else:
            yield f"{indent}{name}: {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.10g}" if float(f"{value:.10g}") == value else repr(value)
    if value in _NOTHING:
        return f"'{value}'"
    return str(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)).split("\n")[0]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else key)
    else:
        yield name, value
