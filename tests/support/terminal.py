"""Runs a command of `daybook` in a pseudo-terminal and keeps what the terminal gets."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support.service import Setting, environment, until

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
CTRL_C = b"\x03"


class Terminal:
    """One run of `daybook` in a terminal of `width` columns. The context ends the run."""

    def __init__(self, folder: Path, settings: Mapping[str, Setting], *words: object, width: int = 80) -> None:
        self._seen = b""
        self._code: int | None = None
        command = [sys.executable, "-m", "daybook", *map(str, words)]
        variables = environment(settings) | {"TERM": "xterm", "COLUMNS": str(width)}
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(sys.executable, command, variables)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._code is None:
            os.kill(self.pid, 9)
            self.code()
        os.close(self._master)

    @property
    def text(self) -> str:
        """Return what was written so far, without control sequences; each line once for each time it was drawn."""
        return _CONTROL.sub("", self._seen.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Return the drawn lines, of a line that was drawn again only the last state."""
        return [line.rpartition("\r")[2] for line in self.text.split("\n")]

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, words: str) -> None:
        until(lambda: re.search(words, self.text), f"the terminal shows {words!r}: {self.text[-500:]!r}")

    def code(self) -> int:
        """Wait until the command ends; return its exit code."""
        if self._code is None:
            _, status = os.waitpid(self.pid, 0)
            self._code = os.waitstatus_to_exitcode(status)
            self._reading.join(5)
        return self._code

    def _read(self) -> None:
        while True:
            select.select([self._master], [], [])
            try:
                piece = os.read(self._master, 1 << 16)
            except OSError:  # the last process that had the terminal open has ended
                return
            if not piece:
                return
            self._seen += piece
