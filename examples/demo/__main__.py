"""Show what asynccache does, on a real application with real data, over HTTP.

Without options it makes the data (once), starts the application, asks it this and that, checks every answer,
prints a table and ends. The store is the one at ASYNCCACHE_URL, by default memory://, which needs no server.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import Final, cast

from asynccache import CacheConfig
from asynccache.errors import ConfigurationError
from examples.demo.orders import make_orders
from examples.demo.server import HOST, Server, ServerError, copied, running
from examples.demo.story import BrokenPromiseError, tell
from examples.demo.table import Table

FOLDER: Final = Path(__file__).resolve().parents[2] / ".demo"
INTERRUPTED: Final = 130
_CHANGE: Final = '{"quantity": 7}'


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--serve", action="store_true", help="keep serving, to try it by hand")
    parser.add_argument("--port", type=_port, default=0, help="port for --serve (default: any free one)")
    parser.add_argument(
        "--orders", type=_count, default=250_000, help="size of the data (default: %(default)s)"
    )
    parser.add_argument("--data", type=Path, default=FOLDER, help="folder of the data (default: .demo)")
    return parser.parse_args(arguments)


def _port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise ValueError(text)
    return int(text)


def _count(text: str) -> int:
    if int(text) < 1000:
        raise argparse.ArgumentTypeError("the story needs at least 1000 orders")
    return int(text)


def _store() -> str:
    """Return the scheme of the store's URL, read as the shop does; the rest may hold a password."""
    return str(CacheConfig.from_env(namespace="demo").backend).partition("://")[0]


def _database(folder: Path, count: int) -> Path:
    def progress(done: float) -> None:
        if sys.stdout.isatty():
            end = "\n" if done >= 1 else ""
            print(f"\rMaking a shop with {count:,} orders ... {done:.0%}", end=end, flush=True)
        elif done >= 1:
            print(f"Made a shop with {count:,} orders.", flush=True)

    return make_orders(folder, count, progress)


def _serve(database: Path, port: int) -> int:
    def ready(port: int) -> None:
        url = f"http://{HOST}:{port}"
        print(
            f"A shop's reports at {url} (its interface: {url}/docs). Ctrl-C ends it. Try, twice each:\n\n"
            f"    curl -i {url}/cities/Oslo\n"
            f"    curl -i -X PUT -H 'content-type: application/json' {url}/orders/1 -d '{_CHANGE}'\n"
            f"    curl -i -H 'authorization: Bearer alice' {url}/me\n",
            flush=True,
        )

    try:
        return 0 if Server(database, ready, "info").listen(port) else 1
    except KeyboardInterrupt:  # uvicorn has shut down and passes the signal on
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Tell the story, or serve; return the exit code."""
    options = _options(arguments)
    cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="replace")  # not every terminal can show an arrow
    try:
        store = _store()
        with copied(_database(options.data, options.orders)) as database:
            if options.serve:
                return _serve(database, options.port)
            print(f"\n{options.orders:,} orders in SQLite, FastAPI under uvicorn, store {store}://\n")
            with running(database) as port:
                tell(port, Table())
    except BrokenPromiseError:
        print("\nThe demo failed: the step above is not what it claims to be.", file=sys.stderr)
        return 1
    except (ConfigurationError, OSError, ServerError) as error:
        print(f"The demo cannot run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
