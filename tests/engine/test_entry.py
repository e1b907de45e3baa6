"""Entries: what a store returns is the entry that was stored under this key, or nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import pytest
from hypothesis import given, strategies as st

from asynccache._engine.entry import COUNTER, MAGIC, MISSING, VERSION, Entry, Sealer, pack, unpack
from asynccache.codecs import AESGCMSealer, MsgpackCodec, Serializer

KEY = "shop::user:42"
SEALER = AESGCMSealer([bytes(range(32))])
GOLDEN = Path(__file__).parents[1] / "golden" / "entries" / "v1"

PLAIN = Entry(
    KEY,
    MsgpackCodec().encode({"id": 42, "name": "Ada"}),
    "msgpack",
    1_700_000_000.5,
    1_700_000_060.5,
    0.0,
    0.0,
)
STAMPED = Entry(
    KEY,
    b"\x01\x02",
    "raw",
    1_700_000_000.0,
    math.inf,
    math.inf,
    math.inf,
    0.125,
    (("users", "a1b2", "c3"), ("ä:#", "", "x")),
)
SAMPLES = [
    pytest.param(PLAIN, None, id="plain"),
    pytest.param(STAMPED, None, id="stamped"),
    pytest.param(STAMPED, SEALER, id="sealed"),
]

text = st.text(st.characters(exclude_categories=["Cs"]))
moments = st.floats(allow_nan=False)
entries = st.builds(
    Entry,
    text.filter(bool),
    st.binary(),
    text.filter(lambda name: name != COUNTER),
    moments,
    moments,
    moments,
    moments,
    moments,
    st.lists(st.tuples(text, text, text), max_size=3).map(tuple),
)
sealers = st.sampled_from([None, SEALER])


def flipped(data: bytes, position: int) -> bytes:
    """Return ``data`` with one bit changed."""
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def forged(data: bytes, place: int, value: Any) -> bytes:
    """Return an entry with one field replaced and a correct checksum, as who can write to the store would."""
    fields = msgspec.msgpack.decode(data[7:])
    fields[place] = value
    body = msgspec.msgpack.encode(fields)
    return MAGIC + VERSION + crc32(body).to_bytes(4, "big") + body


# -- intact ---------------------------------------------------------------------------------------


@given(entries, sealers)
def test_an_entry_comes_back(entry: Entry, sealer: Sealer | None) -> None:
    """Every field of every entry survives, sealed or not."""
    assert unpack(pack(entry, sealer), entry.key, sealer) == entry


@given(st.integers(), sealers)
def test_a_counter_is_a_plain_decimal(number: int, sealer: Sealer | None) -> None:
    """Counters are what a store counts with; where entries are sealed, nobody can have written one."""
    entry = Entry(KEY, b"%d" % number, COUNTER, 0.0, math.inf, math.inf, math.inf)
    data = pack(entry, sealer)
    assert data == str(number).encode()
    found = unpack(data, KEY, sealer)
    if sealer is not None:
        assert found is None
    else:
        assert found is not None
        assert (found.value, found.codec, found.expires) == (number, COUNTER, math.inf)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-",
        b"+1",
        b"01",
        b"-01",
        b" 1",
        b"1 ",
        b"1\n",
        b"1.0",
        b"1e3",
        "\u0661".encode(),
        b"1" * 4002,
        b"0x1",
    ],
)
def test_nearly_decimals_are_no_counters(data: bytes) -> None:
    """Only what Python prints for an int, and not too much of it, is a counter."""
    assert unpack(data, KEY) is None


def test_what_is_not_on_the_wire_is_not_restored() -> None:
    """The decoded value and the hits of this process stay in it."""
    entry = Entry(KEY, b"a", "raw", 0.0, 1.0, 1.0, 1.0, value="kept", hits=3)
    found = unpack(pack(entry), KEY)
    assert found is not None
    assert (found.value, found.hits) == (MISSING, 0)


def test_integer_times_are_accepted() -> None:
    """Times given as integers come back, also where they are part of what is authenticated."""
    entry = Entry(KEY, b"a", "raw", 1, 2, 3, 4, 5)
    for sealer in (None, SEALER):
        assert unpack(pack(entry, sealer), KEY, sealer) == entry


# -- damaged --------------------------------------------------------------------------------------


@pytest.mark.parametrize("entry, sealer", SAMPLES)
def test_no_bit_can_change(entry: Entry, sealer: Sealer | None) -> None:
    """With any single bit flipped an entry is nothing."""
    data = pack(entry, sealer)
    assert unpack(data, KEY, sealer) == entry
    assert [n for n in range(len(data) * 8) if unpack(flipped(data, n), KEY, sealer) is not None] == []


@pytest.mark.parametrize("entry, sealer", SAMPLES)
def test_no_byte_can_be_missing_or_added(entry: Entry, sealer: Sealer | None) -> None:
    """Truncated anywhere, or with something before or after, an entry is nothing."""
    data = pack(entry, sealer)
    damaged = [*(data[:n] for n in range(len(data))), *(data[n:] for n in range(1, len(data)))]
    damaged += [data + b"\0", b"\0" + data, data + data]
    assert [bad for bad in damaged if unpack(bad, KEY, sealer) is not None] == []


@given(
    st.binary() | st.binary().map(lambda body: MAGIC + VERSION + crc32(body).to_bytes(4, "big") + body),
    sealers,
)
def test_foreign_bytes_are_nothing(data: bytes, sealer: Sealer | None) -> None:
    """Random bytes, even with our magic and checksum, never raise, and are no entry but a counter at most."""
    found = unpack(data, KEY, sealer)
    assert found is None or (found.codec == COUNTER and sealer is None)


@given(entries, entries, st.data())
def test_spliced_entries_are_nothing(one: Entry, two: Entry, data: st.DataObject) -> None:
    """The head of one entry with the tail of another is one of the two, or nothing."""
    head, tail = pack(one), pack(two)
    cut = data.draw(st.integers(0, len(head)))
    join = data.draw(st.integers(0, len(tail)))
    assert unpack(head[:cut] + tail[join:], one.key) in (None, one, two)


@pytest.mark.parametrize(
    "body", [b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xc1", b"\x90", b"\x9a" + b"\xa1\xff" * 10, b""]
)
def test_hostile_bodies_are_nothing(body: bytes) -> None:
    """Nesting, false lengths and bad text under a correct checksum do no harm."""
    assert unpack(MAGIC + VERSION + crc32(body).to_bytes(4, "big") + body, KEY) is None


def test_another_version_is_nothing() -> None:
    """An entry of a future format is a miss, not a guess."""
    data = pack(PLAIN)
    assert unpack(data[:2] + b"\x02" + data[3:], KEY) is None


# -- moved and forged -----------------------------------------------------------------------------


@given(entries, text, sealers)
def test_an_entry_belongs_to_its_key(entry: Entry, key: str, sealer: Sealer | None) -> None:
    """Under any other key, it is nothing: a digest collision or a mix-up in a store cannot show."""
    found = unpack(pack(entry, sealer), key, sealer)
    assert (found is not None) == (key == entry.key)


def test_sealed_and_unsealed_are_not_mistaken() -> None:
    """Where entries are sealed an unsealed one is nothing, and the other way round."""
    assert unpack(pack(PLAIN), KEY, SEALER) is None
    assert unpack(pack(PLAIN, SEALER), KEY) is None
    assert unpack(b"1", KEY, SEALER) is None


@pytest.mark.parametrize(
    "place, value",
    [
        (0, "shop::user:43"),
        (1, b""),
        (1, STAMPED.payload),
        (2, "pickle"),
        (3, 0.0),
        (4, 9e9),
        (5, 9e9),
        (6, 9e9),
        (7, 1.0),
        (8, []),
        (9, False),
    ],
)
def test_nothing_of_a_sealed_entry_can_be_changed(place: int, value: Any) -> None:
    """Who can write to the store but has no key can change no field: payload, codec, expiry, any."""
    data = forged(pack(STAMPED, SEALER), place, value)
    key = value if place == 0 else KEY
    assert unpack(data, key, SEALER) is None
    assert unpack(data, key) is None or place == 9


def test_a_sealed_payload_cannot_move_to_another_entry() -> None:
    """The seal binds the payload to key and header."""
    fields = msgspec.msgpack.decode(pack(STAMPED, SEALER)[7:])
    assert unpack(forged(pack(PLAIN, SEALER), 1, fields[1]), KEY, SEALER) is None


def test_sealed_entries_survive_a_rotation() -> None:
    """An entry sealed with a former key is read as long as that key is listed, and is nothing after."""
    new = bytes(range(1, 33))
    data = pack(PLAIN, SEALER)
    assert unpack(data, KEY, AESGCMSealer([new, bytes(range(32))])) == PLAIN
    assert unpack(data, KEY, AESGCMSealer([new])) is None


# -- format version 1, for ever -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, sealer, entry, value",
    [
        ("plain", None, PLAIN, {"id": 42, "name": "Ada"}),
        ("stamped", None, STAMPED, b"\x01\x02"),
        ("sealed", SEALER, STAMPED, b"\x01\x02"),
        ("compressed", None, None, {"text": "abc" * 1000}),
        ("json", None, None, {"a": [1, None, 1.5]}),
        ("counter", None, None, -42),
    ],
)
def test_golden_entries_stay_readable(
    name: str, sealer: Sealer | None, entry: Entry | None, value: object
) -> None:
    """Entries written by the first release are read by this one."""
    found = unpack((GOLDEN / f"{name}.bin").read_bytes(), KEY, sealer)
    assert found is not None
    assert entry is None or found == entry
    assert Serializer(MsgpackCodec(), max_value_bytes=10_000).decode(found.codec, found.payload) == value


def test_this_release_writes_format_version_1() -> None:
    """A changed byte on the wire needs a new version and new golden files."""
    assert pack(PLAIN) == (GOLDEN / "plain.bin").read_bytes()
    assert pack(STAMPED) == (GOLDEN / "stamped.bin").read_bytes()
