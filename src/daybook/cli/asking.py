"""Asks what to do with files that an import held."""

import asyncio
import sys
from enum import StrEnum
from pathlib import Path

from daybook.cli.ending import Interruption
from daybook.domain.source import Source
from daybook.logs import printable


class Choice(StrEnum):
    """What to do with a held file."""

    REPLACE = "replace"
    ANYWAY = "import anyway"
    LEAVE = "leave"


def held_line(source: Source) -> str:
    """Return why nothing of a held file is imported, and what can be done, as one line for people."""
    held = source.held
    if held is None:
        return ""
    if held.dropped:
        return f"dropped on {held.dropped[:10]}, nothing of it counts; use --anyway to import it"
    replace = f"--replace {held.like} or " if held.like else ""
    return f"held, nothing of it counts: {held.reason}; use {replace}--anyway"


async def ask(path: Path, source: Source, interruption: Interruption) -> Choice:
    """Ask on the terminal what to do with a held file. Without a terminal, or after a stop signal, leave it."""
    held = source.held
    if held is None or held.dropped or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return Choice.LEAVE
    choices = [choice for choice in Choice if held.like or choice is not Choice.REPLACE]
    sys.stderr.write(f"{printable(f'{path}: {held.reason}')}\n")
    while not interruption.is_set():
        sys.stderr.write(f"[{'/'.join(choices)}] ")
        sys.stderr.flush()
        line = await interruption.or_stop(_line())
        if not line:
            break
        answer = line.strip().lower()
        found = [choice for choice in choices if answer and choice.startswith(answer)]
        if found:
            return found[0]
    sys.stderr.write("\n")
    return Choice.LEAVE


async def _line() -> str:
    """Return the next line of standard input, a terminal; empty at its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sys.stdin, ready.set)
    try:
        await ready.wait()
        return sys.stdin.readline()
    finally:
        loop.remove_reader(sys.stdin)
