"""Dictionaries of structured fields, with the RFC's own examples (RFC 9651 sections 3.2 and 4.2.2)."""

from __future__ import annotations

from base64 import b64encode
from decimal import Decimal
from time import process_time

import pytest
from hypothesis import given, strategies as st

from asynccache.http._rfc9111.structured import Item, dictionary


@pytest.mark.parametrize(
    "value,members",
    [
        (b'en="Applepie", da=:w4ZibGV0w6ZydGU=:', {"en": "Applepie", "da": "Æbletærte".encode()}),
        (b"a=?0, b, c; foo=bar", {"a": False, "b": True, "c": True}),
        (b"rating=1.5, feelings=(joy sadness)", {"rating": 1.5, "feelings": None}),
        (b"a=(1 2), b=3, c=4;aa=bb, d=(5 6);valid", {"a": None, "b": 3, "c": 4, "d": None}),
        (b"foo=1, bar=2", {"foo": 1, "bar": 2}),
        (b"a=?0, b=?1, c=@1659578233", {"a": False, "b": True, "c": None}),
        (b'title=%"This is intended for display to %c3%bcsers."', {"title": None}),
    ],
)
def test_examples(value: bytes, members: dict[str, Item]) -> None:
    """The dictionaries that RFC 9651 gives as examples; of types that no directive has, None is kept."""
    assert dictionary([value]) == members


@pytest.mark.parametrize(
    "lines,members",
    [
        ([], {}),
        ([b""], {}),
        ([b"  "], {}),
        ([b"foo=1", b"bar=2"], {"foo": 1, "bar": 2}),
        ([b"foo=1 ", b"\tbar=2"], {"foo": 1, "bar": 2}),
        ([b" a=1"], {"a": 1}),
        ([b"a=1\t,\tb=2"], {"a": 1, "b": 2}),
        ([b"a=1,b=2"], {"a": 1, "b": 2}),
        ([b"a=1, b=2, a=3"], {"a": 3, "b": 2}),
        ([b"a=1", b"a=2;x"], {"a": 2}),
        ([b"a=1, a"], {"a": True}),
        ([b"*=1, *a-b_c.d*=2"], {"*": 1, "*a-b_c.d*": 2}),
    ],
)
def test_lines_whitespace_and_duplicates(lines: list[bytes], members: dict[str, Item]) -> None:
    """All lines are one list (section 4.2), and the last member of a key counts (section 4.2.2)."""
    assert dictionary(lines) == members


@pytest.mark.parametrize(
    "text,item",
    [
        (b"0", 0),
        (b"-0", 0),
        (b"007", 7),
        (b"-42", -42),
        (b"999999999999999", 999999999999999),
        (b"4.5", 4.5),
        (b"-0.5", -0.5),
        (b"123456789012.125", 123456789012.125),
        (b'""', ""),
        (rb'"a \"b\" \\c"', 'a "b" \\c'),
        (b'"max-age, ;=("', "max-age, ;=("),
        (b"tok/en:*", "tok/en:*"),
        (b"*tok", "*tok"),
        (b"a!#$%&'*+-.^_`|~", "a!#$%&'*+-.^_`|~"),
        (b"::", b""),
        (b":YQ==:", b"a"),
        (b":YQ:", b"a"),
        (b"?1", True),
        (b"?0", False),
        (b"@-1", None),
        (b'%""', None),
        (b'%"\\"', None),
        (b"()", None),
        (b"(  )", None),
        (b'( 1;a  "x";b=2 tok )', None),
    ],
)
def test_items(text: bytes, item: Item) -> None:
    """Every type of RFC 9651 section 3.3 is read as a value, with parameters or without (section 4.2.3)."""
    for parameters in (b"", b";a", b";a=1;b", b"; a=?0", b";   a=:YQ==:", b';*="x"', b";a=tok"):
        assert dictionary([b"k=" + text + parameters]) == {"k": item}


@pytest.mark.parametrize(
    "text",
    [
        b"+1",
        b"--1",
        b"-",
        b"- 1",
        b"1.",
        b".5",
        b"1.2345",
        b"1.5.5",
        b"1e3",
        b"1000000000000000",
        b"1234567890123.0",
        b"0x1",
        b"1 2",
        b'"',
        b'"a',
        b'"a\\"',
        b'"\\a"',
        b'"\x7f"',
        b'"\t"',
        b'"\xe4"',
        b"'1'",
        b"=1",
        b"{1}",
        b"?",
        b"?2",
        b"?true",
        b":",
        b":a",
        b":a:",
        b":a b:",
        b":YQ=Q:",
        b":-_:",
        b"@",
        b"@1.5",
        b"@1000000000000000",
        b'%"%C3%BC"',
        b'%"%c3"',
        b'%"%"',
        b'%"%zz"',
        b"%x",
        b"(",
        b"(1",
        b"(1,2)",
        b'(1"a")',
        b"(1))",
        b"((1))",
        b"(1;)",
        b"\xe4",
        b"tok\xe4",
        b"1\x00",
        b"",
    ],
)
def test_malformed_items(text: bytes) -> None:
    """One malformed value voids the whole field, wherever it stands (RFC 9651 section 1.1)."""
    for lines in ([b"k=" + text], [b"a=1, k=" + text], [b"k=" + text + b", a=1"], [b"a;x=" + text]):
        assert dictionary(lines) is None


