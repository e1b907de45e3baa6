"""The story as a table on the terminal."""

from __future__ import annotations

import sys
import textwrap
from typing import Final

__all__ = ["Table"]

_WIDTHS: Final = (28, 34, 7, 33, 8)
_WIDTH: Final = sum(_WIDTHS)


class Table:
    """Prints steps as they happen."""

    def __init__(self) -> None:
        self._colours = sys.stdout.isatty()
        self._step = ""

    def head(self) -> None:
        """Print the names of the columns."""
        print(self._style("1", _columns("step", "request", "status", "Cache-Status", "ms")))
        print("─" * _WIDTH)

    def step(self, title: str) -> None:
        """Begin a step; its title stands beside its first request."""
        self._step = title

    def row(self, request: str, status: int, cache: str, milliseconds: float) -> None:
        """Print one request and its answer."""
        line = _columns(self._step, request, str(status), cache or "-", f"{milliseconds:.1f}")
        if self._step:
            line = self._style("1", line[: _WIDTHS[0]]) + line[_WIDTHS[0] :]
        self._step = ""
        print(line, flush=True)

    def shown(self, sentence: str) -> None:
        """End a step with what it has shown."""
        indent = " " * _WIDTHS[0]
        text = textwrap.fill(sentence, _WIDTH, initial_indent=f"{indent}→ ", subsequent_indent=f"{indent}  ")
        print(self._style("32", text), end="\n\n", flush=True)

    def failed(self, sentence: str) -> None:
        """End a step that is not what it claims to be."""
        print(self._style("31", f"✗ {self._step or 'this step'}: {sentence}"), flush=True)

    def _style(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours else text


def _columns(*cells: str) -> str:
    *left, last = cells
    padded = [f"{cell} ".ljust(width) for cell, width in zip(left, _WIDTHS[:-1], strict=True)]
    return "".join(padded) + last.rjust(_WIDTHS[-1])
