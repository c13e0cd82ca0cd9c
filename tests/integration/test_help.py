"""`--help` and `--version`: at once, within a screen, and equal to the reference page."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cellfleet import __version__
from cellfleet.cli import application, main
from cellfleet.cli.help import COMMANDS

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"
HEAVY = {"numpy", "onnxruntime", "pydantic", "pyarrow", "tifffile", "PIL", "torch"}


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["segment", "--help"], ["evaluate", "--help"]])
def test_neither_numpy_nor_the_network_code_is_imported(words: list[str]) -> None:
    code = (
        "import sys; from cellfleet.cli import main; code = main(sys.argv[1:]);"
        f"heavy = {HEAVY!r} & set(sys.modules); assert not heavy, heavy; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)


def test_help_takes_less_than_a_third_of_a_second() -> None:
    # Processor time of the child, not the clock: other programs run on the machine, too.
    best = float("inf")
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-m", "cellfleet", "--help"], check=True, capture_output=True)
        after = os.times()
        best = min(best, after.children_user + after.children_system - before.children_user - before.children_system)
    assert best < 0.3


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_one_screen_of_100_columns(command: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert main([command, "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) <= 50


def test_every_example_of_the_help_is_understood() -> None:
    texts = [one for text in COMMANDS.values() for one in (text, *text.commands.values())]
    lines = [line.strip() for text in texts for line in text.examples.splitlines()]
    examples = [shlex.split(line)[1:] for line in lines if line.startswith("cellfleet ")]
    assert len(examples) >= len(COMMANDS)
    for words in examples:
        application().parse_args(words, exit_on_error=False, print_error=False)


def test_a_reader_that_leaves_early_and_a_closed_output_are_no_bug(tmp_path: Path) -> None:
    for command in ("segment --help", "--help", "models"):
        for redirected in (" >&-", " 2>&-", " >&- 2>&-", " | true; exit ${PIPESTATUS[0]}"):
            words = f"{shlex.quote(sys.executable)} -m cellfleet {command}{redirected}"
            done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, cwd=tmp_path, check=False)
            assert (done.returncode, done.stderr) == (0, ""), words


def test_a_stop_is_said(tmp_path: Path, capsys, monkeypatch) -> None:
    def stopped(folder: Path) -> list[Path]:
        raise KeyboardInterrupt

    monkeypatch.setattr("cellfleet.samples.copy_samples", stopped)
    assert main(["samples", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "Stopped. Run the same command again to go on.\n"


def test_version(capsys) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"cellfleet {__version__}\n"


@pytest.mark.parametrize(
    "command", [*COMMANDS, *(f"{name} {verb}" for name, text in COMMANDS.items() for verb in text.commands)]
)
def test_reference_names_every_option_and_no_other(command: str, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    main([*command.split(), "--help"])
    options = set(re.findall(r"^│ \*?\s*(--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    section = re.search(rf"^## `cellfleet {command}\b.*?(?=^## |\Z)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"{REFERENCE} has no section for {command}"
    assert set(re.findall(r"^\| `(--[a-z-]+)", section[0], re.MULTILINE)) == options


def test_reference_names_every_exit_code() -> None:
    text = REFERENCE.read_text()
    assert all(re.search(rf"^\| {code} \|", text, re.MULTILINE) for code in (0, 1, 2, 3, 4, 6, 130))
