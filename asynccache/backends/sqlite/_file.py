"""The cache file: created, recognised, opened, and set aside when it is damaged.

The file is never opened but through SQLite: closing any other descriptor of it would drop the locks that
SQLite holds for the whole process (https://sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Final

from asynccache._engine.clock import stopwatch
from asynccache.backends.sqlite._failures import is_busy, is_damage
from asynccache.backends.sqlite._schema import APPLICATION_ID, migrate, version
from asynccache.errors import BackendUnavailableError, ConfigurationError

__all__ = ["CacheFile", "Identity"]

_log: Final = logging.getLogger("asynccache")

Identity = tuple[int, int]
"""Device and inode: what tells a file from another one of the same name."""

_MOST_ATTEMPTS: Final = 10
_RETRY_SECONDS: Final = 0.005
_STATEMENTS: Final = 256
_CACHE_KIB: Final = 16 * 1024
_WAL_BYTES: Final = 16 * 2**20
_SMALLEST: Final = 512
"""The smallest page of SQLite, and so the smallest database."""
_NOT_OURS: Final = "is no cache of asynccache, and is left as it is: name another file"


@dataclass(frozen=True, slots=True)
class CacheFile:
    """Where the file is and how it is opened.

    Args:
        path: Absolute.
        busy_timeout: Seconds to wait for the locks of other processes.
        synchronous: ``off``, ``normal`` or ``full``.
    """

    path: str
    busy_timeout: float
    synchronous: str

    def identity(self) -> Identity | None:
        """Return which file is there now; None if there is none, or nothing in it."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on the path of every read: a Path costs twice as much
        except FileNotFoundError:
            return None
        if status.st_size < _SMALLEST:
            if status.st_size:  # SQLite would take it for an empty database
                raise ConfigurationError(f"{self.path} {_NOT_OURS}")
            return None
        return status.st_dev, status.st_ino

    def drop_emptied(self, identity: Identity | None) -> None:
        """Remove the file that was ``identity`` if somebody has emptied it.

        Connections to it hold locks on which a new beginning in the same file would wait.
        """
        with contextlib.suppress(OSError):
            status = Path(self.path).stat()
            if status.st_size == 0 and (status.st_dev, status.st_ino) == identity:
                Path(self.path).unlink()

    def connect(self) -> tuple[sqlite3.Connection, Identity]:
        """Return a connection to the file, which is created or brought up to date if need be.

        Raises:
            ConfigurationError: what is there is not ours, or was written by a newer version.
            BackendUnavailableError: its folder does not exist, or somebody replaces it again and again.
            sqlite3.Error: it cannot be opened or written, or is locked.
        """
        for _ in range(_MOST_ATTEMPTS):
            before = self.identity()
            if before is None:
                self._create()
            connection = self._open(before)
            if connection is None:
                continue
            if before is not None and before == self.identity():
                return connection, before
            connection.close()  # it was new, or has been replaced meanwhile
        raise BackendUnavailableError(f"{self.path} does not stay as it is", backend="sqlite")

    def _create(self) -> None:
        """Make an empty file that nobody else can read; SQLite gives its other files the same mode."""
        folder = Path(self.path).parent
        try:
            descriptor, part = tempfile.mkstemp(prefix=".asynccache-", dir=folder)
        except FileNotFoundError:
            raise BackendUnavailableError(f"there is no folder {folder}", backend="sqlite") from None
        os.close(descriptor)
        try:
            # Complete or not at all, and without a descriptor of the file itself. A file system without
            # hard links has no permissions worth keeping either: there SQLite creates it.
            with contextlib.suppress(OSError):
                os.link(part, self.path)
        finally:
            Path(part).unlink()

    def _open(self, identity: Identity | None) -> sqlite3.Connection | None:
        """Return a connection that is ready to use; None if the file was damaged and is out of the way."""
        connection = sqlite3.connect(
            self.path, timeout=self.busy_timeout, isolation_level=None, cached_statements=_STATEMENTS
        )
        try:
            self._prepare(connection)
        except sqlite3.Error as error:
            if not is_damage(error):
                connection.close()
                raise
            ours = _is_ours(connection)
            connection.close()
            if not ours:
                raise ConfigurationError(f"{self.path} {_NOT_OURS}") from error
            self.set_aside(identity, error)
            return None
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Recognise the file and make it ready, waiting for whoever does the same at this moment.

        SQLite itself does not wait where two are about to change the journal's mode: it fails at once.
        """
        waiting, started = Event(), stopwatch()
        while True:
            try:
                if self._is_new(connection):
                    # Heeded only before the first table, and a write: a reader must not wait for writers.
                    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                self._set_up(connection)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or stopwatch() - started > self.busy_timeout:
                    raise
                waiting.wait(_RETRY_SECONDS)
            else:
                return

    def _is_new(self, connection: sqlite3.Connection) -> bool:
        """Return True if nothing is in the file yet, False if it is ours."""
        # The mark last: whoever fills the file at this moment sets it in the same step as all the rest.
        [objects] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        filled = objects or version(connection)
        [mark] = connection.execute("PRAGMA application_id").fetchone()
        if mark == APPLICATION_ID:
            return False
        if mark or filled:
            raise ConfigurationError(f"{self.path} {_NOT_OURS}")
        return True

    def _set_up(self, connection: sqlite3.Connection) -> None:
        run = connection.execute
        [mode] = run("PRAGMA journal_mode").fetchone()
        if mode != "wal":
            [mode] = run("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise ConfigurationError(
                f"{self.path} cannot have a write-ahead log (its file system has no shared memory, as on "
                f"a network): keep the cache on a local disk"
            )
        migrate(connection)
        run(f"PRAGMA synchronous = {self.synchronous}")
        run(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        run(f"PRAGMA cache_size = {-_CACHE_KIB}")
        run("PRAGMA secure_delete = FAST")  # some builds overwrite all that is deleted, at the price of I/O
        run("PRAGMA temp_store = MEMORY")
        run("PRAGMA trusted_schema = OFF")

    def set_aside(self, identity: Identity | None, error: BaseException) -> None:
        """Rename a damaged file, unless another one has taken its place already.

        Raises:
            OSError: it cannot be renamed.
        """
        if identity is None or self.identity() != identity:
            return
        path = os.path.realpath(self.path)
        aside = f"{path}.corrupt"
        # The log first: a new file must never meet an old log.
        for suffix in ("-wal", "-shm", ""):
            with contextlib.suppress(FileNotFoundError):
                Path(path + suffix).replace(aside + suffix)
        _log.warning("%s is damaged (%s): moved to %s, starting with an empty cache", path, error, aside)


def _is_ours(connection: sqlite3.Connection) -> bool:
    """Return True if a damaged file still says that it is ours."""
    try:
        connection.execute("PRAGMA writable_schema = ON")  # SQLite then reads files shorter than they say
        [mark] = connection.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error:
        return False
    return bool(mark == APPLICATION_ID)
