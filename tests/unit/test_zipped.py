"""Content of zip archives: read as gzip is, in bounded memory; what cannot be read is named with what to do."""

import random
import tracemalloc
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from daybook.errors import SourceError
from daybook.sources.files import ContentFile
from daybook.sources.looks import Look, look_at

HEADER = b"timestamp,type,payment_method,amount\n"
CONTENT = HEADER + b"".join(b"2026-01-15T10:30:00,deposit,visa,%d.00\n" % row for row in range(200_000))


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def problem(path: Path) -> str:
    with pytest.raises(SourceError) as told, closing(ContentFile(path)) as content:
        content.size()
    text = str(told.value)
    assert text.startswith(f"{path}: ")
    return text


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_content_is_read_at_any_offset(tmp_path: Path, method: int) -> None:
    file = ContentFile(zipped(tmp_path / "m.zip", {"m.csv": CONTENT}, method))
    assert file.compressed
    assert file.size() == len(CONTENT)
    order = random.Random(7)
    for _ in range(60):
        offset, size = order.randrange(len(CONTENT) + 10), order.randrange(100_000)
        assert file.read_at(offset, size) == CONTENT[offset : offset + size], (offset, size)
        assert file.ended == (offset + size > len(CONTENT))
    file.close()


def test_what_a_mac_puts_beside_the_file_does_not_count(tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "m.zip", {"out/": b"", "out/m.csv": HEADER, "__MACOSX/out/._m.csv": b"x", ".DS_Store": b""}
    )
    file = ContentFile(path)
    assert file.read_at(0, 100) == HEADER
    file.close()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "is a zip archive that holds no file"),
        ({"a.csv": HEADER, "b.csv": HEADER}, "is a zip archive of 2 files (a.csv, b.csv)"),
        ({f"{n}.csv": HEADER for n in range(5)}, "is a zip archive of 5 files (0.csv, 1.csv, 2.csv, …)"),
        ({f"{n}.csv": b"" for n in range(30_000)}, "is a zip archive of very many files"),
    ],
)
def test_only_one_file_is_read(tmp_path: Path, files: dict[str, bytes], told: str) -> None:
    text = problem(zipped(tmp_path / "m.zip", files))
    assert text.removeprefix(f"{tmp_path / 'm.zip'}: ").startswith(told)
    assert text.endswith("only a zip with one file is read; unpack it and import the files inside")


def test_a_workbook_is_no_zip_archive(tmp_path: Path) -> None:
    file = ContentFile(zipped(tmp_path / "m.xlsx", {"[Content_Types].xml": b"", "xl/workbook.xml": b""}))
    assert not file.compressed
    assert look_at(file.read_at(0, 4096)) is Look.EXCEL
    file.close()


def test_an_encrypted_file_is_named(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", {"m.csv": HEADER})
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    assert problem(path).endswith("m.csv is encrypted: unpack it with its password and import the file inside")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound_are_refused(tmp_path: Path, method: int) -> None:
    assert f"is packed by method {method}, not by deflate: unpack it" in problem(
        zipped(tmp_path / "m.zip", {"m.csv": CONTENT[:10_000]}, method)
    )


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", {"m.csv": bytes(4 << 20)})
    data = bytearray(path.read_bytes())
    size_at = data.index(b"PK\x01\x02") + 24
    data[size_at : size_at + 4] = (2 << 30).to_bytes(4, "little")
    path.write_bytes(data)
    told = problem(path)
    assert "m.csv would unpack to 2,147,483,648 bytes, " in told
    assert told.endswith(
        "as a zip bomb does: nothing is read from it; if it is right, unpack it and import the file inside"
    )


def test_more_than_the_archive_tells_is_not_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", {"m.csv": CONTENT})
    data = bytearray(path.read_bytes())
    size_at = data.index(b"PK\x01\x02") + 24
    data[size_at : size_at + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    assert "Bad CRC-32" in problem(path)


@pytest.mark.parametrize("end", [10, 1000, -30, -1])
def test_an_unfinished_archive_waits(tmp_path: Path, end: int) -> None:
    path = zipped(tmp_path / "m.zip", {"m.csv": CONTENT})
    path.write_bytes(path.read_bytes()[:end])
    assert "damaged or not whole yet" in problem(path)
    assert "it is read once it is whole" in problem(path)


def test_every_damaged_byte_of_the_content_is_noticed(tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", {"m.csv": CONTENT[:4096]})
    whole = path.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            file = ContentFile(path)
        except SourceError:
            continue
        try:
            read = file.read_at(0, 8192)
            assert read == CONTENT[:4096] or not file.compressed, place
        except SourceError:
            continue
        finally:
            file.close()


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("m.csv", "w") as file:
        for _ in range(12):
            file.write(bytes(16 << 20))
    content = ContentFile(path)
    tracemalloc.start()
    assert content.size() == 12 * (16 << 20)
    assert content.read_at(100 << 20, 10) == bytes(10)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()
    content.close()
