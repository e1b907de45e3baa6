"""What must not be divided: a write and the end of the key's lease. Lua, run by the server as one step.

Keys come in pairs: the value's, then its lease's. Times to live are milliseconds, "" for none.

A server that is full refuses what would need memory as a script's first write only, so either all of a
script is refused or nothing. ``SET`` and ``FILL`` then remove what they would have replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from typing import Any, Final

from asynccache.backends.redis._keys import lease_key

__all__ = [
    "ADD",
    "DELETE",
    "FILL",
    "INCR",
    "PERSIST",
    "RELEASE",
    "SET",
    "Command",
    "Script",
    "key_of",
    "pairs",
]

Command = tuple[bytes | str | int, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name under which a server keeps it."""

    source: str
    sha: str

    def by_name(self, keys: Sequence[bytes], *args: bytes | str | int) -> Command:
        """Return the command that runs it, if the server has seen it."""
        return ("EVALSHA", self.sha, len(keys), *keys, *args)

    def in_full(self, command: Command) -> Command:
        """Return what ``command``, made by `by_name`, is to a server that has not seen it."""
        return ("EVAL", self.source, *command[2:])


def key_of(command: Command) -> Any:
    """Return the first key that ``command`` names."""
    return command[3 if command[0] in {"EVALSHA", "EVAL"} else 1]


def pairs(keys: Sequence[bytes]) -> list[bytes]:
    """Return each of ``keys`` followed by that of its lease."""
    return [each for key in keys for each in (key, lease_key(key))]


def _script(source: str) -> Script:
    return Script(source, sha1(source.encode(), usedforsecurity=False).hexdigest())


_STORE: Final = """
local function store(key, value, px, ...)
  if px == '' then return redis.pcall('SET', key, value, ...) end
  return redis.pcall('SET', key, value, 'PX', px, ...)
end
local function full(reply)
  return string.find(reply.err, 'OOM', 1, true) ~= nil
end
"""

SET: Final = _script(
    _STORE
    + """
for i = 1, #KEYS, 2 do
  local reply = store(KEYS[i], ARGV[(i + 3) / 2], ARGV[1])
  if reply.err then
    if not full(reply) then return reply end
    redis.call('UNLINK', unpack(KEYS))
    return 0
  end
  redis.call('UNLINK', KEYS[i + 1])
end
return 1
"""
)
"""Keys: pairs. Arguments: px, values. 1, or 0 if the server is full; then none of them is there."""

DELETE: Final = _script("""
local there = {}
for i = 1, #KEYS, 2 do
  redis.call('UNLINK', KEYS[i + 1])
  there[#there + 1] = redis.call('UNLINK', KEYS[i])
end
return there
""")
"""Keys: pairs. For each, 1 if it was there."""

ADD: Final = _script(
    _STORE
    + """
local reply = store(KEYS[1], ARGV[2], ARGV[1], 'NX')
if not reply then return 0 end
if reply.err then return reply end
redis.call('UNLINK', KEYS[2])
return 1
"""
)
"""Keys: a pair. Arguments: px, value. 1 if it was stored."""

INCR: Final = _script(
    _STORE
    + """
if redis.call('EXISTS', KEYS[1]) == 1 then
  local reply = redis.pcall('INCRBY', KEYS[1], ARGV[2])
  if type(reply) == 'table' then return reply end
else
  if ARGV[3] == '' then return redis.error_reply('ERR increment or decrement would overflow') end
  local reply = store(KEYS[1], ARGV[3], ARGV[1])
  if reply.err then return reply end
end
redis.call('UNLINK', KEYS[2])
return redis.call('GET', KEYS[1])
"""
)
"""Keys: a pair. Arguments: px, delta, what a new counter is ("": impossible). The digits: Lua has floats."""

FILL: Final = _script(
    _STORE
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end
local reply = store(KEYS[1], ARGV[2], ARGV[1])
if reply.err then
  if not full(reply) then return reply end
  redis.call('UNLINK', KEYS[1], KEYS[2])
  return 0
end
redis.call('UNLINK', KEYS[2])
return 1
"""
)
"""Keys: a pair. Arguments: px, value, token. 1 if the token held the lease and the value was stored."""

RELEASE: Final = _script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', unpack(KEYS)) end
return 1
""")
"""Keys: a lease, and what is to go with it. Arguments: token."""

PERSIST: Final = _script("""
redis.call('PERSIST', KEYS[1])
return redis.call('EXISTS', KEYS[1])
""")
"""Keys: a value's. 1 if it is there."""
