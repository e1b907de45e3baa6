"""Reading fields: lists, directives, ages and entity tags, with the RFCs' own examples."""

from __future__ import annotations

import pytest

from asynccache.http._rfc9111.fields import (
    MAX_DELTA,
    EntityTag,
    age,
    cache_control,
    entity_tags,
    field_values,
    is_token,
    list_members,
)


def test_names_match_in_any_case_and_only_whole() -> None:
    """Applications send mixed case; a longer name is another field."""
    headers = [(b"Vary", b"a"), (b"vary", b"b"), (b"VARY", b"c"), (b"x-vary", b"d"), (b"vary-x", b"e")]

    assert field_values(headers, b"vary") == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    "value,members",
    [
        (b"foo,bar", [b"foo", b"bar"]),
        (b"foo ,bar,", [b"foo", b"bar"]),
        (b"foo , ,bar,charlie", [b"foo", b"bar", b"charlie"]),
        (b"", []),
        (b",", []),
        (b",   ,", []),
    ],
)
def test_list_examples_of_rfc_9110_section_5_6_1(value: bytes, members: list[bytes]) -> None:
    """The RFC's valid and empty lists are read as it says."""
    assert list_members([(b"example", value)], b"example") == members


@pytest.mark.parametrize(
    "lines,members",
    [
        ([b"a", b"b, c"], [b"a", b"b", b"c"]),
        ([b'"a,b", c'], [b'"a,b"', b"c"]),
        ([rb'"a\",b", c'], [rb'"a\",b"', b"c"]),
        ([rb'"a\\", b'], [rb'"a\\"', b"b"]),
        ([rb"a\,b"], [b"a\\", b"b"]),
        ([b'x="1,2";y, z'], [b'x="1,2";y', b"z"]),
        ([b'"a, b'], [b'"a', b"b"]),
        ([b'"a', b'b"'], [b'"a', b'b"']),
    ],
)
def test_commas_within_quotes_do_not_separate(lines: list[bytes], members: list[bytes]) -> None:
    """Quoted strings are kept whole with their escapes; a quote never closed hides nothing."""
    assert list_members([(b"x", line) for line in lines], b"x") == members


@pytest.mark.parametrize(
    "value",
    [
        b"private",
        b"PRIVATE",
        b"Private",
        b" private ",
        b"max-age=1,private",
        b"private, max-age=1",
        b"private=x",
    ],
)
def test_directives_are_found_in_any_case_and_place(value: bytes) -> None:
    """Directive names are case-insensitive (RFC 9111 section 5.2)."""
    assert cache_control([(b"Cache-Control", value)]).has("private")


@pytest.mark.parametrize(
    "value",
    [
        b"x-private-thing",
        b"private2",
        b"privat",
        b'foo="private"',
        b'foo="a, private, b"',
        b'"private"',
        b"foo=private",
        b"private-x=1",
        rb'foo="\", private, \""',
    ],
)
def test_look_alikes_are_other_directives(value: bytes) -> None:
    """Only a whole token is a directive, never a part of one, nor text in quotes."""
    assert not cache_control([(b"cache-control", value)]).has("private")


@pytest.mark.parametrize(
    "value", [b'foo="a, private', b"max-age=1; private", b"public; private", b"private ; x", b'private ="x"']
)
def test_malformed_fields_do_not_hide_restrictions(value: bytes) -> None:
    """Unclosed quotes, semicolons for commas and stray spaces leave a restriction in force."""
    assert cache_control([(b"cache-control", value)]).has("private")


@pytest.mark.parametrize(
    "value,expected",
    [
        (b"", None),
        (b"max-age=60", 60),
        (b'MAX-AGE="60"', 60),
        (b"max-age=007", 7),
        (b"max-age=0", 0),
        (b"max-age=000", 0),
        (b"max-age=2147483648", MAX_DELTA),
        (b"max-age=2147483649", MAX_DELTA),
        (b"max-age=" + b"9" * 10_000, MAX_DELTA),
        (b"max-age=" + b"0" * 10_000 + b"5", 5),
        (b"max-age=60, max-age=5", 5),
        (b"max-age=5, max-age=60", 5),
        (b"max-age=60, max-age=x", 0),
        (b"max-age=-1", 0),
        (b"max-age=+1", 0),
        (b"max-age=1.5", 0),
        (b"max-age=1e3", 0),
        (b"max-age=1_0", 0),
        (b"max-age=0x10", 0),
        (b"max-age='60'", 0),
        (b"max-age=60s", 0),
        (b"max-age= 60", 0),
        (b"max-age =60", 0),
        (b"max-age=", 0),
        (b"max-age", 0),
        ("max-age=\u0661".encode(), 0),
    ],
)
def test_seconds(value: bytes, expected: int | None) -> None:
    """Whole numbers count, up to 2**31; what is none is stale, as RFC 9111 section 4.2.1 encourages."""
    assert cache_control([(b"cache-control", value)]).seconds("max-age") == expected


