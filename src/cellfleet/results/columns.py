"""What each column of the object table means: the text in Parquet files and in docs/reference/outputs.md.

Knows the names that *measure* gives, not how the numbers are made.
"""

from __future__ import annotations

import re

_EXACT: dict[str, str] = {
    "image": "Path of the image relative to the input, with /",
    "label": "Number of the object: its pixel value in the label image",
}
_BY_CHANNEL: dict[str, str] = {}


def describe(column: str) -> str:
    """Return one clause that says what `column` holds, with its unit; empty for an unknown column."""
    if column in _EXACT:
        return _EXACT[column]
    for statistic, text in _BY_CHANNEL.items():
        if match := re.fullmatch(f"{statistic}_(.+)", column):
            return text.replace("<channel>", match[1])
    return ""
