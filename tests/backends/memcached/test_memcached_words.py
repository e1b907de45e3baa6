"""What is said on the wire: names, records, requests and replies. No server needed."""

from __future__ import annotations

import asyncio
import math
import re
from asyncio import Future
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from asynccache.backends.memcached._keys import AWAY_MARK, HOME_MARK, locate
from asynccache.backends.memcached._records import (
    MARK,
    NO_MARK,
    NOTHING,
    Item,
    Record,
    exptime,
    pack,
    unpack,
    value_of,
)
from asynccache.backends.memcached._replies import GarbledError, Lines, Reply, Stats, Values
from asynccache.backends.memcached._requests import RefusedError, TooLargeError, delete, store, stored
from asynccache.errors import InvalidKeyError

NAME = re.compile(rb"[\x21-\x7e]{1,250}")
DAY = 86_400.0
NOW = 1_800_000_000.0

marks = st.binary(min_size=8, max_size=8)
times = st.floats(min_value=0, max_value=1e12, allow_nan=False)
records = st.builds(
    Record,
    value=st.none() | st.binary(max_size=100),
    expires=times | st.just(math.inf),
    token=st.binary(min_size=16, max_size=16) | st.just(b""),
    leased_until=times,
).map(lambda record: record if record.token else record._replace(leased_until=-math.inf))


# -- names ---------------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300))
def test_any_key_becomes_a_name_that_memcached_takes(key: str) -> None:
    """No key can hold a second command: a name has neither spaces nor line ends, nor more than 250 bytes."""
    name, owner = locate(key)

    assert NAME.fullmatch(name)
    assert owner in {b"", key.encode()}
    assert owner or name == key.encode()


@given(st.text(min_size=1), st.text(min_size=1))
def test_names_are_injective(one: str, other: str) -> None:
    """Two keys have two names, also where one looks like the name of the other."""
    try:
        first, second = locate(one), locate(other)
        alike = locate(first[0].decode())
    except InvalidKeyError:
        return  # lone surrogates

    assert (first[0] == second[0]) == (one == other)
    assert (alike[0] == first[0]) == (first[0].decode() == one)


def test_our_own_names_are_nobodys_key() -> None:
    """A user's key that spells a mark's name, or a digest's, gets another one."""
    digested = locate("a key with spaces")[0]
    for name in (HOME_MARK, AWAY_MARK, digested):
        assert locate(name.decode())[0] != name
        assert locate(name.decode())[1] == name


def test_names_never_change() -> None:
    """Other versions find what this one stored."""
    assert locate("app:::user:42") == (b"app:::user:42", b"")
    assert locate("k" * 250) == (b"k" * 250, b"")
    assert locate("k" * 251)[0] == b"asynccache#key:402449ba3abb8060a04704339ffad20e"
    assert locate("é") == (b"asynccache#key:d4b1b0202b21bb84e60a3d272ecab0db", "é".encode())


# -- records -------------------------------------------------------------------------------------------------


@given(records, marks, st.binary(max_size=400))
def test_a_record_comes_back(record: Record, mark: bytes, owner: bytes) -> None:
    flags, data = pack(record, mark, owner)

    assert unpack(Item(flags, data), mark, owner) == record


@given(records, marks, marks, st.binary(max_size=30), st.binary(max_size=30))
def test_a_record_of_another_mark_or_key_is_a_miss(
    record: Record, mark: bytes, other_mark: bytes, owner: bytes, other_owner: bytes
) -> None:
    item = Item(*pack(record, mark, owner))

    if other_mark != mark:
        assert unpack(item, other_mark, owner) is NOTHING
    if other_owner != owner:
        assert unpack(item, mark, other_owner) is NOTHING
        assert value_of(item, mark, other_owner, 0.0) is None


@given(records, st.binary(max_size=20), times)
def test_the_short_way_says_the_same(record: Record, owner: bytes, now: float) -> None:
    """`value_of` is `unpack` and `live` for the frequent case, and agrees with them in every case."""
    item = Item(*pack(record, NO_MARK, owner))
    expected = record.value if now < record.expires else None

    assert value_of(item, NO_MARK, owner, now) == expected
    assert unpack(item, NO_MARK, owner).live(now) == expected


