"""The Cache-Status field (RFC 9211)."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from asynccache.http.cache_status import append, forward, hit


def test_hits() -> None:
    """A hit says how long it stays fresh, in whole seconds, and a stale one that it is."""
    assert hit(30) == b"asynccache; hit; ttl=30"
    assert hit(30.9) == b"asynccache; hit; ttl=30"
    assert hit(-412, name="ExampleCache") == b"ExampleCache; hit; ttl=-412"
    assert hit(-0.5, stale=True) == b"asynccache; hit; ttl=-1; detail=stale"
    assert hit(-3, stale=True, detail="refreshing") == b"asynccache; hit; ttl=-3; detail=refreshing"


def test_a_ttl_without_end_is_written_as_the_greatest_integer() -> None:
    """Structured fields have integers of 15 digits at most (RFC 8941 section 3.3.1)."""
    assert hit(1e300) == b"asynccache; hit; ttl=999999999999999"
    assert hit(float("inf")) == b"asynccache; hit; ttl=999999999999999"


def test_forwards() -> None:
    """Each parameter appears where it is true, in the order of the RFC."""
    assert forward("uri-miss") == b"asynccache; fwd=uri-miss"
    assert forward("stale", status=304) == b"asynccache; fwd=stale; fwd-status=304"
    assert (
        forward("miss", status=200, stored=True, collapsed=True, detail="x", name="C")
        == b"C; fwd=miss; fwd-status=200; stored; collapsed; detail=x"
    )


@pytest.mark.parametrize(
    "text,item",
    [
        ("set-cookie", b"set-cookie"),
        ("a:b/c*", b"a:b/c*"),
        ("*", b"*"),
        ("two words", b'"two words"'),
        ("1st", b'"1st"'),
        ("", b'""'),
        ('say "x\\y"', b'"say \\"x\\\\y\\""'),
        ("a, b; hit", b'"a, b; hit"'),
        ("a\r\nx: y", b'"a??x: y"'),
        ("é\x7f", b'"??"'),
    ],
)
def test_texts_are_escaped(text: str, item: bytes) -> None:
    """Whatever a name or a detail holds, it stays one token or string (RFC 8941 sections 3.3.3 and 3.3.4)."""
    assert forward("miss", detail=text) == b"asynccache; fwd=miss; detail=" + item
    assert hit(1, name=text) == item + b"; hit; ttl=1"


@given(st.text())
def test_no_text_breaks_the_field(text: str) -> None:
    """A member never holds a control character, and its quotes are balanced."""
    member = hit(1, detail=text)

    assert all(0x20 <= byte < 0x7F for byte in member)
    assert member.replace(b"\\\\", b"").replace(b'\\"', b"").count(b'"') in (0, 2)


def test_our_member_comes_last() -> None:
    """Caches nearer the origin come first, and what they said is kept."""
    headers = [(b"cache-status", b"OriginCache; hit; ttl=1100"), (b"x", b"y")]

    append(headers, hit(545))

    assert [value for name, value in headers if name == b"cache-status"] == [
        b"OriginCache; hit; ttl=1100",
        b"asynccache; hit; ttl=545",
    ]
