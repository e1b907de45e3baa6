"""The data: entries, and those who want to hear of new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from xml.etree import ElementTree as ET

__all__ = ["Entry", "Feed"]

_ATOM: Final = "http://www.w3.org/2005/Atom"
_BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Entry:
    """What somebody wrote."""

    id: int
    title: str
    text: str
    updated: datetime


class Feed:
    """Entries, newest first."""

    def __init__(self) -> None:
        titles = ("Hello", "A second entry", "A third entry")
        self._entries = {
            number: Entry(number, title, f"Text of number {number}.", _BEGINNING + timedelta(days=number))
            for number, title in enumerate(titles, 1)
        }
        self._listeners: set[asyncio.Queue[Entry]] = set()

    def newest(self) -> list[Entry]:
        """Return all entries."""
        return sorted(self._entries.values(), key=lambda entry: entry.updated, reverse=True)

    def entry(self, id: int) -> Entry | None:
        """Return an entry, None if there is none."""
        return self._entries.get(id)

    def publish(self, title: str, text: str) -> Entry:
        """Add an entry and tell everybody who listens."""
        return self._put(Entry(max(self._entries) + 1, title, text, datetime.now(UTC)))

    def correct(self, id: int, text: str) -> Entry:
        """Give an entry another text."""
        return self._put(Entry(id, self._entries[id].title, text, datetime.now(UTC)))

    def _put(self, entry: Entry) -> Entry:
        self._entries[entry.id] = entry
        for listener in self._listeners:
            listener.put_nowait(entry)
        return entry

    async def news(self) -> AsyncGenerator[Entry]:
        """Give every entry that is published or corrected from now on."""
        queue: asyncio.Queue[Entry] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.discard(queue)

    def atom(self, url: str) -> bytes:
        """Return the feed as Atom (RFC 4287): the same bytes as long as no entry changes."""
        root = ET.Element("feed", xmlns=_ATOM)
        entries = self.newest()
        for name, text in (("id", url), ("title", "News"), ("updated", entries[0].updated.isoformat())):
            ET.SubElement(root, name).text = text
        for entry in entries:
            element = ET.SubElement(root, "entry")
            fields = {
                "id": f"{url}#{entry.id}",
                "title": entry.title,
                "updated": entry.updated.isoformat(),
                "content": entry.text,
            }
            for name, text in fields.items():
                ET.SubElement(element, name).text = text
        xml: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
        return xml
