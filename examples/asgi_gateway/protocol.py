"""HTTP/1.1 as the origin is spoken to.

It is h11, which uvicorn has brought along: it keeps every field line as it came. A client library in between
would add fields, and decode, follow or repeat.
"""

from __future__ import annotations

from typing import Any, Final

import h11

from examples.asgi_gateway.codings import without_codings

__all__ = ["Protocol"]

_LARGEST_HEAD: Final = 256 * 1024


class Protocol:
    """h11, for one exchange after the other, which also reads what h11 refuses: unknown transfer codings."""

    def __init__(self) -> None:
        self._outgoing = self._incoming = _h11()
        """What is sent, and what comes back: two, once the first cannot read the response."""
        self._request: h11.Request
        self._head = bytearray()
        """What has come since the last head."""

    def send(self, event: h11.Event) -> bytes:
        """Return the bytes for an event.

        Raises:
            h11.LocalProtocolError: it must not be sent now.
        """
        if isinstance(event, h11.Request):
            self._request = event
        return self._outgoing.send(event) or b""

    def receive(self, data: bytes) -> None:
        """Take what has arrived; nothing is the end."""
        if self._incoming.their_state is h11.SEND_RESPONSE:
            self._head += data
        self._incoming.receive_data(data)

    def next_event(self) -> Any:
        """Return the next event; h11.NEED_DATA if it has not arrived.

        Raises:
            h11.RemoteProtocolError: what has arrived is not HTTP.
        """
        try:
            event = self._incoming.next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 501 and self._reread():
                return self.next_event()
            raise
        if isinstance(event, h11.InformationalResponse | h11.Response):
            self._head.clear()
            if isinstance(event, h11.InformationalResponse):
                self._head += self._incoming.trailing_data[0]
        return event

    def _reread(self) -> bool:
        """Start again with the response, without its transfer codings.

        The outgoing side remembers the error, so that the connection ends with this exchange: if the origin
        means something else by the codings, no other response is affected.
        """
        response = without_codings(bytes(self._head))
        if response is None:
            return False
        ended = self._incoming.trailing_data[1]
        self._incoming = _h11()
        self._incoming.send(self._request)
        self._incoming.receive_data(response)
        if ended:
            self._incoming.receive_data(b"")
        return True

    def renew(self) -> bool:
        """Get ready for the next exchange, and return True, if the last one has come to its end."""
        if self._outgoing.our_state is not h11.DONE or self._outgoing.their_state is not h11.DONE:
            return False
        self._outgoing.start_next_cycle()
        return True

    @property
    def sending(self) -> bool:
        """Whether the request's content is still on its way."""
        return self._outgoing.our_state is h11.SEND_BODY

    @property
    def idle(self) -> bool:
        """Whether nothing has arrived that nobody has asked for: an end, or somebody else's response."""
        return self._incoming.trailing_data == (b"", False)


def _h11() -> h11.Connection:
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=_LARGEST_HEAD)
