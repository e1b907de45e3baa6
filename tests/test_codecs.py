"""Codecs: a value comes back exactly or not at all, and no bytes do harm."""

from __future__ import annotations

import base64
import os
import pickle
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, NamedTuple, TypedDict
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pytest
from backports import zstd
from hypothesis import given, strategies as st

from asynccache.codecs import (
    AESGCMSealer,
    Compressor,
    JsonCodec,
    MsgpackCodec,
    PickleCodec,
    PydanticCodec,
    RawCodec,
    Serializer,
    _msgspec,
    _sealing,
    codec_named,
    generate_key,
    is_immutable,
)
from asynccache.errors import CodecError, ConfigurationError, MissingDependencyError
from asynccache.protocols import Codec

LIMIT = 100_000


class Color(Enum):
    RED = "red"


@dataclass
class Plain:
    id: int
    when: datetime


@dataclass(frozen=True)
class Frozen:
    a: Any
    b: Any = None


class Struct(msgspec.Struct):
    id: uuid.UUID
    price: Decimal


class FrozenStruct(msgspec.Struct, frozen=True):
    a: Any


class Loose(msgspec.Struct, frozen=True, dict=True):
    a: Any


class Typed(TypedDict):
    id: int
    left: tuple[int, str]


class Named(NamedTuple):
    a: Any
    b: Any


class Inner(pydantic.BaseModel):
    id: uuid.UUID
    price: Decimal
    raw: bytes


class Model(pydantic.BaseModel):
    """Aliases, strictness and nesting: what breaks naive round trips."""

    model_config = pydantic.ConfigDict(serialize_by_alias=True, strict=True)

    item_id: int = pydantic.Field(alias="itemId")
    inner: list[Inner] = []
    seen: set[int] = set()
    color: Color = Color.RED
    when: datetime = datetime(2026, 1, 2, tzinfo=UTC)


class Web(pydantic.BaseModel):
    url: pydantic.HttpUrl
    host: IPv4Address
    path: PurePosixPath


class Secretive(pydantic.BaseModel):
    password: pydantic.SecretStr


@dataclass
class Holder:
    """A model inside a dataclass."""

    models: dict[str, Model] = field(default_factory=dict[str, Model])


INNER = Inner(id=uuid.UUID(int=1), price=Decimal("1.10"), raw=b"abc")
MODEL = Model(itemId=1, inner=[INNER], seen={1, 2})
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)

EVERYWHERE: list[tuple[Any, Any]] = [
    (None, None),
    (True, None),
    (0, None),
    (-1, int),
    (2**63, int),
    (1.5, float),
    (1e300, None),
    ("", None),
    ("Straße 😀 \0", str),
    ([1, [2, {"a": None}]], None),
    ({"a": {"b": [1, "x", False]}}, None),
    ((1, "a"), tuple[int, str]),
    ({1, 2}, set[int]),
    (frozenset({"a"}), frozenset[str]),
    ({1: "a"}, dict[int, str]),
    (b"\x00\xff", bytes),
    (uuid.UUID(int=5), uuid.UUID),
    (Decimal("1.10"), Decimal),
    (WHEN, datetime),
    (WHEN.replace(tzinfo=None), datetime),
    (date(2026, 1, 2), date),
    (time(1, 2, 3), time),
    (timedelta(days=1, seconds=2), timedelta),
    (Color.RED, Color),
    (Plain(1, WHEN), Plain),
    (Struct(uuid.UUID(int=1), Decimal("0.30")), Struct),
    ({"id": 1, "left": (1, "a")}, Typed),
    (Named(1, "a"), Named),
    (INNER, Inner),
    (MODEL, Model),
    ([MODEL, MODEL], list[Model]),
    ({"m": MODEL}, dict[str, Model | None]),
    (Holder({"a": MODEL}), Holder),
    (Web(url=pydantic.HttpUrl("https://a.example/x"), host=IPv4Address(1), path=PurePosixPath("/a")), Web),
    (PurePosixPath("/a/b"), PurePosixPath),
    (IPv4Address("1.2.3.4"), IPv4Address),
    ({"a": 1}, object),
    (1, Annotated[int, ["unhashable"]]),
]


@pytest.fixture(params=[MsgpackCodec, JsonCodec], ids=["msgpack", "json"])
def codec(request: pytest.FixtureRequest) -> Codec:
    made: Codec = request.param()
    return made


