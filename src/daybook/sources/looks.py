"""Tells from its first bytes what a file is, when it is no plain CSV."""

import codecs
from enum import StrEnum


class Look(StrEnum):
    """What a file looks like, as words for a message."""

    PARQUET = "a Parquet file"
    ARROW = "an Arrow file"
    SQLITE = "an SQLite database"
    EXCEL = "an Excel workbook (.xlsx)"
    OLD_EXCEL = "an old Excel workbook (.xls)"
    ZIP = "a zip archive"
    GZIP = "gzip inside a gzip or zip file"
    OTHER_COMPRESSION = "a compressed file that is neither gzip nor zip"
    PDF = "a PDF document"
    UTF_32 = "UTF-32 text"
    UTF_16 = "UTF-16 text"
    BINARY = "binary data"
    HTML = "an HTML page"
    XML = "an XML document"
    JSON_LINES = "JSON lines"
    JSON_ARRAY = "a JSON array"
    NOT_UTF_8 = "text that is not UTF-8"
    SEMICOLONS = "fields separated by semicolons"
    TABS = "fields separated by tabs"
    BARS = "fields separated by vertical bars"


_MAGIC = (
    (b"PAR1", Look.PARQUET),
    (b"ARROW1", Look.ARROW),
    (b"SQLite format 3\0", Look.SQLITE),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Look.OLD_EXCEL),
    (b"\x1f\x8b", Look.GZIP),
    (b"\x28\xb5\x2f\xfd", Look.OTHER_COMPRESSION),
    (b"BZh", Look.OTHER_COMPRESSION),
    (b"\xfd7zXZ\0", Look.OTHER_COMPRESSION),
    (b"7z\xbc\xaf\x27\x1c", Look.OTHER_COMPRESSION),
    (b"Rar!\x1a\x07", Look.OTHER_COMPRESSION),
    (b"%PDF-", Look.PDF),
    (codecs.BOM_UTF32_LE, Look.UTF_32),
    (codecs.BOM_UTF32_BE, Look.UTF_32),
    (codecs.BOM_UTF16_LE, Look.UTF_16),
    (codecs.BOM_UTF16_BE, Look.UTF_16),
)
_ZIP = b"PK\x03\x04"
_SEPARATORS = ((b";", Look.SEMICOLONS), (b"\t", Look.TABS), (b"|", Look.BARS))
_MOST_NULS_ASIDE = 20
"""UTF-16 text of Western letters has a NUL at every other place; of this many, one may be elsewhere."""


def look_at(head: bytes) -> Look | None:
    """Return what a file is that begins with `head`; None when it looks like CSV with commas, or is empty.

    `head` holds some hundred bytes at least, or the whole file. A `Look` is a text for people.
    """
    if head.startswith(_ZIP):
        return Look.EXCEL if b"[Content_Types].xml" in head or b"xl/" in head else Look.ZIP
    if found := next((look for magic, look in _MAGIC if head.startswith(magic)), None):
        return found
    if b"\0" in head:
        return Look.UTF_16 if _has_nuls_in_turn(head) else Look.BINARY
    head = head.removeprefix(codecs.BOM_UTF8)
    return _markup(head.lstrip()[:64].lower()) or _text(head)


def _has_nuls_in_turn(head: bytes) -> bool:
    even, odd = head[::2].count(0), head[1::2].count(0)
    return max(even, odd) > len(head) // 4 and min(even, odd) * _MOST_NULS_ASIDE <= max(even, odd)


def _markup(beginning: bytes) -> Look | None:
    if beginning.startswith((b"<!doctype html", b"<html")):
        return Look.HTML
    if beginning.startswith(b"<?xml"):
        return Look.XML
    if beginning.startswith(b"{"):
        return Look.JSON_LINES
    if beginning.startswith(b"["):
        return Look.JSON_ARRAY
    return None


def _text(head: bytes) -> Look | None:
    first_line = head.lstrip(b"\r\n").split(b"\n", 1)[0]
    commas = first_line.count(b",")
    for separator, look in _SEPARATORS:
        if first_line.count(separator) > commas:
            return look
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return Look.NOT_UTF_8
    return None
