"""Names of result files: pure functions of the images' names. Touches no disk.

An image ``plate/a.tif`` gives ``plate/a_labels.tif`` and ``plate/a_cells.csv``, and where its cells have nuclei
``plate/a_nuclei.tif`` and ``plate/a_nuclei.csv``. Where that would be the name of two
images' results, the extension is kept for all of them (``plate/a.tif_labels.tif``). Names that differ only in case or
in Unicode normal form count as the same name: on Windows and macOS they are one file.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from cellfleet.results.formats import is_output, outputs_of, written_for
from cellfleet.spec.choices import Format, Output


def output_stems(names: Sequence[str]) -> list[str]:
    """Return one stem per image, in order; no two are the same file on any platform.

    Args:
        names: Names relative to the input folder, with ``/``; each only once.
    """
    short = [without_suffix(name) for name in names]
    taken = Counter(map(folded, short))
    stems = [stem if taken[folded(stem)] == 1 else name for stem, name in zip(short, names, strict=True)]
    # "a.tif" (kept because of a.png) can meet the stem of "a.tif.png"; full names can only meet in their case.
    taken = Counter(map(folded, stems))
    stems = [stem if taken[folded(stem)] == 1 else name for stem, name in zip(stems, names, strict=True)]
    return _numbered(stems)


def output_names(stem: str, formats: Iterable[Format], *, nuclei: bool = False) -> dict[Output, str]:
    """Return output → path of its first file, or of its folder, relative to the output folder.

    Args:
        stem: Of the image.
        formats: What is wanted.
        nuclei: Whether the objects are cells whose nuclei are found, too.
    """
    return {form: (stem + outputs_of(form)[0]).rstrip("/") for form in written_for(formats, nuclei=nuclei)}


def all_files(form: str, first: str) -> tuple[str, ...]:
    """Return the paths of all files of an output, or of its folder, from that of the first."""
    if not is_output(form):
        # Of another version of cellfleet.
        return (first,)
    endings = [ending.rstrip("/") for ending in outputs_of(form)]
    stem = first.removesuffix(endings[0])
    return tuple(stem + ending for ending in endings)


def is_tree(form: str) -> bool:
    """Say whether the output is a folder."""
    return is_output(form) and outputs_of(form)[0].endswith("/")


def folded(name: str) -> str:
    """Return `name` as a file system sees it that ignores case and Unicode normal form."""
    return unicodedata.normalize("NFC", name).casefold()


def without_suffix(name: str) -> str:
    """Return the path without its last extension, as `pathlib` sees it."""
    start, dot = name.rfind("/") + 1, name.rfind(".")
    return name[:dot] if start < dot < len(name) - 1 else name


def _numbered(stems: list[str]) -> list[str]:
    used: set[str] = set()
    result = []
    for stem in stems:
        candidate, count = stem, 1
        while folded(candidate) in used:
            count += 1
            candidate = f"{stem}~{count}"
        used.add(folded(candidate))
        result.append(candidate)
    return result
