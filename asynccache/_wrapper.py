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

__all__ = ["Binding", "compile_wrapper"]

_TEMPLATE = """
async def wrapper({signature}):
    binding = _bound.binding
    if _fixed is None and binding.cache is not _current():
        binding = _bind()
    try:
        entry = binding.memo.get({memo})
    except TypeError:
        entry = None
    if (
        entry is not None
        and (not entry.stamps or binding.live(entry))
        and entry.created <= binding.clock() < entry.fresh_until
    ):
        if entry.hits < 8:
            entry.hits += 2
        binding.tally.hits += 1
        return entry.value
    return await _slow(binding, {memo}, {{{arguments}}})
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
    fixed: object,
    current: Callable[[], object],
    bind: Callable[[], object],
    slow: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Any]]:
    """Return an async function with ``signature``.

    Args:
        signature: The function's.
        keyed: The parameters that make up the memo's key.
        bound: Holds the binding in use.
        fixed: The cache named in the decorator, or None.
        current: Returns the cache meant where none is named.
        bind: Makes and installs a binding to that.
        slow: Does everything that is no hit in the memo; called with the binding, the memo's key and the
            arguments.
    """
    namespace: dict[str, Any] = {
        "_bound": bound,
        "_fixed": fixed,
        "_current": current,
        "_bind": bind,
        "_slow": slow,
    }
    parts: list[str] = []
    previous: Parameter | None = None
    for number, parameter in enumerate(signature.parameters.values()):
        parts += _separators(previous, parameter)
        previous = parameter
        text = _STARS.get(parameter.kind, "") + parameter.name
        if parameter.default is not Parameter.empty:
            namespace[f"_default{number}"] = parameter.default
            text += f"=_default{number}"
        parts.append(text)
    if previous is not None and previous.kind is Parameter.POSITIONAL_ONLY:
        parts.append("/")
    # Argument and class: 1, True and 1.0 are equal and would share a place otherwise.
    memo = "".join(f"{name}, {name}.__class__, " for name in keyed)
    source = _TEMPLATE.format(
        signature=", ".join(parts),
        memo=f"({memo})",
        arguments=", ".join(f"{name!r}: {name}" for name in signature.parameters),
    )
    exec(source, namespace)  # noqa: S102  (made of identifiers that Python has accepted in a signature)
    wrapper: Callable[..., Awaitable[Any]] = namespace["wrapper"]
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
