"""Connections to buckets and web servers through obstore, and what their refusals mean.

Used for reading (`remote`) and for writing (`bucket`). A message never holds what a server said beyond its error code:
answers may repeat keys and signatures.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cellfleet.errors import CellfleetError, InputError, OutputError
from cellfleet.stores.credentials import signing
from cellfleet.stores.traffic import TRAFFIC
from cellfleet.stores.url import Address, without_secrets

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

RETRIES = 7
"""Repetitions of a request that failed for no lasting reason; with growing pauses some 10 to 30 s in all."""

_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "HOME", "USERPROFILE", "APPDATA", "SSL_CERT_FILE")


def connect(address: Address, *, prefix: str = "") -> ObjectStore:
    """Return obstore's store of the bucket or web server; cheap when asked again. Asks no server.

    Args:
        address: Only its bucket and account matter.
        prefix: Part of the bucket that names will be relative to; "" for the whole.

    Raises:
        InputError: E150 or E157, when the address or the credentials cannot be used.
    """
    # The variables are part of the key: a program may change them between two calls.
    variables = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES)))
    return _connect(address.kind, address.bucket, address.account, prefix, variables)


@lru_cache(maxsize=32)
def _connect(kind: str, bucket: str, account: str, prefix: str, variables: tuple[tuple[str, str], ...]) -> ObjectStore:
    from obstore.exceptions import BaseError  # noqa: PLC0415 (a run on local files does not pay for it)
    from obstore.store import AzureStore, GCSStore, HTTPStore, S3Store  # noqa: PLC0415 (as above)

    common: dict[str, Any] = {"client_options": _client_options(dict(variables)), "retry_config": _retries()}
    if kind == "http":
        return HTTPStore(bucket + prefix, **common)
    options = signing(kind, dict(variables))
    if kind == "az":
        options["account_name"] = account or _azure_account(bucket, dict(variables))
    make: Callable[..., ObjectStore] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[kind]
    try:
        return make(bucket, prefix=prefix or None, **common, **options)
    except (BaseError, ValueError, TypeError) as error:
        what = "the name or the credentials in the environment cannot be used"
        raise InputError("E157", what, where=f"{kind}://{bucket}", action=_CHECK_KEYS) from error


def _azure_account(container: str, env: dict[str, str]) -> str:
    """Return the account that the environment names; given to obstore as text, since its repr panics without."""
    account = env.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account is None:
        action = "Set AZURE_STORAGE_ACCOUNT_NAME, or write abfss://container@account.dfs.core.windows.net/name"
        raise InputError("E150", "the storage account is not known", where=f"az://{container}", action=action)
    return account


def _client_options(env: dict[str, str]) -> ClientConfig:
    options: ClientConfig = {
        # Plain http is the user's own word: an http:// address, or an endpoint of a server of theirs.
        "allow_http": True,
        "connect_timeout": timedelta(seconds=10),
        # A stalled connection is given up; the time for a whole request must be enough for a part on a slow line.
        "read_timeout": timedelta(minutes=2),
        "timeout": timedelta(minutes=10),
    }
    # SSL_CERT_FILE, which stands in for the system's certificates, is obstore's own business.
    further = env.get("AWS_CA_BUNDLE")
    if further:
        try:
            options["root_certificate"] = Path(further).read_bytes()
        except OSError as error:
            raise InputError("E157", "cannot be read", where=further, action="Correct AWS_CA_BUNDLE") from error
    return options


def _retries() -> RetryConfig:
    return {"max_retries": RETRIES, "retry_timeout": timedelta(minutes=3)}


@contextlib.contextmanager
def asking(url: str, *, writing: bool = False, reads: int = 1, writes: int = 0) -> Iterator[None]:
    """Turn what obstore raises inside the block into an error of ours about `url`, and count its requests.

    Args:
        url: What is asked for.
        writing: Whether results are being kept: which kind of error it is.
        reads: Requests of the block that the server's price list counts as reading.
        writes: Those that it counts as writing, or as listing, which costs the same.

    Raises:
        InputError: E151–E153, E155, E158, E159, when reading.
        OutputError: E321–E324, when writing.
    """
    from obstore.exceptions import BaseError  # noqa: PLC0415 (a run on local files does not pay for it)

    TRAFFIC.add(reads=reads, writes=writes)
    try:
        yield
    except (BaseError, FileNotFoundError, ValueError) as error:
        raise explained(error, url, writing=writing) from error


def explained(error: Exception, url: str, *, writing: bool) -> CellfleetError:
    """Return what a failed request means for the user, and what to do about it."""
    answer = _Answer.of(error)
    meaning = next(meaning for fits, meaning in _MEANINGS if fits(answer))
    what = meaning.what.format(word=answer.word or "no code", status=answer.status, retries=RETRIES)
    where = without_secrets(url)
    if writing:
        return OutputError(meaning.writing_code, what, where=where, action=meaning.action)
    return InputError(meaning.reading_code, what, where=where, action=meaning.action)


def no_such_bucket(error: Exception) -> bool:
    """Say whether it is the bucket that is missing, not the object."""
    return _Answer.of(error).word in _NO_BUCKET


@dataclass(frozen=True)
class _Answer:
    """What obstore tells of a failed request."""

    text: str
    word: str
    """The server's code, as S3 and Azure have them; may be empty."""
    status: str
    """HTTP status; empty where no answer came."""
    kind: str
    """Name of obstore's error class."""

    @classmethod
    def of(cls, error: Exception) -> _Answer:
        text = str(error)
        word, status = re.search(r"<Code>(\w+)</Code>", text), re.search(r"status code: (\d{3})\b", text)
        return cls(text, word[1] if word else "", status[1] if status else "", type(error).__name__)


