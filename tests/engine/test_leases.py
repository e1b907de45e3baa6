from __future__ import annotations

from hypothesis import given, strategies as st

from asynccache._engine.leases import LocalLeases

NOW = 1_000.0


def test_one_holder_at_a_time() -> None:
    """While a lease runs nobody else gets one on the same key; other keys are free."""
    leases = LocalLeases()
    token = leases.acquire("a", 10, NOW)
    assert token is not None
    assert leases.acquire("a", 10, NOW + 9.99) is None
    assert leases.acquire("b", 10, NOW) is not None
    assert leases.valid("a", token, NOW + 9.99)


def test_a_lease_ends_by_itself() -> None:
    """A holder that died blocks nobody for longer than the lease's life, and cannot fill any more."""
    leases = LocalLeases()
    first = leases.acquire("a", 10, NOW)
    assert first is not None
    assert not leases.valid("a", first, NOW + 10)
    second = leases.acquire("a", 10, NOW + 10)
    assert second is not None
    assert second != first
    assert not leases.valid("a", first, NOW + 10)
    assert leases.valid("a", second, NOW + 10)


def test_release_by_the_holder_only() -> None:
    """A late release of an old token does not end somebody else's lease."""
    leases = LocalLeases()
    old = leases.acquire("a", 1, NOW)
    new = leases.acquire("a", 1, NOW + 1)
    assert old is not None
    assert new is not None
    leases.release("a", old)
    assert leases.valid("a", new, NOW + 1)
    leases.release("a", new)
    leases.release("a", new)
    assert not leases.valid("a", new, NOW + 1)
    assert leases.acquire("a", 1, NOW + 1) is not None


def test_an_invalidation_voids_the_lease() -> None:
    """A computation that began before a removal can no longer fill; the next one can."""
    leases = LocalLeases()
    before = leases.acquire("a", 10, NOW)
    assert before is not None
    leases.void("a")
    leases.void("never held")
    after = leases.acquire("a", 10, NOW)
    assert after is not None
    assert not leases.valid("a", before, NOW)
    assert leases.valid("a", after, NOW)


def test_void_prefix_ends_what_starts_with_it_and_nothing_else() -> None:
    """Clearing a namespace voids its leases, not those of a namespace whose name merely resembles it."""
    leases = LocalLeases()
    tokens = {key: leases.acquire(key, 10, NOW) or "" for key in ("app:1", "app:2", "apple:1", "other")}
    leases.void_prefix("app:")
    assert [key for key, token in tokens.items() if leases.valid(key, token, NOW)] == ["apple:1", "other"]


def test_bounded_and_the_oldest_goes_first() -> None:
    """A full table voids the oldest lease: its value is not stored, which is always safe."""
    leases = LocalLeases(limit=3)
    tokens = [leases.acquire(key, 10, NOW) or "" for key in "abcd"]
    assert len(leases) == 3
    assert [leases.valid(key, token, NOW) for key, token in zip("abcd", tokens, strict=True)] == [
        False,
        True,
        True,
        True,
    ]


def test_expired_leases_are_swept_as_new_ones_come() -> None:
    """Holders that vanished leave nothing behind for long."""
    leases = LocalLeases()
    for number in range(100):
        leases.acquire(f"gone:{number}", 1, NOW)
    for number in range(100):
        leases.acquire(f"new:{number}", 1_000, NOW + 2)
    assert len(leases) == 100


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["acquire", "release", "void", "void_prefix", "pass"]),
            st.sampled_from(["a:1", "a:2", "b:1"]),
            st.integers(0, 4),
        ),
        max_size=60,
    )
)
def test_at_most_one_token_is_ever_valid_and_none_survives_a_void(steps: list[tuple[str, str, int]]) -> None:
    """Against a model: the valid tokens are exactly the last acquired, neither ended nor expired."""
    leases, now = LocalLeases(), NOW
    everyone: list[tuple[str, str]] = []
    model: dict[str, tuple[str, float]] = {}
    for action, key, number in steps:
        if action == "acquire":
            token = leases.acquire(key, number + 1, now)
            free = key not in model or model[key][1] <= now
            assert (token is not None) is free
            if token is not None:
                model[key] = (token, now + number + 1)
                everyone.append((key, token))
        elif action == "release" and everyone:
            held_key, old = everyone[number % len(everyone)]
            leases.release(held_key, old)
            if held_key in model and model[held_key][0] == old:
                del model[held_key]
        elif action == "void":
            leases.void(key)
            model.pop(key, None)
        elif action == "void_prefix":
            leases.void_prefix(key[:2])
            model = {other: held for other, held in model.items() if not other.startswith(key[:2])}
        else:
            now += number
        for each, its in everyone:
            held = model.get(each)
            assert leases.valid(each, its, now) is (held is not None and held[0] == its and now < held[1])
