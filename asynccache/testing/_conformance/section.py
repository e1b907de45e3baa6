"""What every section shares: the store under test, names nobody else uses, and how time passes."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from asynccache.protocols import CacheBackendProtocol
from asynccache.testing.clock import FakeClock

__all__ = ["Section"]


class Section:
    """The part of a suite that a subclass fills in."""

    pytestmark: ClassVar[pytest.MarkDecorator] = pytest.mark.asyncio

    clock: FakeClock | None = None
    """The clock the store was given, if it takes one: set it in the fixture. Without it the suite waits."""

    slack: float = 0.05
    """Seconds a store without a `clock` may be late in noticing an expiry."""

    if TYPE_CHECKING:
        backend: Any
        """A fixture of any kind: to a type checker none is a method, nor can be overridden by one."""
    else:

        @pytest.fixture
        def backend(self) -> CacheBackendProtocol:
            """Give the store; a subclass overrides this."""
            pytest.fail(
                f"{type(self).__name__} must override the fixture `backend` and yield an opened store"
            )

    async def advance(self, seconds: float) -> None:
        """Let time pass for the store: turn its `clock`, or else wait."""
        if self.clock is not None:
            self.clock.advance(seconds)
        else:
            await asyncio.sleep(seconds + self.slack)

    def key(self, name: str) -> str:
        """Return a key that no other test uses, so that stores need not be empty."""
        return f"{self.mark}:{name}"

    @property
    def mark(self) -> str:
        """A prefix of this test's own."""
        mark: str = self.__dict__.setdefault("_mark", f"conformance-{secrets.token_hex(6)}")
        return mark