class _Meaning(NamedTuple):
    reading_code: str
    writing_code: str
    what: str
    action: str


_SET_UP = "Set them up (docs/how-to/buckets.md)"
_CHECK_KEYS = "Check the keys in the environment or in ~/.aws (docs/how-to/buckets.md)"
_AGAIN = "then run the same command again: it goes on"
_AUTHORITIES = "Check the address; for a server of your own name its certificate in AWS_CA_BUNDLE"
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "AccountNotFound"}
_BAD_KEYS = {
    "SignatureDoesNotMatch",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
    "AuthenticationFailed",
    "InvalidAuthenticationInfo",
    "RequestTimeTooSkewed",
}
_OTHER_REGION = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"}
_NO_KEYS = {"MissingAuthenticationToken", "MissingSecurityHeader", "NoAuthenticationInformation"}
_BUSY = {"408", "429", "500", "502", "503", "504"}
_MACHINE_KEYS = ("169.254.169.254", "metadata.google.internal")

_MEANINGS: tuple[tuple[Callable[[_Answer], bool], _Meaning], ...] = (
    (
        lambda answer: answer.word in _NO_BUCKET,
        _Meaning("E151", "E321", "there is no such bucket", "Correct its name, or make the bucket first"),
    ),
    (
        lambda answer: any(server in answer.text for server in _MACHINE_KEYS),
        _Meaning("E152", "E322", "no credentials were found on this machine", _SET_UP),
    ),
    (
        lambda answer: answer.word in _OTHER_REGION or "incorrectly configured region" in answer.text,
        _Meaning("E152", "E322", "the bucket is in another region", "Set AWS_REGION to the bucket's region"),
    ),
    (
        lambda answer: answer.word in _BAD_KEYS,
        _Meaning("E152", "E322", "the server refuses the credentials ({word})", _CHECK_KEYS),
    ),
    (
        lambda answer: answer.word in _NO_KEYS or answer.status == "401",
        _Meaning("E152", "E322", "the server wants credentials", _SET_UP),
    ),
    (
        lambda answer: answer.status == "403",
        _Meaning(
            "E152",
            "E322",
            "access is denied; it may also be that there is nothing of this name",
            "Check the name, use other credentials, or ask the owner for access",
        ),
    ),
    (
        lambda answer: answer.kind == "PreconditionError",
        _Meaning("E158", "E324", "has changed while it was read", "Run again when nobody writes to it any more"),
    ),
    (
        lambda answer: answer.status == "404" or answer.kind == "FileNotFoundError",
        _Meaning("E151", "E321", "there is nothing of this name", "Correct the address"),
    ),
    (
        lambda answer: "InvalidCertificate(" in answer.text,
        _Meaning("E153", "E323", "the server's certificate is not trusted", _AUTHORITIES),
    ),
    (
        lambda answer: "Content-Length Header missing" in answer.text,
        _Meaning("E155", "E324", "the server sends no parts of files and no length", "Download the file first"),
    ),
    (
        lambda answer: answer.status in _BUSY,
        _Meaning(
            "E153",
            "E323",
            "the server is overloaded or out of order (status {status}), also after {retries} repetitions",
            f"Wait, {_AGAIN}",
        ),
    ),
    (
        lambda answer: not answer.status,
        _Meaning(
            "E153",
            "E323",
            "the server cannot be reached, also after {retries} repetitions",
            f"Check the address, the endpoint and the network, {_AGAIN}",
        ),
    ),
    (
        lambda answer: True,
        _Meaning(
            "E159",
            "E324",
            "the server answers with an error (status {status}, {word})",
            "Look it up in the documentation of the server",
        ),
    ),
)
"""The first that fits is told."""
