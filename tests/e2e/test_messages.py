"""Messages of the import command that do not mislead: interruptions, rejected rows, wrong files."""

import gzip
import io
import os
import re
import signal
import time
import zipfile
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.commands import Commands
from support.oracle import truth_of
from support.sample_file import generated
from support.service import embedded_server, embedded_servers
from support.terminal import CTRL_C, Terminal

HEADER = "timestamp,type,payment_method,amount\n"
ROWS = 5000
BOOKS = r"\((\d+) rows = (\d+) applied \+ (\d+) rejected \+ (\d+) waiting\)"
INTERRUPTED = rf": interrupted at row ([\d,]+) of about [45],[0-9]00; import the file again to go on {BOOKS}"


def test_ctrl_c_says_how_far_it_came_and_how_to_go_on(daybook: Commands, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=ROWS, bad_rows=0.01, seconds=50)
    told = daybook.interrupt(signal.SIGINT, "import", file, "--replay-speed", 5)
    assert told.code() == 130
    found = re.search(re.escape(str(file)) + INTERRUPTED, told.output)
    assert found is not None, told.output
    at, rows, *parts = (int(text.replace(",", "")) for text in found.groups())
    assert at == rows == sum(parts)
    assert "imported" not in told.output
    goes_on = daybook.interrupt(signal.SIGTERM, "import", file, "--replay-speed", 5)
    assert goes_on.code() == 143
    assert re.search(INTERRUPTED, goes_on.output)
    daybook.run("import", file)
    assert daybook.stats() == truth_of(file).data


def test_ctrl_c_beside_a_service_says_that_the_service_goes_on(
    daybook: Commands, make_service: MakeService, tmp_path: Path
) -> None:
    file = generated(tmp_path / "month.csv", rows=ROWS, seconds=50)
    service = make_service(DataDir=daybook.data_dir).start()
    told = daybook.interrupt(signal.SIGINT, "import", file, "--replay-speed", 5)
    assert told.code() == 130
    assert re.search(r": interrupted at row [\d,]+ of about [45],[0-9]00; the service goes on with it \(", told.output)
    service.wait_until_imported(file, ROWS)
    assert service.stats() == truth_of(file).data
    assert service.stop() == 0


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_second_ctrl_c_ends_at_once_and_loses_nothing(daybook: Commands, tmp_path: Path, width: int) -> None:
    """Even while the embedded server stands still, for which the first one waits two seconds."""
    file = generated(tmp_path / "month.csv", rows=ROWS, seconds=50)
    with Terminal(tmp_path, daybook.settings, "import", file, "--replay-speed", 1, width=width) as terminal:
        terminal.wait_for(r"[1-9][\d,]* rows  ")
        server = embedded_server(daybook.data_dir)
        assert server is not None
        os.kill(server, signal.SIGSTOP)
        try:
            terminal.press(CTRL_C)
            time.sleep(0.5)
            terminal.press(CTRL_C)
            assert terminal.code() == 130
        finally:
            os.kill(server, signal.SIGCONT)
    assert terminal.text.count("^C") == 2
    assert not re.search(r"imported|interrupted|ended by force|Traceback", terminal.text)
    assert all(len(line) <= width for line in terminal.lines if "rows  " in line)
    daybook.run("import", file)
    assert daybook.stats() == truth_of(file).data
    assert embedded_servers(daybook.data_dir) == []


def test_an_import_interrupted_before_its_first_row_says_so(daybook: Commands, tmp_path: Path) -> None:
    """The second file waits for its turn while the first is read."""
    daybook.settings |= {"MaxOpenFiles": 1}
    first = generated(tmp_path / "1.csv", rows=ROWS, seconds=50)
    second = generated(tmp_path / "2.csv", rows=ROWS, seconds=50, seed=2)
    told = daybook.interrupt(signal.SIGINT, "import", first, second, "--replay-speed", 5)
    assert told.code() == 130
    lines = told.output.splitlines()
    assert re.search(INTERRUPTED, lines[0])
    assert lines[1:] == [f"{second}: interrupted before its first row; import the file again to go on"]


