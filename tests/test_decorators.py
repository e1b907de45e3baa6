"""`cached`: arguments, keys, types, binding, and a memo that serves nothing that is gone."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pickle
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from pydantic import BaseModel

from asynccache import (
    Cache,
    CacheConfig,
    CachePolicy,
    ConfigurationError,
    InMemoryBackend,
    InvalidKeyError,
    cached,
    current_cache,
    set_default_cache,
)
from asynccache.defaults import current
from asynccache.errors import CacheError
from asynccache.events import Hit
from asynccache.testing import FakeClock, RecordedEvents
from tests.cache_doubles import Gated, ThreeMethods, local, over, ticks

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers


class User(msgspec.Struct, frozen=True):
    id: int
    name: str = "u"


class Basket(msgspec.Struct):
    items: list[str]


class Model(BaseModel):
    id: int


class Calls:
    """Counts the runs of the function under test, by arguments."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def __call__(self, *arguments: Any) -> int:
        self.seen.append(arguments)
        return len(self.seen)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> Iterator[Cache]:
    made = local(clock)
    set_default_cache(made)
    yield made
    set_default_cache(None)


@pytest.fixture
def calls() -> Calls:
    return Calls()


# -- signatures --------------------------------------------------------------------------------------------


async def positional_only(a: Any, b: Any = 2, /) -> Any: ...
async def mixed(a: Any, /, b: Any, *, c: Any = 3) -> Any: ...
async def keyword_only(*, a: Any, b: Any = 2) -> Any: ...
async def variadic(a: Any, *rest: Any, flag: Any = False, **more: Any) -> Any: ...
async def nothing() -> Any: ...


SHAPES: list[tuple[Any, list[tuple[tuple[Any, ...], dict[str, Any]]]]] = [
    (positional_only, [((1,), {}), ((1, 2), {})]),
    (mixed, [((1, 2), {}), ((1,), {"b": 2}), ((1, 2), {"c": 3})]),
    (keyword_only, [((), {"a": 1}), ((), {"a": 1, "b": 2}), ((), {"b": 2, "a": 1})]),
    (variadic, [((1, 2, 3), {}), ((1, 2, 3), {"flag": False})]),
    (variadic, [((1,), {"x": 1, "y": 2}), ((1,), {"y": 2, "x": 1})]),
    (nothing, [((), {})]),
]


@pytest.mark.parametrize("shape, spellings", SHAPES, ids=lambda value: getattr(value, "__name__", ""))
async def test_one_call_in_several_spellings(shape: Any, spellings: Any, cache: Cache, calls: Calls) -> None:
    """However the same arguments are passed it is one call, with one key."""

    @functools.wraps(shape)
    async def counted(*args: Any, **kwargs: Any) -> Any:
        return calls(args, kwargs)

    function: Any = cached(ttl=60)(counted)
    assert {await function(*args, **kwargs) for args, kwargs in spellings for _ in range(3)} == {1}
    assert len({function.key(*args, **kwargs) for args, kwargs in spellings}) == 1


@pytest.mark.parametrize("shape", [positional_only, mixed, keyword_only, variadic, nothing])
def test_introspection(shape: Any) -> None:
    """A cached function keeps its name, its documentation, its signature, and is a coroutine function."""
    function: Any = cached(shape)
    assert function.__name__ == shape.__name__
    assert function.__qualname__ == shape.__qualname__
    assert function.__module__ == shape.__module__
    assert function.__wrapped__ is shape
    assert inspect.signature(function) == inspect.signature(shape)
    assert inspect.iscoroutinefunction(function)


async def test_wrong_arguments_are_told_by_python(cache: Cache) -> None:
    """A call that does not fit the signature is a TypeError, as without the decorator."""
    function: Any = cached(mixed)
    with pytest.raises(TypeError, match="argument"):
        await function()
    with pytest.raises(TypeError, match="argument"):
        await function(1, 2, 3)


async def test_parameters_may_have_any_name(cache: Cache, calls: Calls) -> None:
    """No parameter's name is taken: not those that the wrapper uses inside either."""

    @cached(ttl=60)
    async def odd(
        entry: int,
        binding: int = 2,
        context: int = 3,
        wrapper: int = 4,
        self: int = 5,
        cls: int = 6,
        args: int = 7,
        kwargs: int = 8,
    ) -> list[int]:
        calls()
        return [entry, binding, context, wrapper, self, cls, args, kwargs]

    fixed: Any = cached(ttl=60, cache=cache)(getattr(odd, "__wrapped__"))  # noqa: B009
    for function in (odd, fixed):
        for _ in range(3):
            assert await function(1) == [1, 2, 3, 4, 5, 6, 7, 8]
            assert await function(9, 8, 7) == [9, 8, 7, 4, 5, 6, 7, 8]
    assert len(calls.seen) == 2