def flipped(data: bytes, position: int) -> bytes:
    """Return ``data`` with one bit changed."""
    changed = bytearray(data)
    changed[position // 8] ^= 1 << position % 8
    return bytes(changed)


def exactly(one: Any, two: Any) -> bool:
    """Return True if both are equal and of the same types, however deep."""
    shown = repr(one).replace("TzInfo(0)", "datetime.timezone.utc")  # pydantic's UTC
    return type(one) is type(two) and one == two and shown == repr(two)


# -- msgpack and json -----------------------------------------------------------------------------


@pytest.mark.parametrize("value, kind", EVERYWHERE)
def test_values_come_back_as_their_type(codec: Codec, value: Any, kind: Any) -> None:
    """What is asked for by type is what was stored, exactly."""
    assert exactly(codec.decode(codec.encode(value), kind), value)


def test_attrs_come_back_as_their_class(codec: Codec) -> None:
    """Classes of attrs are data as well."""
    attrs = pytest.importorskip("attrs")
    made = attrs.make_class("Made", {"id": attrs.field(type=int), "tags": attrs.field(type=set[str])})
    assert codec.decode(codec.encode(made(1, {"a"})), made) == made(1, {"a"})
    assert not is_immutable(made(1, {"a"}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9) | st.binary(), inner),
    )
)
def test_plain_data_needs_no_type_in_msgpack(value: Any) -> None:
    """Scalars, lists and dicts with any scalar keys come back exactly, NaN included."""
    codec = MsgpackCodec()
    assert repr(codec.decode(codec.encode(value))) == repr(value)


def test_what_has_no_type_comes_back_as_the_nearest() -> None:
    """The documented losses of a decode without a type are these, and no others."""
    codec = MsgpackCodec()
    value = {"t": (1, 2), "s": {3}, "u": uuid.UUID(int=1), "d": Decimal("1.0"), "o": Frozen(1), "w": WHEN}
    assert codec.decode(codec.encode(value)) == {
        "t": [1, 2],
        "s": [3],
        "u": str(uuid.UUID(int=1)),
        "d": "1.0",
        "o": {"a": 1, "b": None},
        "w": WHEN,
    }


def recursive() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


class Naughty:
    """Raises where it is touched, and must not be shown."""

    def __repr__(self) -> str:
        return "hunter2"


SECRET = Secretive(password=pydantic.SecretStr("hunter2"))
BROKEN_MODEL = Model.model_construct(item_id="hunter2")
UNENCODABLE: list[Any] = [
    object(),
    Naughty(),
    {"a": [Naughty()]},
    1j,
    print,
    range(3),
    recursive(),
    "\ud800",
    BROKEN_MODEL,
    SECRET,
    {(1, Naughty()): 1},
]


@pytest.mark.parametrize("value", UNENCODABLE, ids=range(len(UNENCODABLE)))
def test_what_cannot_be_encoded_is_a_codec_error(codec: Codec, value: Any) -> None:
    """The error names the codec and the type, never the value, and keeps the cause."""
    with pytest.raises(CodecError, match=f"{codec.name} cannot encode a value of type ") as caught:
        codec.encode(value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, [2**70]])
def test_msgpack_refuses_integers_beyond_64_bits(value: Any) -> None:
    """They fail instead of losing digits."""
    with pytest.raises(CodecError, match="msgpack cannot encode"):
        MsgpackCodec().encode(value)


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {"a": (None, -float("inf"))}, [{"a": None}, Frozen(float("nan"))]]
)
def test_json_refuses_what_it_would_turn_into_null(value: Any) -> None:
    """NaN and the infinities fail instead of coming back as None."""
    with pytest.raises(CodecError, match="JSON has no NaN"):
        JsonCodec().encode(value)


@pytest.mark.parametrize("value", [None, {"a": None, "null": "null"}, [None, 1.5, {"x": {1, 2}}]])
def test_json_keeps_null(value: Any) -> None:
    """A None is not taken for a NaN."""
    JsonCodec().encode(value)


