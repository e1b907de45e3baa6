"""Where leases are: apart from every value, found by prefix, and on the value's slot."""

from __future__ import annotations

import fnmatch

from hypothesis import example, given, strategies as st
from redis.crc import key_slot

from asynccache.backends.redis._keys import glob, lease_key, leases_glob, owner, slot

keys = st.text(min_size=1).map(str.encode)
braced = st.text(alphabet="{}ab\N{LATIN SMALL LETTER E WITH ACUTE}", min_size=1, max_size=8).map(str.encode)
anything = st.binary(min_size=1)


@given(keys | braced | anything)
@example(b"{}")
@example(b"{}{a}")
@example(b"a{")
@example(b"a{b")
@example(b"a}b{c")
@example(b"{{a}}")
@example(b"{a\n}b")
def test_a_lease_has_its_keys_slot_as_redis_counts(key: bytes) -> None:
    assert slot(key) == key_slot(key)
    assert key_slot(lease_key(key)) == key_slot(key)


def test_the_slot_holds_where_the_first_pair_would_complete_a_tag() -> None:
    """Every CRC, each with a tag that is open: the pair must not close it."""
    seen: set[bytes] = set()
    for number in range(70_000):
        key = b"{%d" % number
        lease = lease_key(key)
        seen.add(lease[len(key) : len(key) + 1])
        assert key_slot(lease) == key_slot(key)
    assert seen == {b"\xff", b"\xfe"}  # both ways were taken


@given(keys | braced, keys | braced)
def test_leases_are_no_values_and_no_other_keys_leases(one: bytes, two: bytes) -> None:
    assert (lease_key(one) == lease_key(two)) == (one == two)
    assert lease_key(one) != two
    assert owner(one) == owner(lease_key(one)) == one


@given(anything)
def test_what_somebody_else_wrote_is_its_own_owner_unless_it_is_a_lease(found: bytes) -> None:
    key = owner(found)
    assert key == found or lease_key(key) == found


@given(keys | braced)
def test_leases_are_found_by_the_prefix_of_their_key(key: bytes) -> None:
    assert lease_key(key).startswith(key)


def test_a_prefix_is_no_pattern() -> None:
    assert glob(b"a*b?c[d]e\\f^-") == b"a\\*b\\?c\\[d\\]e\\\\f^-*"
    assert leases_glob(b"a") == b"a*[\xfd-\xff]*"
    assert fnmatch.fnmatchcase(lease_key(b"ab").decode("latin1"), leases_glob(b"a").decode("latin1"))
