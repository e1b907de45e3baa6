"""`examples/fastapi_shop` as its documentation starts it, over real sockets."""

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.examples.serving import STORES, serving, store_url

ALICE = {"authorization": "Bearer a1"}
BOB = {"authorization": "Bearer b2"}
STAFF = {"authorization": "Bearer s3"}


@pytest.fixture(params=STORES)
def client(request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving("examples.fastapi_shop.app:app", store_url(request, request.param)) as client:
        yield client


def status(answer: httpx.Response) -> str:
    return str(answer.headers.get("cache-status", "")).removeprefix("asynccache; ")


def test_the_shop_is_what_it_says(client: httpx.Client) -> None:
    """Everything that its comments claim, in one visit."""
    everybody_sees_the_same_pages(client)
    everybody_has_a_basket_of_their_own(client)
    a_new_price_is_seen_at_once(client)
    nobody_waits_for_the_report(client)


def everybody_sees_the_same_pages(client: httpx.Client) -> None:
    first, second = client.get("/"), client.get("/", headers={**ALICE, "cookie": "a=b"})
    assert (status(first), first.headers["cache-control"]) == ("fwd=uri-miss; stored", "public, max-age=60")
    assert status(second).startswith("hit; ttl=")
    assert (first.text, "lamp: 40.00" in first.text) == (second.text, True)

    assert [item["name"] for item in client.get("/products?category=work").json()] == ["desk", "chair"]
    assert status(client.get("/products?utm_source=mail&category=work")).startswith("hit; ttl=")
    assert status(client.get("/products?category=light")) == "fwd=uri-miss; stored"
    assert client.get("/products/9").status_code == 404
    product = client.get("/products/1")
    again = client.get("/products/1", headers={"if-none-match": product.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def everybody_has_a_basket_of_their_own(client: httpx.Client) -> None:
    assert client.post("/basket/1", headers=ALICE).status_code == 201
    assert client.post("/basket/9", headers=ALICE).status_code == 404
    for expected in ("fwd=", "hit"):
        for headers, user, total in ((ALICE, "alice", 4000), (BOB, "bob", 0)):
            answer = client.get("/basket", headers=headers)
            assert (answer.json()["user"], answer.json()["total"]) == (user, total)
            assert status(answer).startswith(expected)
            assert answer.headers["cache-control"] == "private, no-cache"
    assert client.get("/basket").status_code == 401
    client.post("/basket/1", headers=ALICE)
    assert client.get("/basket", headers=ALICE).json()["total"] == 8000
    assert status(client.get("/basket", headers=BOB)).startswith("hit; ttl=")


def a_new_price_is_seen_at_once(client: httpx.Client) -> None:
    desk = client.get("/products/3").content
    assert client.put("/products/1/price", json={"price": 1}, headers=ALICE).status_code == 403
    assert "hit" in status(client.get("/products/1"))
    assert client.put("/products/1/price", json={"price": 4500}, headers=STAFF).status_code == 200
    assert client.get("/products/1").json()["price"] == 4500
    assert "lamp: 45.00" in client.get("/").text
    assert client.get("/basket", headers=ALICE).json()["total"] == 9000
    untouched = client.get("/products/3")
    assert (status(untouched)[:3], untouched.content) == ("hit", desk)


def nobody_waits_for_the_report(client: httpx.Client) -> None:
    assert [client.get("/reports/sales", headers=headers).status_code for headers in (ALICE, {})] == [
        403,
        401,
    ]
    before = client.get("/reports/sales", headers=STAFF)
    assert (len(before.json()), status(before)) == (2, "fwd=uri-miss; stored")
    assert client.post("/orders", headers=ALICE).status_code == 201
    assert client.get("/basket", headers=ALICE).json()["lines"] == []
    old = client.get("/reports/sales", headers=STAFF)
    assert status(old).startswith("hit; ttl=")
    assert status(old).endswith("detail=stale")
    assert old.content == before.content
    new = eventually(client)
    assert new.json()[0]["pieces"] == before.json()[0]["pieces"] + 2


def eventually(client: httpx.Client) -> httpx.Response:
    """Return the report once it was refreshed in the background."""
    deadline = time.monotonic() + 30
    while "stale" in status(answer := client.get("/reports/sales", headers=STAFF)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return answer
