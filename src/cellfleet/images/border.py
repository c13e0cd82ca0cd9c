"""The border to the decoding libraries: what they raise and log on bad files, in our words.

tifffile, its like and the codecs meet a damaged file with whatever their parsers stumble over. `DAMAGE` lists the
classes seen in fuzzing; they are caught here and nowhere else, around library calls only, so that a bug of ours is
never reported as the user's damaged file. Knows no formats.
"""

from __future__ import annotations

import functools
import logging
import lzma
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal, NoReturn
from xml.etree.ElementTree import ParseError

import tifffile

from cellfleet.errors import InputError

DAMAGE = (
    ArithmeticError,  # sizes of zero or beyond 64 bits
    AssertionError,
    AttributeError,  # a tag that tifffile relies on is missing
    EOFError,
    LookupError,
    ParseError,  # OME-XML cut short
    RecursionError,
    RuntimeError,  # every codec of imagecodecs has its own subclass
    TypeError,
    ValueError,  # includes UnicodeError and JSON errors
    lzma.LZMAError,
    struct.error,
    tifffile.TiffFileError,
    zipfile.BadZipFile,
    zlib.error,
)

Part = Literal["header", "pixels"]

_heard: ContextVar[list[logging.LogRecord] | None] = ContextVar("_heard", default=None)


@contextmanager
def decoding(
    path: str | Path, name: str, kind: str, *, part: Part, place: Callable[[], str] = str
) -> Iterator[list[logging.LogRecord]]:
    """Run library calls on a file; failures become InputError, log records are collected instead of shown.

    Args:
        path: The file, to say why it cannot be opened.
        name: The image, for messages.
        kind: What the file is, ``TIFF``.
        part: What the block reads: a failure is put down to it.
        place: Says which of the pixels, for messages: `` at x=0, y=256``; empty where it is all of them.

    Yields:
        The warnings and errors that the library logs, growing while the block runs.

    Raises:
        InputError: E104 (not to be opened), E106 (damaged), E108 (memory), E109 (codec missing).
    """
    _listen_to_libraries()
    records: list[logging.LogRecord] = []
    token = _heard.set(records)
    try:
        yield records
    except (OSError, MemoryError) as error:
        if type(error) is OSError and error.errno is None:  # a library's word, not the system's
            _raise_damaged(error, name, kind, part, place())
        raise _not_to_be_had(path, name, error) from error
    except ImportError as error:  # imagecodecs.DelayedImportError: this build lacks the codec
        raise unsupported_codec(name, "by a codec that is not installed") from error
    except DAMAGE as error:
        _raise_damaged(error, name, kind, part, place())
    finally:
        _heard.reset(token)


@contextmanager
def reading(path: str | Path, name: str) -> Iterator[None]:
    """Read bytes of a file that is open, and make room for them: as `decoding`, for code that is ours.

    Raises:
        InputError: E104, E108.
    """
    try:
        yield
    except (OSError, MemoryError) as error:
        raise _not_to_be_had(path, name, error) from error


def _not_to_be_had(path: str | Path, name: str, error: OSError | MemoryError) -> InputError:
    if isinstance(error, OSError):
        return unopened(path, name, error)
    return InputError(
        "E108",
        "does not fit into the memory that is free",
        where=name,
        action="Close other programs, use a larger machine, or cut the image into parts",
    )


def _raise_damaged(error: Exception, name: str, kind: str, part: Part, place: str) -> NoReturn:
    # The libraries' own words name their internals and change with every release: they stay in the traceback.
    codec = re.search(r"COMPRESSION\.(\w+)|(\d+) is not a known COMPRESSION", str(error))
    if codec or "requires the 'imagecodecs' package" in str(error):
        raise unsupported_codec(name, f"by {codec[1] or codec[2]}" if codec else "by a rare codec") from error
    unpacking = part == "pixels" or type(error).__module__.startswith("imagecodecs")
    why = f"its pixels{place} cannot be unpacked" if unpacking else "its header makes no sense"
    raise damaged(name, kind, why) from error


def damaged(name: str, kind: str, why: str) -> InputError:
    """Return the error for a file whose content breaks off or makes no sense."""
    return InputError(
        "E106",
        f"this {kind} file is damaged or cut short ({why})",
        where=name,
        action="Copy or export it again",
    )


def unsupported_codec(name: str, how: str) -> InputError:
    """Return the error for a compression that is not built in."""
    return InputError(
        "E109",
        f"its pixels are stored in a way that cannot be read here ({how})",
        where=name,
        action="Export it without compression, or with deflate (zip) or LZW",
    )


def unopened(path: str | Path, name: str, error: OSError) -> InputError:
    """Return the error for a path that the system does not let us read, by the system's reason."""
    reason = error.strerror or str(error) or type(error).__name__
    action = "Check that the file can be read, and its disk or network share"
    if os.path.islink(path) and not os.path.exists(path):
        reason, action = "it is a link that leads to no file", "Mend or remove the link"
    elif isinstance(error, FileNotFoundError):
        reason, action = "it is not there any more", "Run the command again"
    elif isinstance(error, PermissionError):
        reason, action = "permission denied", "Ask its owner for the right to read it"
    elif isinstance(error, IsADirectoryError):
        reason, action = "it is a folder", "Give the folder itself to search it for images"
    return InputError("E104", f"cannot be opened: {reason}", where=name, action=action)


class _Listener(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        records = _heard.get()
        if records is None:
            return True
        records.append(record)
        return False


@functools.cache
def _listen_to_libraries() -> None:
    # A filter sees records before any handler; outside `decoding` it lets them through unchanged.
    for library in ("tifffile", "liffile", "nd2"):
        logging.getLogger(library).addFilter(_Listener())