@pytest.mark.parametrize(
    "lines",
    [
        [b","],
        [b"a=1,"],
        [b"a=1, "],
        [b",a=1"],
        [b"a=1,,b=2"],
        [b"a=1", b""],
        [b"a=1 b=2"],
        [b"a=1;b=2 c=3"],
        [b"a =1"],
        [b"a= 1"],
        [b"a=1 ;b"],
        [b"a=1;\tb"],
        [b"a=1; "],
        [b"a;=1"],
        [b"a;B=1"],
        [b"A=1"],
        [b"Max-Age=1"],
        [b"1a=1"],
        [b"-a=1"],
        [b'"a"=1'],
        [b"a=1; b=(1)"],
        [b"\xe4=1"],
    ],
)
def test_malformed_dictionaries(lines: list[bytes]) -> None:
    """Trailing commas, capitals, spaces around an equals sign: what lists forgive voids the field."""
    assert dictionary(lines) is None


KEYS = st.from_regex(r"[a-z*][a-z0-9_\-.*]{0,8}", fullmatch=True)
TOKENS = st.from_regex(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]{0,8}", fullmatch=True)
STRINGS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
DECIMALS = st.decimals(-999_999_999_999, 999_999_999_999, places=3)


def written(value: object) -> str:
    """Serialise a value as RFC 9651 section 4.1.3.1 says."""
    match value:
        case bool():
            return f"?{value:d}"
        case int() | Decimal():
            return str(value)
        case bytes():
            return f":{b64encode(value).decode()}:"
        case _:
            text = str(value).replace("\\", r"\\").replace('"', r"\"")
            return f'"{text}"'


ITEMS = st.one_of(
    (
        st.booleans()
        | st.integers(-999_999_999_999_999, 999_999_999_999_999)
        | STRINGS
        | st.binary(max_size=12)
    ).map(lambda value: (written(value), value)),
    DECIMALS.map(lambda value: (written(value), float(value))),
    TOKENS.map(lambda token: (token, token)),
)
PARAMETERS = st.lists(st.tuples(st.sampled_from(["", " ", "  "]), KEYS, st.none() | ITEMS), max_size=2).map(
    lambda found: "".join(f";{gap}{key}" + (f"={item[0]}" if item else "") for gap, key, item in found)
)
MEMBERS = st.lists(st.tuples(KEYS, st.none() | ITEMS, PARAMETERS), min_size=1, max_size=6)


@given(MEMBERS, st.data())
def test_what_is_written_is_read(
    members: list[tuple[str, tuple[str, Item] | None, str]], data: st.DataObject
) -> None:
    """Any dictionary, with any spacing and over any number of lines, has the members it was made of."""
    text = ""
    for index, (key, item, parameters) in enumerate(members):
        gap = data.draw(st.sampled_from([", ", ",", " ,\t", "\n"])) if index else ""
        text += gap + key + (f"={item[0]}" if item else "") + parameters

    expected = {key: True if item is None else item[1] for key, item, _ in members}

    assert dictionary(text.encode().split(b"\n")) == expected


PIECES = st.sampled_from(b'a=1 ,|a|=|"|(|)|;|:|?1|@1|%"|\\|-|.|*| |\t|,|\xff'.split(b"|")) | st.binary(
    max_size=3
)


@given(st.lists(st.binary() | st.lists(PIECES, max_size=20).map(b"".join), max_size=3))
def test_no_bytes_raise(lines: list[bytes]) -> None:
    """Whatever arrives is a dictionary or is not."""
    members = dictionary(lines)

    assert members is None or all(key.isascii() for key in members)


@pytest.mark.parametrize(
    "piece",
    [
        b"a,",
        b"a;",
        b"a;a=",
        b"(",
        b"( ",
        b"(a ",
        b'"',
        b'"\\',
        b'\\"',
        b"a",
        b"1",
        b" ",
        b"\t",
        b":",
        b"%a0",
        b"=",
        b",",
    ],
)
def test_hostile_dictionaries_take_linear_time(piece: bytes) -> None:
    """64 kB, the most a server accepts, of any troublesome text take a fraction of a second."""
    text = piece * (65_536 // len(piece))
    for value in (
        text,
        b"a=" + text,
        b"a=(" + text,
        b'a="' + text,
        b'a=%"' + text,
        b"a;" + text,
        b"a=:" + text,
    ):
        started = process_time()
        dictionary([value])
        assert process_time() - started < 1
