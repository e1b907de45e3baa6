"""`CachePolicy`: normal form, tags from parameters, and what ``cache=`` may be."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from asynccache import DEFAULT, CachePolicy, ConfigurationError
from asynccache.policy import CACHEABLE_STATUSES, seconds, tag_names


def test_normal_form() -> None:
    """Durations are seconds, collections tuples without repetition, header names lower case."""
    policy = CachePolicy(
        ttl=timedelta(minutes=1),
        stale_while_revalidate=timedelta(seconds=5),
        client_ttl=0,
        tags=iter(["a", "b", "a"]),
        cookies=["lang"],
        query={"page": 1},
        vary=["Accept-Language", "X-A"],
        statuses=[200, 404],
        max_body_bytes=0,
    )
    assert (policy.ttl, policy.fresh_for, policy.stale_while_revalidate, policy.client_ttl) == (60, 60, 5, 0)
    assert policy.tags == ("a", "b")
    assert (policy.cookies, policy.query, policy.vary) == (("lang",), ("page",), ("accept-language", "x-a"))
    assert policy.statuses == frozenset({200, 404})


def test_default_and_for_ever() -> None:
    """Left out, ttl is DEFAULT; None is for ever, which is something else."""
    assert CachePolicy().ttl is DEFAULT
    assert CachePolicy(ttl=None).ttl is None
    assert CachePolicy(ttl=None).fresh_for is None
    assert repr(DEFAULT) == "DEFAULT"
    assert CachePolicy(ttl=5).but(ttl=None).fresh_for is None
    assert CachePolicy(ttl=5).but(ttl=DEFAULT).fresh_for is None


def test_frozen_and_comparable() -> None:
    """Equal policies are equal, and nothing can be set."""
    assert CachePolicy(ttl=5, tags=["a"]) == CachePolicy(ttl=5.0, tags=("a",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        CachePolicy().ttl = 5  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("status", sorted(CACHEABLE_STATUSES))
def test_cacheable_statuses(status: int) -> None:
    """Every heuristically cacheable status but 206 may be allowed."""
    assert CachePolicy(statuses=[status]).statuses == {status}


def test_tags_are_filled_in() -> None:
    """Parameters, their attributes and items, formats; braces may be doubled; equal to an f-string."""
    policy = CachePolicy(tags=["items", "item:{id}", "of:{user.name}", "n:{id:03d}", "{{raw}}"])
    user = dataclasses.make_dataclass("U", ["name"])("ann")
    assert policy.tags_for({"id": 7, "user": user}) == ("items", "item:7", "of:ann", "n:007", "{raw}")


@pytest.mark.parametrize("parameters", [{}, {"id": None}, {"id": object()}])
def test_tags_that_cannot_be_filled_in(parameters: dict[str, Any]) -> None:
    """What is missing is told with the tags' names."""
    with pytest.raises(ConfigurationError, match=r"tags.*id\.x"):
        CachePolicy(tags=["t:{id.x}"]).tags_for(parameters)


@pytest.mark.parametrize("tag", ["{nobody}", "{", "}", "{id", "{}", "{0}", "{nobody.id}", "{nobody[0]}"])
def test_tags_are_checked(tag: str) -> None:
    """A tag that names no parameter, or is malformed, is found at import time."""
    with pytest.raises(ConfigurationError, match="tag"):
        CachePolicy(tags=[tag]).check_tags(["id"])


def test_good_tags_pass() -> None:
    """Attributes and items of known parameters are fine."""
    CachePolicy(tags=["a", "{id}", "{id.x}", "{id[0]}", "{{x}}"]).check_tags(["id"])


def test_combine() -> None:
    """Fields win over the policy; without a policy they are one."""
    assert CachePolicy.combine(None, {"ttl": 5}) == CachePolicy(ttl=5)
    assert CachePolicy.combine(CachePolicy(ttl=1, tags=["a"]), {"ttl": 5}) == CachePolicy(ttl=5, tags=["a"])
    with pytest.raises(ConfigurationError, match="fresh_for"):
        CachePolicy.combine(None, {"fresh_for": 5})


@pytest.mark.parametrize(
    "value, policy",
    [
        (None, None),
        (False, None),
        (True, CachePolicy()),
        (10, CachePolicy(ttl=10)),
        (0.5, CachePolicy(ttl=0.5)),
        (timedelta(seconds=3), CachePolicy(ttl=3)),
        (CachePolicy(public=True), CachePolicy(public=True)),
        ({"ttl": 5, "tags": ["a"]}, CachePolicy(ttl=5, tags=["a"])),
    ],
)
def test_what_a_routes_cache_may_be(value: Any, policy: CachePolicy | None) -> None:
    """True, seconds, a timedelta, a mapping, a policy; False and None are no caching."""
    assert CachePolicy.of(value) == policy


def test_more_beside_a_routes_cache() -> None:
    """Further fields are joined to whatever it is."""
    for value in (True, 10, CachePolicy(ttl=10), {"ttl": 10}):
        joined = CachePolicy.of(value, public=True)
        assert joined is not None
        assert joined.public is True
    assert CachePolicy.of(CachePolicy(ttl=10), ttl=5) == CachePolicy(ttl=5)


def test_seconds() -> None:
    """Numbers and timedeltas; zero only where allowed."""
    assert [seconds(value, "x") for value in (1, 0.5, timedelta(seconds=2))] == [1.0, 0.5, 2.0]
    assert seconds(0, "x", zero=True) == 0.0
    with pytest.raises(ConfigurationError, match="x must"):
        seconds(0, "x")


def test_tag_names() -> None:
    """Distinct, in order, any text."""
    assert tag_names(["b", "a", "b", "é😀"]) == ("b", "a", "é😀")
    assert tag_names(()) == ()
