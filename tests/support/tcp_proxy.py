"""A proxy in front of a Redis. It reads requests and replies, and injects a network fault into chosen requests."""

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Self

from support.redis_server import Endpoint

_HOST = "127.0.0.1"
_LIMIT = 64 << 20


class Fault(Enum):
    """The fault of one request. Slow means longer than the client waits."""

    LOST_REPLY = "executed, and the connection is cut before the reply"
    TORN_REPLY = "executed, and the connection is cut in the middle of the reply"
    HALF_CLOSED = "executed, and only the connection to the client is closed"
    SLOW_REPLY = "executed, and the reply comes late"
    SLOW_REQUEST = "executed late, after the client gave up"
    RESET = "not executed, the connection is reset"


Words = Sequence[bytes]
Choice = Callable[[Words], Fault | None]


class TcpProxy:
    """Listens on a free port of 127.0.0.1. `choose` takes the words of each request and returns its fault or None."""

    def __init__(self, server: Endpoint, slow_seconds: float = 0.5) -> None:
        self._server = server
        self._slow_seconds = slow_seconds
        self._listening: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.choose: Choice = _none
        self.faults: list[tuple[Fault, bytes]] = []
        """The injected faults, each with the first two words of its request."""

    @property
    def endpoint(self) -> Endpoint:
        assert self._listening is not None
        port: int = self._listening.sockets[0].getsockname()[1]
        return self._server._replace(unix_socket=None, host=_HOST, port=port)

    def fault_at(self, fault: Fault, mark: bytes, nth: int = 1) -> None:
        """Inject a fault into the nth request from now that has the word `mark`; the others pass."""
        seen = 0

        def choose(words: Words) -> Fault | None:
            nonlocal seen
            seen += mark in words
            if mark in words and seen == nth:
                return fault
            return None

        self.choose = choose

    def pass_all(self) -> None:
        self.choose = _none

    async def __aenter__(self) -> Self:
        self._listening = await asyncio.start_server(self._accept, _HOST, 0, limit=_LIMIT)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            # Streams of Python 3.11 log a handler that ends as cancelled.
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._clients.discard(task)
            await _close(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await self._connect()
        try:
            while True:
                words = await _read_request(reader)
                fault = self.choose(words)
                if fault is not None:
                    self.faults.append((fault, b" ".join(words[:2])))
                if fault is Fault.RESET:
                    _reset(writer)
                    return
                if fault is Fault.SLOW_REQUEST:
                    await asyncio.sleep(self._slow_seconds)
                server_writer.write(_encode(words))
                await server_writer.drain()
                reply = await _read_reply(server_reader)
                if not await self._deliver(reply, fault, writer):
                    return
        finally:
            await _close(server_writer)

    async def _deliver(self, reply: bytes, fault: Fault | None, writer: asyncio.StreamWriter) -> bool:
        """Send the reply as the fault demands; return False when the connection is to be closed."""
        match fault:
            case Fault.LOST_REPLY:
                return False
            case Fault.TORN_REPLY:
                writer.write(reply[: len(reply) // 2])
                await writer.drain()
                return False
            case Fault.HALF_CLOSED:
                writer.write_eof()
                await asyncio.sleep(self._slow_seconds)
                return False
            case Fault.SLOW_REPLY:
                await asyncio.sleep(self._slow_seconds)
        writer.write(reply)
        await writer.drain()
        return True

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._server.unix_socket:
            return await asyncio.open_unix_connection(self._server.unix_socket, limit=_LIMIT)
        return await asyncio.open_connection(self._server.host, self._server.port, limit=_LIMIT)


def _none(_: Words) -> Fault | None:
    return None


async def _read_request(reader: asyncio.StreamReader) -> list[bytes]:
    """Read one request, an array of texts."""
    head = await reader.readuntil(b"\r\n")
    words = []
    for _ in range(int(head[1:])):
        length = int((await reader.readuntil(b"\r\n"))[1:])
        words.append((await reader.readexactly(length + 2))[:-2])
    return words


def _encode(words: Words) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


async def _read_reply(reader: asyncio.StreamReader) -> bytes:
    """Read one whole reply of protocol 2 and return its bytes."""
    head = await reader.readuntil(b"\r\n")
    if head[:1] not in b"$*" or (number := int(head[1:])) < 0:
        return head
    if head[:1] == b"$":
        return head + await reader.readexactly(number + 2)
    return head + b"".join([await _read_reply(reader) for _ in range(number)])


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, asyncio.CancelledError):
        await writer.wait_closed()