async def test_internal_names_as_parameters(cache: Cache) -> None:
    """The same for names with an underscore."""

    @cached(ttl=60)
    async def odd(
        _binding: int,
        _bound: int,
        _slow: int,
        _memo: int,
        _clock: int,
        _tally: int,
        _default: int,
        _default0: int,
    ) -> int:
        return _binding + _bound + _slow + _memo + _clock + _tally + _default + _default0

    for _ in range(3):
        assert await odd(1, 2, 3, 4, 5, 6, 7, 8) == 36
        assert await odd(1, 1, 1, 1, 1, 1, 1, 1) == 8


async def test_look_alikes_are_kept_apart(cache: Cache, calls: Calls) -> None:
    """1, True, 1.0, "1" and b"1" are five arguments, 0.0 and -0.0 two; each has its own value every time."""

    @cached(ttl=60)
    async def show(value: Any) -> str:
        return f"{type(value).__name__} {value!r} {calls()}"

    values: list[Any] = [
        1,
        True,
        1.0,
        "1",
        b"1",
        0,
        False,
        0.0,
        -0.0,
        None,
        "None",
        (1,),
        (True,),
        2**80,
        "\x00",
    ]
    first = [await show(value) for value in values]
    for _ in range(3):
        assert [await show(value) for value in values] == first
    assert len(set(first)) == len(calls.seen) == len(values)


async def test_unhashable_arguments(cache: Cache, calls: Calls) -> None:
    """Lists, dicts and sets are arguments like any other; a set's or dict's order does not matter."""

    @cached(ttl=60)
    async def total(values: Any) -> int:
        return calls()

    assert await total([1, 2]) == await total([1, 2]) == 1
    assert await total((1, 2)) == 2
    assert await total({"a": 1, "b": 2}) == await total({"b": 2, "a": 1}) == 3
    assert await total({1, 2}) == await total({2, 1}) == 4


async def test_arguments_without_identity(cache: Cache) -> None:
    """An object without lasting identity is refused with the way out, and runs nothing."""

    @cached(ttl=60)
    async def query(session: object) -> int:
        raise AssertionError

    with pytest.raises(InvalidKeyError, match=r"ignore=\('session',\)"):
        await query(object())


async def test_arguments_with_a_cache_key(cache: Cache, calls: Calls) -> None:
    """An object says by __cache_key__ what it is; a class goes by its name."""

    class Tenant:
        def __init__(self, name: str) -> None:
            self.name = name

        def __cache_key__(self) -> str:
            return self.name

    @cached(ttl=60)
    async def load(tenant: Any) -> int:
        return calls()

    assert await load(Tenant("a")) == await load(Tenant("a")) == 1
    assert await load(Tenant("b")) == 2
    assert await load(Tenant) == await load(Tenant) == 3
    assert await load(User) == 4


# -- methods -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shop:
    name: str

    @cached(ttl=60)
    async def report(self, month: int = 1) -> str:
        """Report."""
        return f"{self.name} {month} {RUNS()}"

    @cached(ttl=60, ignore=["self"], key="shared:{month}")
    async def shared(self, month: int) -> str:
        return f"{month} {RUNS()}"

    @classmethod
    @cached(ttl=60)
    async def inner_class(cls, month: int) -> str:
        return f"{cls.__name__} {month} {RUNS()}"

    @cached(ttl=60)
    @classmethod
    async def outer_class(cls, month: int) -> str:
        return f"{cls.__name__} {month} {RUNS()}"

    @staticmethod
    @cached(ttl=60)
    async def inner_static(month: int) -> str:
        return f"{month} {RUNS()}"

    @cached(ttl=60)
    @staticmethod
    async def outer_static(month: int) -> str:
        return f"{month} {RUNS()}"

    @staticmethod
    @cached
    async def bare_static() -> str:
        return f"bare {RUNS()}"


class OtherShop(Shop):
    pass


RUNS = Calls()


async def test_methods(cache: Cache) -> None:
    """A method counts its instance as an argument, and binds key, invalidate and refresh with it."""
    a, b = Shop("a"), Shop("b")
    first = await a.report(1)
    assert first.startswith("a 1")
    assert await a.report() == await Shop("a").report(month=1) == await Shop.report(a) == first
    assert (await b.report(1)).startswith("b 1")
    assert a.report.key(1) == a.report.key() != b.report.key()
    assert Shop.report.key(a) == a.report.key()
    assert await a.report.invalidate(1) is True
    assert await a.report.invalidate(1) is False
    second = await a.report(1)
    assert second != first
    third = await a.report.refresh()
    assert third != second
    assert await a.report() == third
    assert (await b.report()).startswith("b 1")


async def test_methods_that_ignore_their_instance(cache: Cache) -> None:
    """With ignore= and a template all instances share."""
    assert await Shop("a").shared(3) == await Shop("b").shared(3)
    assert Shop("a").shared.key(3) == "shared:3"


