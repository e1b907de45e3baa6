"""Vary: which requests share a response, and which never may (RFC 9111 section 4.1)."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.selection import (
    normalise,
    variant_digest,
    vary_names,
)

AE, AL, UA = b"accept-encoding", b"accept-language", b"user-agent"
CODINGS = st.sampled_from(
    [b"gzip", b"GZip", b"br", b"identity", b"*", b"gzip;q=0", b"br; q=0.50", b"*;q=0", b""]
)


@pytest.mark.parametrize(
    "lines,names",
    [
        ([], ()),
        ([b""], ()),
        ([b"accept-encoding, accept-language"], (AE, AL)),
        ([b"Accept-Language", b"Accept-Encoding,accept-language"], (AE, AL)),
        ([b"*"], None),
        ([b"accept", b"x, *"], None),
        ([b'"accept"'], None),
        ([b"accept language"], None),
        ([b"accept:"], None),
    ],
)
def test_vary_names(lines: list[bytes], names: tuple[bytes, ...] | None) -> None:
    """Names are sorted and distinct over all lines; an asterisk, or what is no name, stands for anything."""
    assert vary_names([(b"Vary", line) for line in lines]) == names


@pytest.mark.parametrize(
    "name,one,other",
    [
        (AE, [b"gzip, br"], [b"br,gzip"]),
        (AE, [b"gzip, br"], [b"gzip", b"br"]),
        (AE, [b"GZIP"], [b"gzip"]),
        (AE, [b"gzip;q=1"], [b"gzip ; q=1.000"]),
        (AE, [b"gzip;Q=0.5"], [b"gzip;q=0.500"]),
        (AE, [b"gzip;q=0"], [b"gzip;q=0.0"]),
        (AE, [b"gzip, gzip"], [b"gzip,"]),
        (AE, [b"x;level=1, br"], [b"x;level=1,br"]),
        (AE, [b""], [b" , "]),
        (AL, [b"de, EN;q=0.8"], [b"de,en;q=0.8"]),
        (AL, [b"de", b"en"], [b"de, en"]),
        (b"accept", [b"text/html , */*"], [b"text/html,*/*"]),
        (UA, [b" x "], [b"x"]),
        (b"x-tenant", [b"1, 2"], [b"1", b"2"]),
        (b"x-tenant", [b"1,2"], [b" 1 ,  2 "]),
    ],
)
def test_what_means_the_same_is_one_variant(name: bytes, one: list[bytes], other: list[bytes]) -> None:
    """Case, spaces, lines and the order of codings make no variants where the field's syntax says so."""
    assert normalise(name, one) == normalise(name, other)


@pytest.mark.parametrize(
    "name,one,other",
    [
        (AE, [], [b""]),
        (AE, [b""], [b"identity"]),
        (AE, [b"br"], [b"br, gzip"]),
        (AE, [b"br"], [b"br, gzip;q=0"]),
        (AE, [b"br"], [b"br, identity;q=0"]),
        (AE, [b"br"], [b"br, *"]),
        (AE, [b"br, *"], [b"br, *;q=0"]),
        (AE, [b"*, gzip;q=0"], [b"*"]),
        (AE, [b"gzip;q=0.5, br"], [b"gzip, br;q=0.5"]),
        (AE, [b"gzip;q=0.001"], [b"gzip;q=0"]),
        (AE, [b"gzip;q=2"], [b"gzip"]),
        (AE, [b"gzip;x=1"], [b"gzip"]),
        (AE, [b"gzip"], [b"x-gzip"]),
        (AL, [], [b""]),
        (AL, [b"de, en"], [b"en, de"]),
        (AL, [b"de"], [b"de-CH"]),
        (b"accept", [b'a/b;c="x, y"'], [b'a/b;c="x,y"']),
        (b"accept", [b"a/B"], [b"a/b"]),
        (UA, [], [b""]),
        (UA, [b"Mozilla/5.0 (KHTML, like Gecko)"], [b"Mozilla/5.0 (KHTML,like Gecko)"]),
        (UA, [b"Mozilla/5.0 (KHTML, like Gecko)"], [b"Mozilla/5.0 (KHTML", b"like Gecko)"]),
        (b"x-tenant", [b"A"], [b"a"]),
        (b"x-tenant", [b"1 2"], [b"1, 2"]),
        (b"x-tenant", [b"1", b"2"], [b"2", b"1"]),
        (b"x-tenant", [b'"1, 2"'], [b'"1,2"']),
        (b"cookie", [b"a=1, b=2"], [b"a=1,b=2"]),
    ],
)
def test_what_an_application_could_tell_apart_stays_apart(
    name: bytes, one: list[bytes], other: list[bytes]
) -> None:
    """Refusals, weights, absence, order and text each make a variant."""
    assert normalise(name, one) != normalise(name, other)


