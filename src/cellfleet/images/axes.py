"""What the dimensions of an image mean: the letters that a file declares, the user's own, and the rule for neither.

Known axes are used. Dimensions without a name are never guessed from their sizes: 2 to 4 pages are taken as
channels and that is said; more pages are an error that shows the possible readings; the user's ``axes`` decides.
Pure functions of letters and lengths.
"""

from __future__ import annotations

from cellfleet.errors import ImageError, Notice

KNOWN = "TCZYXS"
"""Time, channel, depth, height, width, and S for samples: the colours of one pixel."""
DROPPED = "_"
"""Stands for a dimension of length 1 that the image does without."""
PAGES_AS_CHANNELS = "W103"
"""Code of the notice about nameless pages that were taken as channels."""
NAMELESS = "IQ"
"""tifffile's letters for a sequence of pages or a dimension that nothing describes."""
MOST_PAGES_AS_CHANNELS = 4
_SAMPLES = (3, 4)
"""Red, green, blue, and perhaps alpha."""


def settle_axes(
    axes: str, shape: tuple[int, ...], *, override: str | None, name: str, unit: str = "pages"
) -> tuple[str, tuple[Notice, ...]]:
    """Give every dimension a meaning.

    Args:
        axes: Letter per dimension, as declared.
        shape: Length per dimension.
        override: The user's letters; they replace the declared ones.
        name: The image, for messages.
        unit: What to call the entries of a nameless dimension.

    Returns:
        One letter per dimension out of ``TCZYXS``, or `DROPPED` for a dimension of length 1; and notices.

    Raises:
        ImageError: E201, E202 (the user's axes do not fit), E203 (nobody knows what a dimension is).
    """
    if override is not None:
        return _overridden(axes, shape, override.upper(), name), ()
    letters = "".join(
        DROPPED if length == 1 and letter not in "YX" else letter for letter, length in zip(axes, shape, strict=True)
    )
    unknown = [(letter, length) for letter, length in zip(letters, shape, strict=True) if letter not in KNOWN + "_"]
    if not unknown and _is_sound(letters):
        return letters, ()
    readable = len(unknown) == 1 and unknown[0][0] in NAMELESS and _is_sound(letters.replace(unknown[0][0], ""))
    if not readable or "C" in letters:
        raise _unreadable(letters, shape, name)
    letter, length = unknown[0]
    if length > MOST_PAGES_AS_CHANNELS:
        raise _undecided(letters, shape, letter, name, unit)
    return letters.replace(letter, "C"), (_taken_as_channels(letters, letter, length, unit),)


def _is_sound(letters: str) -> bool:
    named = letters.replace(DROPPED, "")
    return "Y" in named and "X" in named and len(set(named)) == len(named)


def _overridden(axes: str, shape: tuple[int, ...], wanted: str, name: str) -> str:
    if not _is_sound(wanted) or set(wanted) - set(KNOWN):
        raise ImageError(
            "E201",
            f"axes {wanted!r} cannot be used: each letter once, out of T C Z Y X S, with Y and X",
            where=name,
            action="Write one letter per dimension, for example --axes CYX",
        )
    needed = [i for i, (letter, length) in enumerate(zip(axes, shape, strict=True)) if length > 1 or letter in "YX"]
    if len(wanted) == len(shape):
        letters = wanted
    elif len(wanted) == len(needed):
        letters = "".join(wanted[needed.index(i)] if i in needed else DROPPED for i in range(len(shape)))
    elif len(needed) == 2 and wanted.endswith("YX"):
        # Readers drop axes of length 1, so a stack that happens to have one plane arrives as that plane.
        letters = "".join("YX"[needed.index(i)] if i in needed else DROPPED for i in range(len(shape)))
    else:
        raise _wrong_count(axes, shape, wanted, name)
    return "".join(
        DROPPED if length == 1 and letter not in "YX" else letter for letter, length in zip(letters, shape, strict=True)
    )


def _wrong_count(axes: str, shape: tuple[int, ...], wanted: str, name: str) -> ImageError:
    declared = "" if set(axes) & set(NAMELESS) else f", in the file {axes}"
    return ImageError(
        "E202",
        f"axes {wanted} name {len(wanted)} dimensions, the image has {len(shape)} ({_sizes(shape)}{declared})",
        where=name,
        action=f"Give {len(shape)} letters to --axes, or leave it out",
    )


def _unreadable(letters: str, shape: tuple[int, ...], name: str) -> ImageError:
    return ImageError(
        "E203",
        f"it is not known what its dimensions {_sizes(shape)} are (the file says {letters.replace(DROPPED, '1')})",
        where=name,
        action="Say it with --axes, one letter per dimension out of T C Z Y X S, for example --axes TCYX",
    )


def _readings(letters: str, letter: str) -> dict[str, str]:
    return {known: letters.replace(letter, known).replace(DROPPED, "") for known in "CZT" if known not in letters}


def _undecided(letters: str, shape: tuple[int, ...], letter: str, name: str, unit: str) -> ImageError:
    length = shape[letters.index(letter)]
    meanings = {
        "C": f"one image of {length} channels",
        "Z": f"{length} z-planes",
        "T": f"{length} time points",
    }
    readings = _readings(letters, letter)
    shown = ", or ".join(f"{meanings[known]} (--axes {axes})" for known, axes in readings.items())
    if len(shape) == 3 and shape[-1] in _SAMPLES:
        shown += ", or one image in colour (--axes YXS)"
    return ImageError(
        "E203",
        f"{length} {unit} and no axis information. They can be {shown}",
        where=name,
        action="Give the --axes that is right",
    )


def _taken_as_channels(letters: str, letter: str, length: int, unit: str) -> Notice:
    readings = _readings(letters, letter)
    hints = [
        f"{what} use --axes {readings[known]}"
        for known, what in (("Z", "z-planes"), ("T", "time points"))
        if known in readings
    ]
    advice = f". If these are {', if '.join(hints)}" if hints else ""
    return Notice(PAGES_AS_CHANNELS, f"{length} {unit} and no axis information. Taken as {length} channels{advice}")


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape)
