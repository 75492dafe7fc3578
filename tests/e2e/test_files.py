"""Files as they come: growing, cut, replaced, moved, packed, missing, wrong; and every kind of bad row."""

import gzip
import os
import time
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.oracle import merged, truth_of
from support.sample_file import generated
from support.service import Service, archived_rejects

HEADER = b"timestamp,type,payment_method,amount,sleep_ms\n"
LOOK_SECONDS = 1.2
"""After it the service has looked again at what it found wrong."""
EXPECTED_HEADER = "timestamp,type,payment_method,amount[,sleep_ms]"


def row(amount: str, day: int = 5) -> bytes:
    return f"2026-01-{day:02d}T10:30:00,deposit,paypal,{amount},0\n".encode()


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def paypal(service: Service, day: int = 5) -> Decimal:
    return service.stats()[f"2026-01-{day:02d}"]["deposits"]["paypal"]


def problem_of(service: Service, path: Path) -> str:
    found = service.import_of(path)
    return str(found["problem"]) if found else ""


def error_lines(service: Service) -> list[str]:
    return sorted(line.partition("] ")[2] for line in service.log.splitlines() if "[error" in line)


def test_a_file_is_followed_as_it_grows(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "month.csv"
    path.write_bytes(HEADER + row("1.00") + b"2026-01-05T10:30:00,depo")
    service = make_service(CsvFilePath=path).start()
    service.wait_until_imported(path, 1)
    service.wait(lambda: "no line end" in problem_of(service, path), "the torn line is told")
    assert paypal(service) == Decimal("1.00")

    append(path, b"sit,paypal,0.10,0\n" + row("0.01") + row("0.00000001"))
    service.wait_until_imported(path, 4)
    assert paypal(service) == Decimal("1.11000001")

    append(path, b"2026-01-05T10:30:00,deposit,paypal,7.")
    service.wait(lambda: "no line end" in problem_of(service, path), "the torn line is told")
    service.stop()
    service.start()
    append(path, b"77,0\r\n")
    found = service.wait_until_imported(path, 5)
    assert paypal(service) == Decimal("8.88000001")
    assert (found["problem"], found["state"], found["size"]) == ("", "done", path.stat().st_size)
    assert len(service.imports()) == 1


def test_a_cut_file_is_told_and_its_rows_go_on_counting(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "month.csv"
    whole = HEADER + row("1.00") + row("2.00") + row("3.00")
    path.write_bytes(whole)
    service = make_service(CsvFilePath=path).start()
    service.wait_until_imported(path, 3)
    os.truncate(path, len(HEADER + row("1.00")))
    line = service.wait_for_log("truncated")
    assert str(path) in line
    service.wait(lambda: "truncated" in problem_of(service, path), "the cut is told")
    assert paypal(service) == Decimal("6.00")

    path.write_bytes(whole + row("4.00"))
    found = service.wait_until_imported(path, 4)
    assert found["problem"] == ""
    assert paypal(service) == Decimal("10.00")
    told = [line for line in service.log.splitlines() if "truncated" in line and "imported as far" not in line]
    assert len(told) == 1


def replace(path: Path) -> None:
    """By another file of the same beginning, as editors and exports do it."""
    other = path.with_suffix(".new")
    other.write_bytes(HEADER + row("1.00") + row("5.00") + row("6.00"))
    other.replace(path)


@pytest.mark.parametrize("running", [True, False])
def test_another_file_of_the_same_name_is_a_new_source(
    make_service: MakeService, tmp_path: Path, running: bool
) -> None:
    path = tmp_path / "month.csv"
    path.write_bytes(HEADER + row("1.00") + row("2.00"))
    service = make_service(CsvFilePath=path).start()
    service.wait_until_imported(path, 2)
    if running:
        replace(path)
    else:
        service.stop()
        replace(path)
        service.start()
    line = service.wait_for_log("it is a new source", seconds=5)
    assert str(path) in line
    for _ in range(2):
        service.wait_until_imported(path, 3)
        assert [each["rows"] for each in service.imports()] == [2, 3]
        assert paypal(service) == Decimal("15.00")
        service.stop()
        service.start()


def test_a_moved_file_is_the_same_source(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    path, moved = folder / "a.csv", folder / "b.csv"
    path.write_bytes(HEADER + row("1.00"))
    service = make_service(CsvFilePath=folder).start()
    service.wait_until_imported(path, 1)
    path.rename(moved)
    append(moved, row("2.00"))
    service.wait_until_imported(moved, 2)
    assert len(service.imports()) == 1
    assert paypal(service) == Decimal("3.00")


def test_a_folder_a_glob_and_packed_files(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    plain = generated(folder / "plain.csv", rows=500, bad_rows=0.1, seed=1)
    unpacked = generated(tmp_path / "unpacked.csv", rows=500, bad_rows=0.1, seed=2)
    packed = folder / "packed.csv.gz"
    packed.write_bytes(gzip.compress(unpacked.read_bytes()))
    (folder / "notes.txt").write_bytes(HEADER + row("99.00"))
    service = make_service(CsvFilePath=folder).start()
    truths = [truth_of(plain), truth_of(unpacked)]
    for path, truth in zip((plain, packed), truths, strict=True):
        found = service.wait_until_imported(path, 500)
        assert (found["applied"], found["rejected"]) == (truth.applied, len(truth.rejects))
    later = generated(folder / "later.csv", rows=500, seed=3)
    service.wait_until_imported(later, 500)
    truths.append(truth_of(later))
    assert service.stats() == merged(truths)
    assert len(service.imports()) == 3
    service.stop()

    service.start(CsvFilePath=folder / "*.txt")
    service.wait_until_imported(folder / "notes.txt", 1)
    assert len(service.imports()) == 4


def test_every_form_of_a_good_file(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    forms = {
        "order.csv": b"extra,amount,sleep_ms,type,timestamp,payment_method,more\n"
        b'"a, b",1.00,0,deposit,2026-01-01,paypal,x\n',
        "mark.csv": b"\xef\xbb\xbf" + HEADER + b"2026-01-02T10:30:00,deposit,paypal,1.00,0\n",
        "returns.csv": HEADER.replace(b"\n", b"\r\n") + b"2026-01-03T10:30:00,deposit,paypal,1.00,0\r\n",
        "no_sleep.csv": b"timestamp,type,payment_method,amount\n2026-01-04T10:30:00,deposit,paypal,1.00\n",
        "quotes.csv": b'note,"timestamp",type,payment_method,amount\n'
        b'"two\nlines, ""quoted""","2026-01-05T10:30:00",deposit,"paypal","1.00"\n',
        "offset.csv": HEADER + b"2026-01-07T01:30:00+02:00,deposit,paypal,1.00,0\n",
        "empty.csv": b"",
    }
    for name, content in forms.items():
        (folder / name).write_bytes(content)
    service = make_service(CsvFilePath=folder).start()
    for name in list(forms)[:6]:
        service.wait_until_imported(folder / name, 1)
    day_of = {name: f"2026-01-{number:02d}" for number, name in enumerate(list(forms)[:6], 1)}
    assert service.stats() == {
        day: {"deposits": {"paypal": Decimal("1.00")}, "withdrawals": {}} for day in day_of.values()
    }
    assert error_lines(service) == []
    append(folder / "empty.csv", HEADER + row("2.00", day=9))
    service.wait_until_imported(folder / "empty.csv", 1)
    assert paypal(service, day=9) == Decimal("2.00")


def test_a_file_that_has_only_its_header_so_far_is_no_error(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    whole, begun = folder / "whole.csv", folder / "begun.csv"
    whole.write_bytes(HEADER + row("1.00"))
    service = make_service(CsvFilePath=folder).start()
    service.wait_until_imported(whole, 1)
    begun.write_bytes(HEADER)
    time.sleep(LOOK_SECONDS)
    append(begun, row("2.00"))
    service.wait_until_imported(begun, 1)
    assert paypal(service) == Decimal("3.00")
    assert error_lines(service) == []


@pytest.mark.parametrize("spec", ["missing.csv", "folder", "/proc/self/mem"])
def test_nothing_to_read_is_one_line(make_service: MakeService, tmp_path: Path, spec: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    service = make_service(CsvFilePath=tmp_path / spec).start()
    service.wait_for_log("[error")
    reasons = {
        "missing.csv": "no such file",
        "folder": "the folder holds no .csv, .csv.gz or .zip file",
        "/proc/self/mem": "Input/output error",
    }
    problem = f"{tmp_path / spec}: {reasons[spec]}"
    name = spec if spec == "/proc/self/mem" else "CsvFilePath"
    assert service.get("/v1/imports").json() == {"imports": [], "problems": {name: problem}}
    assert service.get("/readyz").status_code == 200
    assert service.stats() == {}
    if spec == "missing.csv":
        path = tmp_path / spec
        path.write_bytes(HEADER + row("1.00"))
        service.wait_until_imported(path, 1)
        assert service.get("/v1/imports").json()["problems"] == {}
    else:
        time.sleep(LOOK_SECONDS)
    assert error_lines(service) == [problem]


def test_wrong_files_are_told_beside_good_ones(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    wrong = folder / "wrong.csv"
    wrong.write_bytes(b"date,kind,method,sum\n2026-01-05,deposit,paypal,1.00\n")
    damaged = folder / "damaged.csv.gz"
    damaged.write_bytes(gzip.compress(HEADER + row("1.00") * 1000)[:-8] + b"\xff" * 8)
    good = folder / "good.csv"
    good.write_bytes(HEADER + row("1.00"))
    service = make_service(CsvFilePath=folder).start()
    service.wait_until_imported(good, 1)
    service.wait(lambda: len(service.get("/v1/imports").json()["problems"]) == 2, "both are told")
    problems = service.get("/v1/imports").json()["problems"]
    assert problems[str(wrong)].startswith(f"{wrong}: wrong header 'date,kind,method,sum': ")
    assert EXPECTED_HEADER in problems[str(wrong)]
    assert problems[str(damaged)].startswith(f"{damaged}: ")
    assert paypal(service) == Decimal("1.00")
    wrong.write_bytes(HEADER + row("2.00"))
    service.wait_until_imported(wrong, 1)
    assert paypal(service) == Decimal("3.00")
    assert error_lines(service) == sorted(problems.values())


METHOD_64 = "m" * 64
GOOD_ROWS = [
    (b"2026-01-05T10:30:00,deposit,paypal,0.00000001,0", "paypal", "0.00000001"),
    (b"2026-01-05T10:30:00,deposit,paypal,999999999999.99999999,0", "paypal", "999999999999.99999999"),
    (f"2026-01-05 10:30,deposit,{METHOD_64},1,0".encode(), METHOD_64, "1"),
    (b" 2026-01-05 , DEPOSITS ,  spaced out , +.5 , 0 ", "spaced out", "0.5"),
    ("2026-01-05T23:59:59.999Z,deposit,café Ω_-+&9,2.5,".encode(), "café Ω_-+&9", "2.5"),
]
BAD_ROWS = [
    (b"2026-01-05T10:30:00,transfer,paypal,1.00,0", "type"),
    (b"2026-01-05T10:30:00,deposit of Monday,paypal,1.00,0", "type"),
    *((b"2026-01-05T10:30:00,deposit,paypal,%s,0" % amount, "amount") for amount in (
        b"-1", b"++1", b"1e5", b"NaN", b"Infinity", b"0", b"0.00", b"", b"1 0", b"1.", b".", b"1_000", b"1'000",
        b"0.123456789", b"1000000000000", "\N{FULLWIDTH DIGIT ONE}".encode(),
    )),
    (b"2026-02-30T10:30:00,deposit,paypal,1.00,0", "timestamp"),
    (b"2026-01-05T24:30:00,deposit,paypal,1.00,0", "timestamp"),
    (b"yesterday,deposit,paypal,1.00,0", "timestamp"),
    (b"2026-01-05T10:30:00,deposit,pay.pal,1.00,0", "payment method"),
    (b"2026-01-05T10:30:00,deposit,pay$pal,1.00,0", "payment method"),
    (b"2026-01-05T10:30:00,deposit,%s,1.00,0" % (b"m" * 65), "payment method"),
    (b"2026-01-05T10:30:00,deposit,,1.00,0", "payment method"),
    (b'2026-01-05T10:30:00,deposit,"pay\npal",1.00,0', "payment method"),
    (b"2026-01-05T10:30:00,deposit,paypal,1.00", "too few fields"),
    (b"2026-01-05T10:30:00", "too few fields"),
    (b"2026-01-05T10:30:00,deposit,paypal,1.00,0,0", "too many fields"),
    (b"2026-01-05T10:30:00,deposit,caf\xe9,1.00,0", "UTF-8"),
    (b'2026-01-05T10:30:00,deposit,pay"pal"",1.00,0', "payment method"),
    (b'2026-01-05T10:30:00,deposit,"pay"pal,1.00,0', "quotes"),
]  # fmt: skip


def test_every_kind_of_bad_row(make_service: MakeService, tmp_path: Path) -> None:
    path = tmp_path / "month.csv"
    rejects: list[tuple[int, str, str]] = []
    content, line = HEADER, 2
    good = [raw for raw, _, _ in GOOD_ROWS]
    for raw, word in BAD_ROWS:
        content += good[len(rejects) % len(good)] + b"\n" + raw + b"\n\n"
        rejects.append((line + 1, raw.decode("utf-8", "backslashreplace"), word))
        line += 3 + raw.count(b"\n")
    path.write_bytes(content)
    service = make_service(CsvFilePath=path).start()
    found = service.wait_until_imported(path, 2 * len(BAD_ROWS))
    assert (found["applied"], found["rejected"]) == (len(BAD_ROWS), len(BAD_ROWS))
    expected: dict[str, Decimal] = {}
    for number in range(len(BAD_ROWS)):
        _, method, amount = GOOD_ROWS[number % len(good)]
        expected[method] = expected.get(method, Decimal(0)) + Decimal(amount)
    assert service.stats() == {"2026-01-05": {"deposits": expected, "withdrawals": {}}}
    assert service.stop() == 0

    archived = archived_rejects(service.data_dir)
    assert [reject[:3] for reject in archived] == [(found["source"], line, raw) for line, raw, _ in rejects]
    for reject, (_, _, word) in zip(archived, rejects, strict=True):
        assert word in reject.reason, reject
