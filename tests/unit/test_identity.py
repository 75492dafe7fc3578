"""Which file is which (design, section 1)."""

import gzip
import os
import zipfile
from pathlib import Path

import pytest

from daybook.domain.position import Position
from daybook.domain.source import HEAD_BYTES, Source
from daybook.errors import SourceError
from daybook.sources.files import ContentFile, locate, stat_of
from daybook.sources.identity import identify

ROWS = b"timestamp,type,payment_method,amount\n" + b"2026-01-01T00:00:00,deposit,visa,1.00\n" * 300


def known(path: Path, content: bytes, read: int | None = None, order: int = 1) -> Source:
    """A source that was read from `path` up to `read` bytes of `content`."""
    offset = len(content) if read is None else read
    copy = path.with_name(f"{path.name}.tmp")
    copy.write_bytes(content)
    file = ContentFile(copy)
    digest = file.digests([offset])[offset]
    file.close()
    copy.unlink()
    position = Position(offset=offset, digest=digest)
    return Source(str(order), str(path), content[:HEAD_BYTES], position, position, size=len(content), order=order)


def test_new_content_is_a_new_source(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ROWS)
    assert identify(path, []).source is None


def test_the_same_content_under_any_path_is_the_same_source(tmp_path: Path) -> None:
    first, copy, packed, zipped = (tmp_path / name for name in ("a.csv", "b.csv", "c.csv.gz", "d.zip"))
    first.write_bytes(ROWS)
    copy.write_bytes(ROWS)
    packed.write_bytes(gzip.compress(ROWS))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("any.csv", ROWS)
    source = known(first, ROWS)
    assert identify(copy, [source]).source == source
    assert identify(packed, [source]).source == source
    assert identify(zipped, [source]).source == source


def test_a_grown_file_is_the_same_source(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = known(path, ROWS)
    path.write_bytes(ROWS + b"2026-01-02T00:00:00,deposit,visa,1.00\n")
    assert identify(path, [source]).source == source


def test_a_moved_and_grown_file_is_the_same_source(tmp_path: Path) -> None:
    path, moved = tmp_path / "a.csv", tmp_path / "b.csv"
    source = known(path, ROWS)
    moved.write_bytes(ROWS + b"more\n")
    assert identify(moved, [source]).source == source


def test_a_file_moved_away_for_another_one_is_still_known(tmp_path: Path) -> None:
    path, moved = tmp_path / "a.csv", tmp_path / "a.csv.1"
    source = known(path, ROWS)
    path.write_bytes(b"timestamp,type,payment_method,amount\n")
    moved.write_bytes(ROWS + b"more\n")
    identity = identify(moved, [source])
    assert (identity.source, identity.moved) == (source, True)


@pytest.mark.parametrize("size", [100, 4096, 9000])
def test_a_copy_in_the_making_waits_and_a_still_beginning_is_new(tmp_path: Path, size: int) -> None:
    first, copy = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(ROWS)
    copy.write_bytes(ROWS[:size])
    source = known(first, ROWS)
    with pytest.raises(SourceError, match="whole copy"):
        identify(copy, [source])
    os.utime(copy, (1, 1))
    assert identify(copy, [source]).source is None
    copy.write_bytes(ROWS[: size - 1] + b"#")
    assert identify(copy, [source]).source is None


def test_a_header_alone_may_become_a_copy(tmp_path: Path) -> None:
    first, copy = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(ROWS)
    copy.write_bytes(ROWS[:37])
    identity = identify(copy, [known(first, ROWS)])
    assert (identity.source, identity.waits) == (None, True)


def test_another_file_that_begins_with_the_same_rows_is_new(tmp_path: Path) -> None:
    first, other = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(ROWS)
    other.write_bytes(ROWS + b"2026-01-02T00:00:00,deposit,visa,1.00\n")
    assert identify(other, [known(first, ROWS)]).source is None


def test_a_copy_of_a_file_that_is_being_read_is_that_source(tmp_path: Path) -> None:
    first, copy = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(ROWS)
    copy.write_bytes(ROWS)
    source = known(first, ROWS, read=500)
    assert identify(copy, [source]).source == source


def test_a_replaced_file_is_new_and_names_what_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = known(path, ROWS)
    path.write_bytes(ROWS.replace(b"visa", b"wire"))
    identity = identify(path, [source])
    assert (identity.source, identity.replaces) == (None, source)


def test_a_changed_byte_far_behind_the_head_makes_another_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    source = known(path, ROWS)
    changed = bytearray(ROWS)
    changed[-5:-1] = b"9.99"
    path.write_bytes(bytes(changed))
    assert identify(path, [source]).source is None


@pytest.mark.parametrize("size", [40, 100, 4096, 9000])
def test_a_cut_file_is_reported_and_waits(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.csv"
    source = known(path, ROWS)
    path.write_bytes(ROWS[:size])
    with pytest.raises(SourceError, match="truncated"):
        identify(path, [source])


def test_an_untouched_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"anything else")
    source = known(path, ROWS)
    untouched = Source(
        source.id, source.path, source.head, source.read, source.applied, len(ROWS), untouched=stat_of(path)
    )
    assert identify(path, [untouched]).source == untouched


def test_places(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv.gz", "c.zip", "note.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in locate(str(tmp_path))] == ["a.csv.gz", "b.csv", "c.zip"]
    assert [path.name for path in locate(f"{tmp_path}/*.csv")] == ["b.csv"]
    for spec, reason in (("none.csv", "no such file"), ("*.tsv", "no file matches")):
        with pytest.raises(SourceError, match=reason):
            locate(f"{tmp_path}/{spec}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="holds no"):
        locate(f"{tmp_path}/empty")
