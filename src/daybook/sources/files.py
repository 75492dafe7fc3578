"""Files on disk: finds them and reads their content, plain or gzip."""

import glob
import gzip
import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from daybook.domain.source import Stat
from daybook.errors import SourceError

GZIP_MAGIC = b"\x1f\x8b"
SUFFIXES = (".csv", ".csv.gz")
_PIECE = 1 << 20


def locate(spec: str) -> list[Path]:
    """Return the files that a path, a folder or a glob names now, as sorted absolute paths.

    Raises SourceError when there is none.
    """
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


def stat_of(path: Path) -> Stat:
    """Return the state of the file at `path`. Raises OSError."""
    found = path.stat()
    return Stat(found.st_size, found.st_ino, found.st_mtime_ns)


class ContentFile:
    """The content of one open file, decompressed if it is gzip. Not thread-safe. Every call blocks.

    Opening and reading raise SourceError, which names the file, for an `OSError` or a damaged gzip stream.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._raw: BinaryIO = path.open("rb")
            self.compressed = self._raw.read(2) == GZIP_MAGIC
            self._raw.seek(0)
        except OSError as error:
            raise unreadable(path, error) from error
        self._content: BinaryIO = gzip.GzipFile(fileobj=self._raw) if self.compressed else self._raw  # type: ignore[assignment]
        self.ended = False
        """True when the last read reached the end of a gzip stream; always False for a plain file."""

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
        except EOFError:
            self._reopen()
        except (OSError, zlib.error) as error:
            raise unreadable(self.path, error) from error
        return b"".join(pieces)

    def _reopen(self) -> None:
        """Read a gzip stream from its beginning next time: it stops in the middle and may still be written."""
        self._raw.seek(0)
        self._content = gzip.GzipFile(fileobj=self._raw)  # type: ignore[assignment]

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
        """Return the number of bytes of content. A gzip file is read to its end for that."""
        if not self.compressed:
            return os.fstat(self._raw.fileno()).st_size
        position = 0
        while piece := self.read_at(position, _PIECE):
            position += len(piece)
        return position


def unreadable(path: Path, error: Exception) -> SourceError:
    """Return the SourceError for a file whose reading raised `error`."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"{path}: {reason}")
