"""uvicorn's HTTP protocol with bounds on what one connection may take."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 << 10
_LINGER_SECONDS = 1.0
_DETAIL = b'{"detail":"request line and headers take more than %d bytes"}' % HEAD_BYTES
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"
    b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(_DETAIL), _DETAIL)
)


class BoundedHttpProtocol(HttpToolsProtocol):
    """Answers 431 to a request line and headers of more than `HEAD_BYTES`, and closes connections that stand still.

    A pipelined request may have twice as many bytes.
    """

    head_seconds: ClassVar[float] = 30.0
    """Longest time from the start of a connection, or the end of a response, to the end of the next request's headers.
    uvicorn closes a connection that sends nothing for 5 s after a response."""
    write_seconds: ClassVar[float] = 60.0
    """Longest time in which a client takes nothing of a response. It is looked at this often, so one that stops between
    two looks has up to twice the time."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._is_refused = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # Overrides as uvicorn does: asyncio declares BaseTransport and gives a Transport.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        while data and not self._is_refused and not self.transport.is_closing():
            room = HEAD_BYTES - self._head_bytes
            piece, data = data[:room], data[room:]
            self._head_bytes += len(piece)
            super().data_received(piece)
            if self._head_bytes >= HEAD_BYTES and not self.transport.is_closing():
                self._refuse()

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._expect_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_taking(_untaken_bytes(self.transport))

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()

    def _expect_taking(self, untaken: int) -> None:
        self._write_timer = self.loop.call_later(self.write_seconds, self._abort_unless_taken, untaken)

    def _abort_unless_taken(self, before: int) -> None:
        """Abort when the client took none of the `before` bytes, else give it as much time again."""
        untaken = _untaken_bytes(self.transport)
        if untaken < before:
            self._expect_taking(untaken)
        else:
            self.transport.abort()

    def _expect_head(self) -> None:
        self._set_head_timer(self.head_seconds, self._close_unless_answering)

    def _set_head_timer(self, seconds: float, act: Callable[[], None]) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._head_timer = self.loop.call_later(seconds, act)

    def _refuse(self) -> None:
        """Answer 431, and drop what the client still sends: on a closed connection it would destroy the answer."""
        self._is_refused = True
        if self._is_answering:
            self.transport.close()
            return
        self.transport.write(_TOO_LARGE)
        self.transport.write_eof()
        self._set_head_timer(_LINGER_SECONDS, self.transport.abort)

    def _close_unless_answering(self) -> None:
        if not self._is_answering:
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _stop_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()


def _untaken_bytes(transport: asyncio.Transport) -> int:
    """Return the bytes that wait for the client, those in the system's buffer of megabytes included where it tells."""
    waiting = transport.get_write_buffer_size()
    with suppress(ImportError, AttributeError, OSError):
        import fcntl  # noqa: PLC0415 - not on every system
        import termios  # noqa: PLC0415 - not on every system

        socket = transport.get_extra_info("socket")
        waiting += int.from_bytes(fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    return waiting
