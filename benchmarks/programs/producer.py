"""Another producer: pushes a file's rows as JSON, one transaction in each element: `producer FILE SOCKET QUEUE`.

It makes all commands first, prints `ready`, waits for a line, and then pushes as fast as the server accepts.
"""

import csv
import socket
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

_ELEMENTS_PER_COMMAND = 500


def elements(file: Path) -> Iterator[bytes]:
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            yield (
                f'{{"Timestamp":"{row["timestamp"]}","Type":"{row["type"]}",'
                f'"PaymentMethod":"{row["payment_method"]}","Amount":{row["amount"]}}}'
            ).encode()


def commands(file: Path, queue: str) -> Iterator[bytes]:
    rest = elements(file)
    while some := list(islice(rest, _ELEMENTS_PER_COMMAND)):
        words = [b"LPUSH", queue.encode(), *some]
        yield b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def push(server: socket.socket, command: bytes) -> None:
    server.sendall(command)
    answer = server.recv(64)
    if not answer.startswith(b":"):
        raise SystemExit(f"LPUSH answers {answer!r}")


if __name__ == "__main__":
    path, place, queue = sys.argv[1:]
    prepared = list(commands(Path(path), queue))
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(place)
        print("ready", flush=True)
        sys.stdin.readline()
        for command in prepared:
            push(server, command)
