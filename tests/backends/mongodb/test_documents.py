"""What the store keeps, seen from outside: ids, values, numbers, dates; and what else is in the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from typing import TYPE_CHECKING, Any

import pytest
from bson import Int64
from hypothesis import given, strategies as st

from asynccache.backends.mongodb._documents import FOR_EVER, WHOLE, identity, successor
from asynccache.errors import BackendError, InvalidKeyError

if TYPE_CHECKING:
    from tests.backends.mongodb.conftest import Opened
else:
    Opened = Any

MIB = 2**20
ROOM = 16 * MIB - 64 * 1024
LONG = "k" * WHOLE + "and more"

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(prefix=text, other=text)
def test_a_successor_is_above_all_that_start_with_the_prefix_and_below_all_others(
    prefix: str, other: str
) -> None:
    end = successor(prefix)
    in_range = other.encode() >= prefix.encode() and (end is None or other.encode() < end.encode())
    assert in_range is other.startswith(prefix)


@pytest.mark.parametrize(
    "prefix, end",
    [("a", "b"), ("\ud7ff", "\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff" * 2, None), ("\x00", "\x01")],
)
def test_successors_at_the_borders_of_unicode(prefix: str, end: str | None) -> None:
    assert successor(prefix) == end


def test_ids_of_long_keys_are_longer_than_any_key_that_is_its_own_id() -> None:
    assert identity("k" * WHOLE) == "k" * WHOLE
    assert len(identity("k" * (WHOLE + 1))) > WHOLE
    assert identity(LONG) != identity(LONG + "!")
    assert identity(LONG).startswith(LONG[:WHOLE])


async def test_a_document_says_what_it_is(opened: Opened) -> None:
    await opened.backend.set("k", b"\x00\xff", 0.5)
    now = opened.clock()
    purge = datetime.fromtimestamp(now + 60.5, UTC).replace(tzinfo=None)
    expected = {"_id": "k", "value": b"\x00\xff", "expires": now + 0.5, "purge": purge}
    assert await opened.documents.find_one() == expected


async def test_what_never_expires_is_never_purged(opened: Opened) -> None:
    await opened.backend.set("k", b"v")
    await opened.backend.set("late", b"v", 2 * FOR_EVER)
    await opened.backend.set("touched", b"v", 5)
    await opened.backend.touch("touched", None)
    assert [found.get("purge") async for found in opened.documents.find()] == [None] * 3
    assert (await opened.documents.find_one({"_id": "k"}) or {})["expires"] == inf


@pytest.mark.parametrize("value", [b"0", b"7", b"-7", b"1000", b"%d" % (2**63 - 1), b"%d" % -(2**63)])
async def test_plain_decimals_are_numbers_to_the_server_and_bytes_to_us(opened: Opened, value: bytes) -> None:
    await opened.backend.set("k", value)
    found = await opened.documents.find_one() or {}
    assert found["value"] == Int64(value)
    assert await opened.backend.get("k") == value
    assert await opened.backend.get_many(["k"]) == {"k": value}


@pytest.mark.parametrize(
    "value", [b"007", b"+1", b"-0", b"00", b" 1", b"1 ", b"1\n", b"", b"-", b"%d" % 2**63, b"1e3", b"\xb2"]
)
async def test_what_only_looks_like_a_number_comes_back_as_it_was(opened: Opened, value: bytes) -> None:
    await opened.backend.set("k", value)
    assert await opened.backend.get("k") == value
    with pytest.raises(BackendError, match="not an integer"):
        await opened.backend.incr("k")
    assert await opened.backend.get("k") == value


@pytest.mark.parametrize(
    "value, delta", [(2**63 - 1, 1), (-(2**63), -1), (1, 2**63 - 1), (-2, -(2**63)), (0, 2**63), (0, 2**70)]
)
async def test_a_counter_stays_within_64_bits(opened: Opened, value: int, delta: int) -> None:
    await opened.backend.set("n", b"%d" % value)
    with pytest.raises(BackendError, match="64 bits"):
        await opened.backend.incr("n", delta)
    assert await opened.backend.get("n") == b"%d" % value


@pytest.mark.parametrize("key", ["k", LONG])
async def test_a_counter_does_not_start_beyond_64_bits(opened: Opened, key: str) -> None:
    with pytest.raises(BackendError, match="64 bits"):
        await opened.backend.incr(key, 1, initial=2**63 - 1)
    assert await opened.backend.get(key) is None
    assert await opened.backend.incr(key, -1, initial=2**63) == 2**63 - 1


async def test_counting_ends_a_lease(opened: Opened) -> None:
    await opened.backend.incr("n")
    token = await opened.backend.acquire_lease("n", 30)
    assert token
    assert await opened.backend.incr("n") == 2
    assert await opened.backend.fill("n", b"old", None, token) is False
    assert await opened.backend.get("n") == b"2"


async def test_adding_ends_the_lease_of_an_absent_value_and_leaves_that_of_a_live_one(opened: Opened) -> None:
    for there, filled in ((False, False), (True, True)):
        key = f"k{there}"
        if there:
            await opened.backend.set(key, b"there")
        token = await opened.backend.acquire_lease(key, 30)
        assert token
        assert await opened.backend.add(key, b"added") is not there
        assert await opened.backend.fill(key, b"filled", None, token) is filled


async def test_the_largest_value_and_one_byte_more(opened: Opened) -> None:
    for key in ("k", "é" * WHOLE):
        for write in (opened.backend.set, opened.backend.add):
            assert await write(key, b"x" * ROOM) is True
            value = await opened.backend.get(key)
            assert value is not None
            assert len(value) == ROOM
            assert await opened.backend.set(key, b"x" * (ROOM + 1)) is False
            assert await opened.backend.get(key) is None
    assert await opened.backend.add("k", b"x" * (ROOM + 1)) is False


async def test_a_key_that_leaves_no_room_for_its_value_is_refused(opened: Opened) -> None:
    key = "k" * MIB
    assert await opened.backend.set(key, b"small") is True
    assert await opened.backend.get(key) == b"small"
    assert await opened.backend.set(key, b"x" * (15 * MIB + 1)) is False
    assert await opened.backend.get(key) is None
    assert await opened.backend.get("k" * 17 * MIB) is None


async def test_a_fill_that_is_too_large_ends_the_lease_and_the_old_value(opened: Opened) -> None:
    await opened.backend.set("k", b"old")
    token = await opened.backend.acquire_lease("k", 30)
    assert token
    assert await opened.backend.fill("k", b"x" * (ROOM + 1), None, token) is False
    assert await opened.backend.get("k") is None
    assert await opened.backend.fill("k", b"late", None, token) is False


async def test_bulk_forms_carry_more_than_a_document_can_hold(opened: Opened) -> None:
    items = {f"k{number}": bytes([number]) * 6 * MIB for number in range(6)}
    items["too large"] = b"x" * (ROOM + 1)
    await opened.backend.set("too large", b"old")
    assert await opened.backend.set_many(items) == {"too large"}
    del items["too large"]
    same = await opened.backend.get_many([*items, "absent", "too large"]) == items
    assert same
    assert await opened.backend.delete_many([*items, "absent"]) == set(items)


async def test_a_value_under_the_same_digest_but_another_key_is_not_ours(opened: Opened) -> None:
    async def plant() -> None:
        await opened.backend.set(LONG, b"5")
        await opened.documents.update_one({}, {"$set": {"key": "another key"}})

    await plant()
    assert await opened.backend.get(LONG) is None
    assert await opened.backend.get_many([LONG]) == {}
    assert await opened.backend.exists(LONG) is False
    assert await opened.backend.touch(LONG, 9) is False
    assert await opened.backend.delete_many([LONG]) == set()
    await plant()
    assert await opened.backend.delete(LONG) is False
    await plant()
    assert await opened.backend.incr(LONG, 2) == 2
    await plant()
    assert await opened.backend.add(LONG, b"ours") is True
    assert await opened.backend.get(LONG) == b"ours"


async def test_long_keys_have_leases_and_are_cleared_by_long_prefixes(opened: Opened) -> None:
    backend = opened.backend
    token = await backend.acquire_lease(LONG, 30)
    assert token
    await backend.set(LONG + "!", b"beside")
    await backend.set("k" * WHOLE, b"shorter")
    await backend.set(LONG[:-1], b"shorter too")
    await backend.clear(LONG)
    assert await backend.fill(LONG, b"late", None, token) is False
    assert await backend.get(LONG + "!") is None
    assert await backend.get("k" * WHOLE) == b"shorter"
    assert await backend.get(LONG[:-1]) == b"shorter too"


@pytest.mark.parametrize("prefix", ["\U0010ffff", "\ud7ff", "^k", "k.*", "$where"])
async def test_a_prefix_is_a_range_and_no_pattern(opened: Opened, prefix: str) -> None:
    await opened.backend.set_many({prefix: b"1", prefix + "\U0010ffff": b"2", "kk": b"3", "\ue000": b"4"})
    await opened.backend.clear(prefix)
    left = {"kk": b"3", "\ue000": b"4"}
    assert await opened.backend.get_many([prefix, prefix + "\U0010ffff", *left]) == left


@pytest.mark.parametrize("key", [{"$gt": ""}, {"$ne": None}, ["a"], b"a", None, 1, True])
async def test_an_operator_is_no_key(opened: Opened, key: Any) -> None:
    await opened.backend.set("secret", b"v")
    backend = opened.backend
    for call in (
        lambda: backend.get(key),
        lambda: backend.get_many(["a", key]),
        lambda: backend.set(key, b""),
        lambda: backend.delete(key),
        lambda: backend.delete_many([key]),
        lambda: backend.exists(key),
        lambda: backend.touch(key, 1),
        lambda: backend.add(key, b""),
        lambda: backend.incr(key),
        lambda: backend.clear(key),
        lambda: backend.acquire_lease(key, 1),
        lambda: backend.fill(key, b"", None, ""),
        lambda: backend.release_lease(key, ""),
    ):
        with pytest.raises(TypeError):
            await call()
    assert await backend.get("secret") == b"v"


@pytest.mark.parametrize("token", ["$lease.token", "", "\x00"])
async def test_a_token_is_no_expression(opened: Opened, token: str) -> None:
    assert await opened.backend.acquire_lease("k", 30)
    await opened.backend.release_lease("k", token)
    assert await opened.backend.fill("k", b"v", None, token) is False
    assert await opened.backend.acquire_lease("k", 30) is None


@pytest.mark.parametrize("key", ["$value", "$$ROOT", "a.b", "$", "lease.token", "a\x00b", "$$REMOVE" * WHOLE])
async def test_a_key_or_value_that_spells_an_expression_is_itself(opened: Opened, key: str) -> None:
    assert await opened.backend.add(key, key.encode()) is True
    assert await opened.backend.get(key) == key.encode()
    assert await opened.backend.acquire_lease(key, 30)
    assert await opened.backend.delete(key) is True
    assert await opened.backend.incr(key) == 1


@pytest.mark.parametrize("key", ["", "\ud800"])
async def test_no_store_could_hold_it(opened: Opened, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        await opened.backend.get(key)


@pytest.mark.parametrize(
    "strange",
    [
        {},
        {"value": b"v"},
        {"value": b"v", "expires": None},
        {"value": b"v", "expires": datetime.now(UTC) + timedelta(days=1)},
        {"value": "text", "expires": inf},
        {"value": {"a": 1}, "expires": inf},
        {"expires": inf},
    ],
)
async def test_a_document_of_somebody_else_is_no_value(opened: Opened, strange: dict[str, Any]) -> None:
    await opened.documents.insert_one({"_id": "k", **strange})
    assert await opened.backend.get("k") is None
    assert await opened.backend.get_many(["k"]) == {}
    assert await opened.backend.set("k", b"ours") is True
    assert await opened.backend.get("k") == b"ours"


async def test_what_others_keep_beside_ours_stays(opened: Opened) -> None:
    others: list[dict[str, Any]] = [
        {"_id": 1},
        {"_id": {"app:": 1}},
        {"_id": b"app:"},
        {"_id": "App:"},
        {"_id": "zapp:"},
    ]
    await opened.documents.insert_many([*others])
    beside = opened.documents.database["beside"]
    await beside.insert_one({"_id": "app:k"})
    await opened.backend.set_many({"app:a": b"1", "app:b": b"2"}, 1)
    await opened.backend.delete_many(["app:a", "nothing"])
    await opened.backend.clear("app:")
    opened.clock.advance(100_000)
    await opened.backend.set("app:c", b"3")
    await opened.backend.delete("app:c")
    left = await opened.documents.find().to_list()
    assert sorted(map(repr, left)) == sorted(map(repr, others))
    assert await beside.count_documents({}) == 1
