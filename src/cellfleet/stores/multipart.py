"""Multipart uploads on S3 that somebody else sends: begun, signed part by part, completed or given up here.

Credentials, region and endpoint are those that obstore has (`credentials.py`); botocore only signs and asks, because
obstore signs no parts. Knows no set, upload or user.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from cellfleet.errors import OutputError
from cellfleet.stores.client import explained
from cellfleet.stores.credentials import signing
from cellfleet.stores.url import Address, split_url

ADDRESS_SECONDS: Final = 3600
_VARIABLES: Final = ("AWS_", "HOME", "USERPROFILE")


class ArrivedPart(NamedTuple):
    """A part that the bucket has."""

    etag: str
    size: int
    """Bytes."""


def can_sign(url: str) -> bool:
    """Say whether this is an address on S3 for which there are credentials."""
    if split_url(url).kind != "s3":
        return False
    return not _options().get("skip_signature")


def begin(url: str) -> str:
    """Begin an upload of the object at an address; return its id.

    Raises:
        OutputError: E321–E324, as all functions here.
    """
    with _asking(url) as (client, where):
        return str(client.create_multipart_upload(**where)["UploadId"])


def address_of_part(url: str, upload: str, number: int) -> str:
    """Return where to PUT a part, for an hour."""
    with _asking(url) as (client, where):
        words = {**where, "UploadId": upload, "PartNumber": number}
        return str(client.generate_presigned_url("upload_part", Params=words, ExpiresIn=ADDRESS_SECONDS))


def server_of_parts(url: str) -> str:
    """Return scheme and host to which parts are sent: a browser has to be told that a page may."""
    return "{0.scheme}://{0.netloc}".format(urlsplit(address_of_part(url, "any", 1)))


def arrived(url: str, upload: str) -> dict[int, ArrivedPart] | None:
    """Return the parts that have arrived, by number; None: there is no such upload, or it is completed."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 (only for S3)

    with _asking(url) as (client, where):
        pages = client.get_paginator("list_parts").paginate(**where, UploadId=upload)
        try:
            return {
                part["PartNumber"]: ArrivedPart(part["ETag"], part["Size"])
                for page in pages
                for part in page.get("Parts", ())
            }
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise
            return None


def complete(url: str, upload: str, parts: Mapping[int, str]) -> None:
    """Make the object of its parts (number → ETag)."""
    listed = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(parts.items())]
    with _asking(url) as (client, where):
        client.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": listed})


def abort(url: str, upload: str) -> None:
    """Give an upload up; what has arrived is thrown away. It is fine if there is none."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 (only for S3)

    with _asking(url) as (client, where):
        try:
            client.abort_multipart_upload(**where, UploadId=upload)
        except ClientError as error:
            if error.response["Error"]["Code"] not in _GONE:
                raise


def abort_older(url: str, before_ms: int) -> int:
    """Give up all uploads below an address that were begun before a time, ms since 1970; return how many.

    Whoever begun them has died: nobody else sees them, but they are paid for.
    """
    before, ended = datetime.fromtimestamp(before_ms / 1000, UTC), 0
    with _asking(url) as (client, where):
        prefix = f"{where['Key']}/" if where["Key"] else ""
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=where["Bucket"], Prefix=prefix):
            for found in page.get("Uploads", ()):
                if found["Initiated"] < before:
                    name = {"Bucket": where["Bucket"], "Key": found["Key"]}
                    client.abort_multipart_upload(**name, UploadId=found["UploadId"])
                    ended += 1
    return ended


_GONE: Final = frozenset({"NoSuchUpload", "404"})


@contextlib.contextmanager
def _asking(url: str) -> Iterator[tuple[Any, dict[str, str]]]:
    """Yield a client, and bucket and key as it wants them; turn what it raises into errors of ours."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError  # noqa: PLC0415 (only for S3)

    address: Address = split_url(url)
    try:
        yield _client(), {"Bucket": address.bucket, "Key": address.key}
    except NoCredentialsError as error:
        what, action = "no credentials were found on this machine", "Set them up (docs/how-to/buckets.md)"
        raise OutputError("E322", what, where=url, action=action) from error
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        # In the words of obstore, so that one table explains both.
        said = Exception(f"status code: {status} <Code>{error.response['Error']['Code']}</Code>")
        raise explained(said, url, writing=True) from error
    except BotoCoreError as error:
        raise explained(error, url, writing=True) from error


def _options() -> dict[str, Any]:
    return signing("s3", os.environ)


def _client() -> Any:
    # The variables are part of the key: a program may change them between two calls.
    return _made(tuple(sorted(item for item in os.environ.items() if item[0].startswith(_VARIABLES))))


@lru_cache(maxsize=4)
def _made(variables: tuple[tuple[str, str], ...]) -> Any:
    from botocore.config import Config  # noqa: PLC0415 (only for S3)
    from botocore.session import Session  # noqa: PLC0415 (as above)

    env, options = dict(variables), _options()
    endpoint = options.get("endpoint") or next(filter(None, (env.get(name) for name in _ENDPOINTS)), None)
    region = options.get("region") or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    return Session().create_client(
        "s3",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=options.get("access_key_id"),
        aws_secret_access_key=options.get("secret_access_key"),
        aws_session_token=options.get("session_token"),
        config=Config(
            signature_version="s3v4",
            # Servers of one's own seldom have a name for every bucket. Signed addresses of Amazon name the region so:
            # what "auto" gives is answered by a redirect elsewhere, which no signed PUT follows.
            s3={"addressing_style": "path" if endpoint else "virtual"},
            # Else botocore would want a checksum of every part from whoever sends it.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": 5},
        ),
    )


_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
