"""The house is in order: documents name what the code has, and nothing that belongs to one machine is committed."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import cellfleet
from cellfleet.cli import COMMANDS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ERRORS = ROOT / "docs" / "reference" / "errors.md"
_CODE = re.compile(r'"([EW]\d{3})"|\[([EW]\d{3})\]')

# Written in pieces, so that this file is not an offender itself.
MACHINE = re.compile(
    "|".join(["/wo" + "rk/", "/fa" + "rm/", "/ho" + "me/[a-z]", "farm" + "-bench", "/op" + "t/wheels"])
)
REGISTRY = re.compile(
    "|".join(["pypi" + r"\.org", "python" + "hosted", "npmjs" + r"\.", "--(extra-)?index" + "-url +[^ ]"])
)


def _tracked() -> list[Path]:
    if not (ROOT / ".git").exists():  # an unpacked archive: everything but what the Makefile makes
        made = {".venv", ".venv-demo", "build", "dist", "demo-results", ".mypy_cache", ".ruff_cache", ".hypothesis"}
        files = [path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in {".pyc", ".so"}]
        return [path for path in files if made.isdisjoint(path.relative_to(ROOT).parts)]
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


def _texts() -> list[tuple[Path, str]]:
    binary = {".tif", ".tiff", ".png", ".jpg", ".onnx", ".npy", ".npz", ".pt", ".jar", ".class"}
    return [(path, path.read_text(encoding="utf-8")) for path in _tracked() if path.suffix not in binary]


def _codes_in_source() -> dict[str, str]:
    """Return code → a module that uses it."""
    found: dict[str, str] = {}
    for path in SOURCES:
        for groups in _CODE.findall(path.read_text(encoding="utf-8")):
            found.setdefault(groups[0] or groups[1], path.name)
    return found


def test_every_code_is_documented_and_every_documented_code_exists() -> None:
    rows = re.findall(r"^\| *`?([EW]\d{3})`? *\|([^|]+)\|([^|]+)\|", ERRORS.read_text(encoding="utf-8"), re.MULTILINE)
    documented = [code for code, _, _ in rows]
    assert len(documented) == len(set(documented))
    assert all(meaning.strip() and action.strip() for _, meaning, action in rows)
    found = _codes_in_source()
    assert sorted(found.keys() - set(documented)) == [], "codes without a row in docs/reference/errors.md"
    assert sorted(set(documented) - found.keys()) == [], "rows of codes that no module uses"


@pytest.mark.parametrize("pattern", [MACHINE, REGISTRY], ids=["machine", "registry"])
def test_no_committed_text_names_a_machine_or_a_registry(pattern: re.Pattern[str]) -> None:
    offenders = [
        f"{path.relative_to(ROOT)}: {match.group()}" for path, text in _texts() if (match := pattern.search(text))
    ]
    assert not offenders


def test_hashed_lists_pin_every_package_with_hashes() -> None:
    for name in ("run", "build", "dev", "nodeps"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry and not entry.startswith("#")]
        assert entries
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)


def test_the_lists_cover_the_declared_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    run = (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")
    dev = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    for requirement in project["dependencies"]:
        name = re.split(r"[<>=!~; \[]", requirement)[0].lower()
        assert f"\n{name}==" in run, name
        pinned = set(re.findall(rf"^{re.escape(name)}==(\S+)", run, re.MULTILINE))
        assert pinned == set(re.findall(rf"^{re.escape(name)}==(\S+)", dev, re.MULTILINE)), name


def test_version_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == cellfleet.__version__
    assert f"\nversion: {cellfleet.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {cellfleet.__version__} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_command_stands_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [command for command in COMMANDS if f"cellfleet {command}" not in readme] == []


def test_relative_links_of_documents_lead_somewhere() -> None:
    broken = []
    for path in (path for path in _tracked() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(ROOT)} → {target}")
    assert not broken


def test_modules_say_what_they_are_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path in SOURCES if not path.read_text(encoding="utf-8").startswith('"""')]
    assert not silent


def test_no_test_is_left_out() -> None:
    left_out = re.compile(
        "|".join(["pytest" + r"\.skip", "mark" + r"\.skip", "mark" + r"\.xfail", "import" + "orskip"])
    )
    offenders = [path.name for path in (ROOT / "tests").rglob("*.py") if left_out.search(path.read_text("utf-8"))]
    assert not offenders
