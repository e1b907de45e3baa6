"""What unsafe requests invalidate (RFC 9111 section 4.4), resolved as RFC 3986 section 5 does."""

from __future__ import annotations

import pytest

from asynccache.http._rfc9111.invalidation import SAFE, UNSAFE, invalidates, is_unsafe, same_origin_targets

BASE = (b"/b/c/d;p", b"q")


def targets(reference: bytes, name: bytes = b"location") -> list[tuple[bytes, bytes]]:
    return same_origin_targets([(name, reference)], "http", b"a", *BASE)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "FROBNICATE", "get", ""])
def test_unknown_methods_count_as_unsafe(method: str) -> None:
    """A method whose safety is unknown invalidates too."""
    assert is_unsafe(method)


def test_safe_methods_are_safe() -> None:
    """The registered safe methods never invalidate, and the sets do not overlap."""
    assert {"GET", "HEAD", "OPTIONS", "TRACE"} <= SAFE
    assert not any(map(is_unsafe, SAFE))
    assert SAFE.isdisjoint(UNSAFE)


@pytest.mark.parametrize(
    "method,status,expected",
    [
        ("POST", 200, True),
        ("PUT", 204, True),
        ("DELETE", 399, True),
        ("POST", 303, True),
        ("POST", 199, False),
        ("POST", 400, False),
        ("DELETE", 404, False),
        ("PUT", 500, False),
        ("GET", 200, False),
    ],
)
def test_only_success_invalidates(method: str, status: int, expected: bool) -> None:
    """An error leaves the cache alone, or anybody could empty it."""
    assert invalidates(method, status) is expected


@pytest.mark.parametrize(
    "reference,path,query",
    [
        (b"g", b"/b/c/g", b""),
        (b"./g", b"/b/c/g", b""),
        (b"g/", b"/b/c/g/", b""),
        (b"/g", b"/g", b""),
        (b"?y", b"/b/c/d;p", b"y"),
        (b"g?y", b"/b/c/g", b"y"),
        (b"#s", b"/b/c/d;p", b"q"),
        (b"g#s", b"/b/c/g", b""),
        (b"g?y#s", b"/b/c/g", b"y"),
        (b";x", b"/b/c/;x", b""),
        (b"g;x", b"/b/c/g;x", b""),
        (b"g;x?y#s", b"/b/c/g;x", b"y"),
        (b"", b"/b/c/d;p", b"q"),
        (b".", b"/b/c/", b""),
        (b"./", b"/b/c/", b""),
        (b"..", b"/b/", b""),
        (b"../", b"/b/", b""),
        (b"../g", b"/b/g", b""),
        (b"../..", b"/", b""),
        (b"../../", b"/", b""),
        (b"../../g", b"/g", b""),
        (b"../../../g", b"/g", b""),
        (b"../../../../g", b"/g", b""),
        (b"/./g", b"/g", b""),
        (b"/../g", b"/g", b""),
        (b"g.", b"/b/c/g.", b""),
        (b".g", b"/b/c/.g", b""),
        (b"g..", b"/b/c/g..", b""),
        (b"..g", b"/b/c/..g", b""),
        (b"./../g", b"/b/g", b""),
        (b"./g/.", b"/b/c/g/", b""),
        (b"g/./h", b"/b/c/g/h", b""),
        (b"g/../h", b"/b/c/h", b""),
        (b"g;x=1/./y", b"/b/c/g;x=1/y", b""),
        (b"g;x=1/../y", b"/b/c/y", b""),
        (b"g?y/./x", b"/b/c/g", b"y/./x"),
        (b"g?y/../x", b"/b/c/g", b"y/../x"),
        (b"g#s/../x", b"/b/c/g", b""),
    ],
)
def test_references_of_rfc_3986_section_5_4(reference: bytes, path: bytes, query: bytes) -> None:
    """The RFC's normal and abnormal examples resolve as printed, from Location and Content-Location alike."""
    assert targets(reference) == targets(reference, b"Content-Location") == [(path, query)]


@pytest.mark.parametrize(
    "reference,expected",
    [
        (b"http://a", [(b"/", b"")]),
        (b"http://a?x", [(b"/", b"x")]),
        (b"HTTP://A/x?y", [(b"/x", b"y")]),
        (b"http://a:80/x", [(b"/x", b"")]),
        (b"http://a:/x", [(b"/x", b"")]),
        (b"//a/x//y/", [(b"/x//y/", b"")]),
        (b"/%7Eb/%2e", [(b"/%7Eb/%2e", b"")]),
        (b" /x ", [(b"/x", b"")]),
    ],
)
def test_absolute_references_to_the_same_origin(
    reference: bytes, expected: list[tuple[bytes, bytes]]
) -> None:
    """Scheme and host compare in any case and with the default port; escapes stay as they are."""
    assert targets(reference) == expected


@pytest.mark.parametrize(
    "reference",
    [
        b"http://b/x",
        b"//g",
        b"g:h",
        b"http:g",
        b"https://a/x",
        b"http://a:8080/x",
        b"http://user@a/x",
        b"http://a.evil/x",
        b"http://a@evil/x",
        b"javascript:alert(1)",
        b"/x y",
        b"/x\x00",
        b"/x\r\ny",
        b"\\\\a\\x",
        b"/\xff",
        b"http://[::1",
        b"http:///x",
    ],
)
def test_other_origins_and_garbage_are_left_alone(reference: bytes) -> None:
    """One site cannot empty another's cache, and what is no URI names nothing."""
    assert targets(reference) == []


def test_ports_and_addresses() -> None:
    """An origin with a port or an IPv6 address is recognised as itself only."""
    location = [(b"location", b"https://[::1]:443/x"), (b"content-location", b"https://[::1]:8443/y")]

    assert same_origin_targets(location, "https", b"[::1]", b"/") == [(b"/x", b"")]
    assert same_origin_targets(location, "https", b"[::1]:8443", b"/") == [(b"/y", b"")]


def test_each_target_once() -> None:
    """Location and Content-Location often name the same resource."""
    headers = [(b"location", b"/x"), (b"Content-Location", b"http://a/x"), (b"content-location", b"/y")]

    assert same_origin_targets(headers, "http", b"a", b"/") == [(b"/x", b""), (b"/y", b"")]
