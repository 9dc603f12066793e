"""A bucket of S3's (or of what speaks like it) as the registry's store: how it is opened.

No listing is ever remembered: by an old one, data that came since would look like data that is not there.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from configparser import ConfigParser
from contextlib import suppress
from pathlib import Path

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError, SSLError
from django.conf import settings
from s3fs import S3FileSystem

from core.store.files import Part, Store

CONNECT_SECONDS, READ_SECONDS, TRIES = 3, 20, 2
# Read ahead by this much; s3fs's default is 50 MiB for each open file.
BLOCK = 5 * 1024 * 1024
# Whether it is there is asked by health checks, whose askers wait three seconds.
PROBE_SECONDS = 5
_MOST_KEYS = 1000
# Debian's list, where SSL_CERT_FILE names no other; the registry takes the same. Python's libraries bring one of their
# own, which does not know a company's authority.
MACHINE_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"

# What S3's codes mean here.
_WORDS = {
    "NoSuchBucket": "{server} has no such bucket as that of {store}; create it, or correct WHARF_STORE",
    "InvalidAccessKeyId": "{server} does not know the aws_access_key_id of WHARF_STORE_CREDENTIALS",
    "SignatureDoesNotMatch": "the aws_secret_access_key of WHARF_STORE_CREDENTIALS does not fit its aws_access_key_id",
    "AccessDenied": "the key of WHARF_STORE_CREDENTIALS may not do all that is needed in {store}: ListBucket, "
    "ListBucketMultipartUploads, GetObject, PutObject, DeleteObject, ListMultipartUploadParts, AbortMultipartUpload",
    "PermanentRedirect": "the bucket of {store} is in another region; set WHARF_STORE_REGION",
    "AuthorizationHeaderMalformed": "the bucket of {store} is in another region; set WHARF_STORE_REGION",
    "RequestTimeTooSkewed": "the clocks of this machine and of {server} differ too much",
}


def open_store() -> Store:
    """The bucket of the settings, with time limits; nothing is asked of it yet."""
    bucket, _, folder = settings.STORE_URL.removeprefix("s3://").partition("/")
    filesystem = _filesystem()
    return Store(
        filesystem,
        "/".join(filter(None, (bucket, folder.strip("/"), "docker/registry/v2"))),
        has_folders=False,
        remove=lambda paths: _remove(filesystem, paths),
        parts=lambda path: list(_parts(filesystem, path)),
        abort=lambda part: _abort(filesystem, part),
        failures=(OSError, BotoCoreError, ClientError, aiohttp.ClientError),
        # The bucket's root would do, but people keep other things in their buckets, and listings cost.
        probe=lambda: filesystem.call_s3(
            "list_objects_v2", Bucket=bucket, Prefix=folder, MaxKeys=1, timeout=PROBE_SECONDS
        ),
        explain=_explain,
    )


def _remove(filesystem: S3FileSystem, paths: list[str]) -> None:
    """A thousand at a time, as many as S3 takes. Its answer is 200 although it refused some: PermissionError then."""
    for first in range(0, len(paths), _MOST_KEYS):
        batch = paths[first : first + _MOST_KEYS]
        keys = [{"Key": path.partition("/")[2]} for path in batch]
        answer = filesystem.call_s3(
            "delete_objects", Bucket=batch[0].partition("/")[0], Delete={"Objects": keys, "Quiet": True}
        )
        if refused := answer.get("Errors"):
            raise PermissionError(f"{refused[0].get('Key')}: {refused[0].get('Code')} {refused[0].get('Message', '')}")


def _parts(filesystem: S3FileSystem, path: str) -> Iterator[Part]:
    """An upload without a part is told by one of no bytes, as old as the upload."""
    bucket, _, prefix = path.partition("/")
    more: dict[str, str] = {}
    while True:
        listing = filesystem.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **more)
        for upload in listing.get("Uploads", []):
            name, number = f"{bucket}/{upload['Key']}", upload["UploadId"]
            yield Part(name, number, upload["Initiated"], 0)
            yield from _parts_of(filesystem, name, number)
        if not listing.get("IsTruncated"):
            return
        more = {"KeyMarker": listing["NextKeyMarker"], "UploadIdMarker": listing["NextUploadIdMarker"]}


def _parts_of(filesystem: S3FileSystem, path: str, upload: str) -> Iterator[Part]:
    bucket, _, key = path.partition("/")
    more: dict[str, int] = {}
    while True:
        listing = filesystem.call_s3("list_parts", Bucket=bucket, Key=key, UploadId=upload, **more)
        for part in listing.get("Parts", []):
            yield Part(path, upload, part["LastModified"], part["Size"])
        if not listing.get("IsTruncated"):
            return
        more = {"PartNumberMarker": int(listing["NextPartNumberMarker"])}


def _abort(filesystem: S3FileSystem, part: Part) -> None:
    bucket, _, key = part.path.partition("/")
    with suppress(FileNotFoundError):
        filesystem.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=part.upload)


def _filesystem() -> S3FileSystem:
    key, secret = _credentials(Path(settings.STORE_CREDENTIALS))
    endpoint = settings.STORE_ENDPOINT
    filesystem = S3FileSystem(
        key=key,
        secret=secret,
        endpoint_url=endpoint or None,
        default_block_size=BLOCK,
        client_kwargs={
            "region_name": settings.STORE_REGION,
            "verify": ssl.get_default_verify_paths().cafile or MACHINE_AUTHORITIES,
        },
        config_kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "read_timeout": READ_SECONDS,
            # s3fs has its own.
            "retries": {"total_max_attempts": 1},
            "signature_version": "s3v4",
            # The bucket's name as a part of the host's is Amazon's alone; the registry does the same.
            "s3": {"addressing_style": "path" if endpoint else "auto"},
            # Not every server knows the newer checksums.
            "request_checksum_calculation": "when_required",
            "response_checksum_validation": "when_required",
        },
        use_listings_cache=False,
        skip_instance_cache=True,
    )
    filesystem.retries = TRIES
    return filesystem


def _explain(error: Exception) -> str:
    """An error of the bucket's as a sentence for the operator."""
    server = settings.STORE_ENDPOINT or "Amazon"
    if isinstance(error, SSLError):
        return f"the certificate of {server} is not trusted ({error}); update-ca-certificates installs an authority"
    if isinstance(error, BotoCoreError | TimeoutError):
        said = str(error) or "not in time"
        return f"{server} does not answer ({said}); is WHARF_STORE_ENDPOINT right and reachable from here?"
    # s3fs raises the operating system's errors in place of S3's.
    cause = error if isinstance(error, ClientError) else error.__cause__
    code = cause.response.get("Error", {}).get("Code", "") if isinstance(cause, ClientError) else ""
    return _WORDS[code].format(server=server, store=settings.STORE_URL) if code in _WORDS else f"{server} says: {error}"


def _credentials(path: Path) -> tuple[str, str]:
    """Key and secret of a credentials file as Amazon's tools write it; the registry reads the same one."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(path.read_text())
    section = parser["default"]
    return section["aws_access_key_id"], section["aws_secret_access_key"]