@given(st.integers(0, 2**32 - 1), st.binary(max_size=60), marks, st.binary(max_size=10))
def test_foreign_and_damaged_items_are_misses(flags: int, data: bytes, mark: bytes, owner: bytes) -> None:
    """Whatever other clients store, and whatever is cut off, is never mistaken for a value of ours."""
    item = Item(flags, data)

    if flags >> 8 != 0xAC5CAC or flags & 0xF8:
        assert unpack(item, mark, owner) is NOTHING
        assert value_of(item, mark, owner, 0.0) is None
    else:
        unpack(item, mark, owner)  # raises nothing


@given(records, marks, st.binary(max_size=20), st.data())
def test_a_truncated_record_is_never_another_value(
    record: Record, mark: bytes, owner: bytes, data: st.DataObject
) -> None:
    flags, packed = pack(record, mark, owner)
    head = len(packed) - len(record.value or b"")
    cut = data.draw(st.integers(0, max(head - 1, 0)))

    assert unpack(Item(flags, packed[:cut]), mark, owner) is NOTHING


def test_a_mark_is_no_record() -> None:
    assert unpack(Item(MARK, bytes(40)), NO_MARK, b"") is NOTHING


def test_records_never_change() -> None:
    """Other versions read what this one stored."""
    assert pack(Record(b"v", 2.0), NO_MARK, b"") == (0xAC5CAC01, bytes(8) + b"@\0\0\0\0\0\0\0v")
    flags, data = pack(Record(b"v", math.inf, b"t" * 16, 4.0), b"m" * 8, b"key")
    assert flags == 0xAC5CAC07
    assert data == (
        b"m" * 8 + b"\x7f\xf0\0\0\0\0\0\0" + b"@\x10\0\0\0\0\0\0" + b"t" * 16 + b"\0\0\0\3key" + b"v"
    )


# -- the server's clock --------------------------------------------------------------------------------------


@given(st.floats(min_value=0.001, max_value=1e15), st.floats(min_value=1.6e9, max_value=2.1e9))
def test_the_server_never_forgets_too_early(life: float, now: float) -> None:
    """Whatever the fraction of a second at which the server's clock ticks."""
    told = exptime(life, now)

    if told == 0:
        assert now + life > 2**31 - 2
    elif told > 30 * DAY:  # read as a time, by the server
        assert now + life + 1 <= told + 1e-3
        assert told < 2**31
    else:
        assert life + 1 <= told + 1e-9
        assert told <= life + 2


@pytest.mark.parametrize(
    "life,told",
    [
        (0.001, 2),
        (1.0, 2),
        (1.001, 3),
        (30 * DAY - 1, 30 * DAY),  # the last that is a duration
        (30 * DAY - 0.5, NOW + 30 * DAY + 1),  # one second more would be a time in 1970
        (30 * DAY, NOW + 30 * DAY + 1),
        (31 * DAY, NOW + 31 * DAY + 1),
        (1e9, 0),  # beyond what the server can count
        (math.inf, 0),
    ],
)
def test_what_the_server_is_told(life: float, told: float) -> None:
    assert exptime(life, NOW) == told


def test_what_has_expired_is_not_kept_for_ever() -> None:
    """0 would mean for ever, and a negative number may not be sent everywhere."""
    assert exptime(-5.0, NOW) == 1
    assert exptime(0.0, NOW) == 1


# -- requests and replies ------------------------------------------------------------------------------------


def test_a_request_holds_one_command() -> None:
    record = Record(b"flush_all\r\n", 2.0)
    request = store(b"k", record, NO_MARK, b"", life=1.0, wall=NOW, longest=60.0)

    head, _, data = request.partition(b"\r\n")
    assert head.split() == [b"set", b"k", b"%d" % 0xAC5CAC01, b"2", b"%d" % (len(data) - 2)]
    assert data.endswith(b"flush_all\r\n\r\n")
    assert delete(b"k") == b"delete k\r\n"


def test_what_the_answers_mean() -> None:
    assert stored(b"STORED") is True
    assert [stored(line) for line in (b"NOT_STORED", b"EXISTS", b"NOT_FOUND")] == [False] * 3
    with pytest.raises(TooLargeError):
        stored(b"SERVER_ERROR object too large for cache")
    with pytest.raises(RefusedError, match="out of memory"):
        stored(b"SERVER_ERROR out of memory storing object")


