"""What the driver's exceptions, and errors inside the server's replies, are to our callers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bson.errors import BSONError
from pymongo.errors import (
    ConfigurationError as DriverConfigurationError,
    ConnectionFailure,
    ExecutionTimeout,
    InvalidOperation,
    NetworkTimeout,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteError,
    WTimeoutError,
)

from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    CacheError,
    ConfigurationError,
)

__all__ = ["FAILURES", "failure", "lost_races"]

FAILURES: Final = (PyMongoError, BSONError, OSError, RuntimeError)
"""What the drivers raise; RuntimeError is what they say of a second event loop."""
_AUTHENTICATION_FAILED: Final = 18
_DUPLICATE_KEY: Final = 11_000


def failure(error: Exception, key: str | None = None) -> CacheError:
    """Return what to raise in the place of ``error``."""
    match error:
        case NetworkTimeout() | ExecutionTimeout() | WaitQueueTimeoutError() | WTimeoutError():
            kind: type[BackendError] = BackendTimeoutError
        case ServerSelectionTimeoutError() | ConnectionFailure() | OSError():
            kind = BackendUnavailableError
        case InvalidOperation() | DriverConfigurationError():  # closed; DNS has no such cluster
            kind = BackendUnavailableError
        case OperationFailure(code=code) if code == _AUTHENTICATION_FAILED:
            kind = BackendUnavailableError
        case RuntimeError() if "different" in str(error):
            return ConfigurationError(
                "mongodb: this client belongs to another event loop: give a URL, or a client for each loop"
            )
        case PyMongoError() if error.timeout:
            kind = BackendTimeoutError
        case _:
            kind = BackendError
    return kind(f"{type(error).__name__}: {_summary(error)}", backend="mongodb", key=key)


def _summary(error: Exception) -> str:
    """Return the error's message without the descriptions of topology and reply that drivers append."""
    text = str(error)
    for tail in (", full error:", ", Timeout:", ", Topology Description:"):
        text = text.partition(tail)[0]
    return text


def lost_races(reply: Mapping[str, Any]) -> list[int]:
    """Return which statements of a command, by index, met a document inserted since they looked for it.

    They have done nothing and can be sent again.

    Raises:
        PyMongoError: ``reply`` tells of another failure, although the command as such succeeded.
    """
    lost: list[int] = []
    for error in reply.get("writeErrors", ()):
        if error.get("code") != _DUPLICATE_KEY:
            raise WriteError(error.get("errmsg", ""), error.get("code"), error)
        lost.append(error["index"])
    if error := reply.get("writeConcernError"):
        kind = WTimeoutError if error.get("errInfo", {}).get("wtimeout") else OperationFailure
        raise kind(f"written, but not as safely as w asks: {error.get('errmsg')}", error.get("code"), error)
    return lost
