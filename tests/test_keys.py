"""Keys: distinct questions never share one, equal questions always do, in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from hypothesis import example, given, strategies as st

from asynccache.errors import ConfigurationError, InvalidKeyError
from asynccache.keys import KeyTemplate, Namespace, call_key, check_key, describe, digest, split

# -- check_key ------------------------------------------------------------------------------------


class Text(str):
    __slots__ = ()


class Instant(datetime):
    """As freezegun's and pendulum's."""


class Day(date):
    """A date of its own."""


class Span(timedelta):
    """A duration of its own."""


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    ONE = 1


class Kind(StrEnum):
    RED = "red"


class Bits(Flag):
    A = 1
    B = 2


class Other:
    """A second enum with the names of the first."""

    class Color(Enum):
        RED = "red"


@pytest.mark.parametrize("key", ["a", "Straße", "\0", "\n", " ", "k" * 10_000, "😀"])
def test_any_text_is_a_key(key: str) -> None:
    """Every non-empty text that UTF-8 can encode is returned as it is."""
    assert check_key(key) == key


@pytest.mark.parametrize("key", [None, 1, b"k", ("k",), 1.5])
def test_only_text_is_a_key(key: object) -> None:
    """What is not a str is a TypeError that names the argument and the type."""
    with pytest.raises(TypeError, match=f"tag must be a str, not {type(key).__name__}"):
        check_key(key, "tag")


@pytest.mark.parametrize("key", ["", "\ud800", "a\udfff", Text("")])
def test_text_no_store_can_hold_is_refused(key: str) -> None:
    """Empty text and lone surrogates are InvalidKeyErrors."""
    with pytest.raises(InvalidKeyError, match=r"\Akey "):
        check_key(key)


@pytest.mark.parametrize("key, plain", [(Text("k"), "k"), (Kind.RED, "red")])
def test_subclasses_of_str_become_str(key: str, plain: str) -> None:
    """A driver sees exact strings only."""
    assert check_key(key) == plain
    assert type(check_key(key)) is str


def test_digest_is_blake2b_128() -> None:
    """The digest is the known one, for stores written by another version."""
    assert digest("abc") == "cf4ab791c62b8d2b2109c90275287816"


# -- namespaces -----------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
awkward = st.text(":#~@%/.aé2A5", min_size=1, max_size=4)
segments = st.lists(names | awkward, min_size=1, max_size=3)


def prefixes(namespace: Namespace) -> dict[str, str]:
    return {
        "value": namespace.value_prefix,
        "tag": namespace.tag_prefix,
        "soft_tag": namespace.soft_tag_prefix,
        "http": namespace.http_prefix,
    }


def test_a_full_key_is_readable() -> None:
    """Prefixes look as documented."""
    shop = Namespace("shop")
    assert (shop.prefix, shop.child("eu").prefix) == ("shop:", "shop:eu:")
    assert shop.value_prefix + "user:42" == "shop::user:42"
    assert (shop.tag_prefix, shop.soft_tag_prefix, shop.http_prefix) == ("shop:#", "shop:~", "shop:@")
    assert Namespace("a:b%é").prefix == "a%3Ab%25%C3%A9:"
    assert repr(shop.child("e:u")) == "Namespace('shop', 'e:u')"
    assert shop.child("eu") == Namespace("shop", "eu")
    assert hash(shop) == hash(Namespace("shop"))


@given(segments, st.sampled_from(["value", "tag", "soft_tag", "http"]), names | awkward)
def test_split_is_the_inverse(path: list[str], kind: str, name: str) -> None:
    """Namespace, kind and name are recovered from every full key, so no two share one."""
    namespace = Namespace(*path)
    assert split(prefixes(namespace)[kind] + name) == (namespace, kind, name)


@given(segments, segments, names | awkward)
@example(["a"], ["a", "b"], "x")
@example(["a"], ["ab"], "b:x")
def test_a_prefix_covers_a_namespace_and_its_children(one: list[str], two: list[str], name: str) -> None:
    """A key begins with a namespace's prefix exactly if it belongs to it or to a child."""
    key = Namespace(*two).value_prefix + name
    assert key.startswith(Namespace(*one).prefix) == (two[: len(one)] == one)


