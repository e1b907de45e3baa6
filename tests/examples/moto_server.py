"""moto's server, one request at a time: in threads of its own, two could both meet one condition.

To be run by its path: ``python tests/examples/moto_server.py PORT``.
"""
# mypy: disable-error-code="import-untyped"
# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from threading import Lock
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

_one_at_a_time = Lock()
_moto = DomainDispatcherApplication(create_backend_app)


def application(environ: Any, start_response: Any) -> Iterable[bytes]:
    """Answer when nobody else is being answered."""
    with _one_at_a_time:
        answer: Iterable[bytes] = _moto(environ, start_response)
        return answer


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True)
