"""Reads the one file of a zip archive as a stream."""

import zipfile
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from daybook.errors import SourceError

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
"""First bytes of an archive; the second one of an empty archive."""

_WORKBOOK = "[Content_Types].xml"
_READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""The methods that unpack in bounded memory."""
_ENCRYPTED = 1
_MOST_DIRECTORY_BYTES = 1 << 20
_HARMLESS_BYTES, _HARMLESS_RATIO = 1 << 30, 500
"""Content larger than the first one is refused when it is that many times as large as its packed form."""
_NAMES_SHOWN = 3
_SEEK_BYTES = 1 << 20
"""A seek holds this much content at once; by default it would be 16 MiB."""
_ZIP, _UNPACK = "is a zip archive", "only a zip with one file is read; unpack it and import the files inside"


class Stream(Protocol):
    """What `ContentFile` needs of unpacked content."""

    def read(self, size: int, /) -> bytes: ...

    def seek(self, offset: int, /) -> int: ...


def open_only_file(raw: BinaryIO, path: Path) -> Stream | None:
    """Return the content of the one file in the archive `raw`; None for an Office document, which is read as it is.

    `raw` stays open and belongs to the stream from then on. Blocks. Raises SourceError when the archive is damaged or
    unfinished, holds no file or several, or when its file is encrypted, packed by a rare method or suspiciously well;
    reading the stream raises `zipfile.BadZipFile`, EOFError, `zlib.error` or OSError when the content is damaged.
    """
    archive = _Archive(raw)
    try:
        opened = zipfile.ZipFile(archive)
    except _LargeDirectoryError:
        raise SourceError(f"{path}: {_ZIP} of very many files: {_UNPACK}") from None
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError) as error:
        raise SourceError(
            f"{path}: {_ZIP} that is damaged or not whole yet ({error}): it is read once it is whole"
        ) from error
    archive.is_open = True
    files = [each for each in opened.infolist() if not each.is_dir() and not _is_of_a_mac(each.filename)]
    if any(each.filename == _WORKBOOK for each in files):
        return None
    if len(files) != 1:
        raise SourceError(f"{path}: {_ZIP} {_number_of(files)}: {_UNPACK}")
    if problem := _problem_of(files[0]):
        raise SourceError(f"{path}: {_ZIP} whose file {files[0].filename} {problem}")
    try:
        stream = cast("zipfile.ZipExtFile", opened.open(files[0]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: {_ZIP} that is damaged ({error}): get it again") from error
    stream.MAX_SEEK_READ = _SEEK_BYTES
    return stream


class _LargeDirectoryError(Exception):
    """The list of an archive's files is too large to be read."""


class _Archive:
    """The bytes of an archive, for `zipfile`, which would read a list of files of any size into memory."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw
        self.seek, self.tell, self.seekable = raw.seek, raw.tell, raw.seekable
        self.is_open = False

    def read(self, size: int = -1) -> bytes:
        if not self.is_open and size > _MOST_DIRECTORY_BYTES:
            raise _LargeDirectoryError
        return self._raw.read(size)


def _is_of_a_mac(name: str) -> bool:
    """Return whether macOS put the file beside the real ones."""
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _number_of(files: list[zipfile.ZipInfo]) -> str:
    if not files:
        return "that holds no file"
    names = ", ".join(each.filename for each in files[:_NAMES_SHOWN])
    return f"of {len(files)} files ({names}{', …' if len(files) > _NAMES_SHOWN else ''})"


def _problem_of(info: zipfile.ZipInfo) -> str:
    """Return why the file cannot be read, and what to do; empty when it can."""
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted: unpack it with its password and import the file inside"
    if info.compress_type not in _READABLE:
        return f"is packed by method {info.compress_type}, not by deflate: unpack it and import the file inside"
    size, packed = info.file_size, max(info.compress_size, 1)
    if size > _HARMLESS_BYTES and size > _HARMLESS_RATIO * packed:
        return (
            f"would unpack to {size:,} bytes, {size // packed:,} times its size, as a zip bomb does: nothing is read "
            "from it; if it is right, unpack it and import the file inside"
        )
    return ""