UNDECODABLE: list[tuple[bytes, Any]] = [
    (MsgpackCodec().encode("hunter2"), int),
    (MsgpackCodec().encode({"item_id": "hunter2"}), Model),
    (MsgpackCodec().encode("hunter2"), Color),
    (MsgpackCodec().encode([1]), list["Nowhere"]),  # type: ignore[name-defined]  # noqa: F821 # pyright: ignore[reportUndefinedVariable]
    (MsgpackCodec().encode(1), complex),
    (MsgpackCodec().encode(1), 5),
    (MsgpackCodec().encode(1), Callable[[], int]),
    (b"", None),
    (b"\xc1", None),
    (b"\x91" * 100_000, None),
    (b"\xdd\xff\xff\xff\xff", None),
    (b"\x81\x80\xc0", None),
    (b"\xa1\xff", None),
    (b"\xd6\xff\xff\xff\xff\xff", int),
    (b"\xc7\x0c\xff" + b"\xff" * 12, None),
    (b"\xc0\xc0", None),
]


@pytest.mark.parametrize("data, kind", UNDECODABLE, ids=range(len(UNDECODABLE)))
def test_what_cannot_be_decoded_is_a_codec_error(data: bytes, kind: Any) -> None:
    """Truncated, nested, contradictory bytes and impossible types: one error, without the value."""
    with pytest.raises(CodecError, match="msgpack cannot decode") as caught:
        MsgpackCodec().decode(data, kind)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 100_000, b"nul", b"1 2", b'"\xff"', b"\x00"])
def test_bad_json_is_a_codec_error(data: bytes) -> None:
    """Also where the parser would exhaust the stack."""
    for codec in (JsonCodec(), PydanticCodec()):
        with pytest.raises(CodecError, match="cannot decode"):
            codec.decode(data)


@given(
    st.binary(),
    st.sampled_from([None, int, str, list[int], Plain, Struct, Model, dict[str, Model], Color]),
)
def test_no_bytes_raise_anything_else(data: bytes, kind: Any) -> None:
    """Whatever the store returns, decoding gives a value or a CodecError."""
    for codec in (MsgpackCodec(), JsonCodec(), PydanticCodec()):
        try:
            codec.decode(data, kind)
        except CodecError:
            pass


@pytest.mark.parametrize("made", [JsonCodec(), PydanticCodec()])
def test_stars_are_not_taken_for_a_secret(made: Codec) -> None:
    """Text that looks like a masked secret is text."""
    value = {"a": ["*" * 20, ("*" * 10,)]}
    assert made.decode(made.encode(value), dict[str, tuple[str, tuple[str]]])["a"][0] == "*" * 20


def test_decoders_are_built_once_per_type() -> None:
    """The second decode of a type costs no building, and the number kept is bounded."""
    cached = _msgspec._msgpack_decoder
    MsgpackCodec().decode(b"\x01", int)
    before = cached.cache_info()
    MsgpackCodec().decode(b"\x01", int)
    assert cached.cache_info().hits == before.hits + 1
    assert cached.cache_info().maxsize is not None


# -- pydantic, raw, pickle ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, kind",
    [
        (MODEL, Model),
        ([MODEL], list[Model]),
        (Plain(1, WHEN), Plain),
        ({1: (2, 3)}, dict[int, tuple[int, int]]),
        ([1, "a", None, {"b": 1.5}], None),
        (2**70, int),
        (1, Annotated[int, ["unhashable"]]),
        (
            Web(url=pydantic.HttpUrl("https://a.example/x"), host=IPv4Address(1), path=PurePosixPath("/a")),
            Web,
        ),
    ],
)
def test_pydantic_brings_back_what_it_describes(value: Any, kind: Any) -> None:
    """Models, unions and containers come back by field name, aliases or not."""
    codec = PydanticCodec()
    assert exactly(codec.decode(codec.encode(value), kind), value)


