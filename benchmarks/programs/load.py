"""Asks for paths over and over on keep-alive connections, in a process of its own.

`python -m benchmarks.programs.load PORT PATHS CONNECTIONS SECONDS RATE`: PATHS is a file with one path per line, asked
in turn. RATE is the number of requests a second over all connections. Each request is timed from the moment when it was
due, so that a stall counts for all requests that wait. With RATE 0 a connection asks again when its answer arrives. The
program ends early when standard input ends. It prints JSON: for each answer the due time of its request, by the
system's monotonic clock, and the time until the answer, in seconds.
"""

import asyncio
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import NamedTuple, cast

import uvloop

_STALL_SECONDS = 30.0
_STEP_SECONDS = 0.05
"""Time until the first request, so that all connections are open."""


class Wanted(NamedTuple):
    requests: Iterator[bytes]
    until: float
    pause: float
    """Seconds between the due times of one connection's requests; 0 asks again when the answer arrives."""


class Connection(asyncio.Protocol):
    """Sends one request at a time. `done` is set when the time is over or the server closes the connection."""

    def __init__(self, wanted: Wanted, first_due: float, answers: list[tuple[float, float]]) -> None:
        self._wanted, self._due, self._answers = wanted, first_due, answers
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._stopped = False
        self._received = bytearray()
        self._length: int | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._ask_when_due()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._length is None:
            try:
                self._length = _length_of(self._received)
            except ConnectionError as error:
                self.done.set_exception(error)
                return
        if self._length is not None and len(self._received) >= self._length:
            self._answered()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def stop(self) -> None:
        self._stopped = True

    def _ask_when_due(self) -> None:
        wait = self._due - monotonic()
        if wait > 0:
            self._loop.call_later(wait, self._ask)
        else:
            self._ask()

    def _ask(self) -> None:
        if self.done.done():
            return
        if self._stopped or self._due >= self._wanted.until:
            self.done.set_result(None)
        elif self._transport is not None:
            self._transport.write(next(self._wanted.requests))

    def _answered(self) -> None:
        now = monotonic()
        self._answers.append((self._due, now - self._due))
        self._received.clear()
        self._length = None
        self._due = self._due + self._wanted.pause if self._wanted.pause else now
        self._ask_when_due()


def _length_of(answer: bytearray) -> int | None:
    """Return the length of the whole answer in bytes; None while its head is incomplete."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(answer[:end]).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ConnectionError(head.decode())
    return end + 4 + int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])


async def ask(port: int, paths: list[str], connections: int, seconds: float, rate: float) -> list[tuple[float, float]]:
    requests = [f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode() for path in paths]
    begin = monotonic() + _STEP_SECONDS
    wanted = Wanted(itertools.cycle(requests), begin + seconds, connections / rate if rate else 0.0)
    answers: list[tuple[float, float]] = []
    opened: list[Connection] = []
    for number in range(connections):
        first = Connection(wanted, begin + number * wanted.pause / connections, answers)
        await asyncio.get_running_loop().create_connection(lambda first=first: first, "127.0.0.1", port)  # type: ignore[misc]
        opened.append(first)
    listening = asyncio.create_task(_until_input_ends(opened))
    async with asyncio.timeout(seconds + _STALL_SECONDS):
        await asyncio.gather(*(each.done for each in opened))
    listening.cancel()
    return answers


async def _until_input_ends(opened: list[Connection]) -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    for each in opened:
        each.stop()


if __name__ == "__main__":
    port, paths, connections, seconds, rate = sys.argv[1:]
    lines = Path(paths).read_text().split()
    json.dump(uvloop.run(ask(int(port), lines, int(connections), float(seconds), float(rate))), sys.stdout)
