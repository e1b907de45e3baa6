"""S3-FIFO: what stays, what goes, and that the books are right."""

from __future__ import annotations

import tracemalloc
from math import inf
from typing import Any

import pytest
from hypothesis import given, strategies as st

from asynccache._engine.entry import Entry
from asynccache._engine.ghosts import Ghosts
from asynccache._engine.refqueue import DEAD, RefQueue
from asynccache._engine.s3fifo import MAIN, S3FIFO, SMALL, USED, cost
from asynccache.errors import InvalidKeyError


def entry(key: str, size: int = 10, until: float = inf) -> Entry:
    return Entry(key, bytes(size), "", 0.0, until, until, until)


def use(table: S3FIFO, key: str) -> bool:
    found = table.find(key)
    if found is not None and found.hits < USED:
        found.hits += 2
    return found is not None


def check_books(table: S3FIFO) -> None:
    living = [e for part in table.parts() for e in part.values()]
    small = [e for e in living if not e.hits & 1]
    assert table.entries == len(living) <= table.max_entries
    assert table.bytes == sum(map(cost, living)) <= table.max_bytes
    assert table.timed == sum(e.expires < inf for e in living)
    assert table._small_entries == len(small)
    assert table._small_bytes == sum(map(cost, small))
    assert all(SMALL <= e.hits <= USED + 1 for e in living)
    assert all(table.find(key) is e for part in table.parts() for key, e in part.items())
    slack = 2 * 512
    assert table._small.size <= len(small) * 8 / 7 + slack
    assert table._main.size <= (len(living) - len(small)) * 8 / 7 + slack


def test_a_scan_does_not_push_out_what_is_used() -> None:
    """Ten times the capacity passes through once; the used entries are still there."""
    table = S3FIFO(2**20, 100)
    used = [f"used{i}" for i in range(15)]  # as many as one eviction may spare
    for key in used:
        table.add(entry(key))
        use(table, key)
        use(table, key)
    for i in range(1000):
        table.add(entry(f"scan{i}"))

    assert all(table.find(key) for key in used)


def test_a_ghost_returns_to_the_main_queue() -> None:
    """A key that comes back soon after its eviction skips the small queue."""
    table = S3FIFO(2**20, 10)
    for i in range(10):
        table.add(entry(f"used{i}"))
        use(table, f"used{i}")
        use(table, f"used{i}")
    table.add(entry("gone"))
    table.add(entry("other"))
    assert table.find("gone") is None
    again = entry("gone")
    table.add(again)

    assert again.hits == MAIN


def test_a_new_entry_is_there_after_it_was_added() -> None:
    """However full the table is with used entries, the new one is not the one that goes."""
    for capacity in (1, 2, 5):
        table = S3FIFO(2**20, capacity)
        for i in range(100):
            table.add(entry(f"k{i}"))
            assert use(table, f"k{i}")
            use(table, f"k{i}")
            check_books(table)


def test_second_chances_are_bounded() -> None:
    """When everything was used, one insertion still looks at no more than 17 entries."""
    table = S3FIFO(2**22, 1000)
    for i in range(1000):
        table.add(entry(f"k{i}"))
    for _ in range(4):
        for i in range(1000):
            use(table, f"k{i}")
    before = {f"k{i}": table.find(f"k{i}").hits for i in range(1000)}  # type: ignore[union-attr]
    table.add(entry("new"))
    moved = [key for key, hits in before.items() if (e := table.find(key)) is None or e.hits != hits]

    assert len(moved) <= 17


def test_too_large_is_refused_and_the_old_one_is_gone() -> None:
    """More than an eighth of the table is not taken, and leaves nothing under its key."""
    table = S3FIFO(8000)
    old = entry("k")
    assert table.add(old)
    assert not table.add(entry("k", 1000))

    assert table.find("k") is None
    assert old.hits == DEAD
    check_books(table)


