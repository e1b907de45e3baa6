from __future__ import annotations

from hypothesis import given, strategies as st

from asynccache._engine.owed import Owed


def test_what_is_owed_is_covered_until_it_is_settled() -> None:
    """A key that failed to be removed counts as absent until a later operation removed or replaced it."""
    owed = Owed()
    assert not owed.pending
    owed.add("a")
    assert owed.pending
    assert owed.covers("a")
    assert not owed.covers("ab")
    owed.settle("never", owed.now)
    owed.settle("a", owed.now)
    assert not owed.pending
    assert not owed.covers("a")


def test_an_operation_that_began_before_the_debt_does_not_settle_it() -> None:
    """A set that overlaps with a failed delete may be the older of the two."""
    owed = Owed()
    began = owed.now
    owed.add("a")
    owed.settle("a", began)
    assert owed.covers("a")


def test_a_prefix_covers_its_keys() -> None:
    """A failed clear makes every key of the namespace absent, and takes in the smaller debts."""
    owed = Owed()
    owed.add("app:1")
    owed.add_prefix("app:users:")
    owed.add("other")
    owed.add_prefix("app:")
    assert (owed.keys(), owed.prefixes(), len(owed)) == (["other"], ["app:"], 2)
    assert owed.covers("app:anything")
    assert not owed.covers("apple")
    owed.settle("app:anything", owed.now)
    assert owed.covers("app:anything")
    owed.settle_prefix("app:", owed.now)
    assert not owed.covers("app:1")
    assert owed.covers("other")


def test_a_clear_settles_only_what_was_owed_when_it_began() -> None:
    """A delete that failed while the clear ran stays owed."""
    owed = Owed()
    owed.add("app:1")
    began = owed.now
    owed.add("app:2")
    owed.settle_prefix("app:", began)
    assert owed.keys() == ["app:2"]


def test_bounded_and_counted() -> None:
    """The oldest debts are forgotten first, and how many were is known."""
    owed = Owed(limit=3)
    owed.add_prefix("p:")
    for key in "abcd":
        owed.add(key)
    assert (owed.keys(), owed.prefixes(), owed.lost) == (["c", "d"], ["p:"], 2)
    owed.add("c")
    assert owed.keys() == ["d", "c"]
    assert repr(owed) == "<Owed 2 keys, 1 prefixes, 2 lost>"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "prefix", "settle", "settle_prefix"]),
            st.sampled_from(["a:1", "a:2", "b:1"]),
            st.integers(0, 3),
        ),
        max_size=50,
    )
)
def test_against_a_model(steps: list[tuple[str, str, int]]) -> None:
    """A key is covered iff some debt for it, or for its prefix, is younger than all that settled it."""
    owed, debts = Owed(), dict[tuple[str, bool], int]()
    for action, key, back in steps:
        upto = max(owed.now - back, 0)
        if action == "add":
            owed.add(key)
            debts[key, False] = owed.now
        elif action == "prefix":
            owed.add_prefix(key[:2])
            debts[key[:2], True] = owed.now
        elif action == "settle":
            owed.settle(key, upto)
            if debts.get((key, False), upto + 1) <= upto:
                del debts[key, False]
        else:
            owed.settle_prefix(key[:2], upto)
            debts = {
                where: made
                for where, made in debts.items()
                if made > upto or not where[0].startswith(key[:2])
            }
        for each in ("a:1", "a:2", "b:1"):
            expected = (each, False) in debts or (each[:2], True) in debts
            assert owed.covers(each) is expected
        assert owed.pending is bool(debts)