@pytest.mark.parametrize("name", ["inner_class", "outer_class"])
async def test_class_methods(name: str, cache: Cache) -> None:
    """Class methods work in both orders, through class and instance, and subclasses are apart."""
    method, bound, other = getattr(Shop, name), getattr(Shop("a"), name), getattr(OtherShop, name)
    first = await method(1)
    assert first.startswith("Shop 1")
    assert await bound(1) == await method(month=1) == first
    assert (await other(1)).startswith("OtherShop 1")
    assert method.key(1) == bound.key(1) != other.key(1)
    assert await method.invalidate(1) is True
    assert await method(1) != first
    assert (await other.refresh(1)).startswith("OtherShop 1")


@pytest.mark.parametrize("name", ["inner_static", "outer_static"])
async def test_static_methods(name: str, cache: Cache) -> None:
    """Static methods work in both orders, through class and instance."""
    first = await getattr(Shop, name)(1)
    assert await getattr(Shop("a"), name)(1) == first
    assert getattr(Shop, name).key(1) == getattr(Shop("a"), name).key(1)
    assert await getattr(Shop("a"), name).invalidate(1) is True
    assert await getattr(Shop, name)(1) != first
    instance: Any = Shop("a")
    assert await Shop.bare_static() == await instance.bare_static()


def test_bound_methods_show_their_own_signature() -> None:
    """A bound method's signature has no self: frameworks read it to find parameters."""
    assert list(inspect.signature(Shop("a").report).parameters) == ["month"]
    assert list(inspect.signature(Shop.report).parameters) == ["self", "month"]
    assert list(inspect.signature(Shop.inner_class).parameters) == ["month"]
    assert getattr(Shop.report, "__name__") == getattr(Shop("a").report, "__name__") == "report"  # noqa: B009
    assert Shop("a").report.__doc__ == "Report."


async def test_methods_of_local_classes(cache: Cache) -> None:
    """A class defined in a function has cached methods as any other."""

    @dataclass(frozen=True)
    class Local:
        n: int

        @cached(ttl=60)
        async def twice(self) -> int:
            return 2 * self.n

    assert [await Local(n).twice() for n in (1, 2, 1, 2)] == [2, 4, 2, 4]


# -- synchronous functions ---------------------------------------------------------------------------------


async def test_synchronous_functions_run_in_threads(cache: Cache) -> None:
    """A synchronous function is called in another thread, once, and what it raises arrives."""
    seen: list[int] = []

    @cached(ttl=60)
    def slow(n: int) -> int:
        seen.append(threading.get_ident())
        if n < 0:
            raise ValueError(n)
        return n + 1

    assert await asyncio.gather(*(slow(1) for _ in range(10))) == [2] * 10
    assert await slow(1) == 2
    assert len(seen) == 1
    assert seen[0] != threading.get_ident()
    with pytest.raises(ValueError, match="-1"):
        await slow(-1)
    assert inspect.iscoroutinefunction(slow)


async def test_wrapped_synchronous_functions(cache: Cache) -> None:
    """An asynchronous wrapper around a synchronous function is asynchronous, and the other way round."""

    def plain(n: int) -> int:
        return n + 1

    @functools.wraps(plain)
    async def asynchronous(n: int) -> int:
        return plain(n)

    async def native(n: int) -> int:
        return n + 2

    @functools.wraps(native)
    def wrapping(n: int) -> Awaitable[int]:
        return native(n)

    first: Any = cached(ttl=60)(asynchronous)
    second: Any = cached(ttl=60, key="second:{n}")(wrapping)
    for _ in range(3):
        assert await first(1) == 2
        assert await second(1) == 3


# -- types -------------------------------------------------------------------------------------------------


async def plain_value(n: int) -> Any:
    return {"n": n}


async def maybe_user(n: int) -> User | None:
    return User(n) if n else None


async def many_users(n: int) -> list[User]:
    return [User(n)] * n


async def forward(n: int) -> LaterDefined:
    return LaterDefined(n)


async def identifier(n: int) -> UUID:
    return UUID(int=n)


async def models(n: int) -> list[Model]:
    return [Model(id=n)]


async def one_model(n: int) -> Model | None:
    return Model(id=n)


async def mapping(n: int) -> dict[str, tuple[int, ...]]:
    return {"a": (n, n)}


async def only_for_checkers(n: int, context: OnlyForCheckers | None = None) -> User:
    return User(n)


class LaterDefined(msgspec.Struct):
    n: int


