"""A folder for cache files: what stands for the server of SQLite."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["SQLiteFolder"]


class SQLiteFolder:
    """Gives every test a file of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count(1)

    @property
    def url(self) -> str:
        """One URL, always the same."""
        return f"sqlite:///{self.folder / 'shared.db'}"

    def fresh_path(self) -> Path:
        """Return where there is no file yet."""
        return self.folder / f"cache-{next(self._numbers)}.db"

    def fresh_url(self) -> str:
        """Return the URL of such a path."""
        return f"sqlite:///{self.fresh_path()}"


@pytest.fixture(scope="session")
def sqlite_server() -> Iterator[SQLiteFolder]:
    """Give a folder that is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="asynccache-sqlite-") as folder:
        yield SQLiteFolder(Path(folder))
