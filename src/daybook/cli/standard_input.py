"""`daybook import -`: keeps standard input as a file under DataDir, so that it can be imported and read again."""

import fcntl
import filecmp
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NoReturn

import typer

from daybook.cli.exits import Exit
from daybook.embedded.data_dir import make_directory, unwritable
from daybook.errors import SourceError
from daybook.settings import Settings

_MARK = Path("-")
_FOLDER, _SUFFIX = "inbox", ".csv"
_PART = ".part"
"""End of the name of a file that is being written; the next command removes what a killed one left."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PIECE = 1 << 20
_SILENT_SECONDS = 2.0


def is_told(files: Sequence[Path], name: str | None) -> bool:
    """Return whether standard input is to be imported. Raises typer.BadParameter when it is told wrongly."""
    if _MARK not in files:
        if name is not None:
            raise typer.BadParameter("--name is for standard input: daybook import - --name NAME")
        return False
    if len(files) > 1:
        raise typer.BadParameter("- (standard input) is imported alone, without other files")
    if name is None or not _NAME.fullmatch(name):
        raise typer.BadParameter(
            "standard input needs a name of letters, digits and ._- (at most 100, a letter or digit first): "
            "daybook import - --name ledger-2026-01"
        )
    return True


def keep(settings: Settings, name: str) -> Path:
    """Read standard input to its end into `DataDir/inbox/<name>.csv`, synced, for its owner only; return the path.

    The same bytes may come again under their name. Blocks. Raises SourceError when standard input is empty or cannot be
    read, or when other content has the name; ConfigurationError when DataDir cannot be written. Then, and when a signal
    ends the command, nothing is kept.
    """
    folder = settings.data_dir / _FOLDER
    make_directory(folder)
    path = folder / f"{name.removesuffix(_SUFFIX)}{_SUFFIX}"
    try:
        _remove_left_over(folder)
        with _interruptible(), _part_of(path) as (part, file):
            if not _copy(file):
                raise SourceError("standard input is empty: nothing is imported")
            _give_name(part, path)
    except OSError as error:
        raise unwritable(settings.data_dir, error) from error
    return path


def _remove_left_over(folder: Path) -> None:
    for part in folder.glob(f".*{_PART}"):
        with suppress(FileNotFoundError), part.open("rb") as file, suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextmanager
def _part_of(path: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a file beside `path`, locked while it is written, and remove it at the end."""
    while True:
        descriptor, name = tempfile.mkstemp(_PART, f".{path.stem}.", path.parent)
        part = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(descriptor).st_nlink:  # another command took it for left over
                continue
            try:
                yield part, file
            finally:
                part.unlink(missing_ok=True)
            return


def _copy(file: BinaryIO) -> int:
    """Write standard input to the file and sync it; return the number of bytes."""
    if sys.stdin is None:
        raise SourceError("standard input is closed: nothing is imported")
    size = 0
    while piece := _read():
        size += file.write(piece)
    file.flush()
    os.fsync(file.fileno())
    return size


def _read() -> bytes:
    try:
        return os.read(sys.stdin.fileno(), _PIECE)
    except OSError as error:
        raise SourceError(f"standard input cannot be read ({error.strerror}): nothing is imported") from error


def _give_name(part: Path, path: Path) -> None:
    try:
        os.link(part, path)
    except FileExistsError:
        if not filecmp.cmp(part, path, shallow=False):
            raise SourceError(
                f"{path}: holds other content, which came under the same name: nothing is imported; choose another "
                "--name"
            ) from None
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM end the reading as Ctrl-C does; say that it is read when that takes long."""
    before = signal.signal(signal.SIGTERM, _terminate)
    timer = threading.Timer(_SILENT_SECONDS, _say, ("reading standard input to its end",))
    timer.daemon = True
    timer.start()
    try:
        yield
    except KeyboardInterrupt:
        _say("interrupted while standard input was read: nothing is imported")
        raise
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: object) -> NoReturn:
    _say("stopped while standard input was read: nothing is imported")
    sys.exit(Exit.TERMINATED)


def _say(text: str) -> None:
    sys.stderr.write(f"daybook: {text}\n")
    sys.stderr.flush()
