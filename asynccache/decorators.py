"""`cached`: memoise a function in the cache. The return annotation says what a stored value is decoded to."""

from __future__ import annotations

import inspect
import typing
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial, update_wrapper
from inspect import Parameter
from types import SimpleNamespace
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar, cast, overload

from anyio import to_thread

from asynccache._engine.entry import MISSING, Entry
from asynccache._engine.loading import Job
from asynccache._wrapper import compile_wrapper
from asynccache.cache import Cache
from asynccache.defaults import current_cache
from asynccache.errors import ConfigurationError
from asynccache.keys import KeyTemplate, call_key, check_key
from asynccache.policy import DEFAULT, CachePolicy, Default, Seconds, tag_names

__all__ = ["CachedFunction", "cached"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

_MEMO_LIMIT: Final = 4096
_MEMO_TYPES: Final = frozenset({int, str, bool, bytes, type(None)})
"""Argument types whose equality, type for type, means the same argument. Not float: -0.0 equals 0.0."""
_MEMO_INTS: Final = range(-(2**60), 2**60)
"""Larger ints may share a hash with these, which a client could use to make look-ups slow."""


class CachedFunction(Generic[P, R]):
    """A function whose results are cached: call and await it as before. Made by `cached`."""

    def __init__(
        self, recipe: _Recipe, wrapper: Callable[..., Awaitable[R]], leading: tuple[Any, ...] = ()
    ) -> None:
        self._recipe = recipe
        self._wrapper = wrapper
        self._leading = leading
        update_wrapper(self, recipe.function)
        if leading:  # what is bound is no parameter any more; frameworks read the signature
            left = list(recipe.signature.parameters.values())[len(leading) :]
            self.__signature__: inspect.Signature = recipe.signature.replace(parameters=left)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the result for these arguments, computing it only if none is stored."""
        return await self._wrapper(*self._leading, *args, **kwargs)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key under which the result for these arguments is stored."""
        return self._recipe.key(self._leading + args, kwargs)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove the result for these arguments; True if there was one."""
        return await self._recipe.cache().delete(self._recipe.key(self._leading + args, kwargs))

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute the result for these arguments anew, store and return it."""
        return cast("R", await self._recipe.refresh(self._leading + args, kwargs))

    @overload
    def __get__(self, instance: None, owner: type) -> CachedFunction[P, R]: ...
    @overload
    def __get__(
        self: CachedFunction[Concatenate[Any, Q], R], instance: object, owner: type
    ) -> CachedFunction[Q, R]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        """Bind to an instance, as functions do."""
        if instance is None:
            return self
        return CachedFunction(self._recipe, self._wrapper, (*self._leading, instance))


class _Binding:
    """A recipe's dealings with one cache."""

    __slots__ = ("cache", "clock", "lifetime", "loader", "memo", "memoises", "prefix", "store", "tally")

    def __init__(self, cache: Cache, policy: CachePolicy) -> None:
        self.cache: Final = cache
        self.loader: Final = cache.loader
        self.store: Final = cache.entries
        self.prefix: Final = cache.entries.namespace.value_prefix
        self.lifetime: Final = cache.lifetime(policy)
        self.clock: Final = cache.entries.clock
        self.tally: Final = cache.entries.tally
        self.memo: dict[Any, Entry] = {}
        """Entries of a process-local store by arguments.

        The store kills what it drops, so none outlives it.
        """
        # Observers want to hear of every hit, early refresh wants to draw: those hits take the long way.
        self.memoises: Final = (
            cache.entries.local is not None and not cache.entries.access.observers and not self.lifetime.beta
        )

    def live(self, entry: Entry) -> bool:
        """Return whether the entry's tags are live."""
        return self.store.alive(entry)

    def remember(self, memo_key: tuple[Any, ...], full: str, type: Any) -> None:
        """Note where the next call with the same arguments finds its value, if that is safe."""
        entry = self.store.peek(full)
        if entry is None or entry.value is MISSING or entry.value_type is not type:
            return
        for argument, kind in zip(memo_key[::2], memo_key[1::2], strict=True):
            if kind not in _MEMO_TYPES or (kind is int and argument not in _MEMO_INTS):
                return
        if len(self.memo) >= _MEMO_LIMIT:
            self.memo.clear()
        self.memo[memo_key] = entry


class _Recipe:
    """Everything about a cached function but the cache."""

    def __init__(
        self,
        function: Callable[..., Any],
        policy: CachePolicy,
        key: str | Callable[..., str] | None,
        ignore: tuple[str, ...],
        cache: Cache | None,
    ) -> None:
        self.function = function
        self.policy = policy
        self.signature: Final = inspect.signature(function)
        self.binding: Any = None
        self._cache = cache
        self._asynchronous = any(map(inspect.iscoroutinefunction, (function, inspect.unwrap(function))))
        self._type: Any = MISSING
        self._name = f"{function.__module__}:{function.__qualname__}"
        names = tuple(self.signature.parameters)
        _check_names(ignore, names)
        policy.check_tags(names)
        self._template = KeyTemplate(key, names) if isinstance(key, str) else None
        self._build_key = None if isinstance(key, str) else key
        used = names if self._template is None else self._template.parameters
        tagged = {name for name in names if any("{" + name in tag for tag in policy.tags)}
        self._keyed = tuple(name for name in names if (name in used and name not in ignore) or name in tagged)
        self._in_key = tuple(name for name in used if name not in ignore)
        if cache is not None:
            self.bind()

    # -- which cache --------------------------------------------------------------------------------

    def cache(self) -> Cache:
        """Return the cache named in the decorator, else the one meant here and now."""
        return current_cache() if self._cache is None else self._cache

    def bind(self) -> _Binding:
        """Use the cache meant here and now from now on."""
        binding = _Binding(self.cache(), self.policy)
        self.binding = binding  # another thread may put its own there at any time
        return binding

    # -- what is asked for --------------------------------------------------------------------------

    def arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return every parameter with its value, defaults included."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    def key(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the key for these arguments."""
        return self.key_for(self.arguments(args, kwargs))

    def key_for(self, arguments: Mapping[str, Any]) -> str:
        """Return the key for arguments by parameter."""
        if self._template is not None:
            return self._template.render(arguments)
        if self._build_key is not None:
            args, kwargs = self._call(arguments)
            return check_key(self._build_key(*args, **kwargs), f"what key= returned for {self._name}")
        return call_key(self._name, {name: _identity(arguments[name]) for name in self._in_key})

    def _call(self, arguments: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        bound = inspect.BoundArguments(self.signature, OrderedDict(arguments))
        return bound.args, bound.kwargs

    def type(self) -> Any:
        """Return what a stored value is decoded to: the return annotation, resolved on first use."""
        if self._type is MISSING:
            annotation = _returned(inspect.unwrap(self.function), self._name)
            self._type = None if annotation is Any or annotation is type(None) else annotation
        return self._type

    # -- doing it -----------------------------------------------------------------------------------

    def job(self, binding: _Binding, arguments: Mapping[str, Any]) -> Job:
        """Return what the loader has to know."""
        args, kwargs = self._call(arguments)
        if self._asynchronous:
            load = partial(self.function, *args, **kwargs)
        else:
            load = partial(to_thread.run_sync, partial(self.function, *args, **kwargs))
        full = binding.prefix + self.key_for(arguments)
        policy = self.policy
        return Job(full, load, binding.lifetime, policy.tags_for(arguments), self.type(), policy.store_if)

    async def slow(self, binding: _Binding, memo_key: tuple[Any, ...], arguments: Mapping[str, Any]) -> Any:
        """Return the stored value or compute it: what the wrapper does when its memo has none."""
        job = self.job(binding, arguments)
        value = await binding.loader.load(job)
        if binding.memoises and self._build_key is None:
            binding.remember(memo_key, job.key, job.type)
        return value

    async def refresh(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Compute and store the value."""
        binding = _Binding(self.cache(), self.policy)
        return await binding.loader.compute(self.job(binding, self.arguments(args, kwargs)))

    def wrapper(self) -> Callable[..., Awaitable[Any]]:
        """Return the function to call."""
        if self._cache is None:
            self.binding = _UNBOUND
        compiled = compile_wrapper(
            self.signature,
            self._keyed,
            bound=self,
            bind=self.bind,
            slow=self.slow,
            fixed=None if self._cache is None else self.binding,
        )
        return update_wrapper(compiled, self.function)


class _Unbound:
    """Stands in for a binding before the first call. None would be the default cache that is not made yet."""

    cache: Final = object()


_UNBOUND: Final = _Unbound()


def _identity(value: Any) -> Any:
    """Return what stands for an argument in the key: a class's name, an object's ``__cache_key__()``."""
    if isinstance(value, type):
        return f"class {value.__module__}.{value.__qualname__}"
    kind = cast("Any", type(value))
    named = getattr(kind, "__cache_key__", None)
    return value if named is None else (kind.__qualname__, named(value))


def _returned(function: Any, name: str) -> Any:
    """Return the return annotation; the parameters' need not mean anything at run time."""
    annotations = getattr(function, "__annotations__", {})
    alone = SimpleNamespace(
        __annotations__={"return": annotations.get("return")},
        __type_params__=getattr(function, "__type_params__", ()),
    )
    try:
        return typing.get_type_hints(alone, getattr(function, "__globals__", {})).get("return")
    except NameError as error:
        raise ConfigurationError(
            f"the return annotation of {name} cannot be resolved ({error}): values are decoded to it, "
            "so it must mean something at run time"
        ) from error


def _check_names(ignore: tuple[str, ...], names: tuple[str, ...]) -> None:
    if unknown := set(ignore) - set(names):
        raise ConfigurationError(f"ignore names {min(unknown)!r}, which is not one of {sorted(names)}")


def _is_method(function: Callable[..., Any], signature: inspect.Signature) -> bool:
    """Return whether ``function`` is being defined in a class body."""
    outer, _, _ = function.__qualname__.rpartition(".")
    first = next(iter(signature.parameters.values()), None)
    return (
        bool(outer)
        and not outer.endswith("<locals>")
        and first is not None
        and first.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    )


@overload
def cached(function: Callable[P, Awaitable[R]], /) -> CachedFunction[P, R]: ...
@overload
def cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    *,
    ttl: Seconds | Default | None = DEFAULT,
    tags: Iterable[str] = (),
    key: str | Callable[..., str] | None = None,
    ignore: Iterable[str] = (),
    policy: CachePolicy | None = None,
    cache: Cache | None = None,
    **options: Any,
) -> _Decorator: ...
def cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    ttl: Seconds | Default | None = DEFAULT,
    tags: Iterable[str] = (),
    key: str | Callable[..., str] | None = None,
    ignore: Iterable[str] = (),
    policy: CachePolicy | None = None,
    cache: Cache | None = None,
    **options: Any,
) -> Any:
    """Cache the results of a function or method; a synchronous one then runs in a thread.

    The stored value is decoded to the function's return annotation. Concurrent calls with the same
    arguments run
    the function once. Exceptions are not cached; None is.

    Args:
        function: The function, where the decorator is used without parentheses.
        ttl: Seconds or a timedelta; None until invalidated; left out: the cache's ``default_ttl``.
        tags: Names to invalidate by; ``{parameter}`` is filled in.
        key: A template such as ``"user:{user_id}"``, or a function of the same arguments that returns the
            key.
            Left out: the function's name and all its arguments.
        ignore: Parameters that are not part of the key: a database session, a request.
        policy: All of the above that concerns time and tags as one object.
        cache: The cache; left out: the current application's, else the default one (`set_default_cache`).
        options: Other fields of `CachePolicy`: ``stale_while_revalidate``, ``store_if`` …

    Raises:
        ConfigurationError: an argument is wrong, or a template names a parameter that the function does not
            have.
    """
    if cache is not None and not isinstance(cache, Cache):
        raise ConfigurationError(f"cache must be a Cache, not {cache!r}")
    if key is not None and not isinstance(key, str) and not callable(key):  # pyright: ignore[reportUnnecessaryComparison]
        raise ConfigurationError(f"key must be a template or a callable, not {key!r}")
    fields = dict(options)
    if ttl is not DEFAULT:
        fields["ttl"] = ttl
    if names := tag_names(tags):
        fields["tags"] = names
    combined = CachePolicy.combine(policy, fields)
    decorator = _Decorator(combined, key, tag_names(ignore, "ignore"), cache)
    return decorator if function is None else decorator(function)


class _Decorator:
    """``cached(...)``, waiting for its function."""

    def __init__(
        self,
        policy: CachePolicy,
        key: str | Callable[..., str] | None,
        ignore: tuple[str, ...],
        cache: Cache | None,
    ) -> None:
        self._options = (policy, key, ignore, cache)

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]], /) -> CachedFunction[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> CachedFunction[P, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Return the cached function."""
        if isinstance(function, (staticmethod, classmethod)):
            # Works in either order: cache what is inside, keep the binding outside.
            return type(function)(self(function.__func__))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType, reportUnknownVariableType]
        if not inspect.isroutine(function):
            raise ConfigurationError(f"cached must be given a function, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(f"cached cannot keep what a generator yields: {function!r}")
        recipe = _Recipe(function, *self._options)
        wrapper = recipe.wrapper()
        handle: CachedFunction[Any, Any] = CachedFunction(recipe, wrapper)
        if _is_method(function, recipe.signature):
            return handle
        # A plain function stays one: calling it is cheaper than calling an object.
        for name in ("key", "invalidate", "refresh"):
            setattr(wrapper, name, getattr(handle, name))
        return wrapper