def test_whatever_goes_is_killed() -> None:
    """Replaced, removed, evicted: a reference kept elsewhere is dead."""
    table = S3FIFO(2**20, 2)
    replaced, removed, evicted = entry("a"), entry("b"), entry("c")
    table.add(replaced)
    table.add(entry("a"))
    table.add(removed)
    table.remove(removed)
    table.add(evicted)
    for i in range(5):
        table.add(entry(f"k{i}"))

    assert [e.expires for e in (replaced, removed, evicted)] == [-inf] * 3
    check_books(table)


def test_a_replacement_keeps_its_place() -> None:
    """A refreshed value is as popular as the one before it."""
    table = S3FIFO(2**20)
    table.add(entry("k"))
    use(table, "k")
    fresh = entry("k", 20)
    table.add(fresh)

    assert fresh.hits == SMALL + 2
    check_books(table)


def test_dead_references_are_bounded() -> None:
    """Deleting and adding without ever filling the table does not let the queues grow."""
    table = S3FIFO(2**24, 5000)
    for i in range(20_000):
        new = entry(f"k{i}")
        table.add(new)
        if i % 10:
            table.remove(new)
    check_books(table)


@given(
    st.lists(
        st.tuples(st.sampled_from("asdrw"), st.integers(0, 40), st.integers(0, 900), st.booleans()),
        max_size=200,
    ),
    st.sampled_from([4096, 9000, 2**20]),
    st.sampled_from([None, 1, 3, 20]),
)
def test_the_books_are_right_after_anything(
    steps: list[tuple[str, int, int, bool]], max_bytes: int, max_entries: int | None
) -> None:
    """After random additions, uses and removals a recount gives the counters, within both bounds."""
    table = S3FIFO(max_bytes, max_entries)
    for what, number, size, timed in steps:
        key = f"k{number}"
        found = table.find(key)
        if what in "as":
            table.add(entry(key, size, 5.0 if timed else inf))
        elif what == "d" and found:
            table.remove(found)
        elif what == "r" and found:
            table.resize(found, bytes(size % 20))
        elif what == "w" and found:
            use(table, found.key)
        check_books(table)


def test_stamps_and_wide_keys_are_charged() -> None:
    """Tags and keys outside ASCII cost what they weigh."""
    plain = entry("k")
    tagged = entry("k")
    tagged.stamps = (("tag", "x", "y"),)

    assert cost(tagged) > cost(plain) + 5
    assert cost(entry("é" * 10)) == cost(entry("e" * 10)) + 30


def test_ghosts_age() -> None:
    """A hash is known for as many additions as are asked for, and only once."""
    ghosts = Ghosts(1000)
    ghosts.add(123456789 << 20)
    assert ghosts.pop(123456789 << 20, 1)
    assert not ghosts.pop(123456789 << 20, 1)
    ghosts.add(-(123456789 << 20))
    ghosts.add(7)

    assert not ghosts.pop(-(123456789 << 20), 1)
    assert ghosts.pop(-(123456789 << 20), 2)


@given(st.lists(st.sampled_from(["push", "pop", "kill", "sweep", "take"]), max_size=300), st.integers(0, 700))
def test_a_queue_gives_the_living_in_order(steps: list[str], start: int) -> None:
    """However many die and are swept, the living come out in the order they went in, each once."""
    queue = RefQueue()
    model: list[Entry] = []
    for number in range(start):
        model.append(entry(str(number)))
        queue.push(model[-1])
    for step, what in enumerate(steps):
        if what == "push":
            model.append(entry(f"+{step}"))
            queue.push(model[-1])
        elif what == "pop":
            assert queue.pop() is (model.pop(0) if model else None)
        elif what == "kill" and model:
            for _ in range(min(len(model), 97)):
                model.pop(step % len(model)).hits = DEAD
        elif what == "sweep":
            queue.sweep()
        elif what == "take":
            taken = queue.take(10)
            assert len(taken) <= 10
            for each in taken:
                model.remove(each)
    assert queue.size >= len(model)
    while (found := queue.pop()) is not None:
        assert found is model.pop(0)
    assert not model
    assert queue.size == 0


