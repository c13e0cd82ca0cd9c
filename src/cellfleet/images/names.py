"""Names of files as text that can be printed, put into JSON and CSV, and used as a file name. Knows no files."""

from __future__ import annotations

import unicodedata

_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that make a text read backwards: a name could pose as another."""


def printable(name: str) -> str:
    """Write control characters, line ends and bytes that are no UTF-8 as %XX (of their bytes); keep all else."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(_escaped(character) for character in name)


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _UNPRINTABLE and character not in _DIRECTION:
        return character
    # Linux smuggles foreign bytes in U+DC80…DCFF; other lone surrogates come from Windows names.
    foreign = "\udc80" <= character <= "\udcff"
    octets = character.encode("utf-8", errors="surrogateescape" if foreign else "surrogatepass")
    return "".join(f"%{octet:02X}" for octet in octets)
