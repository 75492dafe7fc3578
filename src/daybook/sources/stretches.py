"""A bounded sample of a file's lines, spread evenly over the file."""

from collections.abc import Iterator
from pathlib import Path

from daybook.sources.files import ContentFile
from daybook.sources.text_form import TextForm

_STRETCH_BYTES = 64 << 10
_SHARE, _MOST = 16, 8 << 20
LEAST_BYTES = 256 << 10
"""Content up to this size is read in full."""


def stretches(path: Path, size: int, form: TextForm) -> Iterator[bytes]:
    """Yield runs of whole lines, together a sixteenth of `size` bytes of content: at least 256 KiB, at most 8 MiB.

    They lie evenly over the file; those of a compressed file are its beginning. Blocks. Raises SourceError.
    """
    wanted = min(max(size // _SHARE, LEAST_BYTES), _MOST)
    content = ContentFile(path)
    try:
        number = -(-min(wanted, size) // _STRETCH_BYTES)
        step = _STRETCH_BYTES if content.compressed else max(size // max(number, 1), _STRETCH_BYTES)
        step -= step % form.unit
        rest, end = b"", 0
        for start in range(0, number * step, step):
            data = content.read_at(start, _STRETCH_BYTES)
            rest = rest if start == end else b""
            whole = rest + data if start == end else data[form.first_end(data) :]
            cut = form.last_end(whole)
            rest, end = whole[cut:], start + len(data)
            yield whole[:cut]
    finally:
        content.close()
