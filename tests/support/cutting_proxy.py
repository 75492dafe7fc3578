"""A proxy in front of a Redis socket that can lose a reply: the request arrives, the answer never does."""

import asyncio
import contextlib
from pathlib import Path
from typing import Self


class CuttingProxy:
    """Forwards a Unix socket. `cut_next(marks)`: the next request that holds one of the marks loses its reply."""

    def __init__(self, path: Path, server: Path) -> None:
        self.path = path
        self._server_path = server
        self._marks: tuple[bytes, ...] = ()
        self._running: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.cuts = 0

    def cut_next(self, *marks: bytes) -> None:
        self._marks = marks

    async def __aenter__(self) -> Self:
        self._running = await asyncio.start_unix_server(self._serve, self.path)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._running is not None
        self._running.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        server_reader, server_writer = await asyncio.open_unix_connection(self._server_path)
        answers = asyncio.create_task(_pump(server_reader, writer))
        try:
            while data := await reader.read(1 << 20):
                if any(mark in data for mark in self._marks):
                    self._marks = ()
                    answers.cancel()
                    await asyncio.gather(answers, return_exceptions=True)
                    server_writer.write(data)
                    await server_writer.drain()
                    await server_reader.read(1)
                    self.cuts += 1
                    return
                server_writer.write(data)
                await server_writer.drain()
        finally:
            answers.cancel()
            for each in (writer, server_writer):
                each.close()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await asyncio.gather(answers, return_exceptions=True)
            self._clients.discard(task)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 20):
            writer.write(data)
            await writer.drain()