@pytest.mark.parametrize(
    "value", [object(), Naughty(), BROKEN_MODEL, b"\xff", recursive(), SECRET, [SECRET]], ids=range(7)
)
def test_pydantic_fails_as_the_others(value: Any) -> None:
    """What pydantic cannot tell is a CodecError without the value."""
    with pytest.raises(CodecError, match="pydantic cannot encode") as caught:
        PydanticCodec().encode(value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(CodecError, match="pydantic cannot decode the stored bytes as Model") as caught:
        PydanticCodec().decode(b'{"item_id": "hunter2"}', Model)
    assert "hunter2" not in str(caught.value)


def test_raw_takes_bytes_only() -> None:
    """Bytes pass, anything else is refused with the way out."""
    codec = RawCodec()
    for kind in (None, bytes, Any):
        assert codec.decode(codec.encode(b"\x00"), kind) == b"\x00"
    for value in ("a", bytearray(b"a"), 1, None):
        with pytest.raises(CodecError, match="it takes bytes only"):
            codec.encode(value)
    with pytest.raises(CodecError, match="raw cannot decode the stored bytes as str"):
        codec.decode(b"a", str)


def test_pickle_takes_anything_importable() -> None:
    """Objects come back; what cannot be pickled, loaded or is of another type is a CodecError."""
    codec = PickleCodec()
    assert codec.needs_authentication
    value = {"a": {1j, Color.RED}, "b": Named(1, 2)}
    assert codec.decode(codec.encode(value), dict[str, Any]) == value
    for wrong in (lambda: None, recursive, sys):
        if wrong is not recursive:
            with pytest.raises(CodecError, match="pickle cannot encode"):
                codec.encode(wrong)
    for data in (b"", b"\x80", pickle.dumps(1)[:-1], b"cno.such\nthing\n."):
        with pytest.raises(CodecError, match="pickle cannot decode"):
            codec.decode(data)
    with pytest.raises(CodecError, match="as str"):
        codec.decode(codec.encode(1), str)


def test_codecs_are_found_by_name() -> None:
    """Every built-in codec is found under the name that its entries carry; others are refused."""
    for name in ("msgpack", "json", "pydantic", "raw", "pickle"):
        assert codec_named(name).name == name
    with pytest.raises(ConfigurationError, match="not 'yaml'"):
        codec_named("yaml")


@pytest.mark.parametrize(
    "modules, make, extra",
    [
        (["pydantic"], PydanticCodec, "pydantic"),
        (["backports.zstd", "compression.zstd"], lambda: Compressor(max_value_bytes=1), "zstd"),
        (["cryptography.hazmat.primitives.ciphers.aead"], lambda: AESGCMSealer([bytes(32)]), "crypto"),
    ],
)
def test_a_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, modules: list[str], make: Callable[[], object], extra: str
) -> None:
    """Construction fails with the command that installs what is missing."""
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match=rf'pip install "asynccache\[{extra}\]"'):
        make()


# -- immutability ---------------------------------------------------------------------------------

IMMUTABLE: list[Any] = [
    *("a", b"a", 1, 1.5, True, None, 1j, uuid.UUID(int=1), Decimal(1), WHEN, date(2026, 1, 1), timedelta(1)),
    *(
        time(1),
        WHEN.replace(tzinfo=ZoneInfo("Europe/Berlin")),
        Color.RED,
        (),
        (1, ("a", b"b")),
        frozenset({1, (2,)}),
    ),
    *(Frozen(1, (2, 3)), Frozen(Frozen("a")), FrozenStruct((1, None)), Named(1, Frozen(2)), (1,) * 999),
]
MUTABLE: list[Any] = [
    *(
        [],
        {},
        set[int](),
        bytearray(),
        ([],),
        (1, (2, [3])),
        Frozen([]),
        Frozen(1, {}),
        Plain(1, WHEN),
        INNER,
    ),
    *(FrozenStruct([]), Loose(1), Struct(uuid.UUID(int=1), Decimal(1)), Named(1, []), object(), (1,) * 2000),
    *(type("Text", (str,), {})("a"), type("Pair", (Named,), {})(1, 2), type("Thawed", (Frozen,), {})(1)),
    *(recursive(), ((1,) * 600, (1,) * 600)),
]


def tangled() -> Frozen:
    loop = Frozen(1)
    object.__setattr__(loop, "a", (loop, loop))
    return loop


@pytest.mark.parametrize("value", IMMUTABLE, ids=range(len(IMMUTABLE)))
def test_immutable_values_are_known(value: Any) -> None:
    """What cannot change may be handed out twice."""
    assert is_immutable(value)


@pytest.mark.parametrize("value", [*MUTABLE, tangled()], ids=range(len(MUTABLE) + 1))
def test_mutable_values_are_never_shared(value: Any) -> None:
    """Anything that can change, however deep, or is too large or tangled to tell, is decoded anew."""
    assert not is_immutable(value)


# -- compression ----------------------------------------------------------------------------------


