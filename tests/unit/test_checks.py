"""The scripts behind `make lint` find what they are for."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("place", "code", "said"),
    [
        ("spec/a.py", "from cellfleet.run import names", "spec imports run"),
        ("tiling/a.py", "import cellfleet.images.read", "tiling imports images"),
        ("images/a.py", "def f():\n    from cellfleet.run.names import folded", "images imports run"),
        ("cli/a.py", "import numpy as np", "cli imports numpy at the top"),
        ("errors.py", "if True:\n    import numpy", "errors imports numpy at the top"),
        ("cli/a.py", "def f():\n    import numpy\n    from cellfleet.run import names", ""),
        ("cli/a.py", "if TYPE_CHECKING:\n    import numpy", ""),
        ("run/a.py", "from cellfleet import __version__\nfrom cellfleet.images.read import x", ""),
        ("run/a.py", "from cellfleet import cli", "run imports cli"),
    ],
)
def test_imports_that_go_upwards_or_weigh_are_found(
    place: str, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = _load("check_layers")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(code)
    found = list(script.check_module(path))
    assert [said in offence for offence in found] == ([True] if said else [])


def test_a_part_without_a_layer_is_named() -> None:
    with pytest.raises(SystemExit, match="nowhere stands in no layer"):
        _load("check_layers").level("nowhere")


def test_long_files_and_functions_are_found(tmp_path: Path) -> None:
    script = _load("check_sizes")
    path = tmp_path / "long.py"
    path.write_text("def f():\n" + "    x = 1\n" * 50 + "\n" * 350)
    assert ["401 lines" in offence or "f has 51" in offence for offence in script.check_file(path)] == [True, True]
    path.write_text('def f():\n    """' + "\n" * 40 + '    """\n' + "    x = 1\n" * 49)
    assert list(script.check_file(path)) == []
