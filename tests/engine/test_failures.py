from __future__ import annotations

import asyncio

import pytest

from asynccache._engine.failures import Sign, interpret
from asynccache.errors import BackendError, BackendTimeoutError, BackendUnavailableError, InvalidKeyError


@pytest.mark.parametrize(
    "error,expected,sign",
    [
        (ConnectionResetError("x"), BackendUnavailableError, Sign.TROUBLE),
        (EOFError(), BackendUnavailableError, Sign.TROUBLE),
        (asyncio.CancelledError(), BackendUnavailableError, Sign.TROUBLE),
        (TimeoutError(), BackendTimeoutError, Sign.TROUBLE),
        (ValueError("odd reply"), BackendError, Sign.TROUBLE),
        (AttributeError("'NoneType' object has no attribute 'write'"), BackendError, Sign.TROUBLE),
    ],
)
def test_foreign_exceptions_are_mapped(
    error: BaseException, expected: type[BackendError], sign: Sign
) -> None:
    """The message names operation, backend, key and what was raised, which is the cause."""
    raised, read = interpret(error, "get", "k", "Redis")
    assert (type(raised), read) == (expected, sign)
    assert raised.__cause__ is error
    assert str(raised) == f"Redis: get failed: {type(error).__name__}: {error} (key 'k')"


@pytest.mark.parametrize(
    "error,sign",
    [
        (BackendUnavailableError("x"), Sign.TROUBLE),
        (BackendTimeoutError("x"), Sign.TROUBLE),
        (BackendError("not an integer"), Sign.LIFE),
        (InvalidKeyError("x"), Sign.NOTHING),
        (TypeError("x"), Sign.NOTHING),
        (NotImplementedError("x"), Sign.NOTHING),
        (KeyboardInterrupt(), Sign.NOTHING),
    ],
)
def test_these_are_raised_as_they_are(error: BaseException, sign: Sign) -> None:
    """Our own errors need no mapping, bugs must not hide behind one."""
    assert interpret(error, "get", "k", "Redis") == (error, sign)