@given(st.binary(max_size=3000) | st.integers(1, 3000).map(lambda n: b"a" * n))
def test_compression_pays_or_is_left_out(payload: bytes) -> None:
    """Compressed bytes are smaller and come back; otherwise there are none."""
    compressor = Compressor(max_value_bytes=LIMIT, min_bytes=0)
    packed = compressor.compress(payload)
    if packed is not None:
        assert len(packed) < len(payload)
        assert compressor.decompress(packed) == payload


def test_small_payloads_are_left_alone() -> None:
    """Below ``min_bytes`` nothing is tried."""
    compressor = Compressor(max_value_bytes=LIMIT)
    assert compressor.compress(b"a" * 1023) is None
    assert compressor.compress(b"a" * 1024) is not None
    assert repr(compressor) == "Compressor(level=3, min_bytes=1024)"


def test_a_bomb_does_not_go_off() -> None:
    """6 kB that hold 200 MB, with and without a stated size, are refused without being unpacked."""
    compressor = Compressor(max_value_bytes=LIMIT)
    silent: dict[int, int] = {zstd.CompressionParameter.content_size_flag: 0}
    for bomb in (zstd.compress(bytes(200_000_000)), zstd.compress(bytes(200_000_000), options=silent)):
        assert len(bomb) < 20_000
        with pytest.raises(CodecError, match="more than 100000 bytes"):
            compressor.decompress(bomb)


def test_a_window_bomb_does_not_go_off() -> None:
    """A frame that asks for 128 MiB of memory before it shows a byte is refused."""
    options: dict[int, int] = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.content_size_flag: 0,
    }
    writer = zstd.ZstdCompressor(options=options)
    frame = writer.compress(b"a") + writer.flush()
    with pytest.raises(CodecError, match="zstd cannot decompress"):
        Compressor(max_value_bytes=LIMIT).decompress(frame)


@pytest.mark.parametrize("size", [LIMIT - 1, LIMIT])
def test_the_limit_itself_is_allowed(size: int) -> None:
    """Exactly ``max_value_bytes`` decompress; one more does not."""
    compressor = Compressor(max_value_bytes=LIMIT)
    assert len(compressor.decompress(zstd.compress(bytes(size)))) == size
    with pytest.raises(CodecError):
        compressor.decompress(zstd.compress(bytes(LIMIT + 1)))


FRAME = zstd.compress(bytes(range(200)))


@pytest.mark.parametrize(
    "bad", [*(FRAME[:n] for n in range(len(FRAME))), FRAME + b"x", FRAME * 2, b"x" + FRAME]
)
def test_damaged_frames_are_codec_errors(bad: bytes) -> None:
    """Truncated at any byte, or with anything around it, a frame gives nothing."""
    with pytest.raises(CodecError):
        Compressor(max_value_bytes=LIMIT).decompress(bad)


