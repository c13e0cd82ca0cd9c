"""Other people's programs: gcloud, helm, kubectl. Found on the path, called with a list of words, never by a shell.

What they print may hold tokens; nothing of it is told before `without_secrets`. Knows no command of theirs.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cellfleet.errors import ClusterError

Command = tuple[str, ...]
"""A program and its words."""

_SECRETS: Final = re.compile(
    r"ya29\.[\w.-]+|\bAKIA[0-9A-Z]{12,}|\beyJ[\w-]{10,}\.[\w.-]+|(?i:bearer)\s+\S+|-----BEGIN[^-]+-----[\s\S]*?-----END[^-]+-----"
)
"""Access tokens of Google, keys of Amazon, JSON web tokens, keys in PEM."""
_NOT_THERE: Final = re.compile(r"\b404\b|not[ _]?found|matched no objects|does not exist", re.IGNORECASE)
"""In the words of gcloud, helm and kubectl alike."""
_SOURCES: Final[dict[str, str]] = {
    "gcloud": "Install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install",
    "gke-gcloud-auth-plugin": "gcloud components install gke-gcloud-auth-plugin, or the package of that name",
    "helm": "Install Helm: https://helm.sh/docs/intro/install",
    "kubectl": "Install kubectl: https://kubernetes.io/docs/tasks/tools",
}


@dataclass(frozen=True)
class Answer:
    """How a program ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What it said last, for people, without a full stop: its error lines, or else its output; nothing secret."""
        lines = [line.rstrip() for line in (self.err.strip() or self.out.strip()).splitlines() if line.strip()]
        return without_secrets("\n".join(lines[-8:])).rstrip(".")


Run = Callable[[Command], Answer]
"""Calls a program and waits for its end."""


def run_program(command: Command) -> Answer:
    """Call a program and wait for its end; Ctrl-C reaches it too.

    Raises:
        ClusterError: E712, it is not installed.
    """
    path = find_program(command[0])
    done = subprocess.run(
        [path, *command[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def find_program(name: str) -> str:
    """Return where a program is (on Windows gcloud is a ``.cmd``). Raises `ClusterError` E712."""
    path = shutil.which(name)
    if path is None:
        raise ClusterError("E712", f"the program {name} is not installed", action=_SOURCES.get(name, ""))
    return path


def without_secrets(text: str) -> str:
    """Return a text with what looks like a token or key blotted out."""
    return _SECRETS.sub("(secret)", text)


def parsed(answer: Answer, command: Command) -> Any:
    """Return the JSON that a look answered with; None: what it looked for is not there.

    Raises:
        ClusterError: E713, it could not look: no network, no right, no login.
    """
    if answer.code:
        if _NOT_THERE.search(answer.err):
            return None
        what = f"'{line_of(command[:5])} …' failed: {answer.words or f'exit code {answer.code}'}"
        raise ClusterError("E713", what, action=f"The whole command, to try it: {line_of(command)}")
    try:
        return json.loads(answer.out or "null")
    except ValueError as error:
        what = f"'{line_of(command[:5])} …' answered with what is no JSON: {without_secrets(answer.out[:80])}"
        raise ClusterError("E713", what, action=f"Update {command[0]}, then run this again") from error


def line_of(command: Command) -> str:
    """Return a command as people type it, in shells of Unix and Windows alike."""
    return " ".join(f'"{word}"' if re.search(r"[^\w@%+=:,./~-]", word) or not word else word for word in command)
