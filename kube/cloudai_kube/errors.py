"""Errors of talking to Kubernetes; the type says what to do.

InvariantError              what we know contradicts itself: end the process and list afresh; no store swallows it
KubeError
├── ConfigurationError      the process cannot start like this: tell the person, exit 2
├── DatabaseError           history cannot be read: try again, or do without
├── PrometheusError         no metrics, or a part of them only: go on without
├── FormatError             a quantity, duration or time in an object cannot be read: count it as absent and say so
├── FencedError             this process does not lead any more: nothing was sent, and nothing may be
├── OutcomeUnknownError     a write may or may not have happened: read again before repeating it
│   └── SilentError         a watch said nothing for too long: watch again from where it was
└── ApiError                the server answered with an error status
    ├── NotFoundError       404: the object is gone; usually nothing is left to do
    ├── ConflictError       409: someone was faster, or it exists already: read again
    ├── ExpiredError        410: the resource version is too old: list again
    ├── RefusedError        400, 403, 422: repeating it will not help until something changes
    └── OverloadedError     429 and 5xx: wait `retry_after_seconds`, then repeat
"""


class InvariantError(Exception):
    """Our own state contradicts what the API server says; only a restart is safe."""


class KubeError(Exception):
    """Root of all errors of this package."""


class ConfigurationError(KubeError):
    """Settings or credentials are unusable; the message names field, value and remedy."""


class DatabaseError(KubeError):
    """The database does not answer; the message says why."""


class PrometheusError(KubeError):
    """Prometheus is away, slow, too talkative, or answers in part; the message says which."""


class FormatError(KubeError, ValueError):
    """A text in an object is not of the format that its field has."""


class FencedError(KubeError):
    """A write was not sent, because another process may lead by now."""


class OutcomeUnknownError(KubeError):
    """The connection broke before an answer came: a write may have happened."""


class SilentError(OutcomeUnknownError):
    """A watch is open and says nothing: the connection is dead, or nothing has happened."""


class ApiError(KubeError):
    """The API server refused a request. `status` is the HTTP code, `reason` the machine-readable word."""

    def __init__(self, status: int, reason: str, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class NotFoundError(ApiError):
    """404."""


class ConflictError(ApiError):
    """409, both AlreadyExists and a failed precondition; `reason` tells which."""


class ExpiredError(ApiError):
    """410, or a 'too large resource version': list again."""


class RefusedError(ApiError):
    """400, 401, 403, 405, 413, 422: the same request would be refused again."""


class OverloadedError(ApiError):
    """429 or 5xx: the server asks for time."""


_TYPES: dict[int, type[ApiError]] = {404: NotFoundError, 409: ConflictError, 410: ExpiredError, 429: OverloadedError}


def api_error(status: int, reason: str, message: str, retry_after_seconds: float | None = None) -> ApiError:
    """Return the error that fits an HTTP status."""
    kind = _TYPES.get(status, OverloadedError if status >= 500 else RefusedError)
    return kind(status, reason, message, retry_after_seconds)
