"""Published vulnerabilities of other caches, as far as the pure functions can repeat them."""

from __future__ import annotations

import pytest

from asynccache.http._rfc9111.selection import normalise, variant_digest, vary_names
from asynccache.http._rfc9111.storing import is_shared, refusal, replayable
from asynccache.http._rfc9111.validation import make_etag

OK = frozenset({200})


@pytest.mark.parametrize(
    "value", [b"", b"max-age=3600", b"must-revalidate", b"no-cache", b"x-public", b"s-maxage=0"]
)
def test_django_cve_2026_35193_answers_to_authorised_requests_are_not_shared(value: bytes) -> None:
    """Unless the response itself says that it may be shared, it answers nobody but who asked."""
    assert not is_shared([(b"cache-control", value)])


def test_django_cve_2026_35193_vary_authorization_keeps_users_apart() -> None:
    """A response that varies by Authorization is selected by its exact value."""
    names = (b"authorization",)
    alice, bob = [(b"authorization", b"Basic YQ=="), (b"authorization", b"basic yq==")]

    assert vary_names([(b"vary", b"Authorization")]) == names
    assert len({variant_digest(names, headers) for headers in ([alice], [bob], [], [alice, bob])}) == 4


@pytest.mark.parametrize("value", [b"*", b"Accept, *", b"*, Accept", b" * ", b"*,*", b",*"])
def test_django_cve_2026_6907_vary_any_is_never_stored(value: bytes) -> None:
    """An asterisk anywhere in Vary, on any line, refuses the response."""
    assert refusal(200, [(b"vary", value)], statuses=OK) == "vary-any"
    assert refusal(200, [(b"Vary", b"accept"), (b"VARY", value)], statuses=OK) == "vary-any"


@pytest.mark.parametrize("directive", ["private", "no-store"])
@pytest.mark.parametrize(
    "form", ["{}", "max-age=1,{}", "{} ,public", "{}=1", '{}="x"', "\t{}\t", 'a="b,c", {}']
)
def test_django_cve_2026_8404_case_does_not_hide_a_directive(directive: str, form: str) -> None:
    """Private and No-Store refuse the response in every spelling, on any line."""
    for spelling in (directive, directive.upper(), directive.title(), directive.swapcase()):
        field = (b"Cache-Control", form.format(spelling).encode())

        assert refusal(200, [(b"cache-control", b"public"), field], statuses=OK) == directive


@pytest.mark.parametrize(
    "value",
    [b"x-private-thing", b"private2", b"no-stores", b'foo="no-store"', b'foo="a, private"', b"noprivate=1"],
)
def test_django_cve_2026_8404_look_alikes_do_not_refuse(value: bytes) -> None:
    """The follow-up of that fix: a substring is no directive."""
    assert refusal(200, [(b"cache-control", value)], statuses=OK) is None


def test_litestar_replayed_cookies_and_private_responses() -> None:
    """Alice's Set-Cookie and private response never reach Bob."""
    headers = [(b"Set-Cookie", b"session=alice"), (b"cache-control", b"private, no-store")]

    assert refusal(200, headers, statuses=OK) is not None
    assert all(name != b"set-cookie" for name, _ in replayable(headers))


def test_litestar_gave_gzip_to_a_client_that_asked_for_identity() -> None:
    """Encoded bytes are stored only where Vary keeps clients apart, and then it does."""
    assert refusal(200, [(b"content-encoding", b"gzip")], statuses=OK) == "content-encoding"
    assert normalise(b"accept-encoding", [b"identity"]) != normalise(b"accept-encoding", [b"gzip"])


def test_starlette_looks_for_gzip_in_the_text() -> None:
    """Its GZipMiddleware answers gzip;q=0 with gzip, which must not become the answer to br alone."""
    assert normalise(b"accept-encoding", [b"gzip;q=0, br"]) != normalise(b"accept-encoding", [b"br"])


def test_fastapi_cache_made_malformed_entity_tags() -> None:
    """Tags are quoted."""
    tag = make_etag(b"body")

    assert tag.startswith(b'"')
    assert tag.endswith(b'"')


def test_vinext_cache_keys_were_not_injective() -> None:
    """Commas and undecodable text in what distinguishes users keep them apart."""
    extras = [("a,b",), ("a", "b"), ("a\ufffd",), ("a\udcff",), ("a\udcfe",)]

    assert len({variant_digest((), [], extra) for extra in extras}) == len(extras)
