"""Check that files stay under 400 lines and functions under 50. Run by `make lint`.

Exceptions stand in LONGER with their present size; the list may only shrink.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = 400
FUNCTION_LINES = 50
LONGER: dict[str, int] = {}
"""Path, or path:function → lines it may have."""
FOLDERS = ("src", "native", "scripts", "tests", "benchmarks")
CHECKED = (".py", ".c", ".h", ".sh", ".java")


def main() -> int:
    """Check every source file; return the exit code."""
    paths = sorted(path for folder in FOLDERS for path in Path(folder).rglob("*") if path.suffix in CHECKED)
    offences = [offence for path in paths for offence in check_file(path)]
    sys.stdout.writelines(f"{offence}\n" for offence in offences)
    return 1 if offences else 0


def check_file(path: Path) -> Iterator[str]:
    """Yield what is too long in one file."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    if lines > LONGER.get(path.as_posix(), FILE_LINES):
        yield f"{path}: {lines} lines; split it (at most {FILE_LINES})"
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from _check_function(path, node)


def _check_function(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1 - _docstring_lines(node)
    if lines > LONGER.get(f"{path.as_posix()}:{node.name}", FUNCTION_LINES):
        yield f"{path}:{node.lineno}: {node.name} has {lines} lines beside its docstring (at most {FUNCTION_LINES})"


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    if ast.get_docstring(node) is None:
        return 0
    first = node.body[0]
    return (first.end_lineno or first.lineno) - first.lineno + 1


if __name__ == "__main__":
    sys.exit(main())
