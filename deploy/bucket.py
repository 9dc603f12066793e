"""A bucket of S3's as the registry's store: what one says about it, strictly parsed.

Standard library only, for `make up` has no other when it begins. Both functions raise ValueError with a sentence.
"""

from __future__ import annotations

import re
from configparser import ConfigParser
from configparser import Error as Misread
from dataclasses import dataclass

REGION = "us-east-1"
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_STORE = re.compile(r"s3://(?P<name>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?P<prefix>(/[A-Za-z0-9_][A-Za-z0-9._-]*)*)")
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")
_REGION = re.compile(r"[a-z0-9-]{1,40}")
_KEYS = ("aws_access_key_id", "aws_secret_access_key")


@dataclass(frozen=True)
class Bucket:
    """Where in which bucket of which server."""

    name: str
    prefix: str = ""
    """Without a slash at either end."""
    endpoint: str = ""
    """The server's address; empty for Amazon's own."""
    region: str = REGION


def parse(store: str, endpoint: str = "", region: str = "") -> Bucket:
    """The bucket that WHARF_STORE, WHARF_STORE_ENDPOINT and WHARF_STORE_REGION name."""
    found = _STORE.fullmatch(store)
    if not found:
        raise ValueError(f"WHARF_STORE is {store!r}; it must look like s3://bucket or s3://bucket/prefix")
    if endpoint and not _ENDPOINT.fullmatch(endpoint):
        raise ValueError(
            f"WHARF_STORE_ENDPOINT is {endpoint!r}; it must look like https://s3.example.com or http://10.0.0.5:9000"
        )
    if not _REGION.fullmatch(region or REGION):
        raise ValueError(f"WHARF_STORE_REGION is {region!r}; it must look like eu-central-1")
    return Bucket(found["name"], found["prefix"].strip("/"), endpoint, region or REGION)


def credentials(text: str) -> str:
    """Key and secret out of a credentials file as Amazon's tools write it, in a file that has nothing else."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read_string(text)
        pairs = {name: parser["default"][name] for name in _KEYS}
    except (Misread, KeyError):
        # Without the parser's words: they repeat the line, and that may be the secret.
        raise ValueError(f"it must have a section [default] with {' and '.join(_KEYS)}") from None
    empty = [name for name, value in pairs.items() if not value or not value.isascii() or " " in value]
    if empty:
        raise ValueError(f"its {empty[0]} is not one word")
    return "[default]\n" + "".join(f"{name} = {value}\n" for name, value in pairs.items())
