"""Compiles the wrapper that `asynccache.cached` puts around a function.

The wrapper has the function's own signature, so Python binds the arguments; what is left to do on a hit is
one
tuple, one dictionary look-up and one look at the clock. A generic ``*args, **kwargs`` wrapper would spend
more
than that on binding alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from inspect import Parameter
from typing import Any, Final, Protocol

from asynccache.defaults import current, default

__all__ = ["Binding", "compile_wrapper"]

_HEAD_FIXED = """
async def $wrapper({signature}):
"""
_HEAD_OPEN = """
async def $wrapper({signature}):
    $context = $current()
    $binding = $bound.binding
    if $binding.cache is not ($default.cache if $context is None else $context.cache):
        $binding = $bind()
    $memo = $binding.memo
    $clock = $binding.clock
    $tally = $binding.tally
"""
_BODY = """
    try:
        $entry = $memo[{memo}]
    except $misses:
        pass
    else:
        if (not $entry.stamps or $binding.live($entry)) and $entry.created <= $clock() < $entry.fresh_until:
            if $entry.hits < 8:
                $entry.hits += 2
            $tally.hits += 1
            return $entry.value
    return await $slow($binding, {memo}, {{{arguments}}})
"""
_STARS: Final[dict[Any, str]] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}


class Binding(Protocol):
    """What the compiled wrapper uses of the cache it is bound to."""

    cache: Any
    memo: dict[Any, Any]
    clock: Callable[[], float]
    tally: Any

    def live(self, entry: Any) -> bool:
        """Return whether the entry's tags are live."""
        ...


class Bound(Protocol):
    """Where the compiled wrapper finds its current binding."""

    binding: Any


def compile_wrapper(
    signature: inspect.Signature,
    keyed: Sequence[str],
    *,
    bound: Bound,
    bind: Callable[[], object],
    slow: Callable[..., Awaitable[Any]],
    fixed: Binding | None,
) -> Callable[..., Awaitable[Any]]:
    """Return an async function with ``signature``.

    Args:
        signature: The function's.
        keyed: The parameters that make up the memo's key.
        bound: Holds the binding in use.
        bind: Makes and installs a binding to the cache meant here and now.
        slow: Does all that is no hit in the memo; called with the binding, the memo's key and the arguments.
        fixed: The binding, where the decorator names the cache; None: it is looked for in each call.
    """
    mark = "_"  # begins every name of ours, and no parameter's
    while any(name.startswith(mark) for name in signature.parameters):
        mark += "_"
    names: dict[str, Any] = {
        "bound": bound,
        "bind": bind,
        "slow": slow,
        "current": current.get,
        "default": default,
        "misses": (KeyError, TypeError),  # not there, or not hashable
    }
    if fixed is not None:
        names |= {"binding": fixed, "memo": fixed.memo, "clock": fixed.clock, "tally": fixed.tally}
    namespace = {mark + name: value for name, value in names.items()}
    parts: list[str] = []
    previous: Parameter | None = None
    for number, parameter in enumerate(signature.parameters.values()):
        parts += _separators(previous, parameter)
        previous = parameter
        text = _STARS.get(parameter.kind, "") + parameter.name
        if parameter.default is not Parameter.empty:
            namespace[f"{mark}default{number}"] = parameter.default
            text += f"={mark}default{number}"
        parts.append(text)
    if previous is not None and previous.kind is Parameter.POSITIONAL_ONLY:
        parts.append("/")
    # Argument and class: 1, True and 1.0 are equal and would share a place otherwise.
    memo = "".join(f"{name}, {name}.__class__, " for name in keyed)
    template = (_HEAD_OPEN if fixed is None else _HEAD_FIXED) + _BODY
    source = template.replace("$", mark).format(
        signature=", ".join(parts),
        memo=f"({memo})",
        arguments=", ".join(f"{name!r}: {name}" for name in signature.parameters),
    )
    exec(source, namespace)  # noqa: S102  (made of identifiers that Python has accepted in a signature)
    wrapper: Callable[..., Awaitable[Any]] = namespace[f"{mark}wrapper"]
    return wrapper


def _separators(previous: Parameter | None, parameter: Parameter) -> list[str]:
    """Return the ``/`` or ``*`` that belongs between two parameters."""
    separators: list[str] = []
    if (
        previous is not None
        and previous.kind is Parameter.POSITIONAL_ONLY
        and parameter.kind is not Parameter.POSITIONAL_ONLY
    ):
        separators.append("/")
    starts_keywords = parameter.kind is Parameter.KEYWORD_ONLY and (
        previous is None or previous.kind not in (Parameter.KEYWORD_ONLY, Parameter.VAR_POSITIONAL)
    )
    if starts_keywords:
        separators.append("*")
    return separators
