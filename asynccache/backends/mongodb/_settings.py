"""What a URL, or a client of the user's own, says: where the values are and how to reach them. No I/O."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import unquote

from pymongo import AsyncMongoClient, MongoClient
from pymongo.client_options import ClientOptions
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri, validate_options

from asynccache._engine.arguments import check_count
from asynccache._engine.urls import parse_size, query_options
from asynccache.errors import ConfigurationError
from asynccache.policy import seconds

__all__ = ["MAX_VALUE_BYTES", "Settings"]

MAX_VALUE_BYTES: Final = 16 * 2**20 - 64 * 2**10
"""A document has at most 16 MiB; what is left is for the key and the other fields."""
_BUS_SUFFIX: Final = ".bus"
_BAD_IN_DATABASE: Final = re.compile(r'[/\\. "$*<>:|?\x00]')


def _parse_bool(text: str, name: str) -> bool:
    if text not in {"true", "false"}:
        raise ConfigurationError(f"{name} must be true or false, not {text!r}")
    return text == "true"


def _parse_seconds(text: str, name: str) -> float:
    try:
        return seconds(float(text), name)
    except ValueError:
        raise ConfigurationError(f"{name} must be a positive number of seconds, not {text!r}") from None


def _parse_name(text: str, _name: str) -> str:
    return text


_OWN: Final[Mapping[str, Callable[[str, str], Any]]] = {
    "collection": _parse_name,
    "timeout": _parse_seconds,
    "connect_timeout": _parse_seconds,
    "max_value_bytes": parse_size,
    "bus": _parse_bool,
}
_SRV_OPTIONS: Final = {"srvservicename", "srvmaxhosts"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the values are, and how a client is made."""

    where: str
    """For people: hosts without user and password, or the class of the client."""
    database: str
    collection: str
    max_value_bytes: int
    bus: bool
    new_client: Callable[[], Any] | None
    """Makes a client for an event loop; None where the user's own is all there is."""
    client: Any
    """The user's own."""

    @classmethod
    def of(cls, url_or_client: object, options: Mapping[str, Any]) -> Settings:
        """Return the settings that a URL or a client and the options beside it describe.

        Raises:
            ConfigurationError: something is malformed. No message shows a user or a password.
        """
        given = {name: value for name, value in options.items() if value is not None}
        if isinstance(url_or_client, str):
            return _from_url(url_or_client, given)
        return _from_client(url_or_client, given)


def _from_url(url: str, given: dict[str, Any]) -> Settings:
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in {"mongodb", "mongodb+srv"}:
        raise ConfigurationError("a MongoDB URL begins with mongodb:// or mongodb+srv://")
    rest, _, query = rest.partition("?")
    own, drivers = _split_query(query, given)
    names = _check_driver_options(drivers)
    parsed = _parse(scheme, rest, drivers)
    if parsed["collection"]:
        raise ConfigurationError("a MongoDB URL takes the collection as an option: ?collection=name")
    database = own.pop("database", parsed["database"] or "asynccache")
    timeout = own.pop("timeout", 1.0)
    connect_timeout = own.pop("connect_timeout", 1.0)
    defaults: dict[str, Any] = {
        "timeoutMS": _milliseconds(timeout, "timeout"),
        "connectTimeoutMS": _milliseconds(connect_timeout, "connect_timeout"),
        "serverSelectionTimeoutMS": _milliseconds(connect_timeout, "connect_timeout"),
        "appName": "asynccache",
    }
    arguments: dict[str, Any] = {name: value for name, value in defaults.items() if name.lower() not in names}
    target = f"{scheme}://{rest}" if "/" in rest else f"{scheme}://{rest}/"
    if drivers:
        target = f"{target}?{'&'.join(drivers)}"
    own.setdefault("bus", "replicaset" in names or scheme == "mongodb+srv")
    if parsed["options"].get("w") == 0:
        raise ConfigurationError("w=0 hides every failed write: a cache that cannot delete serves old values")
    hosts = ",".join(f"{host}:{port}" if port else host for host, port in parsed["nodelist"])
    where = f"{scheme}://{hosts.removesuffix(':27017') if scheme.endswith('srv') else hosts}"

    def new_client() -> AsyncMongoClient[dict[str, Any]]:
        return AsyncMongoClient(target, **arguments)

    return _checked(where, database, own, new_client, None)