@pytest.mark.parametrize("name", ["", None, 1, b"a", "\ud800"])
def test_a_namespace_is_text(name: Any) -> None:
    """Anything but non-empty text is a configuration error."""
    with pytest.raises(ConfigurationError, match="namespace"):
        Namespace(name)
    with pytest.raises(ConfigurationError, match="namespace"):
        Namespace("a").child(name)


def test_a_namespace_has_a_name() -> None:
    """There is no unnamed namespace: clearing it would clear what others share."""
    with pytest.raises(ConfigurationError, match="at least one"):
        Namespace()


@pytest.mark.parametrize(
    "key", ["", "a", ":a", "a:", "a::", "a:b", "%zz::k", "%61::k", "%ff::k", "a::k"[:-1], "é::k"]
)
def test_foreign_keys_are_not_split(key: str) -> None:
    """What asynccache would not write, canonical percent-encoding included, is refused and only quoted."""
    with pytest.raises(InvalidKeyError, match="not a key of asynccache"):
        split(key)
    assert describe(key) == repr(key)


def test_describe_puts_a_key_into_words() -> None:
    """Messages show what the user wrote."""
    assert describe("shop:eu:~red") == "soft tag 'red' in shop/eu"


# -- call keys ------------------------------------------------------------------------------------


class Point(NamedTuple):
    x: object
    y: object


class Pixel(NamedTuple):
    x: object
    y: object


@dataclass
class Data:
    x: object
    y: object = None


@dataclass(slots=True)
class Slotted:
    x: object


@dataclass
class Grown(Data):
    def __post_init__(self) -> None:
        self.more = self.x

    @cached_property
    def twice(self) -> tuple[object, object]:
        return (self.x, self.x)


class Mangled(Slotted):
    __slots__ = ("__hidden", "shown")

    def __init__(self, x: object, hidden: object) -> None:
        super().__init__(x)
        self.__hidden = hidden  # pyright: ignore[reportUnusedVariable]


class Struct(msgspec.Struct):
    x: object


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    x: Any
    _secret: Any = pydantic.PrivateAttr(default=None)

    def knowing(self, secret: object) -> Model:
        self._secret = secret
        return self


class Strange(tzinfo):
    """A time zone whose text is an address."""

    def utcoffset(self, dt: datetime | None) -> timedelta:
        return timedelta(hours=1)

    def dst(self, dt: datetime | None) -> None:
        return None

    def tzname(self, dt: datetime | None) -> None:
        return None


HERE = __name__
BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1)))
NAN = float("nan")

DIFFERENT: list[object] = [
    *(
        None,
        True,
        False,
        1,
        0,
        -1,
        1.0,
        0.0,
        -0.0,
        NAN,
        float("inf"),
        1j,
        "1",
        "",
        "None",
        "True",
        "1.0",
        "nan",
    ),
    *(b"", b"1", bytearray(b"1"), Decimal(1), Decimal("1.0"), Decimal("1.00"), Fraction(1), Fraction(1, 2)),
    *(
        (),
        (1,),
        ((1,),),
        (1, 1),
        [1],
        [],
        [[1]],
        set[int](),
        {1},
        frozenset[int](),
        frozenset({1}),
        {},
        {1: 1},
    ),
    *({"1": 1}, {1: "1"}, {(1, 1): None}, "(1)", "[1]", "{1}", "{}", "()", ["1, 1"], ["1", "1"], ["1', '1"]),
    *(
        "1'",
        "1\\",
        "\\u0027",
        "'",
        "1, y=1",
        "\n",
        "\\n",
        "\ud800",
        "\\ud800",
        "é",
        "e\u0301",
        range(1),
        range(1, 2),
    ),
    *(
        slice(1),
        slice(0, 1),
        date(2026, 1, 2),
        time(3),
        time(3, fold=1),
        timedelta(1),
        timedelta(0, 1),
        "date(2026-01-02)",
    ),
    *(MOMENT, MOMENT.astimezone(UTC), MOMENT.replace(tzinfo=None), MOMENT.replace(tzinfo=BERLIN)),
    *(MOMENT.replace(fold=1), MOMENT.replace(tzinfo=timezone(timedelta(hours=1), "CET")), MOMENT.isoformat()),
    *(
        UUID(int=1),
        str(UUID(int=1)),
        PurePosixPath("a"),
        PureWindowsPath("a"),
        "a",
        IPv4Address(1),
        "0.0.0.1",
    ),
    *(Color.RED, Color.BLUE, Other.Color.RED, Kind.RED, Level.ONE, "red", Bits.A, Bits.B, Bits.A | Bits.B),
    *(Point(1, 2), Pixel(1, 2), (1, 2), Data(1, 2), Data(1), Data(1.0), Slotted(1), Struct(1), Struct(True)),
    *(
        Grown(1),
        Mangled(1, 2),
        Mangled(1, 3),
        Model(x=1),
        Model(x="1"),
        Model.model_validate({"x": 1, "y": 2}),
        Model(x=1).knowing(3),
    ),
    *(Instant(2026, 1, 2), datetime(2026, 1, 2), Day(2026, 1, 2), Span(1)),  # noqa: DTZ001
    *(2**4000, 2**4000 + 1, hex(2**4000), [None], [[None]], {None: None}, {None}),
]