@pytest.mark.parametrize(
    "function",
    [
        plain_value,
        maybe_user,
        many_users,
        forward,
        identifier,
        models,
        one_model,
        mapping,
        only_for_checkers,
    ],
)
@pytest.mark.parametrize("kind", ["local", "remote"])
async def test_return_annotations(function: Any, kind: str, clock: FakeClock, calls: Calls) -> None:
    """What comes from the cache is what the return annotation says, equal to the computed value."""
    cache = local(clock) if kind == "local" else over(Gated(InMemoryBackend(clock=clock)), clock)

    @functools.wraps(function)
    async def counted(*args: Any, **kwargs: Any) -> Any:
        calls()
        return await function(*args, **kwargs)

    through: Any = cached(ttl=60, cache=cache)(counted)
    for n in (0, 2):
        expected = await function(n)
        for _ in range(4):
            got = await through(n)
            assert got == expected
            assert type(got) is type(expected)
    assert len(calls.seen) == 2


async def test_unresolvable_return_annotation(cache: Cache) -> None:
    """A return annotation that means nothing at run time is told so by the function's name."""

    async def broken() -> OnlyForCheckers:
        raise AssertionError

    function: Any = cached(ttl=60)(broken)
    with pytest.raises(ConfigurationError, match="broken"):
        await function()


async def test_mutable_results_are_nobody_elses(cache: Cache, calls: Calls) -> None:
    """Callers may change what they get: the next gets it as it was computed."""

    @cached(ttl=60)
    async def basket(n: int) -> Basket:
        calls()
        await asyncio.sleep(0)
        return Basket(["a"])

    got = await asyncio.gather(*(basket(1) for _ in range(5)))
    for each in got:
        each.items.append("mine")
    for _ in range(3):
        again = await basket(1)
        assert again.items == ["a"]
        again.items.clear()
    assert len(calls.seen) == 1


# -- keys --------------------------------------------------------------------------------------------------


async def test_key_templates(cache: Cache, calls: Calls) -> None:
    """A template names the key, in the cache's namespace, and parameters it leaves out do not count."""

    @cached(ttl=60, key="user:{user_id}")
    async def load(user_id: int, lang: str = "de") -> int:
        return calls()

    assert await load(42) == await load(42, "en") == 1
    function: Any = load
    assert function.key(42) == "user:42"
    assert await cache.get("user:42") == 1
    await cache.delete("user:42")
    assert await load(42) == 2


async def test_template_of_attributes(cache: Cache, calls: Calls) -> None:
    """A template may name an attribute; arguments that only differ elsewhere share the value."""

    @cached(ttl=60, key="item:{item.id}")
    async def load(item: User) -> int:
        return calls()

    assert await load(User(1, "a")) == await load(User(1, "b")) == 1
    assert await load(User(2)) == 2


async def test_callable_keys(cache: Cache, calls: Calls) -> None:
    """key= may be a function of the same arguments; it is asked every time."""
    parts = ["a"]

    def build(user_id: int, *, lang: str = "de") -> str:
        return f"{parts[0]}:{user_id}:{lang}"

    @cached(ttl=60, key=build)
    async def load(user_id: int, *, lang: str = "de") -> int:
        return calls()

    assert await load(1) == await load(1, lang="de") == 1
    assert await load(1, lang="en") == 2
    parts[0] = "b"
    assert await load(1) == 3
    assert await cache.get("b:1:de") == 3


@pytest.mark.parametrize("made, error", [(5, TypeError), ("", InvalidKeyError), ("\ud800", InvalidKeyError)])
async def test_callable_keys_that_are_none(made: Any, error: type[Exception], cache: Cache) -> None:
    """What key= returns is checked, with the function's name in the error, before anything runs."""

    def build(n: int) -> Any:
        return made

    @cached(ttl=60, key=build)
    async def load(n: int) -> int:
        raise AssertionError

    with pytest.raises(error, match="load"):
        await load(1)


async def test_ignored_parameters(cache: Cache, calls: Calls) -> None:
    """An ignored parameter, whatever it is, is not part of the key, and is passed on."""

    @cached(ttl=60, ignore=["session"])
    async def load(session: object, n: int) -> str:
        return f"{calls()} {session is not None}"

    assert await load(object(), 1) == await load(object(), 1) == "1 True"
    assert await load(object(), 2) == "2 True"


async def test_two_functions_do_not_share(cache: Cache) -> None:
    """Functions of different names have different keys for the same arguments."""

    @cached(ttl=60)
    async def one(n: int) -> str:
        return "one"

    @cached(ttl=60)
    async def two(n: int) -> str:
        return "two"

    assert [await one(1), await two(1), await one(1)] == ["one", "two", "one"]


async def test_tags_from_arguments(cache: Cache, calls: Calls) -> None:
    """Tags are filled in from the arguments, those not in the key included."""

    @cached(ttl=60, tags=["users", "user:{user_id}", "lang:{lang}"], key="{user_id}")
    async def load(user_id: int, lang: str = "de") -> int:
        return calls()

    assert [await load(1), await load(2), await load(1)] == [1, 2, 1]
    await cache.invalidate_tags("user:1")
    assert [await load(1), await load(2)] == [3, 2]
    await cache.invalidate_tags("lang:en")
    assert [await load(1), await load(2)] == [3, 2]
    await cache.invalidate_tags("lang:de")
    assert [await load(1), await load(2)] == [4, 5]
    await cache.invalidate_tags("users")
    assert [await load(1), await load(2)] == [6, 7]


