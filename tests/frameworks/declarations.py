"""Endpoints that declare what they read of a request, for frameworks that look at signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

__all__ = ["declaring"]


def declaring(endpoint: Callable[..., Any], parameters: Sequence[inspect.Parameter]) -> Callable[..., Any]:
    """Return ``endpoint`` with more parameters in its signature; it is called without them."""
    if not parameters:
        return endpoint
    names = {parameter.name for parameter in parameters}

    def own(arguments: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in arguments.items() if name not in names}

    @wraps(endpoint)
    async def asynchronous(*args: Any, **kwargs: Any) -> Any:
        return await endpoint(*args, **own(kwargs))

    @wraps(endpoint)
    def synchronous(*args: Any, **kwargs: Any) -> Any:
        return endpoint(*args, **own(kwargs))

    declared: Any = asynchronous if inspect.iscoroutinefunction(endpoint) else synchronous
    signature = inspect.signature(endpoint)
    declared.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *parameters])
    declared.__annotations__ = {
        **endpoint.__annotations__,
        **{parameter.name: parameter.annotation for parameter in parameters},
    }
    return declared  # type: ignore[no-any-return]