def test_what_differs_has_different_keys() -> None:
    """No two of a hundred values that are easily mistaken for each other share a key."""
    keys = {call_key("f", {"x": value}): value for value in DIFFERENT}
    assert len(keys) == len(DIFFERENT)


SAME: list[tuple[object, object]] = [
    ({"b": 1, "a": 2}, {"a": 2, "b": 1}),
    ({3, 1, 2}, {2, 3, 1}),
    (frozenset("abc"), frozenset("cba")),
    (NAN, -NAN),
    (Data(1, [2]), Data(1, [2])),
    (Struct({1: 2}), Struct({1: 2})),
    (Model(x=[1]), Model(x=[1])),
    (Point(1, 2), Point(1, 2)),
    (Decimal("1.10"), Decimal("1.10")),
    (MOMENT.replace(tzinfo=BERLIN), MOMENT.replace(tzinfo=BERLIN)),
]


@pytest.mark.parametrize("one, two", SAME)
def test_what_is_the_same_has_the_same_key(one: object, two: object) -> None:
    """Equal arguments, made anew and in another order, meet."""
    assert call_key("f", {"x": one}) == call_key("f", {"x": two})


def test_a_cached_property_does_not_change_the_key() -> None:
    """A value computed from the fields is not a difference."""
    warm = Grown(1)
    assert warm.twice == (1, 1)
    assert call_key("f", {"x": warm}) == call_key("f", {"x": Grown(1)})


def test_attrs_count_by_class_and_fields() -> None:
    """Classes of attrs are known by their fields."""
    attrs = pytest.importorskip("attrs")
    one, two = (
        attrs.make_class(name, {"x": attrs.field(), "y": attrs.field(default=1)}) for name in ("One", "Two")
    )
    keys = [call_key("f", {"x": value}) for value in (one(1), one(1, 2), two(1), one("1"))]
    assert len(set(keys)) == 4
    assert call_key("f", {"x": one(1)}) == keys[0]


leaves = st.sampled_from(
    [v for v in DIFFERENT if isinstance(v, (str, bytes, int, float, bool, type(None)))]
) | st.text("'\\,=()[]{}: 1ab\n", max_size=4)
hashables = st.recursive(leaves, lambda inner: st.lists(inner, max_size=2).map(tuple), max_leaves=3)
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
        | inner.map(Data)
    ),
    max_leaves=5,
)
arguments = st.dictionaries(st.sampled_from(["a", "b", "a b", "a=1, b", "'a'"]), values, max_size=2)


def shape(value: Any) -> Any:
    """Return what must tell values apart, by other means than the code under test."""
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(shape(item) for item in value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (set, frozenset)):
        return [type(value).__name__, sorted(repr(shape(item)) for item in value)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, dict):
        return ["dict", sorted(repr([shape(k), shape(v)]) for k, v in value.items())]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, Data):
        return ["Data", shape(value.x), shape(value.y)]
    return [type(value).__name__, repr(value)]