# -- which cache -------------------------------------------------------------------------------------------


class Request:
    """What a middleware puts around a request."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache


async def test_which_cache(clock: FakeClock, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Explicit, else the request's, else the default; and back again, each with its own values."""
    explicit, requests, default = local(clock), local(clock), local(clock)

    @cached(ttl=60)
    async def anywhere() -> int:
        return calls()

    @cached(ttl=60, cache=explicit)
    async def here() -> int:
        return calls()

    set_default_cache(default)
    assert await anywhere() == 1
    assert await here() == 2
    token = current.set(Request(requests))
    try:
        assert current_cache() is requests
        assert await anywhere() == 3
        assert await here() == 2
        assert await anywhere() == 3
    finally:
        current.reset(token)
    assert await anywhere() == 1
    second = local(clock)
    set_default_cache(second)
    assert await anywhere() == 4
    set_default_cache(default)
    assert await anywhere() == 1
    await default.clear()
    assert await anywhere() == 5
    set_default_cache(None)


async def test_requests_at_the_same_time(clock: FakeClock) -> None:
    """Two applications' requests that interleave each use their own cache, every time."""
    caches = {name: local(clock) for name in "ab"}

    @cached(ttl=60)
    async def who() -> str:
        return name_of[current_cache()]

    name_of = {cache: name for name, cache in caches.items()}

    async def request(name: str) -> None:
        current.set(Request(caches[name]))
        for _ in range(20):
            assert await who() == name
            await asyncio.sleep(0)

    await asyncio.gather(*(asyncio.create_task(request(name)) for name in "abab"))


# -- behaviour ---------------------------------------------------------------------------------------------


async def test_exceptions_are_not_cached_and_none_is(cache: Cache, calls: Calls) -> None:
    """What is raised reaches the caller every time; None is a value."""

    @cached(ttl=60)
    async def load(n: int) -> None:
        if calls() and n < 0:
            raise LookupError(n)

    for _ in range(3):
        nothing_at_all: Any = await load(1)  # type: ignore[func-returns-value]
        assert nothing_at_all is None
    assert len(calls.seen) == 1
    for _ in range(3):
        with pytest.raises(LookupError):
            await load(-1)
    assert len(calls.seen) == 4


async def test_store_if(cache: Cache, calls: Calls) -> None:
    """What store_if refuses is not kept; its concurrent callers share the run but not the object."""

    def even(result: dict[str, int]) -> bool:
        return result["n"] % 2 == 0

    @cached(ttl=60, store_if=even)
    async def load() -> dict[str, int]:
        await asyncio.sleep(0)
        return {"n": calls()}

    one, two = await asyncio.gather(load(), load())
    assert one == two == {"n": 1}
    assert one is not two
    assert await load() == {"n": 2}
    assert await load() == {"n": 2}


async def test_stale_while_revalidate(cache: Cache, clock: FakeClock, calls: Calls) -> None:
    """Past its ttl a value is served while it is refreshed, also where it was in the memo."""

    @cached(ttl=10, stale_while_revalidate=10)
    async def load() -> int:
        return calls()

    assert [await load(), await load()] == [1, 1]
    clock.advance(10)
    assert await load() == 1
    await ticks()
    assert await load() == 2
    clock.advance(20)
    assert await load() == 3


async def test_stale_if_error(cache: Cache, clock: FakeClock) -> None:
    """Within its window a stale value stands in for an error."""
    broken = False

    @cached(ttl=10, stale_if_error=10)
    async def load() -> str:
        if broken:
            raise LookupError
        return "v"

    await load()
    broken = True
    clock.advance(10)
    assert await load() == "v"
    clock.advance(10)
    with pytest.raises(LookupError):
        await load()


async def test_soft_timeout(cache: Cache, clock: FakeClock) -> None:
    """A new value that takes longer than soft_timeout lets the stale one be served, and still arrives."""
    gate = asyncio.Event()
    versions = iter("ab")

    @cached(ttl=10, stale_if_error=60, soft_timeout=0.01)
    async def load() -> str:
        version = next(versions)
        if version != "a":
            await gate.wait()
        return version

    assert await load() == "a"
    clock.advance(10)
    assert await load() == "a"
    gate.set()
    await ticks()
    assert await load() == "b"


