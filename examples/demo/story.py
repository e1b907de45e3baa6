"""The story: what the client asks, what must come back, and what that shows. Every claim is checked."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Final

from examples.demo.client import Answer, Client
from examples.demo.server import HOST
from examples.demo.table import Table

__all__ = ["BrokenPromiseError", "tell"]

CROWD: Final = 50
"""How many ask at the same moment."""
SLOW: Final = 200.0
"""Milliseconds from which a handler is slow enough for a claim about time."""


class BrokenPromiseError(Exception):
    """A step is not what it claims to be."""


class Visit:
    """A client's visit to the shop: asks, shows the answer as a row, keeps count of the time saved."""

    def __init__(self, client: Client, table: Table) -> None:
        self.client = client
        self.table = table
        self.cost: dict[str, float] = {}
        """Milliseconds a path took when its handler ran."""
        self.saved = 0.0
        """Milliseconds that hits have saved."""

    def get(self, path: str, headers: Mapping[str, str] | None = None, note: str = "") -> Answer:
        """Ask for ``path`` and show the answer."""
        return self.ask("GET", path, headers, note=note)

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: object = None,
        note: str = "",
    ) -> Answer:
        """Send a request and show the answer."""
        answer = self.client.ask(method, path, headers, body)
        self.table.row(f"{method} {path}{note}", answer.status, answer.cache, answer.milliseconds)
        if "stored" in answer.cache:
            self.cost[path] = answer.milliseconds
        elif answer.cache.startswith("hit"):
            self.saved += max(0.0, self.cost.get(path, 0.0) - answer.milliseconds)
        return answer

    def crowd(self, path: str) -> list[Answer]:
        """Ask for ``path`` from many connections at once and show what came back, in one row."""
        answers = self.client.ask_at_once(path, CROWD)
        kinds = Counter(_kind(answer.cache) for answer in answers).most_common()
        told = ", ".join(f"{number} {kind}" for kind, number in reversed(kinds))
        slowest = max(answer.milliseconds for answer in answers)
        self.table.row(f"{CROWD} x GET {path}", answers[0].status, told, slowest)
        return answers

    def runs(self, name: str) -> int:
        """Return how often an endpoint has really run, as the application counts."""
        count: int = self.client.ask("GET", "/runs").json().get(name, 0)
        return count


def _kind(cache: str) -> str:
    for kind in ("collapsed", "stored", "stale", "hit"):
        if kind in cache:
            return kind
    return cache or "uncached"


def _claim(fact: object, otherwise: str) -> None:
    if not fact:
        raise BrokenPromiseError(otherwise)


def _stored(answer: Answer) -> None:
    _claim(answer.status == 200, f"expected status 200, got {answer.status}")
    _claim(answer.cache == "fwd=uri-miss; stored", f"expected a stored miss, got {answer.cache!r}")


def _hit(answer: Answer) -> None:
    _claim(answer.status == 200, f"expected status 200, got {answer.status}")
    _claim(answer.cache.startswith("hit; ttl="), f"expected a hit, got {answer.cache!r}")


def miss(visit: Visit) -> str:
    """Miss."""
    _stored(visit.get("/reports/sales"))
    return "Nobody had asked before, so SQLite added up every order. The answer was stored on its way out."


def hit(visit: Visit) -> str:
    """Hit."""
    answer = visit.get("/reports/sales")
    _hit(answer)
    _claim(visit.runs("sales") == 1, "the handler ran again")
    before = visit.cost["/reports/sales"]
    _claim(before < SLOW or answer.milliseconds < before, "the hit was slower than the miss")
    return f"The stored answer, {before / answer.milliseconds:,.0f} times faster. No handler ran, no SQL."


def not_modified(visit: Visit) -> str:
    """304 Not Modified."""
    full = visit.client.ask("GET", "/reports/sales")
    answer = visit.get("/reports/sales", {"if-none-match": full.headers["etag"]}, note="  If-None-Match")
    _claim(answer.status == 304, f"expected status 304, got {answer.status}")
    _claim(not answer.body, "a 304 came with a body")
    return f"The client named the ETag it has, so {len(full.body):,} bytes of body were not sent again."


def head(visit: Visit) -> str:
    """HEAD."""
    full = visit.client.ask("GET", "/reports/sales")
    answer = visit.ask("HEAD", "/reports/sales")
    _hit(answer)
    _claim(answer.headers["content-length"] == str(len(full.body)), "HEAD announces another length than GET")
    _claim(not answer.body, "HEAD came with a body")
    return "Answered from what GET has stored, with the same fields and no body."


def invalidation(visit: Visit) -> str:
    """Invalidation by tag."""
    _stored(visit.get("/cities/Oslo"))
    _stored(visit.get("/cities/Bergen"))
    before = visit.get("/cities/Oslo")
    _hit(before)
    order = visit.client.ask("GET", "/orders/1").json()
    change = visit.ask("PUT", "/orders/1", body={"quantity": order["quantity"] + 1})
    _claim(change.status == 200, f"expected status 200, got {change.status}")
    after = visit.get("/cities/Oslo")
    _stored(after)
    was, is_now = before.json()["revenue"], after.json()["revenue"]
    _claim(is_now == was + order["price"], f"revenue went from {was} to {is_now}, not up by {order['price']}")
    _hit(visit.get("/cities/Bergen"))
    return (
        f"The PUT invalidated the tag city:Oslo: a revenue of {was:,} is {is_now:,} at once."
        " Bergen's report is still a hit."
    )


