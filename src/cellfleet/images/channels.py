"""Which channels of an image play which role of a model: by number, by name, or by the names' meaning.

Channels are counted from 1 wherever a person sees them, and from 0 in the result. Knows no pixels.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from cellfleet.errors import ImageError, Notice
from cellfleet.images.axes import PAGES_AS_CHANNELS
from cellfleet.images.image import Image
from cellfleet.spec.segment import ChannelChoice

STAINS = {
    "nuclear": r"dapi|hoechst|dna|nuclei|nuclear|nucleus|nuc|h2b|draq[57]|syto|sytox|pi|propidium|histone|to-?pro",
    "membrane": r"membrane|wga|cellmask|panck|pan-?cytokeratin|e-?cadherin|ecad|na-?k-?atpase",
    "brightfield": r"brightfield|bright|bf|phase|phc|dic|transmitted|trans",
}
"""By role, words that a channel's name begins with or contains; a number may follow (SYTO 13, Hoechst33342)."""


def choose_channels(image: Image, choices: Sequence[ChannelChoice], roles: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Assign channels to roles.

    Without a choice for a role, an image's only channel (or the only colour that is not blank) serves a model of
    one role; else the one channel whose name means the role. Nothing is chosen by position.

    Args:
        image: Its channels and their names.
        choices: What the user said; one without a role stands for the next role that is not named.
        roles: The model's roles, in order.

    Returns:
        Role → channels counted from 0, in the order of `roles`; the pixels of several are to be summed.

    Raises:
        ImageError: E210 (a role without a channel), E211 (which of several?), E212 (no such number), E213 (no such
            name), E214 (a name that fits several), E215 (no such role), E216 (more choices than roles).
    """
    chosen: dict[str, tuple[int, ...]] = {}
    for role, choice in _by_role(image, choices, roles).items():
        chosen[role] = tuple(dict.fromkeys(_find(image, channel) for channel in choice.channels))
    for role in roles:
        if role not in chosen:
            chosen[role] = (_default(image, role, roles),)
    return {role: chosen[role] for role in roles}


def choice_notices(
    image: Image, choices: Sequence[ChannelChoice], chosen: dict[str, tuple[int, ...]]
) -> tuple[Notice, ...]:
    """Tell which channels `choose_channels` took without being asked, where there was anything to choose."""
    if image.channels == 1:
        return ()
    asked = _by_role(image, choices, tuple(chosen))
    return tuple(_taken(image, role, channels[0]) for role, channels in chosen.items() if role not in asked)


def _taken(image: Image, role: str, channel: int) -> Notice:
    name = image.channel_names[channel]
    if image.blank_channels and channel not in image.blank_channels:
        return Notice("W121", f"Only its {name} holds a signal: taken as {role}. --channel {role}=… changes that")
    return Notice(
        "W120",
        f"Has {image.channels} channels; channel {channel + 1} ({name}) is taken as {role} by its name."
        f" --channel {role}=… changes that",
    )


def _by_role(image: Image, choices: Sequence[ChannelChoice], roles: Sequence[str]) -> dict[str, ChannelChoice]:
    """Return the choice for each role that has one."""
    named = [choice.role.casefold() for choice in choices if choice.role]
    free = [role for role in roles if role.casefold() not in named]
    assigned: dict[str, ChannelChoice] = {}
    for choice in choices:
        if choice.role:
            role = _role(image, choice.role, roles)
        elif free:
            role = free.pop(0)
        else:
            raise _too_many(image, choices, roles)
        if role in assigned:
            raise _too_many(image, choices, roles)
        assigned[role] = choice
    return assigned


def _role(image: Image, wanted: str, roles: Sequence[str]) -> str:
    for role in roles:
        if role.casefold() == wanted.casefold():
            return role
    raise ImageError(
        "E215",
        f"the model has no role {wanted!r}, only {_and(roles)}{_meant(wanted, roles)}",
        where=image.name,
        action=f"Write for example --channel {roles[0]}=1",
    )


def _too_many(image: Image, choices: Sequence[ChannelChoice], roles: Sequence[str]) -> ImageError:
    joined = "+".join(str(channel) for choice in choices for channel in choice.channels)
    return ImageError(
        "E216",
        f"{len(choices)} channel choices were given, the model has {len(roles)} role{'s' * (len(roles) > 1)}"
        f" ({', '.join(roles)}) and each takes one",
        where=image.name,
        action=f"Join channels that are to be summed: --channel {roles[0]}={joined}",
    )


def _find(image: Image, wanted: int | str) -> int:
    """Return the channel for a number counted from 1 or a name."""
    if isinstance(wanted, int):
        if 1 <= wanted <= image.channels:
            return wanted - 1
        # Some channels are named by their wavelength: 488.
        if str(wanted) in image.channel_names:
            return _find_name(image, str(wanted))
        raise _no_such_number(image, wanted)
    return _find_name(image, wanted)


def _find_name(image: Image, wanted: str) -> int:
    """Find a name by all of it, or else by its first words; never by parts of words (CD4 is not CD45)."""
    word = wanted.casefold()
    names = [name.casefold() for name in image.channel_names]
    fits = [i for i, name in enumerate(names) if name == word]
    if not fits:
        fits = [i for i, name in enumerate(names) if re.match(rf"{re.escape(word)}(?!\w)", name)]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ImageError(
            "E214",
            f"the name {wanted!r} fits {len(fits)} channels: {_listing(image, fits)}",
            where=image.name,
            action="Give the channel's number instead",
        )
    raise ImageError(
        "E213",
        f"has no channel named {wanted!r}{_meant(wanted, [n for n in image.channel_names if n])}. {_inventory(image)}",
        where=image.name,
        action=_how_to_choose(image),
    )


def _no_such_number(image: Image, wanted: int) -> ImageError:
    counted = "channels are counted from 1" if wanted < 1 else f"there is no channel {wanted}"
    return ImageError("E212", f"{counted}. {_inventory(image)}", where=image.name, action=_how_to_choose(image))


def _default(image: Image, role: str, roles: Sequence[str]) -> int:
    """Return the channel for a role that the user said nothing about."""
    if len(roles) == 1:
        with_signal = [i for i in range(image.channels) if i not in image.blank_channels]
        if len(with_signal) == 1:
            return with_signal[0]
    fits = [i for i, name in enumerate(image.channel_names) if _means(name, role)]
    if len(fits) == 1:
        return fits[0]
    if image.channels < len(roles):
        raise ImageError(
            "E210",
            f"has {_count(image.channels)}; the model needs a {' and a '.join(roles)} channel",
            where=image.name,
            action="Use a model that needs fewer, or join the channels into one file",
        )
    why = f"channels {_listing(image, fits)} may all be {role}" if fits else f"none is known to be {role}"
    raise ImageError(
        "E211",
        f"has {_count(image.channels)} and {why}. {_inventory(image)}",
        where=image.name,
        action=_how_to_choose(image) if len(roles) == 1 else _how_to_choose_all(roles),
    )


def _means(name: str, role: str) -> bool:
    words = STAINS.get(role, re.escape(role))
    return re.search(rf"(?<![a-z0-9])(?:{words})[\s_-]?\d*(?![a-z0-9])", name.casefold()) is not None


def _inventory(image: Image) -> str:
    # Where channels are our own reading of nameless pages, that may be the mistake.
    assumed = "".join(f". {notice.text}" for notice in image.notices if notice.code == PAGES_AS_CHANNELS)
    if not any(image.channel_names):
        return f"It has {_count(image.channels)} without names{assumed}"
    return f"It has {_count(image.channels)}: {_listing(image, range(image.channels))}"


def _listing(image: Image, channels: Sequence[int]) -> str:
    shown = [f"{i + 1} {image.channel_names[i]}".strip() for i in channels[:12]]
    return ", ".join(shown) + (", …" if len(channels) > 12 else "")


def _how_to_choose(image: Image) -> str:
    if image.channels == 1:
        return "Leave out --channel, or write --channel 1"
    # A + or = in a name would be taken for our own.
    names = [name for name in image.channel_names if name and not set(name) & set("+=")]
    by_name = f" or --channel {_quoted(names[0])}" if names else ""
    return f"Write for example --channel 1{by_name}; --channel 1+2 sums two"


def _how_to_choose_all(roles: Sequence[str]) -> str:
    words = " ".join(f"--channel {role}={number}" for number, role in enumerate(roles, 1))
    return f"Write for example {words}; --channel {roles[0]}=1+2 sums two"


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.=-]+", text) else f'"{text}"'


def _meant(wanted: str, names: Sequence[str]) -> str:
    folded = {name.casefold(): name for name in names}
    close = difflib.get_close_matches(wanted.casefold(), list(folded), n=1)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""


def _count(channels: int) -> str:
    return "1 channel" if channels == 1 else f"{channels} channels"


def _and(words: Sequence[str]) -> str:
    return " and ".join(words)