async def test_early_refresh(clock: FakeClock, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """With early_refresh a value that is expensive and about to expire is refreshed before it does."""
    from asynccache._engine import loading

    cache = local(clock)
    monkeypatch.setattr(loading, "stopwatch", iter(range(0, 10_000, 5)).__next__)

    @cached(ttl=1000, early_refresh=1.0, cache=cache)
    async def load() -> int:
        return calls()

    assert await load() == 1
    clock.advance(999.999)
    for _ in range(50):
        assert await load() in {1, 2}
        await ticks(3)
    assert len(calls.seen) == 2


async def test_recursion(cache: Cache) -> None:
    """A cached function may call itself with other arguments; with the same it is an error, no hang."""

    @cached(ttl=60)
    async def fibonacci(n: int) -> int:
        return n if n < 2 else await fibonacci(n - 1) + await fibonacci(n - 2)

    @cached(ttl=60)
    async def endless(n: int) -> int:
        return await endless(n)

    assert await fibonacci(20) == 6765
    async with asyncio.timeout(5):
        with pytest.raises(CacheError, match="own result"):
            await endless(1)


async def test_one_run_for_everyone(cache: Cache, calls: Calls) -> None:
    """A thousand concurrent calls with the same arguments run the function once."""

    @cached(ttl=60)
    async def load(n: int) -> int:
        await asyncio.sleep(0.01)
        return calls()

    assert set(await asyncio.gather(*(load(1) for _ in range(1000)))) == {1}


async def test_refresh_and_invalidate(cache: Cache, calls: Calls) -> None:
    """To refresh computes anew and stores, invalidate removes, for these arguments only."""

    @cached(ttl=60)
    async def load(n: int) -> int:
        return calls()

    function: Any = load
    assert [await load(1), await load(2)] == [1, 2]
    assert await function.refresh(1) == 3
    assert [await load(1), await load(2)] == [3, 2]
    assert await function.invalidate(1) is True
    assert [await load(1), await load(2)] == [4, 2]


async def test_refresh_without_a_value(cache: Cache, calls: Calls) -> None:
    """To refresh works where nothing is stored, and replaces what another process has just refreshed."""
    function: Any = cached(ttl=60)(nothing)
    assert await function.refresh() is None
    assert await cache.exists(function.key()) is True


async def module_level(n: int) -> int:
    return n


module_cached: Any = cached(ttl=60)(module_level)


def test_pickling() -> None:
    """A cached function pickles by name, like any function: process pools and task queues do that."""
    module_cached.__qualname__ = "module_cached"
    assert pickle.loads(pickle.dumps(module_cached)) is module_cached


# -- the memo ----------------------------------------------------------------------------------------------


def squared(cache: Cache, source: dict[int, int], **options: Any) -> Any:
    @cached(cache=cache, key="f:{n}", **options)
    async def function(n: int) -> int:
        return source.get(n, 0)

    return function


ENDS: dict[str, Callable[[Cache, FakeClock, Any], Awaitable[object]]] = {
    "deleted": lambda cache, clock, f: cache.delete("f:1"),
    "deleted among many": lambda cache, clock, f: cache.delete_many(["f:1", "x"]),
    "invalidated": lambda cache, clock, f: f.invalidate(1),
    "by tag": lambda cache, clock, f: cache.invalidate_tags("one:1"),
    "by a second tag": lambda cache, clock, f: cache.invalidate_tags("x", "all"),
    "softly": lambda cache, clock, f: cache.invalidate_tags("all", soft=True),
    "cleared": lambda cache, clock, f: cache.clear(),
    "closed": lambda cache, clock, f: cache.aclose(),
    "expired": lambda cache, clock, f: advance(clock, 60),
    "stepped back": lambda cache, clock, f: advance(clock, -120),
    "stamp lost": lambda cache, clock, f: store_of(cache).delete(cache.entries.tag_keys(["all"])[0]),
    "deleted in the store": lambda cache, clock, f: store_of(cache).delete(
        cache.entries.namespace.value_prefix + "f:1"
    ),
    "cleared in the store": lambda cache, clock, f: store_of(cache).clear("asynccache"),
}


def store_of(cache: Cache) -> Any:
    """Return the store, of whatever kind."""
    return cache.config.backend


async def advance(clock: FakeClock, seconds: float) -> None:
    clock.set(clock() + seconds)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("tagged", [True, False])
async def test_the_memo_serves_nothing_that_is_gone(how: str, tagged: bool, clock: FakeClock) -> None:
    """Whatever ends a value ends it in the memo, at once."""
    if not tagged and ("tag" in how or how in {"softly", "stamp lost"}):
        pytest.skip("nothing to invalidate")
    if not tagged and how == "stepped back":
        pytest.skip("a plain number has no header that tells when it was made; see test_cache for what has")
    cache = local(clock)
    source = {1: 1}
    function = squared(cache, source, ttl=60, **({"tags": ["all", "one:{n}"]} if tagged else {}))
    for _ in range(5):
        assert await function(1) == 1
    source[1] = 2
    assert await function(1) == 1
    await ENDS[how](cache, clock, function)
    assert await function(1) == 2


@pytest.mark.parametrize("write", ["set", "set_many", "add", "get_or_set", "bytes"])
async def test_the_memo_serves_what_replaced(write: str, clock: FakeClock) -> None:
    """A value that was replaced, however, is served as replaced."""
    backend = InMemoryBackend(clock=clock)
    cache = Cache(CacheConfig(backend=backend, clock=clock))
    function = squared(cache, {1: 1}, ttl=60)
    for _ in range(3):
        assert await function(1) == 1

    async def load() -> int:
        return 7

    if write == "set":
        await cache.set("f:1", 7)
    elif write == "set_many":
        await cache.set_many({"f:1": 7})
    elif write == "add":
        await cache.delete("f:1")
        await cache.add("f:1", 7)
    elif write == "get_or_set":
        await cache.delete("f:1")
        await cache.get_or_set("f:1", load)
    else:
        await backend.set(cache.entries.namespace.value_prefix + "f:1", b"7", 60)
    for _ in range(3):
        assert await function(1) == 7


async def test_the_memo_follows_counters(clock: FakeClock) -> None:
    """A number that was memoised and is then counted with is served as counted."""
    cache = local(clock)
    function = squared(cache, {1: 1}, ttl=60)
    for _ in range(3):
        assert await function(1) == 1
    assert await cache.incr("f:1", 10) == 11
    for _ in range(3):
        assert await function(1) == 11


async def test_the_memo_and_eviction(clock: FakeClock) -> None:
    """A value that was evicted is computed anew."""
    backend = InMemoryBackend(max_bytes=4096, clock=clock)
    cache = Cache(CacheConfig(backend=backend, clock=clock))
    source = {1: 1}
    function = squared(cache, source, ttl=60)
    for _ in range(3):
        assert await function(1) == 1
    source[1] = 2
    for n in range(100):
        await cache.set(f"filler{n}", "x" * 50)
        await cache.get(f"filler{n}")
        await cache.get(f"filler{n}")
    assert await cache.exists("f:1") is False
    assert await function(1) == 2


async def test_the_memo_and_entries_the_store_only_unpacks(clock: FakeClock) -> None:
    """What the store cannot keep unpacked, being too large with its tags, is not kept by the memo either."""
    for size in range(2, 200, 3):
        backend = InMemoryBackend(max_bytes=8192, clock=clock)
        cache = Cache(CacheConfig(backend=backend, clock=clock))
        source = {1: "a" * size}

        @cached(cache=cache, key="f:{n}", ttl=60, tags=["all", "these"])
        async def function(n: int, source: dict[int, str] = source) -> str:
            return source[n]

        for _ in range(4):
            assert await function(1) == "a" * size
        source[1] = "b" * size
        await cache.delete("f:1")
        for _ in range(2):
            assert await function(1) == "b" * size


async def test_the_memo_and_readers_of_other_types(clock: FakeClock) -> None:
    """Somebody who reads the entry as another type first changes nothing for the function."""
    cache = local(clock)

    @cached(cache=cache, key="id:{n}", ttl=60)
    async def identify(n: int) -> UUID:
        return UUID(int=n)

    first = await identify(5)
    for _ in range(3):
        assert await cache.get("id:5") == str(first)
        assert await cache.get("id:5", type=str) == str(first)
        assert await identify(5) == first
        assert isinstance(await identify(5), UUID)


async def test_the_memo_is_bounded(clock: FakeClock) -> None:
    """A million different arguments do not fill the memory: old ones are let go."""
    cache = local(clock)
    function = squared(cache, {}, ttl=60)
    for n in range(9000):
        await function(n)
        await function(n)
    binding = inspect.getclosurevars(function).nonlocals or function.__globals__
    memo = binding.get("_memo") or binding["_bound"].binding.memo
    assert len(memo) <= 4096


async def test_observers_hear_of_every_hit(clock: FakeClock) -> None:
    """With observers no hit is silent: the memo is not used."""
    events = RecordedEvents()
    cache = local(clock, observers=[events])
    function = squared(cache, {1: 1}, ttl=60)
    for _ in range(5):
        await function(1)
    assert len(events.of(Hit)) == 4
    assert cache.stats().hits == 4


async def test_hits_are_counted(clock: FakeClock) -> None:
    """Hits in the memo count like others."""
    cache = local(clock)
    function = squared(cache, {1: 1}, ttl=60)
    for _ in range(5):
        await function(1)
    assert (cache.stats().hits, cache.stats().misses, cache.stats().computed) == (4, 1, 1)


async def test_threads_with_loops_of_their_own(clock: FakeClock) -> None:
    """Each thread's application gets its own cache's values, also where a function is shared by all."""
    name_of: dict[Cache, str] = {}

    @cached(ttl=60)
    async def who() -> str:
        return name_of[current_cache()]

    wrong: list[str] = []

    async def application(name: str) -> None:
        cache = Cache()
        name_of[cache] = name
        current.set(Request(cache))
        for _ in range(300):
            got = await who()
            wrong.extend([got] * (got != name))

    def serve(name: str) -> None:
        asyncio.run(application(name))

    threads = [threading.Thread(target=serve, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert wrong == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "call",
                "call",
                "call",
                "source",
                "delete",
                "invalidate",
                "refresh",
                "set",
                "tag all",
                "tag one",
                "soft",
                "clear",
                "advance",
                "touch",
                "fill",
                "add",
                "get",
                "child clear",
                "bytes",
                "aclose",
            ]
        ),
        st.integers(0, 2),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=60,
)


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("kind", ["local", "tiny", "remote", "bare"])
@given(steps=STEPS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_operations_against_a_model(
    kind: str, tagged: bool, steps: list[tuple[str, int, int]]
) -> None:
    """Whatever is done through facade and function, a call returns what was written last and is not over.

    The model: for each argument the value in force and its end; a miss, allowed at any time, computes anew.
    """

    async def run() -> None:  # noqa: PLR0912  (one branch for each operation)
        clock = FakeClock()
        store: Any
        if kind in {"local", "tiny"}:
            store = InMemoryBackend(max_bytes=2**20 if kind == "local" else 4096, clock=clock)
            cache = Cache(CacheConfig(backend=store, clock=clock))
        else:
            store = ThreeMethods(clock) if kind == "bare" else Gated(InMemoryBackend(clock=clock))
            cache = over(store, clock)
        source = dict.fromkeys(range(3), 0)
        stored: dict[int, tuple[int, float]] = {}
        tags: dict[str, Any] = {"tags": ["all", "one:{n}"]} if tagged else {}
        ran: list[int] = []

        @cached(cache=cache, key="f:{n}", ttl=20, **tags)
        async def function(n: int) -> int:
            ran.append(n)
            return source[n]

        facade: Any = function

        def tags_of(n: int) -> list[str]:
            return ["all", f"one:{n}"] if tagged else []

        def check(n: int, got: int) -> None:
            if n in ran:
                assert got == source[n]
                stored[n] = (got, clock() + 20)
                ran.clear()
            else:
                assert n in stored, f"{n} is in nobody's store, yet no run"
                value, end = stored[n]
                assert clock() < end
                assert got == value

        for number, (what, n, amount) in enumerate(steps):
            key = f"f:{n}"
            if what == "call":
                check(n, await function(n))
            elif what == "source":
                source[n] = 1000 + number
            elif what in {"delete", "invalidate"}:
                await (cache.delete(key) if what == "delete" else facade.invalidate(n))
                stored.pop(n, None)
            elif what == "refresh":
                check(n, await facade.refresh(n))
            elif what == "set":
                await cache.set(key, number, amount, tags=tags_of(n))
                stored[n] = (number, clock() + amount)
            elif what == "tag all" and tagged:
                await cache.invalidate_tags("all")
                stored.clear()
            elif what in {"tag one", "soft"} and tagged:
                await cache.invalidate_tags(f"one:{n}", soft=what == "soft")
                stored.pop(n, None)
            elif what == "clear":
                await cache.clear()
                stored.clear()
            elif what == "child clear":
                await cache.namespace("child").clear()
            elif what == "advance":
                clock.advance(amount / 2)
            elif what == "touch" and (kind in {"local", "tiny"} or tagged):
                if await cache.touch(key, amount):
                    assert n in stored
                    stored[n] = (stored[n][0], clock() + amount)
            elif what == "fill":
                await cache.get_or_set_many(["x", "y"], many)
            elif what == "add" and cache.capabilities.add:
                if await cache.add(key, number, amount, tags=tags_of(n)):
                    assert kind == "tiny" or n not in stored or clock() >= stored[n][1]
                    stored[n] = (number, clock() + amount)
            elif what == "get":
                got = await cache.get(key)
                assert got is None or (got == stored[n][0] and clock() < stored[n][1])
            elif what == "bytes" and kind == "local" and not tagged:
                await store.set(cache.entries.namespace.value_prefix + key, b"%d" % number, amount)
                stored[n] = (number, clock() + amount)
            elif what == "aclose" and kind in {"local", "tiny"}:
                await cache.aclose()
                stored.clear()
        for n in range(3):
            check(n, await function(n))
        await cache.aclose()

    asyncio.run(run())


async def many(names: list[str]) -> dict[str, str]:
    return dict.fromkeys(names, "x" * 40)


def test_policy_object() -> None:
    """A policy and options beside it are joined; the options win."""
    policy = CachePolicy(ttl=5, tags=["a"])
    function: Any = cached(policy=policy, ttl=7, stale_while_revalidate=3)(nothing)
    assert function is not None
