"""Every error a user can meet, in one tree.

The class carries the HTTP status, the exit code and the machine-readable code, so the code that
raises knows neither web nor terminal. One converter per surface reads them:
`nhan.serving.errors` and `nhan.cli.main`.

    NhanError                    500  exit 1
    ├── UserError                400  exit 2   the caller can fix it
    │   ├── SettingsError                      nhan.toml, NHAN_* variables, options
    │   ├── BadRequest                         a malformed request body or parameter
    │   ├── BadPicture                         empty, unreadable, truncated
    │   │   ├── PictureTooLarge  413           bytes or pixels over the limit
    │   │   └── UnsupportedPicture 415         not one of the formats we read
    │   ├── BadLabel                           a label the task cannot learn from
    │   ├── BadSource                          an import source we cannot read
    │   ├── NotFound             404
    │   ├── Conflict             409
    │   ├── Unauthorized         401
    │   ├── Forbidden            403
    │   ├── AuditFailed                exit 1  the label doctor found what must be fixed
    │   └── MissingExtra               exit 2  an optional part is not installed
    ├── QueueFull                429           try again after `retry_after_s`
    ├── NotReady                 503           starting, draining, or no champion yet
    ├── UpstreamFailed           502           the server behind a URL failed
    ├── DeadlinePassed           504
    ├── JobFailed                      exit 1  training, export, a pipeline step
    │   └── ExportRefused                      the exported model disagrees with the trained one
    ├── GateRefused              409   exit 1  a promotion the gate turned down
    ├── BadPackage (nhan.models.package)   a model folder that is damaged or incomplete
    ├── Interrupted                  exit 130  somebody pressed Ctrl-C; the hint says how to go on
    └── StorageError             503   exit 1  the object store or catalogue is out of reach
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class NhanError(Exception):
    """Something Nhãn can name.

    Attributes:
        message: what happened and the value at fault.
        hint: what to do about it; may be empty.
        details: values that a program needs to go on, e.g. both sides of a conflict; JSON-able,
            and absent from the answer when empty.
    """

    status = 500
    exit_code = 1
    code = "internal_error"

    def __init__(
        self, message: str, *, hint: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def to_json(self) -> dict[str, dict[str, Any]]:
        """The one error shape of every route that is not somebody else's protocol."""
        error = {"code": self.code, "message": self.message, "hint": self.hint}
        return {"error": {**error, "details": self.details} if self.details else error}


class UserError(NhanError):
    """The caller's mistake; the hint says how to mend it."""

    status = 400
    exit_code = 2
    code = "bad_request"


class SettingsError(UserError):
    """A setting is unknown, malformed or contradicts another."""

    code = "bad_settings"


class BadRequest(UserError):
    """A request's body, field or parameter is not what the route takes."""


class BadPicture(UserError):
    """The bytes are empty, truncated or no picture can be read from them."""

    code = "bad_picture"


class PictureTooLarge(BadPicture):
    """More bytes or pixels than the limit; told before decoding."""

    status = 413
    code = "image_too_large"


class UnsupportedPicture(BadPicture):
    """Not PNG, JPEG, WebP, BMP, TIFF or GIF."""

    status = 415
    code = "unsupported_picture"


class BadLabel(UserError):
    """A label that the task cannot learn or write."""

    code = "bad_label"


class BadSource(UserError):
    """An import source that is missing, of no known layout, or malformed."""

    code = "bad_source"


class NotFound(UserError):
    """No such model, version, dataset, prediction, object or route."""

    status = 404
    code = "not_found"


class Conflict(UserError):
    """The new value contradicts one that stands."""

    status = 409
    code = "conflict"


class Unauthorized(UserError):
    """A key is needed and none, or a wrong one, was given."""

    status = 401
    code = "unauthorized"


class Forbidden(UserError):
    """The key, URL or address is not allowed this."""

    status = 403
    code = "forbidden"


class AuditFailed(UserError):
    """The label doctor found something that must be fixed before training."""

    exit_code = 1
    code = "audit_failed"


class MissingExtra(UserError):
    """An optional part of the package is not installed."""

    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(
            f"{what} needs packages that are not installed",
            hint=f"pip install 'nhan[{extra}]'",
        )


class QueueFull(NhanError):
    """The server has as much work as it can promise to finish in time."""

    status = 429
    code = "queue_full"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, hint: str = "") -> None:
        super().__init__(message, hint=hint or f"try again in {retry_after_s:g} s")
        self.retry_after_s = retry_after_s


class NotReady(NhanError):
    """Starting, draining, or no champion can answer yet."""

    status = 503
    code = "not_ready"

    def __init__(self, message: str, *, retry_after_s: float = 2.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s


class UpstreamFailed(NhanError):
    """The server behind a URL refused, failed or sent something unusable."""

    status = 502
    code = "upstream_failed"


class DeadlinePassed(NhanError):
    """The answer would have come after the caller's deadline."""

    status = 504
    code = "deadline_passed"


class JobFailed(NhanError):
    """A training, an export or a pipeline step failed."""

    code = "job_failed"


class ExportRefused(JobFailed):
    """The exported model does not agree with the trained one on real samples."""

    code = "export_refused"


class Interrupted(NhanError):
    """Somebody pressed Ctrl-C; what was done stays."""

    exit_code = 130  # 128 + SIGINT, as shells report it
    code = "interrupted"

    def __init__(self, hint: str = "run the same command again to go on") -> None:
        super().__init__("interrupted", hint=hint)


class GateRefused(NhanError):
    """The gate turned a promotion down; the message is its verdict in words."""

    status = 409
    code = "gate_refused"


class StorageError(NhanError):
    """The object store or the catalogue cannot be reached or refuses access."""

    status = 503
    code = "storage_error"
