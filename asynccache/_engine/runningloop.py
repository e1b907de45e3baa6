"""The event loop that code runs in, or one clear error."""

from __future__ import annotations

import asyncio

from asynccache.errors import ConfigurationError

__all__ = ["running_loop"]


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running asyncio loop.

    Raises:
        ConfigurationError: there is none; what runs is trio, say.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "asynccache runs on asyncio, and no asyncio event loop is running here: run the application and "
            'its tests on asyncio (with AnyIO: backend="asyncio"), or elsewhere without a cache'
        ) from None