def stale(visit: Visit) -> str:
    """Stale while revalidating."""
    path = "/bestsellers"
    first = visit.get(path)
    _stored(first)
    time.sleep(2.1)
    asked = time.monotonic()
    old = visit.get(path)
    _hit(old)
    _claim("stale" in old.cache, f"expected a stale hit, got {old.cache!r}")
    _claim(old.body == first.body, "the stale answer is not the stored one")
    before = visit.cost[path]
    _claim(before < SLOW or old.milliseconds < before, "the stale answer came no sooner than a new one")
    visit.crowd(path)
    deadline = time.monotonic() + 30
    while visit.client.ask("GET", path).body == first.body:
        _claim(time.monotonic() < deadline, "no fresh answer after 30 seconds")
        time.sleep(0.01)
    new = visit.get(path)
    _hit(new)
    _claim(new.json()["made"] > first.json()["made"], "the refreshed answer is not newer")
    refreshes = visit.runs("bestsellers") - 1
    due = 1 + int((time.monotonic() - asked) / 2)  # more than one only where this machine is very busy
    _claim(1 <= refreshes <= due, f"{refreshes} refreshes ran where {due} was due")
    return (
        f"Too old after 2 s, yet served in {old.milliseconds:.1f} ms while {refreshes} refresh ran behind it,"
        f" for {CROWD + 1} requests. Then the new one."
    )


def stampede(visit: Visit) -> str:
    """50 misses at once."""
    before = visit.runs("sales")
    answers = visit.crowd("/reports/sales?year=2025")
    _claim({answer.status for answer in answers} == {200}, "not every answer has status 200")
    _claim(len({answer.body for answer in answers}) == 1, "the answers differ")
    ran = visit.runs("sales") - before
    _claim(ran == 1, f"the handler ran {ran} times for {CROWD} requests")
    return (
        f"{CROWD} connections asked at the same moment for what was not stored:"
        f" the application counted {ran} run of the handler."
    )


def users(visit: Visit) -> str:
    """Users kept apart."""
    as_alice, as_bob = {"authorization": "Bearer alice"}, {"authorization": "Bearer bob"}
    alice = visit.get("/me", as_alice, note="  (alice)")
    _stored(alice)
    again = visit.get("/me", as_alice, note="  (alice)")
    _hit(again)
    bob = visit.get("/me", as_bob, note="  (bob)")
    _claim(bob.status == 200 and "stored" in bob.cache, f"expected a miss for bob, got {bob.cache!r}")
    bob_again = visit.get("/me", as_bob, note="  (bob)")
    _hit(bob_again)
    nobody = visit.get("/me", note="  (nobody)")
    pages = [answer.json()["user"] for answer in (alice, again, bob, bob_again)]
    _claim(pages == ["alice", "alice", "bob", "bob"], "somebody got another user's page")
    _claim(nobody.status == 401, f"expected status 401 for nobody, got {nobody.status}")
    return (
        "vary_on= tells users apart, so each has a page of their own."
        " The dependency that checks who is asking runs before every hit."
    )


def bypass(visit: Visit) -> str:
    """Credentials bypass."""
    before = visit.runs("city")
    answer = visit.get("/cities/Bergen", {"authorization": "Bearer alice"}, note="  (alice)")
    _claim(answer.status == 200, f"expected status 200, got {answer.status}")
    _claim(answer.cache == "fwd=bypass; detail=authorization", f"expected a bypass, got {answer.cache!r}")
    _claim(visit.runs("city") == before + 1, "the handler did not run")
    return (
        "This route does not say what distinguishes users, so a request with credentials is kept out of the"
        " cache and told why."
    )


def function(visit: Visit) -> str:
    """A cached function."""
    before = visit.runs("price_level")
    slow = visit.get("/quotes/books/3")
    fast = visit.get("/quotes/books/4")
    _claim(slow.status == fast.status == 200, "expected status 200")
    _claim(not fast.cache, f"expected no Cache-Status, got {fast.cache!r}")
    _claim(visit.runs("price_level") == before + 1, "the function ran for each request")
    difference = slow.json()["about"] / 3 - fast.json()["about"] / 4
    _claim(abs(difference) < 0.01, "the quotes do not fit each other")
    visit.saved += max(0.0, slow.milliseconds - fast.milliseconds)
    return "Two responses, neither stored. Both need one slow function, which is under @cached and ran once."


STEPS: Final[tuple[Callable[[Visit], str], ...]] = (
    *(miss, hit, not_modified, head, invalidation),
    *(stale, stampede, users, bypass, function),
)


def tell(port: int, table: Table) -> None:
    """Visit the application on ``port`` and print the story.

    Raises:
        BrokenPromiseError: a step is not what it claims to be.
    """
    with closing(Client(HOST, port)) as client:
        visit = Visit(client, table)
        client.ask("DELETE", "/cache")  # a store that outlives us may still hold an earlier story
        table.head()
        for number, step in enumerate(STEPS, 1):
            table.step(f"{number:2} {(step.__doc__ or '').rstrip('.')}")
            try:
                table.shown(step(visit))
            except BrokenPromiseError as broken:
                table.failed(str(broken))
                raise
        _close(client, visit)


def _close(client: Client, visit: Visit) -> None:
    stats = client.ask("GET", "/stats").json()
    _claim(stats["failed"] == 0, f"{stats['failed']} operations of the store failed")
    print(
        f"The cache counted {stats['hits']} hits ({stats['stale_hits']} stale), {stats['misses']} misses and"
        f" {stats['computed']} computations: a hit ratio of {stats['hit_ratio']:.0%}.\n"
        f"The single requests above took {visit.saved / 1000:.1f} s less than they would have without it."
    )
