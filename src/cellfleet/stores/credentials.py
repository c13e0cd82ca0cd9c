"""Whether and how requests to a bucket are signed. Reads the environment and the clouds' own files; asks no server.

The rule: credentials from the environment, else from the files that the clouds' own tools write, else those of the
machine (an instance of that cloud), else none: where nothing is set up at all, requests go out unsigned, which is
enough for public buckets. Credentials that a server refuses are an error, never a reason to try without.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellfleet.errors import InputError

UNSIGNED = {"skip_signature": True}

_FROM_ENVIRONMENT = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SKIP_SIGNATURE",
    ),
    "gs": (
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_BEARER_TOKEN",
        "GOOGLE_SKIP_SIGNATURE",
    ),
    "az": (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_MASTER_KEY",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_CLIENT_ID",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_MSI_ENDPOINT",
        "AZURE_IDENTITY_ENDPOINT",
        "AZURE_USE_AZURE_CLI",
        "AZURE_SKIP_SIGNATURE",
    ),
}
"""Variables that obstore reads by itself; one of them is enough to leave the matter to it."""

_MACHINE = {
    "s3": ("amazon",),
    "gs": ("google",),
    # Azure's own mark: the vendor "Microsoft" would also fit a laptop.
    "az": ("7783-7084-3265-9085-8269-3286-77",),
}
"""What the firmware of a cloud's machines says of itself (Linux: DMI)."""

_DMI = ("sys_vendor", "product_name", "bios_version", "chassis_asset_tag")


def signing(
    kind: str, env: Mapping[str, str] = os.environ, machine: Path = Path("/sys/class/dmi/id")
) -> dict[str, Any]:
    """Return the options of obstore's store of this `kind` (``s3``, ``gs``, ``az``) that decide about signing.

    Args:
        kind: Kind of bucket.
        env: The environment.
        machine: Folder in which Linux tells what the firmware says.

    Raises:
        InputError: E157, when the chosen profile of ``~/.aws`` holds no keys but a way to get them.
    """
    options = _aws_settings(env) if kind == "s3" else {}
    if any(env.get(name) for name in _FROM_ENVIRONMENT[kind]):
        return options
    if kind == "s3":
        options |= _aws_keys(env)
    ready = "access_key_id" in options or (kind == "gs" and _gcloud_file(env).is_file()) or _machine_of(kind, machine)
    return options if ready else options | UNSIGNED


def _aws_settings(env: Mapping[str, str]) -> dict[str, Any]:
    """Return region and endpoint of the chosen profile, unless the environment has others."""
    settings, _ = _aws_profile(env)
    if env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"):
        settings.pop("region", None)
    if env.get("AWS_ENDPOINT_URL") or env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT"):
        settings.pop("endpoint_url", None)
    return {ours: settings[theirs] for theirs, ours in _SETTINGS.items() if settings.get(theirs)}


def _aws_keys(env: Mapping[str, str]) -> dict[str, Any]:
    """Return the keys of the chosen profile, as `aws configure` writes them."""
    settings, keys = _aws_profile(env)
    where = f"AWS profile {_profile_name(env)}"
    if keys.get("aws_access_key_id"):
        return {ours: keys[theirs] for theirs, ours in _KEYS.items() if keys.get(theirs)}
    if env.get("AWS_PROFILE") and not settings and not keys:
        action = "Correct AWS_PROFILE, or run aws configure"
        raise InputError("E157", "there is no such profile in ~/.aws", where=where, action=action)
    if any(name.startswith(("sso_", "role_arn", "credential_")) for name in (*settings, *keys)):
        what = "has no keys but a way to get them (single sign-on, a role or a program), which is not supported"
        action = 'Get keys first: eval "$(aws configure export-credentials --format env)"'
        raise InputError("E157", what, where=where, action=action)
    return {}


_SETTINGS = {"region": "region", "endpoint_url": "endpoint"}
_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}


def _aws_profile(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what ``config`` and ``credentials`` in ``~/.aws`` say; keys may stand in both."""
    name = _profile_name(env)
    home = Path(env.get("HOME") or env.get("USERPROFILE") or "~").expanduser() / ".aws"
    section = name if name == "default" else f"profile {name}"
    settings = _section(Path(env.get("AWS_CONFIG_FILE") or home / "config"), section)
    return settings, settings | _section(Path(env.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials"), name)


def _profile_name(env: Mapping[str, str]) -> str:
    return env.get("AWS_PROFILE") or "default"


def _section(path: Path, name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        action = "Correct or remove the file; aws configure writes a new one"
        raise InputError("E157", "this file cannot be read", where=str(path), action=action) from error
    return dict(parser[name]) if parser.has_section(name) else {}


def _gcloud_file(env: Mapping[str, str]) -> Path:
    if env.get("APPDATA"):
        return Path(env["APPDATA"], "gcloud", "application_default_credentials.json")
    return Path(env.get("HOME") or "~").expanduser() / ".config/gcloud/application_default_credentials.json"


def _machine_of(kind: str, machine: Path) -> bool:
    said = ""
    for name in _DMI:
        path = machine / name
        if path.is_file() and os.access(path, os.R_OK):
            said += path.read_text(errors="replace").lower()
    return any(word in said for word in _MACHINE[kind])
