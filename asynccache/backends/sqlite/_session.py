"""A connection to the cache file, and what a thread does when it is lost, replaced or damaged."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from asynccache._engine.clock import Clock
from asynccache.backends.sqlite._failures import FAILURES, is_busy, is_damage, is_full, is_lost, is_outdated
from asynccache.backends.sqlite._file import CacheFile, Identity
from asynccache.backends.sqlite._worker import Job, Outcome

__all__ = ["FileSession", "chunks", "marks"]

_MOST_VARIABLES: Final = 256


class FileSession:
    """The base of what the threads work with.

    Args:
        file: The file.
        clock: Seconds since the epoch.
    """

    def __init__(self, file: CacheFile, clock: Clock) -> None:
        self.file = file
        self.clock = clock
        self._connection: sqlite3.Connection | None = None
        self._identity: Identity | None = None

    def connected(self) -> sqlite3.Connection:
        """Return a connection to the file that is there now.

        It may have been removed, or set aside by another process: whoever went on with the old one would
        neither hear of other processes' invalidations nor be heard.
        """
        if self._connection is not None:
            if self.file.identity() == self._identity:
                return self._connection
            self.close()
            self.file.drop_emptied(self._identity)
        connection, self._identity = self.file.connect()
        self._connection = connection
        self.prepare(connection)
        return connection

    def prepare(self, connection: sqlite3.Connection) -> None:
        """Do what a new connection needs."""

    def ready(self) -> None:
        """Do nothing: to get here the file had to be opened."""

    def close(self) -> None:
        """Close the connection; the next use opens one anew."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def perform(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do ``jobs`` in one go; each by itself where that fails, so that only the guilty one does."""
        try:
            return self.attempt(jobs)
        except FAILURES as error:
            if is_busy(error) or is_lost(error):  # no job's fault, and nothing another attempt would cure
                self.recover(error)
                raise
            if len(jobs) == 1 and not (is_damage(error) or is_full(error) or is_outdated(error)):
                raise
            self.recover(error)
        return [self._alone(job) for job in jobs]

    def _alone(self, job: Job) -> Outcome:
        try:
            return self.attempt([job])[0]
        except FAILURES as error:
            self.recover(error)
            return Outcome(job.future, None, error)

    def attempt(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Do ``jobs``; where this raises, none of them was done."""
        raise NotImplementedError

    def recover(self, error: BaseException) -> None:
        """Do what lets the next attempt go better than the one that ended with ``error``.

        Raises:
            OSError: a damaged file cannot be moved out of the way.
        """
        identity = self._identity
        if is_lost(error) or is_outdated(error) or is_damage(error):
            self.close()
        if is_damage(error):
            self.file.set_aside(identity, error)


def chunks(items: Sequence[bytes]) -> list[Sequence[bytes]]:
    """Return ``items`` in parts of which each fits into one statement."""
    return [items[start : start + _MOST_VARIABLES] for start in range(0, len(items), _MOST_VARIABLES)]


def marks(keys: Sequence[bytes]) -> tuple[str, Sequence[bytes]]:
    """Return the question marks of ``IN (...)`` and what is bound to them.

    Their number is rounded up to a power of two, the last key repeated: few different statements, all of
    which stay prepared.
    """
    size = 1 << (len(keys) - 1).bit_length()
    return ", ".join("?" * size), [*keys, *[keys[-1]] * (size - len(keys))]