def read(reply: Reply, data: bytes, cuts: list[int]) -> bool:
    """Let ``reply`` read ``data`` as a connection would, in pieces."""
    rest = b""
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    done = False
    for start, end in pairwise(edges):
        rest += data[start:end]
        if len(rest) < reply.need:
            continue
        assert not done
        place, done = reply.read(rest, 0)
        rest = rest[place:]
    assert not rest
    return done


@pytest.fixture(scope="module")
def future() -> Future[None]:
    loop = asyncio.new_event_loop()
    try:
        return loop.create_future()
    finally:
        loop.close()


VALUES = {
    b"empty": Item(0, b"", b"1"),
    b"lines": Item(7, b"\r\nEND\r\n", b"22"),
    b"smuggler": Item(2**32 - 1, b"VALUE victim 0 4\r\nEVIL\r\nEND\r\n" * 3, b"333"),
}


@given(st.lists(st.integers(0, 400), max_size=30))
def test_values_arrive_in_any_pieces(future: Future[None], cuts: list[int]) -> None:
    """However an answer is chopped it says the same; what is inside a value is never taken for protocol."""
    answer = b"".join(
        b"VALUE %b %d %d %b\r\n%b\r\n" % (name, item.flags, len(item.data), item.unique, item.data)
        for name, item in VALUES.items()
    )
    values = Values(future, {*VALUES, b"absent"})

    assert read(values, answer + b"END\r\n", cuts)
    assert values.found == VALUES


@given(st.lists(st.integers(0, 60), max_size=20))
def test_lines_and_statistics_arrive_in_any_pieces(future: Future[None], cuts: list[int]) -> None:
    lines = Lines(future, 3)
    assert read(lines, b"STORED\r\nNOT_FOUND\r\nSERVER_ERROR no\r\n", cuts)
    assert lines.lines == [b"STORED", b"NOT_FOUND", b"SERVER_ERROR no"]

    stats = Stats(future)
    assert read(stats, b"STAT version 1.6.18\r\nSTAT inter 127.0.0.1 a b\r\nEND\r\n", cuts)
    assert stats.stats == {"version": "1.6.18", "inter": "127.0.0.1 a b"}


@pytest.mark.parametrize(
    "answer",
    [
        b"VALUE other 0 1\r\nx\r\nEND\r\n",  # another key
        b"VALUE k 0 1\r\nx\r\nVALUE k 0 1\r\ny\r\nEND\r\n",  # twice
        b"VALUE  0 1\r\nx\r\nEND\r\n",  # no key
        b"VALUE k 0 1\r\nxyz",  # longer than it says
        b"VALUE k 0 +1\r\nx\r\nEND\r\n",  # what Python's int would take
        b"VALUE k 0 1_0\r\n0123456789\r\nEND\r\n",
        b"VALUE k -1 1\r\nx\r\nEND\r\n",
        b"VALUE k 0\r\nEND\r\n",
        b"VALUE k 0 1 2 3\r\nx\r\nEND\r\n",
        b"VALUE k 0 99999999999999\r\n",  # nobody waits for that much
        b"STORED\r\n",  # the answer to something else
        b"x\r\nEND\r\n",  # the rest of a value
        b"ERROR\r\n",
        b"SERVER_ERROR out of memory writing get response\r\n",
        b"\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"x" * 5000,  # no end in sight
    ],
)
def test_nonsense_is_refused(future: Future[None], answer: bytes) -> None:
    """What is not the answer is never guessed at."""
    with pytest.raises(GarbledError):
        Values(future, (b"k", b"")).read(answer, 0)


@pytest.mark.parametrize("answer", [b"ERROR\r\n", b"CLIENT_ERROR bad data chunk\r\n", b"x" * 5000])
def test_a_server_that_did_not_understand_is_not_spoken_to_any_more(
    future: Future[None], answer: bytes
) -> None:
    """It may take the value that follows for commands."""
    with pytest.raises(GarbledError):
        Lines(future).read(answer, 0)


def test_statistics_may_be_missing(future: Future[None]) -> None:
    """Some proxies have none."""
    stats = Stats(future)
    assert stats.read(b"ERROR\r\n", 0) == (7, True)
    assert stats.stats == {}
    with pytest.raises(GarbledError):
        Stats(future).read(b"VALUE x\r\n", 0)
