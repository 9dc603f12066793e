"""Everything that can go wrong, by name, with its OCI code and HTTP status.

Raise the fact; the faces (OCI, JSON API, HTML) turn it into an answer in one place each. A class's
docstring is its default message, written for the person who will read it.
"""

from __future__ import annotations

from typing import Any

# Harbor names API errors by status (harbor's lib/errors); the OCI code is the class's own.
HARBOR_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    412: "PRECONDITION",
    413: "REQUEST_ENTITY_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "UNPROCESSABLE_ENTITY",
    429: "TOO_MANY_REQUEST",
    503: "UNAVAILABLE",
}


class Refusal(Exception):  # noqa: N818 - most refusals are states, not errors
    """The request cannot be carried out."""

    status = 400
    code = "UNKNOWN"
    harbor_code: str | None = None
    retry_after: int | None = None

    def __init__(self, message: str | None = None, *, detail: Any = None, retry_after: int | None = None) -> None:
        self.message = message or (type(self).__doc__ or "").strip().splitlines()[0]
        self.detail = detail
        if retry_after is not None:
            self.retry_after = retry_after
        super().__init__(self.message)

    def for_oci(self) -> dict[str, Any]:
        """The error as the OCI distribution spec writes it."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.detail is not None:
            error["detail"] = self.detail
        return {"errors": [error]}

    def for_api(self) -> dict[str, Any]:
        """The error as Harbor's REST API writes it."""
        code = self.harbor_code or HARBOR_CODES.get(self.status, "UNKNOWN")
        return {"errors": [{"code": code, "message": self.message}]}


# --- who is asking ---------------------------------------------------------------------------------
class Unauthenticated(Refusal):
    """Sign in first: this needs a user name and password, or a robot's name and secret."""

    status = 401
    code = "UNAUTHORIZED"


class WrongCredentials(Unauthenticated):
    """The user name or password is wrong."""


class Denied(Refusal):
    """You may not do this."""

    status = 403
    code = "DENIED"
    harbor_code = "DENIED"


class Forbidden(Denied):
    """forbidden"""

    harbor_code = "FORBIDDEN"


class TooManyFailures(Refusal):
    """Too many failed logins for this account from your address. Wait before trying again."""

    status = 429
    code = "TOOMANYREQUESTS"


# --- what was asked ----------------------------------------------------------------------------------
class BadRequest(Refusal):
    """The request is malformed."""

    status = 400
    code = "UNSUPPORTED"


class Unprocessable(Refusal):
    """A field of the request has a wrong type or value."""

    status = 422
    code = "UNSUPPORTED"


class WrongMediaType(Refusal):
    """The body has a Content-Type that is not read here."""

    status = 415
    code = "UNSUPPORTED"


class NotFound(Refusal):
    """The resource was not found."""

    status = 404
    code = "NAME_UNKNOWN"


class Conflict(Refusal):
    """A resource of this name exists already."""

    status = 409
    code = "DENIED"


class Precondition(Refusal):
    """The resource is in a state that does not allow this."""

    status = 412
    code = "DENIED"
    harbor_code = "PRECONDITION"


class MethodNotAllowed(Refusal):
    """This method is not allowed here."""

    status = 405
    code = "UNSUPPORTED"


# --- names and digests -------------------------------------------------------------------------------
class NameInvalid(Refusal):
    """The repository name is invalid."""

    status = 400
    code = "NAME_INVALID"


class NameUnknown(NotFound):
    """The repository is unknown."""

    code = "NAME_UNKNOWN"


class TagInvalid(Refusal):
    """A tag is 1 to 128 letters, digits, '_', '.' and '-', and begins with a letter, a digit or '_'."""

    status = 400
    code = "TAG_INVALID"


class DigestInvalid(Refusal):
    """A digest looks like sha256:<64 lower-case hexadecimal digits>."""

    status = 400
    code = "DIGEST_INVALID"


class DigestUnsupported(Refusal):
    """Only sha256 digests can be stored here."""

    status = 400
    code = "UNSUPPORTED"


class PaginationInvalid(Refusal):
    """The parameter n must be a number, 0 or more."""

    status = 400
    code = "PAGINATION_NUMBER_INVALID"


# --- manifests -----------------------------------------------------------------------------------------
class ManifestInvalid(Refusal):
    """The manifest is not valid."""

    status = 400
    code = "MANIFEST_INVALID"


class ManifestTooLarge(ManifestInvalid):
    """A manifest may have at most 4 MiB."""

    status = 413


class ManifestUnknown(NotFound):
    """The manifest is unknown."""

    code = "MANIFEST_UNKNOWN"


class ManifestBlobUnknown(Refusal):
    """The manifest refers to something that is not in this repository; push it first."""

    status = 400
    code = "MANIFEST_BLOB_UNKNOWN"


class ManifestReferenced(Precondition):
    """The manifest is part of an index; delete the index first."""


class SchemaUnsupported(ManifestInvalid):
    """Docker image manifest schema 1 is not supported; push schema 2 or an OCI manifest."""


# --- blobs ---------------------------------------------------------------------------------------------
class BlobUnknown(NotFound):
    """The blob is unknown to this repository."""

    code = "BLOB_UNKNOWN"


class BlobReferenced(Refusal):
    """A manifest of this repository refers to the blob; delete that first."""

    # The OCI specification knows 202, 404 and 405 for the deletion of a blob.
    status = 405
    code = "UNSUPPORTED"


class UploadInvalid(Refusal):
    """The upload request is invalid."""

    status = 400
    code = "BLOB_UPLOAD_INVALID"


class UploadUnknown(Refusal):
    """The upload is over, or never began; start another one."""

    status = 404
    code = "BLOB_UPLOAD_UNKNOWN"


class RangeInvalid(Refusal):
    """The chunk does not follow the bytes received so far."""

    status = 416
    code = "BLOB_UPLOAD_INVALID"


# --- rules -----------------------------------------------------------------------------------------------
class ProjectUnknown(NameUnknown):
    """The project does not exist."""


class QuotaExceeded(Denied):
    """The project's storage quota is used up."""


class ReadOnly(Denied):
    """The system is in read only mode. Any modification is prohibited."""


# --- the machine room --------------------------------------------------------------------------------------
class Unavailable(Refusal):
    """The service is busy or a part of it is away; try again."""

    status = 503
    code = "UNAVAILABLE"
    retry_after = 2


class StoreUnavailable(Unavailable):
    """The store behind the registry does not answer; try again."""


class StoreFull(Unavailable):
    """The store cannot take more data (is its disk full?)."""
