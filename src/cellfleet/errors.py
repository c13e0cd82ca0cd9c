"""Every error that a user can meet, and its code.

    CellfleetError
    ├── UsageError     E0xx   the command or call is wrong              exit 2
    ├── InputError     E1xx   an input file or folder                   exit 3 (one image) or 4 (nothing to do)
    ├── ImageError     E2xx   the image does not fit the request        exit 3
    ├── OutputError    E3xx   results cannot be written                 exit 3, or 6 when the disk is full
    ├── ModelError     E4xx   a model package                           exit 4
    ├── DeviceError    E5xx   the device asked for is not there         exit 6
    ├── TrainingError  E6xx   training data or a training run           exit 4
    ├── ClusterError   E7xx   a cluster or batch system cannot be had   exit 5
    ├── LedgerError    E80x   the ledger of jobs does not work          exit 6
    ├── JobError       E81x   a job is not there or not in that state   exit 2
    └── ServiceError   E9xx   the service refuses, or is not reached    exit 5

A message says what happened, which file or value, what to do, and the code, in that order. Warnings
(`Notice`) follow the same rule with W codes. This module knows no image, model or command.
"""

from __future__ import annotations

from dataclasses import dataclass


class CellfleetError(Exception):
    """Base of all errors that are the user's business. Anything else that escapes is a bug in us."""

    exit_code = 1

    def __init__(self, code: str, what: str, *, where: str = "", action: str = "") -> None:
        """Describe one failure.

        Args:
            code: Catalogue code such as ``"E102"``; listed in docs/reference/errors.md.
            what: What happened, one clause, no final full stop.
            where: The file or value that it happened to; may be added later by the caller that knows.
            action: What the user can do, one sentence without final full stop.
        """
        super().__init__(code, what, where, action)
        self.code = code
        self.what = what
        self.where = where
        self.action = action

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        action = f" {self.action}." if self.action else ""
        return f"{place}{self.what}.{action} [{self.code}]"


class UsageError(CellfleetError):
    """The command, option or argument is wrong."""

    exit_code = 2


class InputError(CellfleetError):
    """An input cannot be found or read."""

    exit_code = 4


class ImageError(CellfleetError):
    """The image was read, but does not fit what was asked (axes, channels, values)."""

    exit_code = 4


class OutputError(CellfleetError):
    """Results cannot be written."""

    exit_code = 6


class ModelError(CellfleetError):
    """A model package is missing, broken or does not fit."""

    exit_code = 4


class DeviceError(CellfleetError):
    """The device that was asked for is not there. There is no silent fall-back."""

    exit_code = 6


class TrainingError(CellfleetError):
    """Training data or a training run is not usable."""

    exit_code = 4


class ClusterError(CellfleetError):
    """A cluster or a batch system, or the program that speaks with it, does not do what was asked."""

    exit_code = 5


class LedgerError(CellfleetError):
    """The ledger of jobs cannot be started, reached or written."""

    exit_code = 6


class JobError(CellfleetError):
    """There is no such job, or its state does not allow what was asked."""

    exit_code = 2


class ServiceError(CellfleetError):
    """The service refuses a request, or cannot be reached."""

    exit_code = 5

    def __init__(self, code: str, what: str, *, status: int, where: str = "", action: str = "") -> None:
        """Describe one failure; `status` is the HTTP status that says it."""
        super().__init__(code, what, where=where, action=action)
        self.status = status


@dataclass(frozen=True)
class Notice:
    """A warning about one image: told to the user, kept in run.json and the report."""

    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.text} [{self.code}]"