def test_duplicates_over_several_lines_are_the_most_restrictive() -> None:
    """The shortest time counts, on whichever line it stands (RFC 9111 section 4.2.1)."""
    directives = cache_control([(b"cache-control", b"s-maxage=9"), (b"Cache-Control", b"S-MaxAge=3, public")])

    assert directives.seconds("s-maxage") == 3
    assert directives.has("public")


@pytest.mark.parametrize(
    "value,directive,expected",
    [
        (b"min-fresh=5, min-fresh=60", "min-fresh", 60),
        (b"min-fresh=x", "min-fresh", MAX_DELTA),
        (b"max-stale", "max-stale", MAX_DELTA),
        (b"max-stale, max-stale=5", "max-stale", 5),
        (b"max-stale=x", "max-stale", 0),
    ],
)
def test_seconds_of_request_directives(value: bytes, directive: str, expected: int) -> None:
    """Restrictive is the longest min-fresh and the shortest max-stale (RFC 9111 section 5.2.1)."""
    assert cache_control([(b"cache-control", value)]).seconds(directive) == expected


@pytest.mark.parametrize(
    "value,names",
    [
        (b"private", ()),
        (b'private="Set-Cookie, X-User"', (b"set-cookie", b"x-user")),
        (b"private=x-user", (b"x-user",)),
        (b'private="a", private="b, a"', (b"a", b"b")),
        (b'private="a", private', ()),
        (b'private=""', ()),
        (b"private=", ()),
        (b'private=" , "', ()),
        (rb'private="\a"', (b"a",)),
        (b"public", ()),
    ],
)
def test_qualified_directives(value: bytes, names: tuple[bytes, ...]) -> None:
    """The fields are those of all qualified forms, or none once one form speaks of the whole response."""
    assert cache_control([(b"cache-control", value)]).fields("private") == names


def test_targeted_fields_have_directives_of_their_own() -> None:
    """CDN-Cache-Control is read like Cache-Control, and apart from it (RFC 9213)."""
    headers = [(b"cache-control", b"max-age=1"), (b"cdn-cache-control", b"max-age=2")]

    assert cache_control(headers, b"cdn-cache-control").seconds("max-age") == 2


def test_directives_tell_what_they_hold() -> None:
    """The representation names the directives."""
    assert repr(cache_control([(b"cache-control", b"public, max-age=1")])) == "<Directives public max-age>"
    assert repr(cache_control([])) == "<Directives none>"


@pytest.mark.parametrize(
    "lines,expected",
    [
        ([], None),
        ([b"0"], 0),
        ([b" 12 "], 12),
        ([b"12, 99"], 12),
        ([b"12", b"99"], 12),
        ([b"99999999999"], MAX_DELTA),
        ([b"-1"], None),
        ([b"1.5"], None),
        ([b"soon"], None),
        ([b"soon, 5"], None),
        ([b""], None),
    ],
)
def test_age(lines: list[bytes], expected: int | None) -> None:
    """Of a list the first member counts, and an invalid one is ignored (RFC 9111 section 5.1)."""
    assert age([(b"Age", line) for line in lines]) == expected


@pytest.mark.parametrize(
    "value,tags",
    [
        (b'"xyzzy"', [EntityTag(b'"xyzzy"', weak=False)]),
        (b'W/"xyzzy"', [EntityTag(b'"xyzzy"', weak=True)]),
        (b'""', [EntityTag(b'""', weak=False)]),
        (
            b'"xyzzy", "r2d2xxxx", "c3piozzzz"',
            [EntityTag(tag, weak=False) for tag in (b'"xyzzy"', b'"r2d2xxxx"', b'"c3piozzzz"')],
        ),
        (
            b'W/"xyzzy", W/"r2d2xxxx", W/"c3piozzzz"',
            [EntityTag(tag, weak=True) for tag in (b'"xyzzy"', b'"r2d2xxxx"', b'"c3piozzzz"')],
        ),
        (b'"a,b", "c d"', [EntityTag(b'"a,b"', weak=False), EntityTag(b'"c d"', weak=False)]),
        (rb'"a\", "b"', [EntityTag(b'"a\\"', weak=False), EntityTag(b'"b"', weak=False)]),
        (b'xyzzy, w/"a", "b', []),
        (b'"a"b, "c"', [EntityTag(b'"c"', weak=False)]),
        (b'*, "a"', [EntityTag(b'"a"', weak=False)]),
    ],
)
def test_entity_tags(value: bytes, tags: list[EntityTag]) -> None:
    """The examples of RFC 9110 sections 8.8.3 and 13.1.2 are read; malformed members are left out."""
    assert entity_tags([(b"if-none-match", value)], b"if-none-match") == tuple(tags)


def test_any_entity_tag() -> None:
    """A lone asterisk means any, on whichever of the lines."""
    assert entity_tags([(b"if-none-match", b" * ")], b"if-none-match") == "*"
    assert entity_tags([(b"if-none-match", b""), (b"if-none-match", b"*")], b"if-none-match") == "*"


def test_tokens() -> None:
    """Field names are tokens: no spaces, no separators, not empty (RFC 9110 section 5.6.2)."""
    assert is_token(b"X-Field_1.~")
    assert not any(map(is_token, (b"", b"a b", b"a:b", b'"a"', b"a\n", b"\xe4")))
