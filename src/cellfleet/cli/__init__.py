"""The command `cellfleet`: which commands there are, and what becomes of an error.

Nothing heavy is imported until a command runs, so that `--help` and `--version` answer at once. One thin file per
command stands beside this one.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cellfleet
from cellfleet.cli.help import COMMANDS, START
from cellfleet.errors import CellfleetError

if TYPE_CHECKING:
    from cyclopts import App

_STOPPED = 130
_BUG = 1
_OUT_OF_MEMORY = 6
_WRONG_USE = 2


def application() -> App:
    """Return the command line parser with all commands."""
    from cyclopts import App, Parameter
    from cyclopts.config import Env, Toml

    app = App(
        name="cellfleet",
        help="Find cells in microscopy images with deep learning.",
        help_epilogue=START,
        help_format="plaintext",
        version=f"cellfleet {cellfleet.__version__}",
        default_parameter=Parameter(negative=(), show_env_var=False),
        config=[
            Env("CELLFLEET_", command=True),
            Toml("cellfleet.toml", search_parents=True, use_commands_as_keys=True),
        ],
        result_action="return_value",
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        print_error=False,
    )
    for name, text in COMMANDS.items():
        if not text.commands:
            app.command(f"cellfleet.cli.{name}:{name}", name=name, help=text.about, help_epilogue=text.examples)
            continue
        group = App(name=name, help=text.about, help_epilogue=text.examples)
        for verb, its in text.commands.items():
            where = f"cellfleet.cli.{name}_{verb}:{verb}"
            group.command(where, name=verb, help=its.about, help_epilogue=its.examples)
        app.command(group)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words after ``cellfleet``; None: those of this process.

    Returns:
        Exit code: 0 all done, 1 a bug in cellfleet, 2 wrong use, 3 some images failed, 4 nothing to do or unreadable
        input, 6 out of memory or disk, 130 stopped.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    _prepare_streams()
    if arguments is None and not sys.warnoptions:
        # Libraries silence their own warnings thread by thread, which Python does not keep apart.
        warnings.simplefilter("ignore")
    try:
        code = _call(words)
        sys.stdout.flush()
    except BaseException as error:  # noqa: BLE001 (the outermost boundary: everything ends in a sentence and a code)
        if debug and not isinstance(error, SystemExit):
            traceback.print_exception(error)
        return _told(error)
    return code


def _prepare_streams() -> None:
    # Where the caller closed them (`>&-`), Python has none.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (stays open as long as the process)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # A file name or µ that the terminal's encoding lacks must not end the program.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _call(words: list[str]) -> int:
    from cyclopts import CycloptsError

    try:
        result = application()(_whole(words) or ["--help"])
    except CycloptsError as error:
        command = next((word for word in words if word in COMMANDS), "")
        _say(f"Error: {_sentence(error)}")
        verb = next((word for word in words if command and word in COMMANDS[command].commands), "")
        _say(f"'{' '.join(filter(None, ('cellfleet', command, verb, '--help')))}' lists all options.  [E001]")
        return _WRONG_USE
    return result if isinstance(result, int) else 0


def _whole(words: list[str]) -> list[str]:
    """Add the command that is meant where only its group is named, as in `cellfleet models --json`."""
    group = COMMANDS.get(words[0]) if words else None
    if group is None or not group.alone or set(words[1:2]) & {*group.commands, "--help", "-h"}:
        return words
    return [words[0], group.alone, *words[1:]]


def _sentence(error: Exception) -> str:
    return " ".join(str(error).split())


def _told(error: BaseException) -> int:
    """Say in a sentence what happened and return the exit code."""
    # Rich, which prints the help, turns a broken pipe into SystemExit.
    if isinstance(error, BrokenPipeError) or isinstance(error.__context__, BrokenPipeError):
        # The reader of our output has gone, as in `cellfleet models | head -1`: nothing is wrong.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else _BUG
    if isinstance(error, CellfleetError):
        _say(f"Error: {error}")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        _say("Stopped. Run the same command again to go on.")
        return _STOPPED
    if isinstance(error, MemoryError):
        _say("Error: Not enough memory. Close other programs, or use fewer --threads. [E510]")
        return _OUT_OF_MEMORY
    from cellfleet.crash import save_traceback

    _say(f"Error: This is a bug in cellfleet ({type(error).__name__}: {_sentence(error)}).")  # type: ignore[arg-type]
    _say(f"Please report it with the file {save_traceback(error)}. [E599]")
    return _BUG


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
