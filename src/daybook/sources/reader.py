"""Reads a file in blocks of whole records, and hashes the content on the way."""

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from daybook.domain.reject import RAW_LIMIT
from daybook.errors import SourceError
from daybook.sources.files import ContentFile, stat_of
from daybook.sources.looks import look_at
from daybook.sources.profile import Profile
from daybook.sources.records import (
    EXPECTED_HEADER,
    MAX_RECORD_BYTES,
    Header,
    aligned_end,
    read_header,
    wrong_file,
)
from daybook.sources.text_form import PLAIN, TextForm

MAX_LINE_BYTES = 1 << 20
"""A longer line is rejected as one record and never held in memory."""

MAX_BLOCK_LINES = 1 << 18
"""A block is cut after this many lines: a line judged by itself takes a hundred times its own memory."""

_COMPLETE = "`daybook import --complete`"
_HEAD_BYTES = 1 << 16
_TAIL_BYTES = 4096
_STILL_SECONDS = 2.0


class Block(NamedTuple):
    """Whole records, or the beginning of one overlong line."""

    data: bytes
    """Whole records; for an overlong line, only its first bytes."""
    size: int
    """Number of bytes of content that the block covers."""
    digest: str
    """SHA-256 (in hex) of the source's content before the block's end."""
    hash_before: "hashlib._Hash"
    """Running hash of the content before the block. It gives the digest at any place inside the block."""
    overlong: bool = False
    """True when the block is one line longer than `max_line_bytes`."""


