"""Zip archives, as a user has them: one source with the plain file, watched, cut, of several files."""

import gzip
import time
import zipfile
from decimal import Decimal
from pathlib import Path

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import truth_of
from support.sample_file import generated

ROWS = 3000


def zipped(path: Path, *files: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def test_plain_gzip_and_zip_are_one_source(daybook: Commands, tmp_path: Path) -> None:
    plain = generated(tmp_path / "m.csv", rows=ROWS, bad_rows=0.01)
    packed = zipped(tmp_path / "m.zip", ("january.csv", plain.read_bytes()))
    (tmp_path / "m.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert f"{packed}: imported: {ROWS} rows" in daybook.run("import", packed).output
    for again in (plain, tmp_path / "m.csv.gz", packed):
        assert f"{again}: already imported: {ROWS} rows" in daybook.run("import", again).output
    assert daybook.stats() == truth_of(plain).data
    assert "no difference" in daybook.run("verify", packed).output
    daybook.run("sources", "revert", packed, "--why", "test")
    assert daybook.stats() == {}


def test_a_last_line_of_a_zip_is_whole(daybook: Commands, tmp_path: Path) -> None:
    content = b"timestamp,type,payment_method,amount\n2026-01-15,deposit,visa,1.50\n2026-01-15,deposit,visa,2.50"
    daybook.run("import", zipped(tmp_path / "m.zip", ("m.csv", content)))
    assert daybook.stats()["2026-01-15"]["deposits"] == {"visa": Decimal("4.00")}


def test_an_archive_of_several_files_says_what_to_do(daybook: Commands, tmp_path: Path) -> None:
    path = zipped(tmp_path / "m.zip", ("a.csv", b"a"), ("b.csv", b"b"))
    told = daybook.run("import", path, code=1)
    assert told.output == (
        f"{path}: is a zip archive of 2 files (a.csv, b.csv): only a zip with one file is read; "
        "unpack it and import the files inside\n"
    )


def test_an_archive_that_is_being_copied_is_read_once_it_is_whole(make_service: MakeService, tmp_path: Path) -> None:
    plain = generated(tmp_path / "m.csv", rows=ROWS)
    whole = zipped(tmp_path / "whole.zip", ("m.csv", plain.read_bytes())).read_bytes()
    folder = tmp_path / "watched"
    folder.mkdir()
    path = folder / "m.zip"
    path.write_bytes(whole[:5000])
    service = make_service(CsvFilePath=folder).start()
    service.wait_for_log("damaged or not whole yet")
    with path.open("ab") as file:
        for start in range(5000, len(whole), 9000):
            file.write(whole[start : start + 9000])
            file.flush()
            time.sleep(0.1)
    service.wait_until_imported(path, ROWS)
    assert service.stats() == truth_of(plain).data
