"""What a file looks like from its first bytes."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest

from daybook.sources.looks import Look, look_at

HEADER = "timestamp,type,payment_method,amount\n2026-01-15T10:30:00,deposit,café,1.00\n"


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, HEADER)
    return file.getvalue()


@pytest.mark.parametrize(
    ("head", "look"),
    [
        (b"", None),
        (HEADER.encode(), None),
        (HEADER.encode("utf-8-sig"), None),
        (HEADER.encode()[:-10], None),
        (HEADER[: HEADER.index("é")].encode() + "é".encode()[:1], None),
        (b"\n\ntimestamp,type\n", None),
        (zipped("m.csv"), Look.ZIP),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), Look.EXCEL),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), Look.OLD_EXCEL),
        (b"PAR1\x15\x04\x15", Look.PARQUET),
        (b"ARROW1\0\0", Look.ARROW),
        (b"SQLite format 3\0" + bytes(80), Look.SQLITE),
        (b"%PDF-1.7\n", Look.PDF),
        (gzip.compress(b"a", mtime=0), Look.GZIP),
        (bz2.compress(b"a"), Look.OTHER_COMPRESSION),
        (lzma.compress(b"a"), Look.OTHER_COMPRESSION),
        (HEADER.encode("utf-16"), Look.UTF_16),
        (HEADER.encode("utf-16-le"), Look.UTF_16),
        (HEADER.encode("utf-16-be"), Look.UTF_16),
        (HEADER.encode("utf-32"), Look.UTF_32),
        (bytes(range(256)) * 4, Look.BINARY),
        (b"<!DOCTYPE html><html>", Look.HTML),
        (b"\n <html>", Look.HTML),
        (b"<?xml version='1.0'?>", Look.XML),
        (b'{"Timestamp": "2026-01-15", "Type": "deposit"}\n', Look.JSON_LINES),
        (b'[{"Timestamp": 1}]', Look.JSON_ARRAY),
        (HEADER.encode("cp1252"), Look.NOT_UTF_8),
        (HEADER.replace(",", ";").encode(), Look.SEMICOLONS),
        (HEADER.replace(",", ";").encode("cp1252"), Look.SEMICOLONS),
        (HEADER.replace(",", "\t").encode(), Look.TABS),
        (HEADER.replace(",", "|").encode(), Look.BARS),
    ],
)
def test_a_file_is_recognized_by_its_first_bytes(head: bytes, look: Look | None) -> None:
    assert look_at(head) is look