def _split_query(query: str, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return our own options, parsed, and the driver's as they stand."""
    pairs = [pair for pair in query.split("&") if pair] if query else []
    mine = [pair for pair in pairs if pair.partition("=")[0] in _OWN]
    return query_options("&".join(mine), _OWN, given, "mongodb"), [pair for pair in pairs if pair not in mine]


def _check_driver_options(pairs: list[str]) -> set[str]:
    """Return the names of the driver's options in lower case, if the driver knows and accepts them all."""
    names: set[str] = set()
    for pair in pairs:
        name, _, value = pair.partition("=")
        try:
            validate_options({name: unquote(value)}, warn=False)
        except (PyMongoError, ValueError, TypeError):
            raise ConfigurationError(
                f"unknown or malformed option {name!r}: mongodb:// takes {', '.join(_OWN)}, "
                "and the options of MongoDB connection strings"
            ) from None
        if name.lower() in names and name.lower() != "readpreferencetags":
            raise ConfigurationError(f"option {name} is given twice")
        names.add(name.lower())
    return names


def _parse(scheme: str, rest: str, drivers: list[str]) -> dict[str, Any]:
    """Return what the driver makes of a URL, without asking DNS for the hosts of a mongodb+srv one."""
    if scheme == "mongodb+srv":
        host = rest.rpartition("@")[2].partition("/")[0]
        if "," in host or ":" in host:
            raise ConfigurationError("mongodb+srv:// takes one host name without a port")
        drivers = [pair for pair in drivers if pair.partition("=")[0].lower() not in _SRV_OPTIONS]
    plain = f"mongodb://{rest}" if "/" in rest else f"mongodb://{rest}/"
    try:
        return dict(parse_uri(f"{plain}?{'&'.join(drivers)}" if drivers else plain, warn=False))
    except (PyMongoError, ValueError, TypeError):
        raise ConfigurationError(
            "malformed MongoDB URL: expected mongodb://user:password@host:port,host:port/database?option=value"
            ", with user and password percent-encoded, and options that go together"
        ) from None


def _from_client(client: Any, given: dict[str, Any]) -> Settings:
    kind = type(client).__name__
    if isinstance(client, MongoClient):
        raise ConfigurationError("MongoClient is synchronous: pass a URL or an AsyncMongoClient")
    if refused := given.keys() & {"timeout", "connect_timeout"}:
        raise ConfigurationError(f"{min(refused)} belongs to the client: set timeoutMS when you make it")
    # Without importing Motor: an object cannot be of a module that nobody has imported.
    motor: Any = sys.modules.get("motor.motor_asyncio")
    options: ClientOptions
    if motor is not None and isinstance(client, motor.AsyncIOMotorClient):
        options = client.delegate.options
    elif isinstance(client, AsyncMongoClient):
        options = client.options  # pyright: ignore[reportUnknownMemberType]  # of which document, is not known
    else:
        raise ConfigurationError(
            f"expected a URL, an AsyncMongoClient or an AsyncIOMotorClient, not an object of type {kind}"
        )
    if not options.write_concern.acknowledged:
        raise ConfigurationError("w=0 hides every failed write: a cache that cannot delete serves old values")
    given.setdefault("bus", options.replica_set_name is not None)
    return _checked(kind, given.pop("database", "asynccache"), given, None, cast("object", client))


def _checked(
    where: str, database: object, own: dict[str, Any], new_client: Callable[[], Any] | None, client: object
) -> Settings:
    collection = own.pop("collection", "cache")
    max_value_bytes = own.pop("max_value_bytes", MAX_VALUE_BYTES)
    bus = own.pop("bus")
    check_count(max_value_bytes, "max_value_bytes", 1)
    if max_value_bytes > MAX_VALUE_BYTES:
        raise ConfigurationError(
            f"max_value_bytes must be at most {MAX_VALUE_BYTES}: a document has at most 16 MiB"
        )
    if not isinstance(bus, bool):
        raise ConfigurationError(f"bus must be True or False, not {bus!r}")
    return Settings(
        where=where,
        database=_database(database),
        collection=_collection(collection),
        max_value_bytes=max_value_bytes,
        bus=bus,
        new_client=new_client,
        client=client,
    )


def _database(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name.encode()) < 64 or _BAD_IN_DATABASE.search(name):
        raise ConfigurationError(
            f'database must be a name of up to 63 bytes without /\\. "$*<>:|?, not {name!r}'
        )
    return name


def _collection(name: object) -> str:
    if (
        not isinstance(name, str)
        or not 0 < len(name.encode()) <= 160
        or "$" in name
        or "\x00" in name
        or ".." in name
        or name.startswith((".", "system."))
        or name.endswith((".", _BUS_SUFFIX))
    ):
        raise ConfigurationError(
            "collection must be a name of up to 160 bytes without $ and .., which begins and ends with no "
            f"dot, does not begin with system. and does not end in {_BUS_SUFFIX}, not {name!r}"
        )
    return name


def _milliseconds(value: float, name: str) -> int:
    return max(1, round(seconds(value, name) * 1000))
