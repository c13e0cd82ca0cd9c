"""What each channel of a bioimage.io package's outputs means. Knows words, no pixels.

The specification has no field for it. So what counts is, in this order: what somebody said with
``cellfleet models add --outputs``; the channels' own names; and, where these say nothing (``channel0``), words of the
model's name, description and tags in the few cases that leave no choice. Anything else is refused, not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from cellfleet.errors import ModelError
from cellfleet.models.bioimage.refusal import no_meaning, no_objects
from cellfleet.models.bioimage.tensors import Tensor
from cellfleet.spec.adaptor import Meaning, Softmax, Step

_NAMES: Final[Mapping[Meaning, str]] = {
    "foreground": "foreground|fg|objects?|cells?|nucleus|nuclei|nuclear|mask|probability|prob|segmentation",
    "interior": "interior|inside|inner|core|body",
    "background": "background|bg|outside|exterior",
    "boundary": "boundar(y|ies)|borders?|edges?|contours?|outlines?",
    "distance": "(outer|inner)?distance(transform|map)?|edt",
    "unused": "unused",
}
"""Patterns of names in small letters, without spaces and signs."""
_NAMELESS: Final = re.compile(r"(channel|ch|c|class|output|out)?\d*")
_OTHERS: Final[Mapping[str, str]] = {
    r"rays?|stardist|starconvex": "star-convex polygons (StarDist)",
    r"flows?|cellpose|flowdynamics": "flows (Cellpose)",
    r"affinit(y|ies)": "affinities",
    r"embeddings?": "embeddings",
    r"instances?|labels?|instancesegmentation": "labels of objects",
}
_SEPARATED: Final = re.compile(r"boundar(y|ies)|borders?|edges?|contours?", re.IGNORECASE)
_SEGMENTS: Final = re.compile(r"segment|foreground|mask", re.IGNORECASE)


def meanings(
    outputs: Sequence[Tensor],
    counts: Sequence[int],
    steps: Sequence[tuple[Step, ...]],
    said: Sequence[str] | None,
    described: Mapping[str, Any],
    where: str,
) -> list[tuple[Meaning, ...]]:
    """Return what the channels of each output mean.

    Args:
        outputs: Of the description.
        counts: Channels of each.
        steps: After the graph, of each.
        said: A meaning for each channel of all outputs, in their order; None: nobody said.
        described: All of the description.
        where: Its place, for messages.

    Raises:
        ModelError: E433 it predicts something else than areas and distances; E434 nobody can know what it predicts.
    """
    _require_areas(outputs, counts, described, where)
    if said is not None:
        return _as_said(said, counts, where)
    named = [_named(output, count, where) for output, count in zip(outputs, counts, strict=True)]
    if all(one is not None for one in named):
        found = [one for one in named if one is not None]
    elif len(outputs) == 1:
        found = [_in_words(outputs[0], counts[0], steps[0], described, where)]
    else:
        raise no_meaning(where, outputs[named.index(None)].field, "its channels have no names that say what they are")
    _require_objects({one for output in found for one in output}, where)
    return found


def _as_said(said: Sequence[str], counts: Sequence[int], where: str) -> list[tuple[Meaning, ...]]:
    known = get_args(Meaning)
    if len(said) != sum(counts) or not set(said) <= set(known):
        raise no_meaning(
            where, "config.cellfleet.outputs", f"it takes {sum(counts)} of {', '.join(known)}, not {', '.join(said)}"
        )
    left: list[Meaning] = [meaning for one in said for meaning in known if meaning == one]
    _require_objects(set(left), where)
    return [tuple(left.pop(0) for _ in range(count)) for count in counts]


def _named(output: Tensor, count: int, where: str) -> tuple[Meaning, ...] | None:
    """Return what the names of an output's channels mean; None where they say nothing."""
    channels = output.axis("c")
    names = channels.names if channels and channels.names else (output.name,) if count == 1 else ()
    plain = [re.sub(r"[^a-z0-9]", "", name.casefold()) for name in names]
    if len(plain) != count or all(_NAMELESS.fullmatch(name) for name in plain):
        return None
    found: list[Meaning] = []
    for name, word in zip(names, plain, strict=True):
        fits = [meaning for meaning, pattern in _NAMES.items() if re.fullmatch(pattern, word)]
        if not fits and channels and channels.names:
            raise no_meaning(where, output.field, f"nothing is known of a channel that is called {name[:80]!r}")
        found += fits
    return tuple(found) if len(found) == count else None


def _in_words(
    output: Tensor, count: int, steps: tuple[Step, ...], described: Mapping[str, Any], where: str
) -> tuple[Meaning, ...]:
    """Return what the nameless channels of the only output mean, by words of the description."""
    text = words_of(described, output.description)
    if count == 1 and not _SEPARATED.search(text) and _SEGMENTS.search(text):
        return ("foreground",)
    if count == 2 and _SEPARATED.search(text):
        return ("foreground", "boundary")
    if count == 2 and any(isinstance(step, Softmax) for step in steps) and _SEGMENTS.search(text):
        return ("background", "foreground")
    raise no_meaning(where, output.field, f"nothing says what its {count} channel(s) are")


def words_of(described: Mapping[str, Any], more: str = "") -> str:
    """Return name, description and tags of a description as one text."""
    tags = described.get("tags")
    given = [described.get("name"), described.get("description"), more, *(tags if isinstance(tags, list) else [])]
    return " ".join(one[:2000] for one in given[:50] if isinstance(one, str))


def _require_areas(outputs: Sequence[Tensor], counts: Sequence[int], described: Mapping[str, Any], where: str) -> None:
    """Refuse what is known to need another post-processing."""
    config = described.get("config")
    tags = [one.casefold() for one in described.get("tags") or () if isinstance(one, str)]
    for software, what in (("stardist", "star-convex polygons (StarDist)"), ("cellpose", "flows (Cellpose)")):
        if (isinstance(config, dict) and software in config) or software in tags:
            raise no_objects(where, f"config.{software}" if software not in tags else "tags", what)
    for output, count in zip(outputs, counts, strict=True):
        channels = output.axis("c")
        for name in (output.name, *(channels.names if channels else ())):
            _require_no_other(re.sub(r"[^a-z]", "", name.casefold()), output.field, where)
        if count > 32:
            raise no_objects(
                where, output.field, f"{count} channels, such as rays of star-convex polygons or embeddings"
            )


def _require_no_other(word: str, field: str, where: str) -> None:
    """Raise `ModelError` E433 where a name says that the output needs another post-processing."""
    for pattern, what in _OTHERS.items():
        if re.fullmatch(pattern, word):
            raise no_objects(where, field, what)


def _require_objects(found: set[Meaning], where: str) -> None:
    if not found & {"foreground", "interior", "background", "distance"}:
        raise _lonely_boundary(where)


def _lonely_boundary(where: str) -> ModelError:
    return no_objects(where, "outputs", "boundaries alone, which do not say on which side of them objects are")
