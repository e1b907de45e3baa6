"""`examples/litestar_api` as its documentation starts it, over real sockets."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[2]
BERGEN = {"x-api-key": "bergen"}
LISBON = {"x-api-key": "lisbon"}


@pytest.fixture(params=["memory", "redis"])
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    url = "memory://?max_bytes=1mb"
    if request.param == "redis":
        url = request.getfixturevalue("redis_server").fresh_url()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "examples.litestar_api.app:app", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCACHE_")}
    environment["ASYNCCACHE_URL"] = url
    server = subprocess.Popen(
        [*command, "--log-level", "warning"], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
        deadline = time.monotonic() + 60
        while True:
            try:
                client.get("/nowhere")
                break
            except httpx.TransportError:
                assert server.poll() is None, server.communicate()[1]
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.05)
        yield client
    server.terminate()
    _, err = server.communicate(timeout=30)
    assert "Traceback" not in err


def test_the_application_is_what_it_says(client: httpx.Client) -> None:
    """Reads are cached until a reading changes them; observers see their own station, and nobody else's."""
    stations = [client.get("/stations") for _ in range(2)]
    assert stations[0].headers["cache-status"] == "asynccache; fwd=uri-miss; stored"
    assert stations[1].headers["cache-status"].startswith("asynccache; hit; ttl=3")
    assert stations[0].content == stations[1].content
    assert stations[1].json()[0] == {"id": 1, "name": "Bergen"}

    before = client.get("/stations/1")
    assert before.json() == {"station": "Bergen", "readings": 2, "mean": 5.5, "highest": 6.5}
    unchanged = client.get("/stations/1", headers={"if-none-match": before.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")

    mine = [client.get("/mine", headers=headers) for headers in (BERGEN, BERGEN, LISBON, {})]
    assert [answer.status_code for answer in mine] == [200, 200, 200, 401]
    assert [answer.json().get("station") for answer in mine] == ["Bergen", "Bergen", "Lisbon", None]
    assert ["hit" in answer.headers.get("cache-status", "") for answer in mine] == [False, True, False, False]

    refused = client.post("/stations/1/readings", json={"celsius": 99})
    assert refused.status_code == 401
    assert "hit" in client.get("/stations/1").headers["cache-status"]
    kept = client.post("/stations/1/readings", json={"celsius": 9.5}, headers=BERGEN)
    assert kept.status_code == 201

    assert client.get("/stations/1").json()["highest"] == 9.5
    assert client.get("/mine", headers=BERGEN).json()["readings"] == 3
    assert "hit" in client.get("/stations").headers["cache-status"]
    assert int(client.get("/stations").headers["ratelimit-remaining"]) < 600
