"""What is stored survives being written and read, and is told apart."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.stored import Stored, StoredResponse, VaryIndex

TIMES = st.floats(allow_nan=False)
PAIRS = st.lists(st.tuples(st.binary(), st.binary())).map(tuple)
RESPONSES = st.builds(
    StoredResponse,
    status=st.integers(100, 599),
    headers=PAIRS,
    body=st.binary(),
    etag=st.binary(),
    shared=st.booleans(),
    public=st.booleans(),
    date=TIMES,
    initial_age=TIMES,
    last_modified=st.none() | TIMES,
)
INDEXES = st.builds(
    VaryIndex,
    names=st.lists(st.binary()).map(tuple),
    generation=st.text(),
)


@given(RESPONSES | INDEXES)
def test_what_is_stored_is_what_is_read(stored: Stored) -> None:
    """Both kinds round-trip through msgpack under the one type."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(stored), type=Stored) == stored


def test_entries_are_small_arrays() -> None:
    """An empty index costs less than ten bytes: no field names are stored."""
    assert len(msgspec.msgpack.encode(VaryIndex((), ""))) < 10


def test_stored_values_do_not_change() -> None:
    """Stored values are shared by requests, so they are frozen."""
    with pytest.raises(AttributeError):
        VaryIndex((), "").generation = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x93\x03\xc0\xc0", b"\xc0", b"\x91\x01"])
def test_other_bytes_are_refused(data: bytes) -> None:
    """What is neither kind is an error to the reader, never half an object."""
    with pytest.raises(msgspec.DecodeError):
        msgspec.msgpack.decode(data, type=Stored)
