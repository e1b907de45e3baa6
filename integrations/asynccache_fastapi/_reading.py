"""What FastAPI knows that an endpoint reads of a request: header parameters and API keys.

Its own and those of all its dependencies. What is taken from a `Request` nobody can know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from inspect import unwrap
from typing import Any, Final, get_args

from fastapi import routing
from fastapi.openapi.models import APIKey
from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

from asynccache.http import Reads
from asynccache_fastapi._arming import contexts

__all__ = ["declared", "reads_of"]


class _Routes:
    """What the routes of an application read, those of included and mounted routers as they are there."""

    def __init__(self, application: Any) -> None:
        self._lists = list(_lists(application.routes))
        self._sizes = [len(routes) for routes in self._lists]
        self._reads: dict[int, tuple[Any, Reads]] = {}
        """By the identity of a route, which is kept alive here. One that is included twice reads both."""
        for routes in self._lists:
            for context in contexts(routes):
                route = context.original_route
                known = self._reads.get(id(route), (route, Reads()))[1]
                self._reads[id(route)] = route, known | declared(context.dependant)

    @property
    def outdated(self) -> bool:
        """Routes have been added."""
        return any(len(routes) != size for routes, size in zip(self._lists, self._sizes, strict=True))

    def reads(self, route: Any) -> Reads:
        """Return what one of them reads."""
        known = self._reads.get(id(route))
        return declared(route.dependant) if known is None else known[1]


_KNOWN: Final = "_asynccache_routes"
"""Where an application keeps its own. They refer to it: a dictionary of ours would keep both for ever."""


def reads_of(scope: Any) -> Reads:
    """Return what the endpoint of a request reads, as far as it is known; nothing before routing."""
    route = scope.get("route")
    if not isinstance(route, routing.APIRoute):
        return Reads()
    application = scope["app"]
    routes: _Routes | None = getattr(application, _KNOWN, None)
    if routes is None or routes.outdated:
        routes = _Routes(application)
        setattr(application, _KNOWN, routes)
    return routes.reads(route)


def _lists(routes: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Return the lists of routes that make up an application."""
    yield routes
    for route in routes:
        router = getattr(route, "original_router", route)  # of an inclusion; else perhaps a mount
        inner = getattr(router, "routes", None)
        if inner is not None:
            yield from _lists(inner)


def declared(dependant: Any) -> Reads:
    """Return what an endpoint and its dependencies declare to read.

    Args:
        dependant: What FastAPI has made of the endpoint's signature.
    """
    fields: set[str] = set()
    keys: dict[str, set[str]] = {}
    pending = [dependant]
    while pending:
        current = pending.pop()
        for parameter in current.header_params:
            fields.update(_names(parameter))
        scheme = getattr(_plain(current.call), "model", None)
        if isinstance(scheme, APIKey):
            keys.setdefault(scheme.in_.value, set()).add(scheme.name)
        pending.extend(current.dependencies)
    return Reads.of(fields, keys.get("header", ()), keys.get("query", ()))


def _plain(call: Any) -> Any:
    """Return the security scheme that a dependency may be, of which it may be a method."""
    while isinstance(call, partial):
        call = call.func
    call = unwrap(call)
    return getattr(call, "__self__", call)


def _names(parameter: Any) -> Iterator[str]:
    """Return the request fields that a header parameter is taken from."""
    info = parameter.field_info
    convert: bool = getattr(info, "convert_underscores", True)
    model = _model(info.annotation)
    if model is None:
        yield from _aliases(parameter.name, info, convert=convert)
        return
    if model.model_config.get("extra") == "allow":
        yield "*"
    by_name = any(model.model_config.get(option) for option in ("populate_by_name", "validate_by_name"))
    for name, field in model.model_fields.items():
        converted: bool = getattr(field, "convert_underscores", convert)
        yield from _aliases(name, field, convert=converted)
        if by_name or model.model_config.get("validate_by_alias") is False:
            yield name.replace("_", "-") if converted else name


def _model(annotation: Any) -> type[BaseModel] | None:
    """Return the model whose fields are the parameters, if it is one, perhaps an optional one."""
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _aliases(name: str, info: FieldInfo, *, convert: bool) -> Iterator[str]:
    """Return the names that a parameter goes by, which are more than one where it has several aliases."""
    given = info.validation_alias
    choices = given.choices if isinstance(given, AliasChoices) else (given,)
    for choice in (*choices, info.alias or name):
        text = str(choice.path[0]) if isinstance(choice, AliasPath) else choice
        if text is not None:
            yield text.replace("_", "-") if convert and text == name else text
            if isinstance(given, AliasChoices):
                yield text  # one of several is meant literally