@given(
    st.text("f.:(%2) =1a", min_size=1, max_size=4),
    arguments,
    st.text("f.:(%2) =1a", min_size=1, max_size=4),
    arguments,
)
@example("f(a=1)", {}, "f", {"a": 1})
@example("f(", {"a": 1}, "f%28", {"a": 1})
@example("f", {"a": 1, "b": 2}, "f", {"a": "1, b=2"})
@example("f", {"a": ["x", "y"]}, "f", {"a": ["x', 'y"]})
def test_call_keys_are_injective(name: str, one: dict[str, Any], other: str, two: dict[str, Any]) -> None:
    """Two calls share a key exactly if function, parameters and arguments are the same, types included."""
    same = (name, [(k, shape(v)) for k, v in one.items()]) == (other, [(k, shape(v)) for k, v in two.items()])
    assert (call_key(name, one) == call_key(other, two)) == same


@given(st.lists(st.text(max_size=200), max_size=6), st.lists(st.text(max_size=200), max_size=6))
def test_long_keys_stay_distinct_and_short(one: list[str], two: list[str]) -> None:
    """Beyond 512 characters a digest stands for the arguments, and still tells them apart."""
    first, second = call_key("m:f", {"x": one}), call_key("m:f", {"x": two})
    assert (first == second) == (one == two)
    assert len(first) <= 512
    assert first.startswith("m:f(")


def test_a_call_key_is_readable() -> None:
    """Keys look as documented."""
    assert (
        call_key("shop.items:get_user", {"user_id": 42, "lang": "de"})
        == "shop.items:get_user(user_id=42, lang='de')"
    )
    assert call_key("f", {}) == "f()"
    assert call_key("f", {"c": Color.RED}) == f"f(c={HERE}.Color.RED)"
    assert call_key("f", {"x": "y" * 600}) == "f(#" + digest(f"f(x='{'y' * 600}')") + ")"


def recursive_list() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


def recursive_data() -> Data:
    loop = Data(None)
    loop.x = {"self": [loop]}
    return loop


def deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        print,
        lambda: None,
        Data,
        iter([]),
        memoryview(b"a"),
        Text("a"),
        type("Numbers", (list,), {})([1]),
        [object()],
        {"a": {1: object()}},
        Data(object()),
        Model(x=object()),
        Point(1, object()),
        time(1, tzinfo=Strange()),
        MOMENT.replace(tzinfo=Strange()),
        ValueError("a"),
        Ellipsis,
    ],
)
def test_what_has_no_lasting_identity_is_refused(value: object) -> None:
    """The message names the parameter and the way out, and shows no address."""
    with pytest.raises(
        InvalidKeyError, match=r"argument 'db' of f .*ignore=\('db',\) or give key="
    ) as caught:
        call_key("f", {"a": 1, "db": value})
    assert " at 0x" not in str(caught.value)


@pytest.mark.parametrize("value", [recursive_list(), recursive_data(), deep(100)])
def test_what_contains_itself_is_refused(value: object) -> None:
    """Recursion and excessive depth are InvalidKeyErrors, never a RecursionError."""
    with pytest.raises(InvalidKeyError, match="nested more than 64 levels deep, or contains itself"):
        call_key("f", {"x": value})


