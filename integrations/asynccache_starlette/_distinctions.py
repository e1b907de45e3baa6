"""``vary_on=Depends(...)``: what distinguishes users is the result of a dependency.

Starlette has no dependencies. A framework on top of it that has (FastAPI) finds out from an endpoint's
signature what to resolve; so the dependency becomes one more parameter of the endpoint, and what arrives
there is kept in the scope until the cache asks.
"""

from __future__ import annotations

import inspect
from collections.abc import MutableMapping
from typing import Annotated, Any, Final, get_args, get_origin

from starlette.requests import HTTPConnection

from asynccache import CachePolicy, ConfigurationError
from asynccache.http import Exchange

__all__ = ["PARAMETER", "dependency_of", "keep_resolved", "resolved", "with_parameter"]

PARAMETER: Final = "asynccache_vary_on"
"""Name of the parameter; no endpoint has one like it."""


def dependency_of(policy: CachePolicy) -> Any:
    """Return the dependency that ``vary_on`` of a policy is, None if it is a function or nothing.

    It may also be an annotation that names one: ``Annotated[User, Depends(current_user)]``.
    """
    given: Any = policy.vary_on
    if hasattr(given, "dependency"):
        return given
    annotated = get_origin(given) is Annotated
    return given if annotated and any(hasattr(item, "dependency") for item in get_args(given)) else None


def with_parameter(signature: inspect.Signature, dependency: Any) -> inspect.Signature:
    """Return ``signature`` with the dependency as one more parameter."""
    annotated = get_origin(dependency) is Annotated
    parameter = inspect.Parameter(
        PARAMETER,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if annotated else dependency,
        annotation=dependency if annotated else Any,
    )
    parameters = list(signature.parameters.values())
    rest = bool(parameters) and parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    parameters.insert(len(parameters) - rest, parameter)
    return signature.replace(parameters=parameters)


def keep_resolved(arguments: MutableMapping[str, Any], exchange: Exchange | None) -> None:
    """Take what the dependency has returned out of an endpoint's arguments, for `resolved` to find."""
    if PARAMETER in arguments:
        value = arguments.pop(PARAMETER)
        if exchange is not None:
            exchange.scope[PARAMETER] = value


def resolved(connection: HTTPConnection) -> Any:
    """Return what the dependency has returned: the ``vary_on`` of policies that name one.

    Raises:
        ConfigurationError: nobody has resolved it.
    """
    try:
        return connection.scope[PARAMETER]
    except KeyError:
        raise ConfigurationError("vary_on=Depends(...) is for routes of FastAPI") from None
