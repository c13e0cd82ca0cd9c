"""Check that imports inside cellfleet go downwards only, and that heavy libraries stay out of the light modules.

Run by `make lint`. Prints one line per offence and exits with 1 if there is any.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__main__"}),
    frozenset({"cli"}),
    frozenset({"__init__"}),
    frozenset({"api", "bench"}),
    frozenset({"service", "worker", "client", "training", "cluster"}),
    frozenset({"jobs"}),
    frozenset({"run"}),
    frozenset({"results", "samples"}),
    frozenset({"pipeline"}),
    frozenset({"models"}),
    frozenset({"inference"}),
    frozenset({"evaluation"}),
    frozenset({"images"}),
    frozenset({"tiling", "stores", "_native"}),
    frozenset({"planning"}),
    frozenset({"observe"}),
    frozenset({"spec", "crash"}),
    frozenset({"errors"}),
)
"""Highest first. A part may import itself and every lower layer, but not its neighbours."""

LIGHT = frozenset({"cli", "spec", "errors", "__init__", "__main__"})
"""Imported by `cellfleet --help`: these may import heavy libraries only inside functions."""
HEAVY = frozenset({"numpy", "onnxruntime", "tifffile", "imagecodecs", "PIL", "pyarrow", "torch", "scipy", "skimage"})

ROOT = Path("src/cellfleet")
"""The package, seen from the folder that the script is run in."""


def main() -> int:
    """Check every module of the package; return the exit code."""
    offences = [offence for path in sorted(ROOT.rglob("*.py")) for offence in check_module(path)]
    sys.stdout.writelines(f"{offence}\n" for offence in offences)
    return 1 if offences else 0


def check_module(path: Path) -> Iterator[str]:
    """Yield what is wrong with the imports of one module."""
    part = part_of(path.relative_to(ROOT).with_suffix("").parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for line, name, at_import in imports(tree):
        place = f"{path}:{line}: "
        top, *rest = name.split(".")
        if top == "cellfleet":
            target = part_of(tuple(rest)) if rest else "__init__"
            # `from cellfleet import __version__` reads a constant, whichever layer asks.
            if target not in {part, "__init__"} and level(target) >= level(part):
                yield f"{place}{part} imports {target}: imports go downwards only (ARCHITECTURE.md)"
        elif at_import and part in LIGHT and top in HEAVY:
            yield f"{place}{part} imports {top} at the top: import it inside the function that needs it"


def part_of(parts: tuple[str, ...]) -> str:
    """Return the first name below the package: the folder or file that a module belongs to."""
    return parts[0] if parts and not parts[0].startswith("__version") else "__init__"


def level(part: str) -> int:
    """Return the height of a part, 0 = lowest."""
    for height, layer in enumerate(reversed(LAYERS)):
        if part in layer:
            return height
    raise SystemExit(f"{part} stands in no layer: add it to LAYERS in scripts/check_layers.py")


def imports(tree: ast.Module) -> Iterator[tuple[int, str, bool]]:
    """Yield (line, dotted name, whether importing the module runs it) of every import."""
    yield from _imports(tree, at_import=True)


def _imports(node: ast.AST, *, at_import: bool) -> Iterator[tuple[int, str, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((child.lineno, alias.name, at_import) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = child.module or ""
            if module == "cellfleet":
                yield from ((child.lineno, f"cellfleet.{alias.name}", at_import) for alias in child.names)
            else:
                yield child.lineno, module, at_import
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or _is_type_checking(child)
            yield from _imports(child, at_import=at_import and not inside)


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


if __name__ == "__main__":
    sys.exit(main())
