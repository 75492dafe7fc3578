"""Files on disk: finds them and reads their content, plain, gzip or zip."""

import glob
import gzip
import hashlib
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from daybook.domain.source import Stat
from daybook.errors import SourceError
from daybook.sources.zipped import ZIP_MAGIC, Stream, open_only_file

GZIP_MAGIC = b"\x1f\x8b"
SUFFIXES = (".csv", ".csv.gz", ".zip")
_MAGIC_BYTES = 4
_PIECE = 1 << 20


def locate(spec: str) -> list[Path]:
    """Return the files that a path, a folder or a glob names now, as sorted absolute paths.

    Raises SourceError when there is none.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        found = [entry for entry in path.iterdir() if entry.name.endswith(SUFFIXES) and entry.is_file()]
        if not found:
            raise SourceError(f"{spec}: the folder holds no {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file")
    elif glob.has_magic(spec) and not path.exists():
        found = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]  # noqa: PTH207 - takes absolute patterns
        if not found:
            raise SourceError(f"{spec}: no file matches")
    elif path.exists():
        found = [path]
    else:
        raise SourceError(f"{spec}: no such file")
    return sorted(entry.absolute() for entry in found)


def absolute(spec: str) -> str:
    """Return a path as sources name it."""
    return str(Path(spec).expanduser().absolute())


def is_missing(spec: str) -> bool:
    """Return whether `spec` is the path of a file or folder and nothing is there."""
    return not glob.has_magic(spec) and not Path(spec).expanduser().exists()


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
    """Return the state of the file at `path`. Raises OSError."""
    return _stat(path.stat())


def _stat(found: os.stat_result) -> Stat:
    return Stat(found.st_size, found.st_ino, found.st_mtime_ns)


class ContentFile:
    """The content of one open file, decompressed if it is gzip or a zip with one file.

    Not thread-safe. Every call blocks. Opening and reading raise SourceError, which names the file, for an `OSError`,
    a damaged gzip stream, and a zip archive that cannot be read (`sources/zipped.py`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.compressed = False
        """True for gzip and zip."""
        self.ended = False
        """True when the last read reached the end of compressed content; always False for a plain file."""
        try:
            if kind := _kind_of_special(path.stat().st_mode):
                raise SourceError(f"{path}: is {kind}, not a regular file")
            self._raw: BinaryIO = path.open("rb")
        except OSError as error:
            raise unreadable(path, error) from error
        try:
            self._content = self._opened()
        except OSError as error:
            self._raw.close()
            raise unreadable(path, error) from error
        except SourceError:
            self._raw.close()
            raise

    def _opened(self) -> Stream:
        magic = self._raw.read(_MAGIC_BYTES)
        self._raw.seek(0)
        zipped = open_only_file(self._raw, self.path) if magic in ZIP_MAGIC else None
        self._grows = zipped is None
        self.compressed = zipped is not None or magic.startswith(GZIP_MAGIC)
        return zipped or (self._unpacked() if self.compressed else self._raw)

    def _unpacked(self) -> Stream:
        return cast("Stream", gzip.GzipFile(fileobj=self._raw))

    def close(self) -> None:
        self._raw.close()

    def is_replaced(self) -> bool:
        """Return whether the path now names another file, or none."""
        try:
            return os.fstat(self._raw.fileno()).st_ino != self.path.stat().st_ino
        except OSError:
            return True

    def read_at(self, offset: int, size: int) -> bytes:
        """Return `size` bytes of content from `offset`; fewer only at the end of the content."""
        pieces: list[bytes] = []
        try:
            self._content.seek(offset)
            while size > 0 and (piece := self._content.read(size)):
                pieces.append(piece)
                size -= len(piece)
            self.ended = self.compressed and size > 0
        except EOFError as error:
            if not self._grows:
                raise unreadable(self.path, zipfile.BadZipFile("the zip archive is cut")) from error
            self._reopen()
        except (OSError, zlib.error, zipfile.BadZipFile) as error:
            raise unreadable(self.path, error) from error
        return b"".join(pieces)

    def _reopen(self) -> None:
        """Read a gzip stream from its beginning next time: it stops in the middle and may still be written."""
        self._raw.seek(0)
        self._content = self._unpacked()

    def digests(self, offsets: Iterable[int]) -> dict[int, str]:
        """Return the SHA-256 (in hex) of the content before each offset. Offsets past its end are left out."""
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
        """Return the number of bytes of content. A compressed file is read to its end for that."""
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
    """Return the SourceError for a file whose reading raised `error`."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"{path}: {reason}")