@given(st.binary() | st.integers(0, len(FRAME) * 8 - 1).map(lambda n: flipped(FRAME, n)))
def test_no_frame_raises_anything_else(data: bytes) -> None:
    """Whatever the bytes, there is a bounded result or a CodecError."""
    try:
        assert len(Compressor(max_value_bytes=500).decompress(data)) <= 500
    except CodecError:
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": 0},
        {"level": 20},
        {"level": True},
        {"level": "3"},
        {"min_bytes": -1},
        {"max_value_bytes": None},
    ],
)
def test_compression_settings_are_checked(wrong: dict[str, Any]) -> None:
    """What can never work is refused at construction."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Compressor(**{"max_value_bytes": LIMIT, **wrong})


# -- the serializer -------------------------------------------------------------------------------


def test_the_codec_field_tells_how_to_read() -> None:
    """Entries of any safe codec, compressed or not, are read whatever is configured now."""
    long = {"a": "b" * 5000}
    compressor = Compressor(max_value_bytes=LIMIT)
    reader = Serializer(MsgpackCodec(), max_value_bytes=LIMIT)
    for codec in (MsgpackCodec(), JsonCodec()):
        field, payload = Serializer(codec, compressor=compressor, max_value_bytes=LIMIT).encode(long)
        assert field == f"{codec.name}+zstd"
        assert reader.decode(field, payload, dict[str, str]) == long
    field, payload = Serializer(RawCodec(), compressor=compressor, max_value_bytes=LIMIT).encode(b"a")
    assert (field, reader.decode(field, payload)) == ("raw", b"a")
    assert repr(Serializer(RawCodec(), compressor=compressor, max_value_bytes=1)) == "<Serializer raw+zstd>"


def test_dangerous_codecs_are_read_only_where_configured() -> None:
    """An entry cannot choose pickle."""
    reader = Serializer(MsgpackCodec(), max_value_bytes=LIMIT)
    for name in ("pickle", "pydantic", "yaml", "", "+zstd", "msgpack+gzip", "msgpack+zstd+zstd", "INT"):
        with pytest.raises(CodecError, match="is not configured"):
            reader.decode(name, b"\x01")
    assert (
        Serializer(MsgpackCodec(), readable=[PickleCodec()], max_value_bytes=1).decode(
            "pickle", pickle.dumps(1)
        )
        == 1
    )
    assert Serializer(PydanticCodec(), max_value_bytes=1).decode("pydantic", b"1", int) == 1


def test_compressed_entries_need_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed they are codec errors, that is misses, and say what to install."""
    field, payload = Serializer(
        MsgpackCodec(), compressor=Compressor(max_value_bytes=LIMIT), max_value_bytes=LIMIT
    ).encode("a" * 5000)
    for name in ("backports.zstd", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(CodecError, match="pip install"):
        Serializer(MsgpackCodec(), max_value_bytes=LIMIT).decode(field, payload)


def test_what_is_too_large_is_not_made_to_fit() -> None:
    """A value over the limit is not compressed below it: it could be stored and never be read."""
    serializer = Serializer(
        MsgpackCodec(), compressor=Compressor(max_value_bytes=LIMIT), max_value_bytes=LIMIT
    )
    field, payload = serializer.encode("a" * (LIMIT + 1))
    assert field == "msgpack"
    assert len(payload) > LIMIT


@given(st.integers())
def test_counters_are_plain_decimals(number: int) -> None:
    """64-bit integers are stored so that a store can count; larger ones are the codec's affair."""
    serializer = Serializer(MsgpackCodec(), max_value_bytes=LIMIT)
    if -(2**63) <= number < 2**63:
        assert serializer.encode(number, counters=True) == ("int", str(number).encode())
        assert serializer.decode("int", str(number).encode()) == number
    elif not -(2**63) <= number < 2**64:
        with pytest.raises(CodecError):
            serializer.encode(number, counters=True)


def test_only_exact_integers_are_counters() -> None:
    """Booleans, floats and integers whose entry needs a header go through the codec."""
    serializer = Serializer(MsgpackCodec(), max_value_bytes=LIMIT)
    assert [serializer.encode(value, counters=True)[0] for value in (True, 1.0, "1", 2**63)] == [
        "msgpack"
    ] * 4
    assert serializer.encode(1)[0] == "msgpack"


@pytest.mark.parametrize(
    "kind, value", [(None, 5), (int, 5), (float, 5.0), (int | str, 5), (Any, 5), (object, 5)]
)
def test_counters_are_converted(kind: Any, value: object) -> None:
    """A counter can be asked for as what an integer can be."""
    assert exactly(Serializer(MsgpackCodec(), max_value_bytes=LIMIT).decode("int", b"5", kind), value)


@pytest.mark.parametrize(
    "payload, kind", [(b"5", str), (b"5", Model), (b"5", bool), (b"", None), (b"x", int), (b"1" * 5000, None)]
)
def test_bad_counters_are_codec_errors(payload: bytes, kind: Any) -> None:
    """An integer that is asked for as something else, or is none."""
    with pytest.raises(CodecError, match="int cannot decode"):
        Serializer(MsgpackCodec(), max_value_bytes=LIMIT).decode("int", payload, kind)


@pytest.mark.parametrize("name", ["", "int", "my+codec"])
def test_a_codec_needs_a_name_of_its_own(name: str) -> None:
    """A name that would be read as something else is refused."""
    codec = RawCodec()
    codec.name = name
    with pytest.raises(ConfigurationError, match="cannot be named"):
        Serializer(codec, max_value_bytes=1)


# -- sealing --------------------------------------------------------------------------------------

KEY = bytes(range(32))
OTHER = bytes(range(1, 33))


@given(st.binary(), st.binary())
def test_what_is_sealed_is_unsealed(payload: bytes, header: bytes) -> None:
    """The payload comes back with the same header, and never with another."""
    sealer = AESGCMSealer([KEY])
    sealed = sealer.seal(payload, header)
    assert sealer.unseal(sealed, header) == payload
    assert sealer.unseal(sealed, header + b"x") is None
    assert sealer.seal(payload, header) != sealed


def test_every_bit_is_authenticated() -> None:
    """No bit of key id, nonce, ciphertext or tag can change, and nothing can be cut off or added."""
    sealer = AESGCMSealer([KEY])
    sealed = sealer.seal(b"payload", b"header")
    for position in range(len(sealed) * 8):
        assert sealer.unseal(flipped(sealed, position), b"header") is None
    for length in range(len(sealed)):
        assert sealer.unseal(sealed[:length], b"header") is None
    assert sealer.unseal(sealed + b"\0", b"header") is None


@given(st.binary())
def test_foreign_bytes_are_not_unsealed(data: bytes) -> None:
    """Anything but our own seal gives None, never an exception."""
    sealer = AESGCMSealer([KEY])
    assert sealer.unseal(data, b"") is None
    assert sealer.unseal(sealer.seal(b"", b"")[:4] + data, b"") is None


def test_keys_are_rotated() -> None:
    """The first key seals, all unseal; a dropped key's entries are misses."""
    old, both, new = AESGCMSealer([KEY]), AESGCMSealer([OTHER, KEY]), AESGCMSealer([OTHER])
    by_old, by_both = old.seal(b"a", b"h"), both.seal(b"b", b"h")
    assert (both.unseal(by_old, b"h"), both.unseal(by_both, b"h")) == (b"a", b"b")
    assert (new.unseal(by_both, b"h"), new.unseal(by_old, b"h"), old.unseal(by_both, b"h")) == (
        b"b",
        None,
        None,
    )


@pytest.mark.parametrize("size", [16, 24, 32])
def test_keys_can_be_written_in_three_ways(size: int) -> None:
    """Bytes, hex and base64, with or without padding, mean the same key."""
    key = bytes(range(200, 200 + size))
    forms: list[bytes | str] = [
        key,
        key.hex(),
        key.hex().upper(),
        base64.urlsafe_b64encode(key).decode(),
        base64.b64encode(key).decode().rstrip("="),
        f" {key.hex()}\n",
    ]
    sealed = AESGCMSealer([key]).seal(b"a", b"h")
    assert [AESGCMSealer([form]).unseal(sealed, b"h") for form in forms] == [b"a"] * len(forms)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        "a" * 32,
        b"a" * 32,
        None,
        [b""],
        [b"a" * 31],
        ["a" * 31],
        ["ä" * 32],
        ["!" * 44],
        [5],
        [None],
        [KEY, KEY],
        [KEY, KEY.hex()],
        {KEY: 1},
    ],
    ids=range(14),
)
def test_bad_keys_are_refused_unseen(keys: Any) -> None:
    """Wrong types, lengths and duplicates are configuration errors that do not show the key."""
    with pytest.raises(ConfigurationError, match="encryption key") as caught:
        AESGCMSealer(keys)
    assert "aaa" not in str(caught.value)


def test_keys_are_never_shown() -> None:
    """The repr tells how many keys there are and the id of the first."""
    text = repr(AESGCMSealer([KEY, OTHER]))
    assert text == "<AESGCMSealer 2 keys, sealing with " + AESGCMSealer([KEY]).seal(b"", b"")[:4].hex() + ">"


def test_generated_keys_fit() -> None:
    """A generated key is new each time and accepted."""
    one, two = generate_key(), generate_key()
    assert one != two
    AESGCMSealer([one, two])


@pytest.mark.parametrize(
    "key, header, sealed",
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_cipher_is_xaes_256_gcm(
    monkeypatch: pytest.MonkeyPatch, key: bytes, header: bytes, sealed: str
) -> None:
    """The test vectors of the specification (c2sp.org/XAES-256-GCM), one for each case of the CMAC subkey."""
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"

    def same(secret: bytes) -> bytes:
        return secret

    def fixed(size: int) -> bytes:
        return nonce[:size]

    monkeypatch.setattr(_sealing, "_derive", same)
    monkeypatch.setattr(os, "urandom", fixed)
    made = AESGCMSealer([key]).seal(b"XAES-256-GCM", header)
    assert made[4:] == nonce + bytes.fromhex(sealed)
