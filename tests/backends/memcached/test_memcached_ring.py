"""Which server a key belongs to."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, strategies as st

from asynccache.backends.memcached._ring import Ring

KEYS = [b"app::user:%d" % number for number in range(20_000)]
NAMES = [f"10.0.0.{number}:11211" for number in range(1, 11)]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_new_server_takes_its_share_and_no_other_key_moves(count: int) -> None:
    """Of n servers in the end the new one has 1/n of the keys; every other key stays where it was."""
    before, after = Ring(NAMES[:count]), Ring(NAMES[: count + 1])
    moved = [(before.home(key), after.home(key)) for key in KEYS if before.home(key) != after.home(key)]

    assert {new for _, new in moved} == {count}
    assert len(moved) / len(KEYS) == pytest.approx(1 / (count + 1), rel=0.1)


def test_keys_are_spread_evenly() -> None:
    """Also keys that differ in their last digit only, over servers whose names do."""
    for count in (2, 3, 5, 10):
        ring = Ring(NAMES[:count])
        shares = Counter(ring.home(key) for key in KEYS)
        assert all(abs(share * count / len(KEYS) - 1) < 0.1 for share in shares.values())
        assert len(shares) == count


def test_the_keys_of_a_server_that_is_down_go_to_all_others() -> None:
    ring = Ring(NAMES[:4])
    heirs = Counter(ring.order(key)[1] for key in KEYS if ring.home(key) == 0)

    assert heirs.keys() == {1, 2, 3}
    assert min(heirs.values()) > 0.25 * sum(heirs.values())


@given(st.permutations(NAMES[:5]), st.binary(min_size=1, max_size=250))
def test_the_order_of_the_names_means_nothing(names: list[str], key: bytes) -> None:
    """Processes whose configuration lists the servers differently agree."""
    assert [names[place] for place in Ring(names).order(key)] == [
        NAMES[place] for place in Ring(NAMES[:5]).order(key)
    ]


@given(st.integers(1, 10), st.binary(min_size=1, max_size=250))
def test_home_is_the_first_of_the_order(count: int, key: bytes) -> None:
    ring = Ring(NAMES[:count])

    assert ring.home(key) == ring.order(key)[0]
    assert sorted(ring.order(key)) == list(range(count))


def test_the_order_never_changes() -> None:
    """Other versions look in the same place."""
    ring = Ring(NAMES[:3])

    orders = [ring.order(key) for key in (b"a", b"b", b"app:::user:42", b"k" * 250)]
    assert orders == [[0, 2, 1], [1, 0, 2], [1, 0, 2], [0, 1, 2]]
