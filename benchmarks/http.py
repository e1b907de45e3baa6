# ruff: noqa: ARG001, BLE001, PLC0415, TRY301  (applications have the signature they have; peers fail as they like)
"""The table 'http' of BENCHMARKS.md: responses from the cache, in process and over uvicorn."""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from asynccache import Cache, CacheConfig, CachePolicy, HTTPConfig
from asynccache.http import CacheMiddleware, MarkedApp
from benchmarks import load
from benchmarks.apps import APPS, BODY, OURS, REFERENCES, URLS
from benchmarks.measure import Contestant, Figure, Options, Row, Run, Table, race, ratios

__all__ = ["tables"]

ASGI = Callable[[Any, Any, Any], Awaitable[None]]

_BATCH: Final = 100

_HEADERS: Final = (
    (b"host", b"127.0.0.1:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"application/json, text/plain, */*"),
    (b"accept-language", b"en-GB,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
)


def _scope(path: str, method: str = "GET", extra: tuple[tuple[bytes, bytes], ...] = ()) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*_HEADERS, *extra],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def _receive() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nowhere(message: Any) -> None:
    pass


async def _ask(app: ASGI, scope: dict[str, Any]) -> tuple[int, dict[bytes, bytes], bytes]:
    head: dict[str, Any] = {}
    body = b""

    async def send(message: Any) -> None:
        nonlocal body
        if message["type"] == "http.response.start":
            head.update(message)
        else:
            body += message.get("body", b"")

    await app(scope, _receive, send)
    return head["status"], dict(head["headers"]), body


def _calls(app: ASGI, scopes: list[dict[str, Any]]) -> Run:
    """Return a run that calls an application, each time with a scope of its own as a server would."""
    return _asking(app, lambda number: scopes[number % len(scopes)].copy())


def _misses(app: ASGI) -> Run:
    """Return a run in which no request ever has a stored response."""
    return _asking(app, lambda number: _scope(f"/misses/{number}"))


def _asking(app: ASGI, make: Callable[[int], dict[str, Any]]) -> Run:
    """Return a run; scopes are made a few at a time and outside of what is timed."""
    asked = 0

    async def run(times: int) -> float:
        nonlocal asked
        end = asked + times
        spent = 0.0
        while asked < end:
            batch = [make(number) for number in range(asked, min(asked + _BATCH, end))]
            asked += len(batch)
            began = perf_counter()
            for scope in batch:
                await app(scope, _receive, _nowhere)
            spent += perf_counter() - began
        return spent

    return run


async def _checked(app: ASGI) -> list[dict[str, Any]]:
    """Fill an application's cache, check its answer, and return the scopes to ask it with."""
    scopes = [_scope(f"/items/{number}") for number in range(URLS)]
    for scope in (*scopes, *scopes):
        status, _, body = await _ask(app, scope.copy())
        if status != 200 or body != BODY:
            raise RuntimeError(f"answers {status} and {len(body)} bytes")
    return scopes


async def _in_process(options: Options) -> Table:
    result = Table(
        "http, in process, without a server",
        "Multiples of a bare ASGI application that sends the same 10 KiB; less is better.",
    )
    names = [*OURS, *REFERENCES] if not options.peers else list(APPS)
    field: dict[str, Contestant] = {}
    for name in names:
        try:
            app = APPS[name]()
            if name.startswith("bare") and name != "bare":
                continue
            scopes = await _checked(app)
            field[name] = Contestant(name, _calls(app, scopes))
            if name == "ours public":
                _, headers, _ = await _ask(app, scopes[0].copy())
                condition = ((b"if-none-match", headers[b"etag"]),)
                conditional = [_scope(f"/items/{number}", extra=condition) for number in range(URLS)]
                if (await _ask(app, conditional[0].copy()))[0] != 304:
                    raise RuntimeError("no 304")
                field["ours 304"] = Contestant("ours 304", _calls(app, conditional))
        except Exception as error:
            result.notes.append(f"{name} does not take part: {type(error).__name__}: {error}")
    floor = field.pop("bare")
    figures, base, failed = await race(floor, list(field.values()), options)
    result.floors.append(base)
    result.notes += failed
    rows = (
        ("ours public", "public hit"),
        ("ours public, outermost", "public hit, middleware outermost"),
        ("ours shared cache", "hit, shared cache"),
        ("ours 304", "304"),
        ("ours default Starlette", "default hit, Starlette"),
        ("ours default FastAPI", "default hit, FastAPI"),
    )
    for name, title in rows:
        mine = figures.pop(name, None)
        result.rows.append(Row(title, None, mine))
    result.rows[0].peers = figures
    await _added(result, options)
    return result


async def _added(result: Table, options: Options) -> None:
    """Measure what the middleware adds to requests that it does not answer."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": BODY})

    async with Cache(CacheConfig()) as cache:
        passing = CacheMiddleware(inner, cache=cache)
        marked = CacheMiddleware(MarkedApp(inner, CachePolicy(ttl=3600)), cache=cache)
        gets = [_scope(f"/other/{number}") for number in range(URLS)]
        posts = [_scope(f"/other/{number}", "POST") for number in range(URLS)]
        known = CacheMiddleware(MarkedApp(inner, CachePolicy(ttl=3600, public=True)), cache=cache)
        await _ask(known, _scope("/known"))
        known.app = inner
        shared_config = CacheConfig(http=HTTPConfig(mode="rfc9111"))
        shared = CacheMiddleware(_lasting(inner), config=shared_config)
        misses = _misses(marked)
        stores = _stores(cache)
        field = {
            "bypass, unmarked GET": _calls(passing, gets),
            "bypass, GET beside public routes": _calls(known, gets),
            "bypass, POST": _calls(passing, posts),
            "miss and store": misses,
            "miss and store, shared cache": _misses(shared),
            "bypass, POST, shared cache": _calls(shared, posts),
            "the store's own time": stores,
        }
        race_of = [Contestant(name, run) for name, run in field.items()]
        figures, base, failed = await race(Contestant("floor", _calls(inner, gets)), race_of, options)
        result.notes += failed
        own = figures.pop("the store's own time", None)
        goals = {"miss and store": 8.0, "miss and store, shared cache": 8.0}
        for name, figure in figures.items():
            less = base + (own.ns if own is not None and name.startswith("miss and store") else 0.0)
            scale = base / 1000
            value = (figure.ns - less) / 1000
            spread = [figure.low * scale - less / 1000, figure.high * scale - less / 1000]
            result.rows.append(
                Row(f"the middleware adds: {name}", goals.get(name, 1.0), Figure(value, *spread), unit="us")
            )
        if own is not None:
            result.notes.append(
                f"'miss and store' is without the store's own time (`set_entry`), {own.ns / 1000:.1f} us."
            )
        result.notes.append(
            "The us rows are absolute, hence inflated where this machine is slow at the moment:"
            f" the bare application took {base / 1000:.2f} us there (0.66 on the machine of the goals)."
        )


def _lasting(app: ASGI) -> ASGI:
    """Return an application whose responses say for how long they may be kept."""

    async def lasting(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((b"cache-control", b"public, max-age=3600"))
            await send(message)

        await app(scope, receive, sending)

    return lasting


def _stores(cache: Cache) -> Run:
    """Return a run of what the store itself does for a miss: encode a response, keep the entry."""
    from asynccache._engine.entry import Entry

    local: Any = cache.entries.local
    number = 0

    async def run(times: int) -> float:
        nonlocal number
        first, number = number, number + times
        spent = 0.0
        for at in range(first, number):
            entry = Entry(
                f"asynccache:h:http:14:127.0.0.1:8000:9:/stores/{at}?", BODY, "msgpack", 1e9, 9e9, 9e9, 9e9
            )
            began = perf_counter()
            local.set_entry(entry)
            spent += perf_counter() - began
        return spent

    return run


# -- over uvicorn -------------------------------------------------------------------------------------


def _over_uvicorn(options: Options) -> Table:
    result = Table(
        "http, uvicorn",
        "Requests per second and the server's CPU time per request, each against the named reference;"
        " one process, uvloop, httptools, 64 connections, 100 URLs, 10 KiB of JSON.",
    )
    if (missing := load.advice()) is not None:
        result.notes.append(missing)
    names = list(APPS) if options.peers else [*OURS, *REFERENCES]
    rounds, seconds = (2, 1) if options.quick else (5, 2)
    with tempfile.TemporaryDirectory() as folder, load.servers(names, result.notes) as running:
        generator = load.Load(Path(folder))
        etag = None
        if "ours public" in running:
            found = re.search(rb"(?i)\netag: (\S+)", running["ours public"].ask("/items/1"))
            etag = None if found is None else found[1].decode()
        lanes: list[tuple[str, load.Server, str | None]] = [
            (name, server, None) for name, server in running.items()
        ]
        if etag is not None:
            lanes.append(("ours 304", running["ours public"], etag))
        rates: dict[str, list[float]] = {name: [] for name, _, _ in lanes}
        costs: dict[str, list[float]] = {name: [] for name, _, _ in lanes}
        for _, server, tag in lanes:
            generator.run(server, 1, tag)
        for _ in range(rounds):
            random.shuffle(lanes)
            for name, server, tag in lanes:
                rate, cpu = generator.run(server, seconds, tag)
                rates[name].append(rate)
                costs[name].append(cpu)
    _compare(result, rates, costs)
    return result


def _compare(result: Table, rates: dict[str, list[float]], costs: dict[str, list[float]]) -> None:
    def rate(name: str, base: str) -> Figure | None:
        return ratios(rates[name], rates[base]) if name in rates and base in rates else None

    def cost(name: str, base: str) -> Figure | None:
        return ratios(costs[name], costs[base]) if name in costs and base in costs else None

    others = [name for name in rates if not name.startswith(("ours", "bare"))]
    rows = result.rows
    beside = {name: ratios(rates[name], rates["bare"]) for name in others}
    rows.append(
        Row("public hit / bare, rate", 0.92, rate("ours public", "bare"), beside, more_is_better=True)
    )
    beside = {name: ratios(costs[name], costs["bare"]) for name in others}
    rows.append(Row("public hit / bare, CPU", 1.12, cost("ours public", "bare"), beside))
    name = "ours public, outermost"
    rows.append(Row("the same, middleware outermost, rate", 0.92, rate(name, "bare"), more_is_better=True))
    rows.append(Row("the same, middleware outermost, CPU", 1.12, cost(name, "bare")))
    name = "ours shared cache"
    rows.append(Row("shared cache, hit / bare, rate", 0.92, rate(name, "bare"), more_is_better=True))
    rows.append(Row("shared cache, hit / bare, CPU", 1.12, cost(name, "bare")))
    base = "bare, fields of a hit"
    rows.append(Row("shared cache, hit / the same bytes, rate", 0.92, rate(name, base), more_is_better=True))
    rows.append(Row("shared cache, hit / the same bytes, CPU", 1.12, cost(name, base)))
    smallest = {"bare 304": ratios(rates["bare 304"], rates["bare"])} if "bare 304" in rates else {}
    rows.append(Row("304 / bare, rate", 1.1, rate("ours 304", "bare"), smallest, more_is_better=True))
    base = "FastAPI bytes"
    rows.append(
        Row(
            f"default hit FastAPI / {base}, rate",
            0.9,
            rate("ours default FastAPI", base),
            more_is_better=True,
        )
    )
    rows.append(Row(f"default hit FastAPI / {base}, CPU", None, cost("ours default FastAPI", base)))
    base = "FastAPI model"
    beside = (
        {
            name: ratios(rates[name], rates[base])
            for name in others
            if name in ("fastapi-cachekit", "cashews", "aiocache", "fastapi-cache2")
        }
        if base in rates
        else {}
    )
    rows.append(
        Row(
            f"default hit FastAPI / {base}, rate",
            4,
            rate("ours default FastAPI", base),
            beside,
            more_is_better=True,
        )
    )
    base = "Starlette bytes"
    rows.append(
        Row(
            f"default hit Starlette / {base}, rate",
            None,
            rate("ours default Starlette", base),
            more_is_better=True,
        )
    )
    absolute = [f"{name} {sorted(costs[name])[len(costs[name]) // 2] * 1e6:,.0f}" for name in costs]
    result.notes.append("CPU us per request, for what they are worth: " + "; ".join(absolute) + ".")


async def tables(options: Options) -> list[Table]:
    """Measure both."""
    inside = await _in_process(options)
    outside = await asyncio.to_thread(_over_uvicorn, options)
    return [inside, outside]
