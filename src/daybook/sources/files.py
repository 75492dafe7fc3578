"""Where files are and how their bytes are read: plain or gzip, always as content."""

import glob
import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from daybook.domain.source import Stat
from daybook.errors import SourceError

GZIP_MAGIC = b"\x1f\x8b"
SUFFIXES = (".csv", ".csv.gz")
_PIECE = 1 << 20


def locate(spec: str) -> list[Path]:
    """The files that a path, a folder or a glob names now, sorted; absolute. Raises SourceError if none."""
    path = Path(spec).expanduser()
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.name.endswith(SUFFIXES) and entry.is_file()]
        if not found:
            raise SourceError(f"{spec}: the folder holds no {' or '.join(SUFFIXES)} file")
    elif glob.has_magic(spec) and not path.exists():
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]  # noqa: PTH207 - takes absolute patterns
        if not found:
            raise SourceError(f"{spec}: no file matches")
    elif path.exists():
        found = [path]
    else:
        raise SourceError(f"{spec}: no such file")
    return sorted(entry.absolute() for entry in found)


def looked_at(spec: str) -> dict[Path, Stat]:
    """Return the files that `locate` finds, in the same order, each with its stat now. Blocks.

    Raises SourceError if none.
    """
    folder = Path(spec).expanduser().absolute()
    if not folder.is_dir():
        return {path: held for path in locate(spec) if (held := stat_or_none(path))}
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIXES):
                with suppress(OSError):
                    if entry.is_file():
                        found[entry.name] = _stat(entry.stat())
    if not found:
        locate(spec)
    return {folder / name: found[name] for name in sorted(found)}


def folder_of(spec: str) -> tuple[Path, bool]:
    """Return the folder that a path, a folder or a glob looks into, and whether into the folders below it, too."""
    path = Path(spec).expanduser().absolute()
    if path.is_dir():
        return path, False
    magic = next((part for part, name in enumerate(path.parts) if glob.has_magic(name)), None)
    if magic is None or path.exists():
        return path.parent, False
    return Path(*path.parts[:magic]), magic < len(path.parts) - 1


def stat_or_none(path: Path) -> Stat | None:
    """Return the stat of a file; None when there is none, or none that may be seen."""
    try:
        return stat_of(path)
    except OSError:
        return None


def stat_of(path: Path) -> Stat:
    return _stat(path.stat())


def _stat(found: os.stat_result) -> Stat:
    return Stat(found.st_size, found.st_ino, found.st_mtime_ns)


class ContentFile:
    """The content of one open file, decompressed if it is gzip. Not thread-safe; every call blocks.

    An `OSError` or a damaged archive becomes a SourceError that names the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            if kind := _kind_of_special(path.stat().st_mode):
                raise SourceError(f"{path}: is {kind}, not a regular file")
            self._raw: BinaryIO = path.open("rb")
            self.compressed = self._raw.read(2) == GZIP_MAGIC
            self._raw.seek(0)
        except OSError as error:
            raise unreadable(path, error) from error
        self._content: BinaryIO = gzip.GzipFile(fileobj=self._raw) if self.compressed else self._raw  # type: ignore[assignment]
        self.ended = False
        """A gzip stream says itself that it is complete; a plain file never does."""

    def close(self) -> None:
        self._raw.close()

    def is_replaced(self) -> bool:
        """Whether the path names another file by now (or none)."""
        try:
            return os.fstat(self._raw.fileno()).st_ino != self.path.stat().st_ino
        except OSError:
            return True

    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes of content from `offset`; fewer only at the end of what is there."""
        pieces: list[bytes] = []
        try:
            self._content.seek(offset)
            while size > 0 and (piece := self._content.read(size)):
                pieces.append(piece)
                size -= len(piece)
            self.ended = self.compressed and size > 0
        except EOFError:
            self._reopen()
        except (OSError, zlib.error) as error:
            raise unreadable(self.path, error) from error
        return b"".join(pieces)

    def _reopen(self) -> None:
        """A gzip stream that stops in the middle may still be written: read it anew next time."""
        self._raw.seek(0)
        self._content = gzip.GzipFile(fileobj=self._raw)  # type: ignore[assignment]

    def digests(self, offsets: Iterable[int]) -> dict[int, str]:
        """SHA-256 of the content before each offset that the content reaches."""
        hasher, position, found = hashlib.sha256(), 0, {}
        for offset in sorted(set(offsets)):
            while position < offset and (piece := self.read_at(position, min(_PIECE, offset - position))):
                hasher.update(piece)
                position += len(piece)
            if position < offset:
                break
            found[offset] = hasher.hexdigest()
        return found

    def size(self) -> int:
        """Bytes of content; a gzip file is read through for it."""
        if not self.compressed:
            return os.fstat(self._raw.fileno()).st_size
        position = 0
        while piece := self.read_at(position, _PIECE):
            position += len(piece)
        return position


def _kind_of_special(mode: int) -> str:
    """Name what is no regular file: to open it may wait for ever, or do something. Empty for a regular one."""
    if stat.S_ISREG(mode):
        return ""
    kinds = {
        stat.S_IFIFO: "a named pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFDIR: "a folder",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def unreadable(path: Path, error: Exception) -> SourceError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"{path}: {reason}")
