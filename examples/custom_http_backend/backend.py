"""`HTTPBackend`: a store behind HTTP, with everything a store can do except bulk forms and a bus.

The first three coroutines make it a store. Each of the others adds a capability, atomic because the service
decides: ``PUT`` with ``If-None-Match: *`` adds, with ``If-Match`` it fills a lease.
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from time import perf_counter
from typing import Any, Final, Self
from urllib.parse import parse_qsl, urlsplit

import httpx2

from asynccache.errors import (
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
    ConfigurationError,
)
from asynccache.protocols import BackendHealth

__all__ = ["HTTPBackend"]

_NAME: Final = 1000
"""Characters of the longest key that is sent as it is: servers limit the length of a URL."""

Statuses = set[int]

_OPTIONS: Final = {"timeout": float, "connections": int}
# A connection is given up before the server (uvicorn: 5 s) would close it under us; slots bound their number.
_LIMITS: Final = httpx2.Limits(keepalive_expiry=4.0)


class HTTPBackend:
    """A store in the service of `examples.custom_http_backend.service`.

    Args:
        url: Where the service is: ``http://cache.internal:8000``.
        timeout: Seconds an answer may take.
        connections: Most connections to keep; more requests than that wait for one.
    """

    def __init__(self, url: str, *, timeout: float = 2.0, connections: int = 32) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._connections = connections
        self._clients: dict[AbstractEventLoop, _Client] = {}

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Read ``cache+http://host:8000?timeout=0.5``; `register_scheme` makes `Cache.from_url` come here."""
        parts = urlsplit(url.removeprefix("cache+"))
        try:
            options |= {name: _OPTIONS[name](text) for name, text in parse_qsl(parts.query)}
        except (KeyError, ValueError):
            raise ConfigurationError("cache+http:// takes timeout=seconds and connections=number") from None
        return cls(parts._replace(query="").geturl(), **options)

    # -- what makes it a store -------------------------------------------------------------------------

    async def get(self, key: str) -> bytes | None:
        response = await self._ask("GET", "values", key, expect={200, 404})
        return response.content if response.status_code == 200 else None

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        response = await self._ask("PUT", "values", key, content=value, ttl=ttl, expect={204, 413})
        return response.status_code == 204

    async def delete(self, key: str) -> bool:
        return (await self._ask("DELETE", "values", key, expect={204, 404})).status_code == 204

    # -- what it can do besides ------------------------------------------------------------------------

    async def exists(self, key: str) -> bool:
        return (await self._ask("HEAD", "values", key, expect={200, 404})).status_code == 200

    async def touch(self, key: str, ttl: float | None) -> bool:
        return (await self._ask("PATCH", "values", key, ttl=ttl, expect={204, 404})).status_code == 204

    async def add(self, key: str, value: bytes, ttl: float | None = None) -> bool:
        absent = {"if-none-match": "*"}
        response = await self._ask(
            "PUT", "values", key, content=value, headers=absent, ttl=ttl, expect={204, 412}
        )
        return response.status_code == 204

    async def incr(self, key: str, delta: int = 1, *, initial: int = 0, ttl: float | None = None) -> int:
        response = await self._ask(
            "POST", "counters", key, ttl=ttl, delta=delta, initial=initial, expect={200}
        )
        return int(response.text)

    async def clear(self, prefix: str) -> None:
        if len(prefix) > _NAME - 64:
            raise BackendError(f"a prefix has at most {_NAME - 64} characters", backend="http")
        await self._ask("DELETE", "prefixes", prefix, expect={204})

    async def acquire_lease(self, key: str, ttl: float) -> str | None:
        response = await self._ask("POST", "leases", key, ttl=ttl, expect={201, 409})
        return response.text if response.status_code == 201 else None

    async def fill(self, key: str, value: bytes, ttl: float | None, token: str) -> bool:
        held = {"if-match": f'"{token}"'}
        response = await self._ask(
            "PUT", "values", key, content=value, headers=held, ttl=ttl, expect={204, 412}
        )
        return response.status_code == 204

    async def release_lease(self, key: str, token: str) -> None:
        await self._ask("DELETE", "leases", key, headers={"if-match": f'"{token}"'}, expect={204})

    async def health(self) -> BackendHealth:
        began = perf_counter()
        response = await self._ask("GET", "health", "", expect={200})
        return BackendHealth(True, "http", (perf_counter() - began) * 1000, response.json())

    async def open(self) -> None:
        """Fail now rather than at the first request if the service cannot be reached."""
        await self.health()

    async def aclose(self) -> None:
        """Let what is under way end, and close this loop's connections; another loop's are closed with it."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._connections):
                    group.create_task(client.slots.acquire())
            await client.life.aclose()

    # -- how it asks -----------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        kind: str,
        key: str,
        *,
        expect: Statuses,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **parameters: float | None,
    ) -> httpx2.Response:
        url = f"{self._url}/{kind}/{_path(key)}".rstrip("/")
        given = {name: value for name, value in parameters.items() if value is not None}
        client = await self._client()
        async with client.slots:
            try:
                response = await client.http.request(
                    method, url, params=given, content=content, headers=headers
                )
            except httpx2.TimeoutException as error:
                raise BackendTimeoutError(f"{method} took too long", backend="http", key=key) from error
            except httpx2.TransportError as error:
                raise BackendUnavailableError(f"{method} failed: {error}", backend="http", key=key) from error
        if response.status_code in expect:
            return response
        raise BackendError(f"status {response.status_code}: {response.text[:200]}", backend="http", key=key)

    async def _client(self) -> _Client:
        """Return this loop's client: connections of one loop are of no use to another."""
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None:
            for other in [other for other in self._clients if other.is_closed()]:
                del self._clients[other]
            http = httpx2.AsyncClient(timeout=self._timeout, limits=_LIMITS, trust_env=False)
            client = _Client(http, asyncio.Semaphore(self._connections), _life(http))
            self._clients[loop] = client
            await anext(client.life)
        return client


@dataclass(frozen=True)
class _Client:
    http: httpx2.AsyncClient
    slots: asyncio.Semaphore
    """One for each connection: who finds none waits."""
    life: AsyncGenerator[None]


async def _life(client: httpx2.AsyncClient) -> AsyncGenerator[None]:
    """Close ``client`` when told, or when its loop ends: `asyncio.run` ends the generators it has seen."""
    try:
        yield
    finally:
        await client.aclose()


def _path(key: str) -> str:
    """Return what stands for ``key`` in a path.

    Of a long key that is its beginning, so that prefixes still fit, and a digest: 1000 characters in all,
    which no key that is sent as it is has.
    """
    if len(key) >= _NAME:
        key = key[: _NAME - 64] + blake2b(key.encode(), digest_size=32).hexdigest()
    return urlsafe_b64encode(key.encode()).decode()
