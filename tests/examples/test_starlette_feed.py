"""`examples/starlette_feed` as its documentation starts it, over real sockets."""

import json
from collections.abc import Iterator
from xml.etree import ElementTree as ET

import httpx
import pytest

from tests.examples.serving import STORES, serving, store_url

EDITOR = {"x-key": "editor"}
NEWS = {"title": "New", "text": "Something happened."}
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(params=STORES)
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving("examples.starlette_feed.app:app", store_url(request, request.param)) as client:
        yield client


def status(answer: httpx.Response) -> str:
    return str(answer.headers.get("cache-status", "")).removeprefix("asynccache; ")


def titles(feed: httpx.Response) -> list[str | None]:
    root = ET.fromstring(feed.content)
    return [entry.findtext(f"{ATOM}title") for entry in root.iter(f"{ATOM}entry")]


def test_the_feed_is_what_it_says(client: httpx.Client) -> None:
    """Everything that its comments claim, in one visit."""
    readers_learn_cheaply_that_nothing_has_changed(client)
    every_route_has_a_ttl_of_its_own(client)
    a_new_entry_is_in_the_feed_at_once(client)
    a_correction_is_seen_at_once(client)
    the_stream_passes_through(client)


def readers_learn_cheaply_that_nothing_has_changed(client: httpx.Client) -> None:
    plain = client.get("/feed.atom", headers={"accept-encoding": "identity"})
    assert (status(plain), plain.headers["cache-control"]) == ("fwd=uri-miss; stored", "public, max-age=300")
    assert titles(plain) == ["A third entry", "A second entry", "Hello"]
    again = client.get("/feed.atom", headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    packed = client.get("/feed.atom", headers={"accept-encoding": "gzip"})
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", plain.content)
    assert status(packed).startswith("hit; ttl=")
    head = client.head("/feed.atom", headers={"accept-encoding": "identity"})
    assert (head.content, head.headers["etag"]) == (b"", plain.headers["etag"])


def every_route_has_a_ttl_of_its_own(client: httpx.Client) -> None:
    for path, ttl in (("/", 10), ("/feed.atom", 3600), ("/entries/1", 3600), ("/entries/99", 3600)):
        client.get(path)
        value = status(client.get(path))
        assert value.startswith("hit; ttl=")
        assert ttl - 10 < int(value.removeprefix("hit; ttl=")) <= ttl
    assert client.get("/entries/99").status_code == 404


def a_new_entry_is_in_the_feed_at_once(client: httpx.Client) -> None:
    assert client.post("/entries/", json=NEWS).status_code == 403
    assert "hit" in status(client.get("/feed.atom"))
    published = client.post("/entries/", json=NEWS, headers=EDITOR)
    assert (published.status_code, published.json()["id"]) == (201, 4)
    feed = client.get("/feed.atom")
    assert (titles(feed)[0], status(feed)) == ("New", "fwd=uri-miss; stored")
    assert "New" in client.get("/").text
    assert "hit" in status(client.get("/entries/1"))


def a_correction_is_seen_at_once(client: httpx.Client) -> None:
    assert client.get("/entries/4").json()["text"] == "Something happened."
    assert client.put("/entries/4", json={"text": "Nothing happened."}, headers=EDITOR).status_code == 200
    assert client.get("/entries/4").json()["text"] == "Nothing happened."
    assert "Nothing happened." in client.get("/feed.atom").text


def the_stream_passes_through(client: httpx.Client) -> None:
    with client.stream("GET", "/live") as stream:
        assert status(stream) == "fwd=uri-miss; detail=stream"
        lines = stream.iter_lines()
        assert next(lines) == ": welcome"
        client.post("/entries/", json={**NEWS, "title": "While you wait"}, headers=EDITOR)
        told = next(line for line in lines if line.startswith("data: "))
        assert json.loads(told.removeprefix("data: "))["title"] == "While you wait"
