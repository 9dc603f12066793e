"""The HTTP API of the stock registry behind us, and nothing else.

Only the configured registry is ever called (the named exception of invariant I9). Errors:
StoreUnavailable when it does not answer or fails, else what each function says.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from django.conf import settings
from requests.structures import CaseInsensitiveDict
from requests_unixsocket.adapters import UnixAdapter

from core import clock, errors, oci
from core.store import files, signing

# Connect, read. The registry answers small requests in milliseconds; its disk may be busy.
TIMEOUT = (3, 30)
_local = threading.local()


def put_manifest(*, repository: str, digest: str, content: bytes, media_type: str) -> None:
    """Store a manifest by digest.

    Raises ManifestBlobUnknown (something it refers to is not linked in the repository) or
    ManifestInvalid (the registry's own words).
    """
    response = _request(
        "PUT", repository, f"manifests/{digest}", "pull", "push", data=content, headers={"Content-Type": media_type}
    )
    if response.status_code == 201:
        return
    raise _refusal(response)


def get_manifest(*, repository: str, digest: str) -> bytes | None:
    """The bytes the registry has under this digest; None when it has none, or only what a crash left of it."""
    headers = {"Accept": ", ".join(oci.MANIFEST_TYPES)}
    response = _request("GET", repository, f"manifests/{digest}", "pull", headers=headers, tolerate_500=True)
    if response.status_code == 500:
        # Its link or data are being written, or were left truncated; or the store is away, which this asks.
        files.data_size(digest)
    return response.content if response.status_code == 200 else None


def delete_manifest(*, repository: str, digest: str) -> bool:
    """Remove the repository's link to a manifest; False when there was none."""
    return _deleted(_request("DELETE", repository, f"manifests/{digest}", "delete"))


def delete_blob(*, repository: str, digest: str) -> bool:
    """Remove the repository's link to a blob; False when there was none."""
    return _deleted(_request("DELETE", repository, f"blobs/{digest}", "delete"))


def mount_blob(*, repository: str, digest: str, source: str) -> bool:
    """Let a repository read a blob that another one has; False when that one has no link to it, or no data."""
    path = f"blobs/uploads/?mount={digest}&from={quote(source)}"
    response = _request("POST", repository, path, "pull", "push", data=b"", reads=source)
    if response.status_code == 202:
        # An upload was begun instead, which nobody will go on with.
        upload = urlsplit(response.headers["Location"])
        path = f"{upload.path.removeprefix(f'/v2/{repository}/')}?{upload.query}"
        _request("DELETE", repository, path, "pull", "push", "delete")
    elif response.status_code != 201:
        raise _refusal(response)
    return response.status_code == 201


def is_alive() -> bool:
    """Whether the registry answers at all. Its store is asked by `files.check`."""
    try:
        return _session().get(_url("/v2/"), timeout=(1, 3)).status_code in (200, 401)
    except requests.RequestException:
        return False


def _deleted(response: requests.Response) -> bool:
    if response.status_code not in (202, 404):
        raise _refusal(response)
    return response.status_code == 202


def _request(
    method: str,
    repository: str,
    path: str,
    *actions: str,
    headers: Mapping[str, str] | None = None,
    data: bytes | None = None,
    tolerate_500: bool = False,
    reads: str = "",
) -> requests.Response:
    """`reads` names another repository that it pulls from."""
    headers = {
        **(headers or {}),
        "Authorization": f"Bearer {_token(repository, *actions, reads=reads)}",
    }
    try:
        response = _send(method, _url(f"/v2/{repository}/{path}"), headers, data)
    except requests.RequestException as error:
        raise errors.StoreUnavailable from error
    if response.status_code > 500 or (response.status_code == 500 and not tolerate_500):
        raise errors.StoreFull if "no space left" in response.text else errors.StoreUnavailable
    return response


def _send(method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> requests.Response:
    """One request past what a session does besides: cookies, redirects and the environment are none of the registry's.

    A push needs a dozen, and half their time went there.
    """
    request = requests.PreparedRequest()
    request.method, request.url, request.body = method, url, data
    request.headers = CaseInsensitiveDict({**headers, **({} if data is None else {"Content-Length": str(len(data))})})
    response = _session().get_adapter(url).send(request, timeout=TIMEOUT)
    # Read here, so that the connection can be kept.
    _ = response.content
    return response


def _refusal(response: requests.Response) -> errors.Refusal:
    try:
        problems = response.json()["errors"]
        # Of a link that is empty the registry complains twice: that it is no digest, and that the blob is unknown.
        problem = next((each for each in problems if each["code"] == "MANIFEST_BLOB_UNKNOWN"), problems[0])
        code, message, detail = problem["code"], problem["message"], problem.get("detail")
    except (ValueError, LookupError, TypeError):
        return errors.StoreUnavailable(f"The store answered {response.status_code}")
    if code == "MANIFEST_BLOB_UNKNOWN":
        return errors.ManifestBlobUnknown(detail=detail)
    if code in ("MANIFEST_INVALID", "MANIFEST_UNVERIFIED"):
        return errors.ManifestInvalid(message, detail=detail)
    if code == "UNKNOWN" or response.status_code in (401, 403):
        return errors.StoreUnavailable(f"The store answered {response.status_code} {code}")
    return errors.ManifestInvalid(f"{code}: {message}", detail=detail)


def _session() -> requests.Session:
    """One per thread: requests' sessions are not safe to share."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        session = _local.session = requests.Session()
        session.trust_env = False
        session.mount("http+unix://", _KeepingUnixAdapter())  # type: ignore[no-untyped-call]
    return session


class _KeepingUnixAdapter(UnixAdapter):
    """Keeps its connection: the library's own has a pool for each URL, so that it connects for every request."""

    def get_connection(self, url: str | bytes, proxies: Mapping[str, str] | None = None) -> Any:
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(str(url)))
        return super().get_connection(origin, proxies)  # type: ignore[no-untyped-call]


def _token(repository: str, *actions: str, reads: str = "") -> str:
    """A token of core's own; the same one for a minute, since a push needs a dozen and signing takes its time."""
    return _token_of(int(clock.time()) // 60, repository, *actions, reads=reads)


@lru_cache(maxsize=1024)
def _token_of(minute: int, repository: str, *actions: str, reads: str) -> str:
    return signing.sign_for_store(repository, *actions, reads=reads)


def _url(path: str) -> str:
    return f"{settings.REGISTRY_URL}{path}"