@given(st.lists(CODINGS, max_size=6), st.lists(CODINGS, max_size=6))
def test_merged_encodings_accept_the_same(one: list[bytes], other: list[bytes]) -> None:
    """Two Accept-Encoding values share a variant only if they give each coding the same weight."""
    if normalise(AE, [b",".join(one)]) == normalise(AE, [b",".join(other)]):
        assert _weights(one) == _weights(other)


def _weights(members: list[bytes]) -> set[tuple[bytes, float]]:
    parts = (member.lower().partition(b";") for member in members if member)
    return {(name, float(weight.strip()[2:] or b"1")) for name, _, weight in parts}


def test_long_values_are_compared_alike() -> None:
    """A value too long to be remembered has the same normal form."""
    long = b"x" * 1000

    assert normalise(AE, [b"gzip, " + long]) == normalise(AE, [long + b",gzip"])


def test_a_digest_is_the_same_everywhere() -> None:
    """The key of a variant depends on nothing but its arguments: other processes find it."""
    headers = [(AE, b"gzip, br"), (b"host", b"example.org")]

    encoded = b"2,15:accept-encoding1,7:br,gzip15:accept-language0,1,4:user"

    assert variant_digest((AE, AL), headers, ("user",)) == blake2b(encoded, digest_size=16).hexdigest()


HEADERS = st.lists(st.tuples(st.sampled_from([AE, AL, UA, b"x"]), st.binary(max_size=4)), max_size=4)
NAMES = st.sets(st.sampled_from([AE, AL, UA, b"x", b"x1"])).map(sorted)
EXTRA = st.lists(st.text(max_size=2), max_size=3)
ASKED = st.tuples(NAMES, HEADERS, EXTRA)
Asked = tuple[list[bytes], list[tuple[bytes, bytes]], list[str]]


@given(ASKED, ASKED)
def test_digests_are_injective(one: Asked, other: Asked) -> None:
    """Two requests have one digest exactly if they agree in every selecting field and every extra."""
    assert (variant_digest(*one) == variant_digest(*other)) is (_compared(one) == _compared(other))


def _compared(asked: Asked) -> object:
    names, headers, extra = asked
    return [(name, normalise(name, [v for k, v in headers if k == name])) for name in names], extra


PAIRS: list[tuple[Asked, Asked]] = [
    (([b"ab"], [(b"ab", b"c")], []), ([b"a"], [(b"a", b"bc")], [])),
    (([b"a"], [(b"a", b"1"), (b"a", b"2")], []), ([b"a"], [(b"a", b"12")], [])),
    (([b"a"], [(b"a", b"x")], []), ([b"a"], [], ["x"])),
    (([], [], ["a", "b"]), ([], [], ["ab"])),
    (([], [], ["a", ""]), ([], [], ["a"])),
    (([], [], ["1:a"]), ([], [], ["a"])),
    (([], [], ["\ud800"]), ([], [], ["\ud801"])),
]


@pytest.mark.parametrize("one,other", PAIRS)
def test_parts_do_not_run_together(one: Asked, other: Asked) -> None:
    """Moving a byte from one part to the next gives another digest."""
    assert variant_digest(*one) != variant_digest(*other)
