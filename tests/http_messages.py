"""HTTP/1 messages as they are on the wire: requests of any kind, and exactly what answers them."""

from __future__ import annotations

from collections.abc import Iterable

from tests.wire import Wire

__all__ = ["Head", "Reply", "content_of", "parsed", "read_reply", "request"]

_BODILESS = (204, 304)


class Head:
    """The first line of a message, and its fields in the order in which they came, names in lower case."""

    def __init__(self, first: str, fields: Iterable[tuple[str, str]]) -> None:
        self.first = first
        self.fields = tuple(fields)

    def __repr__(self) -> str:
        return f"<{self.first}: {', '.join(f'{name}: {value}' for name, value in self.fields)}>"

    def all(self, name: str) -> list[str]:
        """Return the value of every line of a field."""
        return [value for key, value in self.fields if key == name]

    def get(self, name: str, default: str = "") -> str:
        """Return the value of a field that is there at most once."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is there {len(values)} times"
        return values[0] if values else default


class Reply(Head):
    """One response."""

    def __init__(self, head: Head, body: bytes, *, complete: bool = True) -> None:
        super().__init__(head.first, head.fields)
        self.status = int(head.first.split()[1])
        self.body = body
        self.complete = complete
        """Its end came as its head said it would."""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def cache_status(self) -> str:
        """What the cache nearest to the client said (RFC 9211 section 2); "" for nothing."""
        lines = self.all("cache-status")
        return lines[-1] if lines else ""

    @property
    def hit(self) -> bool:
        """Whether the cache says that it answered by itself."""
        return self.cache_status.startswith("asynccache; hit")


def parsed(head: bytes) -> Head:
    """Read a head; each field line has to have its colon, and no line may be folded."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        assert colon, f"{line!r} is no field"
        assert name == name.strip(), f"{line!r} is folded"
        fields.append((name.lower(), value.strip(" \t")))
    return Head(first, fields)


def request(
    target: str = "/",
    *fields: str,
    method: str = "GET",
    host: str | None = "shop.test",
    version: str = "1.1",
    body: bytes | None = None,
) -> bytes:
    """Return a request."""
    lines = [f"{method} {target} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


async def content_of(head: Head, wire: Wire, *, to_the_end: bool) -> tuple[bytes, bool]:
    """Read the content of a message, by its framing (RFC 9112 section 6.3), and whether it is complete.

    Args:
        head: The head.
        wire: Where the rest of it comes from.
        to_the_end: Without framing it ends with the connection; else there is none.
    """
    if head.get("transfer-encoding") == "chunked":
        assert not head.all("content-length")
        return await _chunks(wire)
    if head.all("content-length"):
        length = int(head.get("content-length"))
        body = await wire.take(length)
        return body, len(body) == length
    return (await wire.rest(), True) if to_the_end else (b"", True)


async def _chunks(wire: Wire) -> tuple[bytes, bool]:
    parts: list[bytes] = []
    while size := await wire.line():
        length = int(size, 16)
        part = await wire.take(length)
        parts.append(part)
        if len(part) < length or await wire.take(2) != b"\r\n":
            break
        if length == 0:
            return b"".join(parts), True
    return b"".join(parts), False


async def read_reply(wire: Wire, method: str = "GET") -> Reply:
    """Read the final response to a request, and not a byte more, unless it ends with the connection."""
    while True:
        raw = await wire.head()
        assert raw, "the connection was closed"
        head = parsed(raw)
        status = int(head.first.split()[1])
        if status >= 200:
            break
    if method == "HEAD" or status in _BODILESS:
        return Reply(head, b"")
    body, complete = await content_of(head, wire, to_the_end=True)
    return Reply(head, body, complete=complete)
