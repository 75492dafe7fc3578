"""Files of another form, as a user imports them: inspected, told by options or TOML, held, corrected, verified."""

import csv
import io
from decimal import Decimal
from pathlib import Path

import pytest

from e2e.conftest import MakeService
from support.commands import Commands

ROWS, MANY_REJECTED = 60, 4
HEADER = "Buchungstag;Umsatzart;Zahlart;Betrag"
OPTIONS = (
    *("--map", "timestamp=Buchungstag", "--map", "type=Umsatzart", "--map", "payment_method=Zahlart"),
    *("--map", "amount=Betrag", "--date-format", "%d.%m.%Y %H:%M", "--time-zone", "Europe/Berlin"),
    *("--delimiter", ";", "--decimal", ",", "--thousands", ".", "--encoding", "utf-16", "--currency-sign", "€"),
    *("--type-map", "Gutschrift=deposit", "--type-map", "Lastschrift=withdrawal", "--type-map", "Gebühr=reject"),
)


def german(path: Path, rows: int = ROWS) -> Path:
    words = ("Gutschrift", "Lastschrift", "Gebühr")
    lines = [
        f"{row % 28 + 1:02d}.01.2026 12:{row % 60:02d};{words[row % 3]};Karte;1.{row:03d},50 €" for row in range(rows)
    ]
    path.write_bytes("".join(f"{line}\r\n" for line in (HEADER, *lines)).encode("utf-16"))
    return path


def total(kind: int) -> Decimal:
    return sum((Decimal(f"1{row:03d}.50") for row in range(kind, ROWS, 3)), Decimal(0))


def sums(commands: Commands) -> tuple[Decimal, Decimal]:
    found = commands.stats()
    deposits, withdrawals = (
        sum((sum(types[kind].values(), Decimal(0)) for types in found.values()), Decimal(0))
        for kind in ("deposits", "withdrawals")
    )
    return deposits, withdrawals


def test_options_tell_the_form_and_the_source_keeps_it(daybook: Commands, tmp_path: Path) -> None:
    file = german(tmp_path / "m.csv")
    daybook.run("import", file, *OPTIONS, code=MANY_REJECTED)
    assert sums(daybook) == (total(0), total(1))
    assert "no difference" in daybook.run("verify").output
    assert "already imported" in daybook.run("import", file, code=MANY_REJECTED).output
    assert "already imported" in daybook.run("import", file, *OPTIONS, code=MANY_REJECTED).output
    log = daybook.run("import", file, "--decimal", ".", code=1)
    assert "was imported with another profile" in log.output + log.log
    rows = list(csv.reader(io.StringIO(daybook.run("rejects", "export", file).output)))
    assert rows[0][:4] == ["buchungstag", "umsatzart", "zahlart", "betrag"]
    assert {row[4] for row in rows[1:]} == {"type 'Gebühr' is rejected by the import profile"}
    corrected = tmp_path / "corrected.csv"
    with corrected.open("w", newline="") as text:
        csv.writer(text).writerows([rows[0], *([row[0], "Lastschrift", *row[2:]] for row in rows[1:])])
    daybook.run("rejects", "import", corrected)
    assert sums(daybook) == (total(0), total(1) + total(2))
    assert "no difference" in daybook.run("verify").output


def test_what_inspect_prints_can_be_saved_beside_the_file(daybook: Commands, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    file = german(folder / "m.csv")
    printed = daybook.run("inspect", file).output
    assert f"# with the profile below: {ROWS - ROWS // 3} of {ROWS} rows would pass" in printed
    (folder / "daybook.toml").write_text(printed)
    daybook.run("import", folder, code=MANY_REJECTED)
    assert sums(daybook) == (total(0), total(1))


def test_a_held_file_is_imported_once_its_form_is_told(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    lines = [f'2026-01-15,deposit,visa,"1.000,{row:02d}"' for row in range(50)]
    file.write_text("\n".join(["timestamp,type,payment_method,amount", *lines, ""]))
    held = daybook.run("import", file, code=1)
    assert "inspect" in held.output + held.log
    assert sums(daybook) == (Decimal(0), Decimal(0))
    daybook.run("import", file, "--decimal", ",", "--thousands", ".")
    assert sums(daybook) == (Decimal("50012.25"), Decimal(0))
    assert "no difference" in daybook.run("verify").output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--time-zone", "Europe/Berln"), "did you mean Europe/Berlin?"),
        (("--map", "amont=x"), "field 'amont' is not known: did you mean amount?"),
        (("--date-format", "dd.mm.yyyy"), "has no directives such as %d.%m.%Y"),
        (("--thousands", "."), "decimal and thousands are both '.'"),
    ],
)
def test_wrong_options_are_named_before_anything_is_read(
    daybook: Commands, tmp_path: Path, options: tuple[str, str], message: str
) -> None:
    log = daybook.run("import", german(tmp_path / "m.csv"), *options, code=1).log
    assert message in log
    assert len(log.splitlines()) == 1


def test_a_service_reads_a_folder_by_its_toml_and_labels_all_amounts(make_service: MakeService, tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "daybook.toml").write_text('delimiter = ";"\ndecimal = ","\n[map]\ncurrency = "Waehrung"\n')
    file = folder / "m.csv"
    header = "timestamp;type;payment_method;amount;Waehrung\n"
    file.write_text(f"{header}2026-01-15;deposit;visa;1,50;EUR\n2026-01-15;deposit;visa;2,50;USD\n")
    service = make_service(CsvFilePath=folder, Currency="eur").start()
    found = service.wait_until_imported(file, 2)
    assert (found["applied"], found["rejected"]) == (1, 1)
    assert found["profile"] == {"currency": "EUR", "decimal": ",", "delimiter": ";", "map": {"currency": "Waehrung"}}
    with file.open("a") as text:
        text.write("2026-01-15;deposit;visa;4,00;EUR\n")
    service.wait_until_imported(file, 3)
    answer = service.get("/stats", from_date="2026-01-15", to_date="2026-01-15")
    assert answer.text == '{"data":{"2026-01-15":{"deposits":{"visa":5.50},"withdrawals":{}}}}'
    rejects = service.get(f"/v1/imports/{found['source']}/rejects").json()["rejects"]
    assert [each["reason"] for each in rejects] == ["currency is USD, not EUR"]
    days = {"from_date": "2026-01-15", "to_date": "2026-01-15"}
    for path in ("/v1/imports", "/v1/aggregates", "/v1/aggregates/contributions", "/v1/restatements", "/v1/reconcile"):
        named = service.get(path, **(days if "aggregates" in path else {}))
        assert named.json()["currency"] == "EUR", path
        assert named.headers["Daybook-Currency"] == "EUR", path
    for path in ("/stats", "/livez", "/nowhere"):
        assert service.get(path).headers["Daybook-Currency"] == "EUR", path


def test_the_currency_stands_beside_the_totals(daybook: Commands, tmp_path: Path) -> None:
    file = tmp_path / "m.csv"
    file.write_text("timestamp,type,payment_method,amount\n2026-01-15,deposit,visa,1.50\n")
    daybook.settings["Currency"] = "EUR"
    daybook.run("import", file)
    assert "totals from 2026-01-01 to 2026-01-31 in EUR" in daybook.run("stats").output
    assert daybook.run("stats", "--format", "csv").output.splitlines() == [
        "date,type,payment_method,amount,transactions,currency",
        "2026-01-15,deposits,visa,1.50,1,EUR",
    ]
    daybook.settings["Currency"] = "EURO"
    log = daybook.run("stats", code=1).log
    assert "Currency='EURO': is no currency code of ISO 4217: did you mean EUR?" in log
