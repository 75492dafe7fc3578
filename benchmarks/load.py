"""Asks one address over and over on keep-alive connections; prints requests, seconds, p50 and p99 in ms."""

import asyncio
import statistics
import sys
import time


async def ask(host: str, port: int, path: str, until: float, spent: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    while time.perf_counter() < until:
        begun = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        spent.append(time.perf_counter() - begun)
    writer.close()


async def main(port: int, path: str, seconds: float, connections: int) -> None:
    spent: list[float] = []
    begun = time.perf_counter()
    await asyncio.gather(*(ask("127.0.0.1", port, path, begun + seconds, spent) for _ in range(connections)))
    cuts = statistics.quantiles(spent, n=100)
    print(len(spent), time.perf_counter() - begun, cuts[49] * 1000, cuts[98] * 1000)


asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])))