class BlockReader:
    """Reads the records of one file, in order. Every call blocks: use it in a thread.

    `complete` says that a last line without a line end is whole. Otherwise such a line waits for its line
    end, except in a gzip stream or zip file that ended. A quote that is still open at the end counts as malformed once
    the file has not been written to for 2 seconds. A call that cannot read the file raises SourceError.
    """

    def __init__(
        self,
        path: Path,
        *,
        complete: bool = False,
        max_line_bytes: int = MAX_LINE_BYTES,
        profile: Profile | None = None,
    ) -> None:
        """With a profile, call `header` first: it finds out the byte order of the text."""
        self.path = path
        self._profile = profile
        self._form = PLAIN
        self._file = ContentFile(path)
        self._complete = complete
        self._max_line_bytes = max_line_bytes
        self._hasher = hashlib.sha256()
        self._ahead = b""
        self._tail = b""
        self._line: _Line | None = None
        self.offset = 0
        self.exhausted = False
        """True when the last block ended where the file did: no more was there then."""

    @property
    def size(self) -> int:
        """Return the number of bytes of content read so far, those not yet returned in a block included."""
        return self.offset + len(self._ahead)

    def close(self) -> None:
        self._file.close()

    def is_replaced(self) -> bool:
        """Return whether the path now names another file, or none."""
        return self._file.is_replaced()

    def is_continued(self) -> bool:
        """Return whether the bytes right before the offset are still those that were read. False for gzip and zip.

        This is the cheap check while a file is followed; `identify` compares all bytes before the offset.
        """
        before = self.offset - len(self._tail)
        return not self._file.compressed and self._file.read_at(before, len(self._tail)) == self._tail

    def header(self) -> Header | None:
        """Return the file's header; None while it is not complete. Call it before any block is read.

        Raises SourceError when the header is wrong or too long.
        """
        head = self._peek(_HEAD_BYTES)
        if not head:
            return None
        at_end = len(head) < _HEAD_BYTES
        final = at_end and self._is_final()
        header = read_header(head, str(self.path), final=final, profile=self._profile)
        if header is None and self._is_plain() and (look := look_at(head)):
            raise wrong_file(str(self.path), f"looks like {look}")
        if header is None and not at_end:
            raise SourceError(f"{self.path}: no header in the first {_HEAD_BYTES} bytes; expected {EXPECTED_HEADER}")
        if header is not None:
            self._form = header.layout.form
        return header

    def _is_plain(self) -> bool:
        return self._profile is None or TextForm(self._profile.encoding, self._profile.delimiter).is_plain

    def skip_to(self, offset: int, digest: str) -> None:
        """Move to a later offset. Raises SourceError unless the content before it has the given digest."""
        while self.offset < offset and (piece := self._peek(min(self._max_line_bytes, offset - self.offset))):
            self._take(piece)
        if self.offset != offset or (offset and self._hasher.hexdigest() != digest):
            raise SourceError(f"{self.path}: its first {offset} bytes have changed since they were read")

    def pass_header(self, size: int) -> str:
        """Move past the header, which has `size` bytes. Return the digest of the content before the new offset."""
        self._take(self._peek(size))
        return self._hasher.hexdigest()

    def next_block(self, block_bytes: int) -> Block | None:
        """Return the next records, about `block_bytes` bytes; None when there is no whole record now."""
        wanted, self.exhausted = max(block_bytes, self._max_line_bytes + 1), False
        while True:
            data = self._peek(wanted)
            at_end = len(data) < wanted
            if self._form.count(data) > MAX_BLOCK_LINES:
                data, at_end = data[: int(self._form.ends(data)[MAX_BLOCK_LINES - 1])], False
            long_at = _overlong_line(data, self._max_line_bytes, self._form)
            if long_at == 0:
                return self._skip_line()
            if long_at is not None:
                end = aligned_end(data[:long_at], final=True, form=self._form)
            else:
                end = self._end_of_records(data, at_end=at_end)
            if end:
                self.exhausted = at_end and end == len(data)
                return self._give(data[:end])
            if at_end:
                return None
            wanted += MAX_RECORD_BYTES  # the farthest place where an open quote may end

    def ahead(self, lines: int, size: int) -> bytes:
        """Return the whole records among the next `lines` lines and `size` bytes; the reader stays where it is."""
        data = self._peek(size)
        end = self._end_of_records(data, at_end=len(data) < size)
        if self._form.count(data[:end]) <= lines:
            return data[:end]
        data = data[: int(self._form.ends(data)[lines - 1])]
        return data[: self._end_of_records(data, at_end=False)]

    def unfinished(self) -> str:
        """Return the reason, for people, why the bytes after the last record are not read; empty without such bytes."""
        rest = self._peek(self._max_line_bytes)
        if not rest:
            return ""
        if aligned_end(rest, final=False, form=self._form):  # whole rows have come since
            return ""
        if not self._form.ends_line(rest):
            return f"the last line has no line end: it is read when it has one; {_COMPLETE} reads it as it is"
        return "a quoted field at the end is still open"

    def forget_ahead(self) -> None:
        """Read the bytes after the offset again, because they may have changed. Does nothing for gzip and zip."""
        if not self._file.compressed:
            self._ahead, self._line = b"", None

    def _give(self, data: bytes) -> Block:
        before = self._hasher.copy()
        self._take(data)
        return Block(data, len(data), self._hasher.hexdigest(), before)

    def _end_of_records(self, data: bytes, *, at_end: bool) -> int:
        if at_end and self._is_final():
            return aligned_end(data, final=True, form=self._form)
        end = aligned_end(data, final=False, form=self._form)
        if end == 0 and at_end and self._is_still():
            end = aligned_end(data[: self._form.last_end(data)], final=True, form=self._form)
        return end

    def _is_final(self) -> bool:
        return self._complete or self._file.ended

    def _is_still(self) -> bool:
        try:
            return time.time() - stat_of(self.path).modified_ns / 1e9 > _STILL_SECONDS
        except OSError:
            return True

    def _peek(self, size: int) -> bytes:
        """Return the next `size` bytes (fewer only at the end) without moving past them."""
        while len(self._ahead) < size:
            piece = self._file.read_at(self.size, size - len(self._ahead))
            if not piece:
                break
            self._ahead += piece
        return self._ahead[:size]

    def _take(self, piece: bytes) -> None:
        """Move past `piece`, which holds the next bytes."""
        self._ahead = self._ahead[len(piece) :]
        self._hasher.update(piece)
        self._tail = _tail_of(self._tail, piece)
        self.offset += len(piece)

    def _skip_line(self) -> Block | None:
        """Return an overlong line as a block and move past it; None while its end is missing.

        The line is read once and never held.
        """
        if self._line is None:
            self._line = _Line(self._peek(RAW_LIMIT + len(b"\r\n")), self.offset, self._hasher.copy(), self._tail)
        line, rest = self._line, b""
        while piece := self._piece_at(line.end):
            length = self._form.first_end(piece)
            line.go_on(piece[:length] if length else piece)
            if length:
                rest = piece[length:]
                break
        else:
            if not self._is_final():
                return None
        size = line.end - self.offset
        block = Block(line.beginning[:size], size, line.hasher.hexdigest(), self._hasher, overlong=True)
        self._ahead = self._ahead[size:] or rest
        self.offset, self._hasher, self._tail, self._line = line.end, line.hasher, line.tail, None
        return block

    def _piece_at(self, position: int) -> bytes:
        """Return some whole characters from a position at or after the offset; empty only at the end."""
        if position < self.size:
            piece = self._ahead[position - self.offset :]
        else:
            piece = self._file.read_at(position, self._max_line_bytes)
        return piece[: len(piece) - len(piece) % self._form.unit]


@dataclass
class _Line:
    """The part of an overlong line that was searched for its end."""

    beginning: bytes
    end: int
    """Offset after the searched part."""
    hasher: "hashlib._Hash"
    tail: bytes

    def go_on(self, piece: bytes) -> None:
        self.hasher.update(piece)
        self.tail = _tail_of(self.tail, piece)
        self.end += len(piece)


def _tail_of(before: bytes, piece: bytes) -> bytes:
    return (before + piece[-_TAIL_BYTES:])[-_TAIL_BYTES:]


def _overlong_line(data: bytes, max_line_bytes: int, form: TextForm) -> int | None:
    """Return the offset of the first line longer than `max_line_bytes`; None without such a line."""
    start = 0
    while len(data) - start > max_line_bytes:
        end = form.last_end(data, start, start + max_line_bytes)
        if not end:
            return start
        start = end
    return None
