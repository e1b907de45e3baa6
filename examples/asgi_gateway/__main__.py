"""Start the gateway: ``python -m examples.asgi_gateway --origin http://127.0.0.1:8000 --port 8080``."""

from __future__ import annotations

import argparse
import math
import socket
import sys
from typing import Any, Final

import uvicorn

from asynccache import CacheConfig
from asynccache.config import HTTPConfig
from asynccache.errors import ConfigurationError
from examples.asgi_gateway.gateway import create_app
from examples.asgi_gateway.interim import InterimProtocol
from examples.asgi_gateway.origin import Origin

SAFE = HTTPConfig(mode="rfc9111")
FULL = HTTPConfig(
    mode="rfc9111", heuristic=True, stale_on_error=True, store_set_cookie=True, share_with_cookies=True
)
SERVER: Final[dict[str, Any]] = {
    "ws": "none",
    "lifespan": "on",
    "access_log": False,
    # Every field of a response is the origin's, or the cache's.
    "date_header": False,
    "server_header": False,
    "proxy_headers": False,
    "timeout_keep_alive": 75,
    "h11_max_incomplete_event_size": 256 * 1024,
}
"""uvicorn's options."""
PARSERS: Final[dict[str, Any]] = {"h11": InterimProtocol, "httptools": "httptools"}
"""What uvicorn can speak HTTP with."""


class Server(uvicorn.Server):
    """uvicorn, which tells where it can be reached."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port, *_ = sockets[0].getsockname()
            print(f"The gateway is at http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)


def port(text: str) -> int:
    """Read a port; argparse tells the function's name where it is none."""
    number = int(text)
    if not 0 <= number < 2**16:
        raise ValueError
    return number


def time(text: str) -> float:
    """Read a number of seconds that something can last."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError
    return number


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.asgi_gateway", description="A shared HTTP cache in front of a server."
    )
    parser.add_argument("--origin", required=True, help="what it stands in front of: http://127.0.0.1:8000")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=port, default=8080, help="port to listen on (default: %(default)s)")
    parser.add_argument("--cache", help="URL of the store (default: ASYNCCACHE_URL, else memory://)")
    parser.add_argument("--full", action="store_true", help="cache all that the RFC permits")
    parser.add_argument("--change-host", action="store_true", help="send the origin its own name as Host")
    parser.add_argument("--timeout", type=time, default=60.0, help="seconds to wait (default: %(default)s)")
    parser.add_argument("--http", choices=PARSERS, default="h11", help="uvicorn's parser")
    return parser.parse_args(arguments)


def _config(options: argparse.Namespace) -> CacheConfig:
    http = FULL if options.full else SAFE
    if options.cache:
        return CacheConfig.from_url(options.cache, http=http)
    return CacheConfig.from_env(http=http)


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to end; return the exit code."""
    options = _options(arguments)
    try:
        origin = Origin(options.origin, patience=options.timeout)
        app = create_app(origin, _config(options), change_host=options.change_host)
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        listener = socket.create_server((options.host, options.port), family=family, backlog=2048)
    except (ConfigurationError, OSError, ValueError) as error:
        print(f"The gateway cannot start: {error}", file=sys.stderr)
        return 1
    server = Server(
        uvicorn.Config(
            app, http=PARSERS[options.http], log_level="warning", timeout_graceful_shutdown=5, **SERVER
        )
    )
    with listener:
        try:
            server.run([listener])
        except KeyboardInterrupt:  # uvicorn has shut down and passes the signal on
            pass
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(main())