def test_keys_are_equal_in_every_process() -> None:
    """Neither the hash seed nor the order of a set shows."""
    script = (
        "from asynccache.keys import call_key; "
        "print(call_key('f', {'x': set('abcdefgh'), 'y': {c: frozenset('xyz') for c in 'stuv'}}))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().startswith("f(x=set('a', 'b', 'c'")


def test_surrogates_in_arguments_are_escaped() -> None:
    """An argument that UTF-8 cannot encode still has a key of its own."""
    assert call_key("f", {"x": "\ud800"}) == "f(x='\\ud800')"


# -- templates ------------------------------------------------------------------------------------


@dataclass
class Item:
    id: int
    owner: Item | None = field(default=None)


@pytest.mark.parametrize(
    "template, arguments, key",
    [
        ("user:{user_id}", {"user_id": 42}, "user:42"),
        ("user:{user_id}", {"user_id": "4:2%"}, "user:4:2%"),
        ("{a}:{b}", {"a": "x:y", "b": "z:%"}, "x%3Ay:z:%"),
        ("{a}-{b}", {"a": -1, "b": -2}, "%2D1--2"),
        ("item:{item.owner.id}", {"item": Item(1, Item(7))}, "item:7"),
        ("items", {}, "items"),
        ("{{{a}}}", {"a": 1}, "{1}"),
        ("{a}{{{b}", {"a": "{", "b": 1}, "%7B{1"),
        ("{a}", {"a": None}, "None"),
        ("{a}", {"a": True}, "True"),
        ("{a}", {"a": UUID(int=1)}, str(UUID(int=1))),
        ("{a}", {"a": date(2026, 1, 2)}, "2026-01-02"),
        ("{a}", {"a": MOMENT}, "2026-01-02 03:04:05+01:00"),
        ("{a}", {"a": Kind.RED}, "red"),
        ("{a}", {"a": Color.RED}, "Color.RED"),
        ("{a.value}", {"a": Color.RED}, "red"),
        ("{a}", {"a": Text("x")}, "x"),
        ("{a}→{b}", {"a": "→", "b": "→"}, "%E2%86%92→→"),
    ],
)
def test_templates_render_plainly(template: str, arguments: dict[str, object], key: str) -> None:
    """Values appear as an f-string shows them; only what would end them early is encoded."""
    made = KeyTemplate(template, ("user_id", "item", "a", "b"))
    assert made.render(arguments) == key
    assert repr(made) == f"KeyTemplate({template!r})"


separators = st.sampled_from([":", "::", "-", "/", ":x:", ", ", "{{", "→", "."])
parts = st.text(":-/x%23AF,{→. E", max_size=5)


@given(st.lists(separators, min_size=1, max_size=3), st.data())
def test_templates_are_injective(between: list[str], data: st.DataObject) -> None:
    """Different values never render alike, whatever separators they contain."""
    names = [f"p{number}" for number in range(len(between) + 1)]
    text = "".join(
        f"{{{name}}}{sep}"
        for name, sep in zip(
            names, [*between, data.draw(parts.map(lambda t: t.replace("{", "")))], strict=True
        )
    )
    template = KeyTemplate("k" + text, names)
    one = {name: data.draw(parts) for name in names}
    two = {name: data.draw(parts) for name in names}
    assert (template.render(one) == template.render(two)) == (one == two)


def test_templates_are_injective_for_all_short_values() -> None:
    """Of all pairs of up to two awkward characters, no two render alike."""
    alphabet = [":", "%", "3", "A", "%3A", "::", "", "%25"]
    template = KeyTemplate("{a}:{b}", ("a", "b"))
    keys = [template.render({"a": a + x, "b": b}) for a in alphabet for x in "x:%" for b in alphabet]
    pairs = {(a + x, b) for a in alphabet for x in "x:%" for b in alphabet}
    assert len(set(keys)) == len(pairs)


@pytest.mark.parametrize(
    "bad, why",
    [
        ("user:{nobody}", "unknown field {nobody}; known are: a, b"),
        ("user:{}", "a field is a parameter"),
        ("user:{0}", "a field is a parameter"),
        ("user:{a!r}", "a field is a parameter"),
        ("user:{a:>5}", "a field is a parameter"),
        ("user:{a[0]}", "a field is a parameter"),
        ("user:{a.}", "a field is a parameter"),
        ("user:{a", "write {{ and }}"),
        ("user:a}", "write {{ and }}"),
        ("{a}{b}", "put a separator such as ':' right after {a}"),
        ("{a}x{b}", "put a separator"),
        ("{a}2{b}", "put a separator"),
        ("{a}%{b}", "put a separator"),
        ("", "non-empty str"),
        (None, "non-empty str"),
    ],
)
def test_bad_templates_are_refused_at_once(bad: Any, why: str) -> None:
    """A mistake in a template is found when it is written, with the way out."""
    with pytest.raises(ConfigurationError) as caught:
        KeyTemplate(bad, ("a", "b"))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    "value", [1.5, b"a", [1], Item(1), object(), pytest.param(10**5000, id="10**5000"), "\ud800", ""]
)
def test_values_that_do_not_show_their_identity_are_refused(value: object) -> None:
    """Other types, and what no key can hold, are InvalidKeyErrors."""
    with pytest.raises(InvalidKeyError):
        KeyTemplate("{a}", ("a",)).render({"a": value})


def test_absent_values_are_refused() -> None:
    """A missing argument or attribute is an InvalidKeyError that names the field."""
    with pytest.raises(InvalidKeyError, match=r"\{a.name\} has no value"):
        KeyTemplate("{a.name}", ("a",)).render({"a": Item(1)})
    with pytest.raises(InvalidKeyError, match=r"\{a\} has no value"):
        KeyTemplate("{a}", ("a",)).render({})
