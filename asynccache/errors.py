"""Every error asynccache raises.

    CacheError
    ├── ConfigurationError          wrong argument or setting; raised before any I/O   (also ValueError)
    │   └── MissingDependencyError  an optional package is not installed; names the extra
    ├── InvalidKeyError             a key or tag that no store could hold              (also ValueError)
    ├── CodecError                  a value that cannot be encoded, or decoded as asked
    └── BackendError                the store failed
        ├── BackendUnavailableError refused, reset, closed, or its circuit is open
        └── BackendTimeoutError     no answer within the deadline

With ``fail_open=True`` (the default) a `BackendError` never reaches a caller of the facade: reads
become misses, writes become `Failed` events. Drivers' own exceptions never leave a backend; they
are the ``__cause__`` of one of these.
"""

from __future__ import annotations

__all__ = [
    "BackendError",
    "BackendTimeoutError",
    "BackendUnavailableError",
    "CacheError",
    "CodecError",
    "ConfigurationError",
    "InvalidKeyError",
    "MissingDependencyError",
]


class CacheError(Exception):
    """The root of the tree; catch it to catch everything asynccache raises on purpose."""


class ConfigurationError(CacheError, ValueError):
    """An argument or a setting that can never work. The message names it and says what would."""


class MissingDependencyError(ConfigurationError, ImportError):
    """An optional package is missing. The message is the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed: pip install "asynccache[{extra}]"')
        self.package = package
        self.extra = extra


class InvalidKeyError(CacheError, ValueError):
    """A key or a tag that is empty or cannot be written as UTF-8."""


class CodecError(CacheError):
    """A value that the codec cannot encode, or bytes that are not what was asked for."""


class BackendError(CacheError):
    """The store failed; the driver's exception is the ``__cause__``."""

    def __init__(self, message: str, *, backend: str = "", key: str | None = None) -> None:
        self.backend = backend
        self.key = key
        where = f"{backend}: " if backend else ""
        about = f" (key {key!r})" if key is not None else ""
        super().__init__(f"{where}{message}{about}")


class BackendUnavailableError(BackendError):
    """The store refused or broke the connection, or its circuit breaker is open."""


class BackendTimeoutError(BackendError):
    """The store did not answer within the deadline."""
