"""The traceback of a fault of ours, saved for a report instead of shown. Knows nothing of the program."""

from __future__ import annotations

import tempfile
import traceback


def save_traceback(error: BaseException) -> str:
    """Write the traceback into a file for a report; return its path, or a word when even that is impossible."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="cellfleet-bug-", suffix=".log", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
            return file.name
    except OSError:
        return "(no log could be written; run again with --debug)"
