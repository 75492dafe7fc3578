"""What one connection may take: raw sockets to a server with the service's protocol and short times."""

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from daybook.api.http_protocol import HEAD_BYTES, BoundedHttpProtocol

BODY_BYTES = 64 << 20
SMALL_BYTES = 256 << 10
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
PATIENCE_SECONDS = 20


class Quick(BoundedHttpProtocol):
    head_seconds: ClassVar[float] = 0.5
    write_seconds: ClassVar[float] = 0.5


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """`/` answers at once, `/slow` after twice the time that a head may take, `/large` with 64 MiB."""
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * Quick.head_seconds)
    body = bytes(BODY_BYTES) if scope["path"] == "/large" else b"answer"
    await Response(body)(scope, receive, send)


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, *parts: bytes) -> None:
        self.writer.writelines(parts)
        await self.writer.drain()

    async def all(self) -> bytes:
        """What comes until the server closes; fails when it does not."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self.reader.read()

    async def answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = await self.reader.readuntil(b"\r\n\r\n")
            return head + (await self.reader.readexactly(6) if head.startswith(b"HTTP/1.1 200") else b"")


async def serving(app: ASGIApp) -> AsyncIterator[int]:
    config = uvicorn.Config(app, port=0, http=Quick, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    config.load()
    running = asyncio.create_task(server._serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


@pytest.fixture
async def connect() -> AsyncIterator[Connection]:
    async for port in serving(app):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        yield Connection(reader, writer)
        writer.close()


def padding(size: int) -> bytes:
    return b"x-padding: " + b"a" * (size - len(b"x-padding: \r\n\r\n")) + b"\r\n\r\n"


async def test_a_head_of_the_largest_size_is_answered(connect: Connection) -> None:
    for _ in range(3):
        await connect.send(GET, padding(HEAD_BYTES - len(GET)))
        assert (await connect.answer()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "head",
    [
        GET + padding(HEAD_BYTES + 1 - len(GET)),
        b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\n\r\n",
        GET + b"x: " + b"a" * HEAD_BYTES,
        GET + b"a" * HEAD_BYTES,
        GET + b"a: b\r\n" * (HEAD_BYTES // 6),
    ],
    ids=["a long header", "a long line", "a value without end", "a name without end", "many headers"],
)
async def test_a_larger_one_is_431_and_closes(connect: Connection, head: bytes) -> None:
    await connect.send(GET + b"\r\n")
    assert (await connect.answer()).startswith(b"HTTP/1.1 200 ")
    await connect.send(head)
    answer = await connect.all()
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert answer.endswith(b'{"detail":"request line and headers take more than 65536 bytes"}')


async def test_a_head_that_never_ends_is_cut_off(connect: Connection) -> None:
    with pytest.raises(ConnectionError):  # noqa: PT012 - any of the writes may be the one that fails
        async with asyncio.timeout(PATIENCE_SECONDS):
            await connect.send(GET)
            while True:
                await connect.send(b"a: b\r\n" * 1000)
                await asyncio.sleep(0.01)


async def test_a_large_body_is_no_head(connect: Connection) -> None:
    size = 3 * HEAD_BYTES
    for _ in range(2):
        await connect.send(GET + b"Content-Length: %d\r\n\r\n" % size, bytes(size))
        assert (await connect.answer()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("first", [b"", b"GET", GET], ids=["nothing", "a word", "a line"])
async def test_a_connection_that_asks_nothing_is_closed(connect: Connection, first: bytes) -> None:
    await connect.send(first)
    assert await connect.all() == b""


@pytest.mark.parametrize("byte", [b"a", b"\n"])
async def test_a_head_byte_by_byte_is_cut_off(connect: Connection, byte: bytes) -> None:
    await connect.send(GET + b"\r\n")
    assert (await connect.answer()).startswith(b"HTTP/1.1 200 ")

    async def drip() -> None:
        while True:
            await connect.send(byte)
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await connect.reader.read(100):
                pass
    except ConnectionError:
        pass
    finally:
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_an_answer_may_take_longer_than_a_head(connect: Connection) -> None:
    await connect.send(b"GET /slow HTTP/1.1\r\n\r\n")
    assert (await connect.answer()).endswith(b"answer")
    await connect.send(GET + b"\r\n")
    assert (await connect.answer()).endswith(b"answer")


async def test_who_takes_little_by_little_gets_all_of_an_answer(connect: Connection) -> None:
    """Less than the system's buffer holds, in each of the times in which a client must take something."""
    await connect.send(b"GET /large HTTP/1.1\r\n\r\n")
    got = 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(8):
            await asyncio.sleep(Quick.write_seconds / 2)
            got += len(await connect.reader.read(SMALL_BYTES))
        while got < BODY_BYTES and (part := await connect.reader.read(1 << 20)):
            got += len(part)
    assert got > BODY_BYTES


async def test_who_takes_nothing_of_an_answer_is_cut_off(connect: Connection) -> None:
    await connect.send(b"GET /large HTTP/1.1\r\n\r\n")
    await asyncio.sleep(4 * Quick.write_seconds)
    got = 0
    with pytest.raises(ConnectionError):  # noqa: PT012 - any of the reads may be the one that fails
        async with asyncio.timeout(PATIENCE_SECONDS):
            while part := await connect.reader.read(1 << 20):
                got += len(part)
            raise ConnectionError
    assert got < BODY_BYTES