@pytest.mark.parametrize("number", [1, 255, 256, 257, 5000])
def test_sweeping_all_around_drops_every_dead_one(number: int) -> None:
    """A round or two of sweeps leaves the living only, apart from the chunk being popped."""
    queue = RefQueue()
    entries = [entry(str(i)) for i in range(number)]
    for each in entries:
        queue.push(each)
    for each in entries[::3]:
        each.hits = DEAD
    rounds = 0
    while rounds < 3:
        rounds += queue.sweep()

    assert queue.size == number - len(entries[::3])


def test_growing_up_moves_everything_and_loses_nothing() -> None:
    """While entries move from the one dict to the shards, and after, every one is found exactly once."""
    table = S3FIFO(2**27)
    for i in range(8192):
        table.add(entry(f"k{i}"))
    assert len(table.young) == 8190
    table.add(entry("k5", 20))  # replaced where it is
    table.remove(table.find("k6") or entry(""))
    for i in range(8192, 13_000):
        table.add(entry(f"k{i}"))
        if not i % 500:
            check_books(table)

    assert not table.young
    assert all((table.find(f"k{i}") is not None) == (i != 6) for i in range(13_000))
    assert len(table.shards) == table.mask + 1 == 256
    for part in list(table.parts()):
        for each in list(part.values()):
            table.remove(each)
    table.forget()
    table.add(entry("k"))
    assert list(table.young) == ["k"]


def test_one_more_use_is_enough_to_stay() -> None:
    """What is used once after it was written outlives any scan."""
    table = S3FIFO(2**20, 100)
    table.add(entry("used"))
    use(table, "used")
    for i in range(500):
        table.add(entry(f"scan{i}"))

    assert table.find("used")


def test_renewing_in_place() -> None:
    """A later end and other contents are written into the entry; anything else is left to a replacement."""
    table = S3FIFO(8000)
    timed = Entry("k", b"v", "", 0.0, 10.0, -inf, -inf)
    lasting = entry("l")
    table.add(timed)
    table.add(lasting)
    assert table.renew(timed, b"other", 11.0)
    assert (timed.payload, timed.expires) == (b"other", 11.0)
    check_books(table)

    assert not table.renew(timed, b"sooner", 10.5)
    assert not table.renew(timed, b"for ever", inf)
    assert not table.renew(lasting, b"not for ever", 5.0)
    assert table.renew(lasting, b"still", inf)
    assert not table.renew(timed, bytes(1500), 11.0)
    assert timed.payload == b"other"
    check_books(table)


def test_two_ghosts_share_a_place() -> None:
    """Of keys that fall on one place the two that left last are remembered."""
    ghosts = Ghosts(16)
    first, second, third = (number << 40 for number in (2, 4, 6))
    ghosts.add(first)
    ghosts.add(second)
    assert ghosts.pop(first, 16)
    ghosts.add(first)
    ghosts.add(third)

    assert not ghosts.pop(second, 16)
    assert ghosts.pop(first, 16)
    assert ghosts.pop(third, 16)


def test_a_huge_bound_costs_nothing() -> None:
    """What a table takes at the start is for what may reasonably come, not for what is allowed."""
    table = S3FIFO(2**50)

    assert len(table.shards) <= 1024
    assert table.add(entry("k"))


def test_a_table_that_evicts_nothing_takes_no_memory_for_ghosts() -> None:
    """Test-suites make hundreds of them, and some frameworks never let an application go."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    table = S3FIFO(2**30)
    table.add(entry("k"))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()

    assert grown < 200_000


@pytest.mark.parametrize("key,error", [("", InvalidKeyError), ("\ud800", InvalidKeyError), (b"k", TypeError)])
def test_a_wrong_key_is_refused(key: Any, error: type[Exception]) -> None:
    """Before anything is evicted for it."""
    table = S3FIFO(2**20, 1)
    table.add(entry("k"))
    with pytest.raises(error):
        table.add(entry(key))

    assert table.find("k")