def test_nothing_but_bad_rows_is_no_success(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "odd rows.csv"
    rows = [
        *["2026-01-05,deposit,paypal,1\N{NO-BREAK SPACE}000.00"] * 3,
        *["2026-01-05,deposit,paypal,1\t0"] * 2,
        *["2026-01-05,deposit,pay.pal,1"] * 2,
        "2026-01-05,refund,paypal,1",
    ]
    file.write_text(HEADER + "\n".join(rows) + "\n")
    told = daybook.run("import", file, code=4)
    assert told.output == f"{file}: imported: 8 rows = 0 applied + 8 rejected + 0 waiting\n"
    export = f"daybook rejects export '{file}' -o rejects.csv"
    assert told.log.splitlines() == [
        f"{file}: all 8 rows are rejected",
        "  5 of them: amount is not a plain decimal, as in line 2: '2026-01-05,deposit,paypal,1\\xa0000.00'",
        "  2 of them: payment method has a character other than letters, digits, space and _-+&, as in line 7: "
        "'2026-01-05,deposit,pay.pal,1'",
        "  1 of them: type is neither deposit nor withdrawal, as in line 9: '2026-01-05,refund,paypal,1'",
        f"  to see them all and correct them: {export}",
    ]
    assert "8 rejected" in daybook.run("import", file, code=4).output
    daybook.run("rejects", "export", file, "-o", tmp_path / "rejects.csv")
    (tmp_path / "rejects.csv").write_text(
        (tmp_path / "rejects.csv")
        .read_text()
        .replace("\N{NO-BREAK SPACE}", "")
        .replace("1\t0", "10")
        .replace("pay.pal", "paypal")
        .replace(",refund,", ",deposit,")
    )
    daybook.run("rejects", "import", tmp_path / "rejects.csv")
    corrected = daybook.run("import", file)
    assert "already imported: 8 rows = 0 applied + 8 rejected" in corrected.output
    assert corrected.log == ""


def test_a_byte_order_mark_in_a_row_is_shown(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "joined.csv"
    file.write_bytes(HEADER.encode() + b"\xef\xbb\xbf2026-01-05,deposit,paypal,1.00\n")
    told = daybook.run("import", file, code=4)
    assert "as in line 2: '\\ufeff2026-01-05,deposit,paypal,1.00'" in told.log


def test_a_few_bad_rows_are_explained_and_do_not_fail(daybook: Commands, tmp_path: Path) -> None:
    file = generated(tmp_path / "month.csv", rows=1000, bad_rows=0.1)
    told = daybook.run("import", file)
    assert told.log.startswith(f"{file}: 100 of 1000 rows are rejected\n")
    assert re.search(r"(?m)^  \d+ of them: other reasons$", told.log)
    more = generated(tmp_path / "more.csv", rows=1000, bad_rows=0.101, seed=2)
    daybook.run("import", more, code=4)


def test_a_last_line_without_its_end_names_the_option(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "torn.csv"
    file.write_text(HEADER + "2026-01-05,deposit,paypal,1.00\n2026-01-05,deposit,paypal,2.00")
    told = daybook.run("import", file, code=1)
    assert told.output.splitlines()[1:] == [
        f"{file}: the last line has no line end: it is read when it has one; "
        "`daybook import --complete` reads it as it is"
    ]
    assert told.log == ""
    assert daybook.run("import", "--complete", file).output.endswith(": 2 rows = 2 applied + 0 rejected + 0 waiting\n")


PLAIN = HEADER + "2026-01-05,deposit,paypal,1.00\n"


def zipped(content: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("month.csv", content)
    return held.getvalue()


WRONG_FILES = {
    "UTF-16 text": PLAIN.encode("utf-16"),
    "a zip archive": zipped(zipped(PLAIN.encode())),
    "a Parquet file": b"PAR1" + bytes(range(100)) + b"PAR1",
    "fields separated by semicolons": PLAIN.replace(",", ";").encode(),
    "JSON lines": b'{"timestamp":"2026-01-05","amount":1}\n',
    "an old Excel workbook (.xls)": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
}


@pytest.mark.parametrize("look", WRONG_FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_a_wrong_file_is_named_once(daybook: Commands, tmp_path: Path, look: str, packed: bool) -> None:
    file = tmp_path / ("wrong.csv.gz" if packed else "wrong.csv")
    file.write_bytes(gzip.compress(WRONG_FILES[look]) if packed else WRONG_FILES[look])
    told = daybook.run("import", file, code=1)
    assert told.output == f"{file}: looks like {look}; `daybook inspect {file}` tells how it can be imported\n"
    assert told.log == ""
