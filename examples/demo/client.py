"""A client that asks over real sockets and measures: the standard library's, so that nothing is hidden."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

__all__ = ["Answer", "Client"]

_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and how long it took."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    milliseconds: float

    @property
    def cache(self) -> str:
        """What the cache says of it: ``hit; ttl=59``; "" where it says nothing."""
        return self.headers.get("cache-status", "").removeprefix("asynccache; ")

    def json(self) -> Any:
        """Return the body as what it stands for."""
        return json.loads(self.body)


def _ask(
    connection: HTTPConnection, method: str, path: str, headers: Mapping[str, str], body: object = None
) -> Answer:
    """Send one request and read the whole response."""
    payload = None if body is None else json.dumps(body).encode()
    fields = dict(headers) if payload is None else {**headers, "content-type": "application/json"}
    started = time.perf_counter()
    connection.request(method, path, payload, fields)
    response = connection.getresponse()
    content = response.read()
    took = (time.perf_counter() - started) * 1000
    named = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, named, content, took)


class Client:
    """One user's connection to the server, kept open."""

    def __init__(self, host: str, port: int) -> None:
        self._connection = HTTPConnection(host, port, timeout=_TIMEOUT)

    def close(self) -> None:
        self._connection.close()

    def ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: object = None
    ) -> Answer:
        """Send one request and read the whole response."""
        return _ask(self._connection, method, path, headers or {}, body)

    def ask_at_once(self, path: str, times: int) -> list[Answer]:
        """Send GET ``path`` from as many connections of their own, all at the same moment."""
        gate = threading.Barrier(times)

        def one(_: int) -> Answer:
            connection = HTTPConnection(self._connection.host, self._connection.port, timeout=_TIMEOUT)
            try:
                connection.connect()
                gate.wait(_TIMEOUT)
                return _ask(connection, "GET", path, {})
            finally:
                connection.close()

        with ThreadPoolExecutor(times) as threads:
            return list(threads.map(one, range(times)))
