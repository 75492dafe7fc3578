"""Identifies the source of a file by its content, never by its path or inode alone.

`docs/decisions/0005-which-file-is-which.md` has the rules.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from daybook.domain.source import HEAD_BYTES, Source, Stat
from daybook.errors import SourceError
from daybook.sources.files import ContentFile, stat_of

_YOUNG_SECONDS = 10.0


class Identity(NamedTuple):
    """The result of `identify`."""

    source: Source | None
    """The source that the file holds; None when the content is new."""
    head: bytes
    """First bytes of the content, as `Source.head`."""
    size: int
    """Number of bytes of content."""
    stat: Stat
    """State of the file before its content was read."""
    moved: bool = False
    """True when the source's own path now names another file, or none: the source has moved to this path."""
    waits: bool = False
    """True when the file has no row yet and may become a copy of a known file: do not register it yet."""
    replaces: Source | None = None
    """Latest source that this path named before, when the content is new."""


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file's content, at most `HEAD_BYTES`. Blocks. Raises SourceError."""
    content = ContentFile(path)
    try:
        return content.read_at(0, HEAD_BYTES)
    finally:
        content.close()


def identify(path: Path, known: Sequence[Source]) -> Identity:
    """Compare a file with all known sources. Blocks. Reads the file up to the farthest checkpoint.

    Raises SourceError when the file cannot be read, or when it holds only the beginning of what was already
    read from this path. Such a file is being written again or was cut, and none of its rows is new. Raises
    SourceError also for a young file that so far holds the beginning of another known file.
    """
    stat = _stat(path)
    same_path = [source for source in known if source.path == str(path)]
    for source in same_path:
        if source.untouched == stat:
            return Identity(source, source.head, source.size, stat)
    content = ContentFile(path)
    try:
        return _compare(content, stat, known, same_path)
    finally:
        content.close()


def _stat(path: Path) -> Stat:
    try:
        return stat_of(path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from error


def _compare(content: ContentFile, stat: Stat, known: Sequence[Source], same_path: Sequence[Source]) -> Identity:
    path = content.path
    head = content.read_at(0, HEAD_BYTES)
    candidates = [source for source in known if source.path and head.startswith(source.head)]
    size = content.size()
    digests = content.digests(source.reached.offset for source in candidates)
    matching = [
        source
        for source in candidates
        if source.reached.offset == 0 or digests.get(source.reached.offset) == source.reached.digest
    ]
    for source in sorted(matching, key=lambda each: _rank(each, path), reverse=True):
        if source.path == str(path):
            return Identity(source, head, size, stat)
        whole = source.reached.offset == size and source.reached.offset > 0
        if _has_moved(source):
            return Identity(source, head, size, stat, moved=True)
        if whole or _is_copy(content, source, size):
            return Identity(source, head, size, stat)
    alike = [source for source in known if source.path and source.head.startswith(head[: len(source.head)])]
    if copied := _partial_copy_of(content, stat, size, alike):
        if size <= len(head) and head.count(b"\n") <= 1:
            return Identity(None, head, size, stat, waits=True)
        raise SourceError(
            f"{path}: holds only the beginning of {copied.path}: nothing is read from it until it is the whole copy, "
            f"differs, or has not been written to for {_YOUNG_SECONDS:g} seconds"
        )
    latest = max(same_path, key=lambda source: source.order, default=None)
    if (
        latest is not None
        and size < latest.reached.offset
        and size > 0
        and latest.head.startswith(head[: len(latest.head)])
    ):
        raise SourceError(
            f"{path}: truncated: holds {size} bytes, but {latest.reached.offset} bytes were read from it and count; "
            f"nothing more is read until it has grown again or its beginning differs"
        )
    return Identity(None, head, size, stat, replaces=latest)


def _rank(source: Source, path: Path) -> tuple[bool, int, bool]:
    """Return a key that is larger for a source that the file more likely is."""
    return source.reverted is None, source.reached.offset, source.path == str(path)


def _partial_copy_of(content: ContentFile, stat: Stat, size: int, alike: Sequence[Source]) -> Source | None:
    """Return the known source of which a young file holds only the beginning, as an unfinished copy would."""
    if size == 0 or time.time() - stat.modified_ns / 1e9 > _YOUNG_SECONDS:
        return None
    for source in alike:
        if size < source.reached.offset and source.path != str(content.path) and _begins_with(source, content, size):
            return source
    return None


def _begins_with(source: Source, content: ContentFile, size: int) -> bool:
    try:
        other = ContentFile(Path(source.path))
    except SourceError:
        return False
    try:
        return size in (found := other.digests([size])) and found == content.digests([size])
    finally:
        other.close()


def _has_moved(source: Source) -> bool:
    """Return whether the source's own path now names another file, or none."""
    if source.reached.offset == 0:
        return not os.path.exists(source.path)  # noqa: PTH110 - the path is text
    try:
        content = ContentFile(Path(source.path))
    except SourceError:
        return not os.path.exists(source.path)  # noqa: PTH110
    try:
        digests = content.digests([source.reached.offset])
        return digests.get(source.reached.offset) != source.reached.digest
    finally:
        content.close()


def _is_copy(content: ContentFile, source: Source, size: int) -> bool:
    """Return whether the whole content equals that of the file at the source's own path."""
    try:
        other = ContentFile(Path(source.path))
    except SourceError:
        return False
    try:
        return other.size() == size and other.digests([size]) == content.digests([size])
    finally:
        other.close()
