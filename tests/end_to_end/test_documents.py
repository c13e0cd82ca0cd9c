"""The commands and the Python of the README and the tutorial run as they stand, in order, in an empty folder.

Blocks marked `text` are not run: they train a model, or need files that only the reader has.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


def blocks(document: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(bash|python)\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["README.md", "docs/tutorial.md", "docs/tutorial-classifier.md"])
def test_blocks_run(name: str, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    found = blocks(ROOT / name)
    assert {language for language, _ in found} == {"bash", "python"}
    for language, text in found:
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"


def test_the_table_of_results_in_the_readme_is_what_a_run_leaves(tmp_path: Path) -> None:
    promised = set(re.findall(r"^\| `(?:plate/a)?([\w.]+)` \|", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    script = "import sys; from cellfleet.cli import main; main(['samples', 'plate']); sys.exit(main(sys.argv[1:]))"
    words = ["segment", "plate", "-o", "out", "--model", "otsu"]
    subprocess.run([sys.executable, "-c", script, *words], cwd=tmp_path, check=True, capture_output=True)
    left = {path.name.replace("small_nuclei", "") for path in (tmp_path / "out").iterdir()}
    assert promised == {"_labels.tif", "_cells.csv", "report.html", "run.json", "failures.csv"} and promised <= left
