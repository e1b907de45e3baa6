"""Runs scripts that a server may have forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import NoScriptError

from asynccache.backends.redis._link import Link
from asynccache.backends.redis._scripts import Command, Script

__all__ = ["run", "run_all"]


async def run(link: Link, script: Script, keys: Sequence[bytes], *args: bytes | str | int) -> Any:
    """Run ``script``; in full where the server does not know it, which it says before it does anything."""
    command = script.by_name(keys, *args)
    try:
        return await link.call(*command)
    except NoScriptError:
        return await link.call(*script.in_full(command))


async def run_all(link: Link, script: Script, commands: Sequence[Command]) -> list[Any]:
    """Run ``commands``, made by ``script.by_name``, in one round trip a server; return their replies.

    Raises:
        Exception: the first error among the replies; all commands have been sent.
    """
    replies = await link.pipeline(commands)
    forgotten = [place for place, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if forgotten:
        again = await link.pipeline([script.in_full(commands[place]) for place in forgotten])
        for place, reply in zip(forgotten, again, strict=True):
            replies[place] = reply
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
