"""What a profile may tell, and what its rules make of values."""

from pathlib import Path

import pytest

from daybook.domain.currency import checked_currency
from daybook.domain.source import Source
from daybook.errors import SourceError
from daybook.sources.date_formats import check_date_format
from daybook.sources.profile import Profile, make_profile
from daybook.sources.profiles import PROFILE_NAME, Profiles, corrected_source, read_toml
from daybook.sources.reading_rules import ReadingRules, reading_rules
from daybook.sources.records import judge, read_header, records
from daybook.sources.row_sums import sum_rows
from daybook.sources.stretches import stretches
from daybook.sources.text_form import TextForm

ROOT = Path(__file__).parents[2]


def rules(**told: object) -> ReadingRules:
    return reading_rules(make_profile({key.replace("_", "-"): value for key, value in told.items()}, "f").rules())


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"deciml": ","}, "key 'deciml' is not known: did you mean decimal?"),
        ({"date_format": "epoch"}, "key 'date_format' is not known: did you mean date-format?"),
        ({"currency": "EUR"}, "key 'currency' is not known"),
        ({"map": {"amont": "x"}}, "field 'amont' is not known: did you mean amount?"),
        ({"map": {"amount": " "}}, "amount has no column"),
        ({"map": "amount"}, "map: expected `object`, got `str`"),
        ({"decimal": 5}, "decimal: expected `str`, got `int`"),
        ({"decimal": ";"}, "decimal ';' is neither . nor ,"),
        ({"thousands": "."}, "decimal and thousands are both '.': tell both"),
        ({"thousands": "x"}, "thousands 'x' is none of"),
        ({"delimiter": ";;"}, "delimiter ';;' is not one character"),
        ({"delimiter": '"'}, "is not one character"),
        ({"encoding": "uft-16"}, "encoding 'uft-16' is not known: did you mean utf-16?"),
        ({"encoding": "cp037"}, "encoding 'cp037' cannot be read"),
        ({"encoding": "iso2022_jp"}, "encoding 'iso2022_jp' cannot be read"),
        ({"time-zone": "Europe/Berln"}, "time-zone 'Europe/Berln' is not known: did you mean Europe/Berlin?"),
        ({"time-zone": "berlin"}, "did you mean Europe/Berlin?"),
        ({"time-zone": "../etc/passwd"}, "time-zone '../etc/passwd' is not known"),
        ({"time-zone": "UTC", "date-format": "epoch"}, "exclude each other"),
        ({"date-format": "dd.mm.yyyy"}, "has no directives such as %d.%m.%Y"),
        ({"date-format": "%d.%m"}, "does not name a day"),
        ({"date-format": "%d.%m.%Y %I:%M"}, "%I needs %p"),
        ({"date-format": "%d.%m.%Y %m"}, "names the same part twice"),
        ({"date-format": "%x"}, "%x is not supported: use %d"),
        ({"date-format": "%d.%m.%Y %"}, "is not supported"),
        ({"type-map": {"fee": "depositt"}}, "type 'depositt' is not known: did you mean deposit?"),
        ({"type-map": {"Fee": "reject", "FEE": "deposit"}}, "FEE is mapped twice"),
        ({"currency-sign": "1"}, "currency-sign '1' is no sign"),
    ],
)
def test_what_is_told_wrongly_is_named(told: dict[str, object], message: str) -> None:
    with pytest.raises(SourceError) as caught:
        make_profile(told, "f.toml")
    assert str(caught.value).startswith("f.toml: ")
    assert message in str(caught.value)


def test_a_profile_is_kept_as_it_was_told() -> None:
    told = make_profile({"decimal": ",", "type-map": {" FEE ": "Reject"}, "delimiter": "\\t"}, "f")
    assert told.to_json() == '{"decimal":",","delimiter":"\\t","type-map":{"fee":"reject"}}'
    assert Profile.from_json(told.to_json()) == told
    assert (Profile().to_json(), Profile.from_json("")) == ("", Profile())


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("1.234,56", 123456),
        ("1234,56", 123456),
        ("1.234", 123400),
        ("+,5", 50),
        ("5 €", 500),
        ("€5", 500),
        ("5\xa0€", 500),
    ],
)
def test_amounts_of_a_profile(text: str, units: int) -> None:
    assert rules(decimal=",", thousands=".", currency_sign="€").units(text) == units * 10**6


@pytest.mark.parametrize(
    "text", ["12.34,5", "1.2345", "1234.5", "1.234.5", "-1,0", "€", "", "5,", "$5", "€5€", "1,5e3", "١"]
)
def test_bad_amounts_of_a_profile(text: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        rules(decimal=",", thousands=".", currency_sign="€").units(text)


def test_spaces_between_thousands() -> None:
    read = rules(thousands=" ", decimal=",").units
    assert [read(text) for text in ("1 234,5", "1\xa0234,5", "1\u202f234,5")] == [1234_50000000] * 3
    with pytest.raises(ValueError, match="groups of three digits"):
        read("12 34,5")


def test_types_are_mapped_by_name_or_rejected() -> None:
    read = rules(type_map={"Refund": "withdrawal", "fee": "reject", "deposits": "withdrawal"}).type
    assert [read(text) for text in ("refund", "REFUND", "withdrawals", "deposits")] == ["withdrawal"] * 4
    assert read("Deposit") == "deposit"
    with pytest.raises(ValueError, match="type 'Fee' is rejected by the import profile"):
        read("Fee")
    with pytest.raises(ValueError, match="neither deposit nor withdrawal"):
        read("chargeback")


@pytest.mark.parametrize(
    ("date_format", "zone", "text", "day"),
    [
        ("%d.%m.%Y", "", "01.02.2026", "2026-02-01"),
        ("%m/%d/%Y", "", "1/2/2026", "2026-01-02"),
        ("%d.%m.%Y %H:%M", "Europe/Berlin", "15.01.2026 00:30", "2026-01-14"),
        ("%d.%m.%Y", "Europe/Berlin", "15.01.2026", "2026-01-15"),
        ("", "Asia/Tokyo", "2026-01-15", "2026-01-15"),
        ("", "Asia/Tokyo", "2026-01-15T08:59:59", "2026-01-14"),
        ("", "Asia/Tokyo", "2026-01-15T08:59:59Z", "2026-01-15"),
        ("%d.%m.%Y %H:%M %z", "Asia/Tokyo", "15.01.2026 23:30 -0100", "2026-01-16"),
        ("epoch", "", "1767225599", "2025-12-31"),
        ("epoch", "", "1767225600.25", "2026-01-01"),
        ("epoch-ms", "", "1767225599999", "2025-12-31"),
        ("%d%m%Y", "", "01022026", "2026-02-01"),
    ],
)
def test_timestamps_of_a_profile(date_format: str, zone: str, text: str, day: str) -> None:
    assert rules(date_format=date_format, time_zone=zone).moment(text).date().isoformat() == day


@pytest.mark.parametrize(
    ("date_format", "text"),
    [
        ("%d.%m.%Y", "2026-02-01"),
        ("%d.%m.%Y", "31.02.2026"),
        ("%d.%m.%Y", "01.02.26"),
        ("%d%m%Y", "1112026"),
        ("%d.%m.%Y", "٠١.02.2026"),
        ("epoch", "2026-01-01"),
        ("epoch", "99999999999999"),
        ("epoch-ms", "1e3"),
    ],
)
def test_timestamps_of_another_form_are_rejected(date_format: str, text: str) -> None:
    with pytest.raises(ValueError, match="timestamp"):
        rules(date_format=date_format).moment(text)


def test_a_header_without_a_mapped_column_names_it() -> None:
    profile = make_profile({"map": {"amount": "Betrag", "currency": "Wahrung"}, "delimiter": ";"}, "f")
    with pytest.raises(SourceError, match="need exactly one column betrag, wahrung"):
        read_header(b"timestamp;type;payment_method;amount\n", "f.csv", final=True, profile=profile)


def test_utf_16_without_its_mark_asks_for_the_byte_order() -> None:
    profile = make_profile({"encoding": "utf-16"}, "f")
    with pytest.raises(SourceError, match=r"f\.csv: has no byte order mark .* utf-16-le or utf-16-be"):
        read_header("timestamp".encode("utf-16-le"), "f.csv", final=True, profile=profile)


ROW = b"2026-01-01T00:00:00,deposit,visa,1.00,%s\n"


def test_rows_of_another_currency_are_rejected() -> None:
    head = b"timestamp,type,payment_method,amount,Currency\n"
    header = read_header(head, "f.csv", final=True, profile=Profile(currency="EUR"))
    assert header is not None
    assert header.profile == '{"currency":"EUR"}'
    assert header.layout.is_plain
    block = b"".join(ROW % code for code in (b"EUR", b"USD", b"eur ", b"", b"EURO", b"XEUR", b"EU"))
    found = sum_rows(block, header.layout, "s")
    assert (found.rows, int(found.cells.transactions.sum())) == (7, 2)
    assert [(reject.line, reject.reason) for reject in found.rejects] == [
        (2, "currency is USD, not EUR"),
        (4, "currency is empty, not EUR"),
        (5, "currency is EURO, not EUR"),
        (6, "currency is XEUR, not EUR"),
        (7, "currency is EU, not EUR"),
    ]
    judged = [judge(record, header.layout) for record in records(block, final=True)]
    assert [isinstance(each, str) for each in judged] == [False, True, False, True, True, True, True]


def test_a_file_without_a_currency_column_needs_no_profile() -> None:
    header = read_header(b"timestamp,type,payment_method,amount\n", "f", final=True, profile=Profile(currency="EUR"))
    assert header is not None
    assert (header.profile, header.layout.currency) == ("", None)


def test_codes_of_currencies() -> None:
    assert checked_currency(" eur") == "EUR"
    with pytest.raises(ValueError, match="is no currency code of ISO 4217: did you mean EUR"):
        checked_currency("EURO")
    for code in ("XXX", "DEM", "", "EURUSD"):
        with pytest.raises(ValueError, match="ISO 4217"):
            checked_currency(code)


def source(profile: str = "") -> Source:
    return Source(id="s", path="/m.csv", head=b"", profile=profile)


def test_what_is_told_comes_from_the_folder_or_the_setting_and_the_options_go_first(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('decimal = ","\ndelimiter = ";"\n[map]\namount = "Betrag"\ntype = "Art"\n')
    profiles = Profiles({"map": {"amount": "Summe"}, "delimiter": "|"}, tmp_path / "default.toml", "EUR")
    found = profiles.of(tmp_path / "m.csv", None)
    assert found == Profile(map={"amount": "Summe", "type": "Art"}, decimal=",", delimiter="|", currency="EUR")
    (tmp_path / PROFILE_NAME).write_text('thousands = "\'"\n')
    assert profiles.of(tmp_path / "m.csv", None).thousands == "'"
    assert profiles.of(tmp_path / "m.csv", None).decimal == "."
    (tmp_path / PROFILE_NAME).write_text("thousands = ''' '''  # changed\n")
    assert profiles.of(tmp_path / "m.csv", None).thousands == " "


def test_a_source_keeps_its_profile(tmp_path: Path) -> None:
    kept = source('{"decimal":","}')
    assert Profiles().of(tmp_path / "m.csv", kept) == Profile(decimal=",")
    assert Profiles({"decimal": ","}).of(tmp_path / "m.csv", kept) == Profile(decimal=",")
    with pytest.raises(
        SourceError, match=r"m\.csv: source s was imported with another profile.*thousands ' ' instead of ''"
    ):
        Profiles({"decimal": ",", "thousands": " "}).of(tmp_path / "m.csv", kept)
    with pytest.raises(SourceError, match=r"decimal ',' instead of '\.'"):
        Profiles({"decimal": ","}).of(tmp_path / "m.csv", source())
    assert Profiles(currency="EUR").of(tmp_path / "m.csv", source()) == Profile()
    with pytest.raises(SourceError, match="imported with Currency=USD, and now Currency is EUR"):
        Profiles(currency="EUR").of(tmp_path / "m.csv", source('{"currency":"USD"}'))


@pytest.mark.parametrize(
    ("text", "message"), [("decimal = ,", "is no TOML"), ("decimal = ';'", "is neither"), ("\xff", "TOML")]
)
def test_a_wrong_toml_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / PROFILE_NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(SourceError, match=message) as caught:
        Profiles().of(tmp_path / "m.csv", None)
    assert str(caught.value).startswith(str(tmp_path / PROFILE_NAME))


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("timestamp,type\n", None),
        ("", None),
        ("a,rejected_source,rejected_line\n", ""),
        ("a,Rejected_Source,rejected_line\n\nx,short\n1,s-1,2\n1,s-2,3\n", "s-1"),
        ('\ufeffa,rejected_source,rejected_line\n"x\ny",s-1,2', "s-1"),
    ],
)
def test_a_file_of_corrections_names_a_source(tmp_path: Path, content: str, found: str | None) -> None:
    (tmp_path / "c.csv").write_text(content)
    assert corrected_source(tmp_path / "c.csv") == found


def test_the_example_is_a_profile_and_stands_in_the_readme() -> None:
    example = ROOT / "docs" / "examples" / PROFILE_NAME
    assert f"```toml\n{example.read_text()}```" in (ROOT / "README.md").read_text()
    assert make_profile(read_toml(example), "example").type_map["fee"] == "reject"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-8"])
def test_a_look_all_over_a_file_sees_whole_lines_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    lines = [f"{row};Ċ਀{'x' * (row % 50)}\n" for row in range(40_000)]  # letters with a byte like that of a line feed
    path = tmp_path / "m.csv"
    path.write_bytes("".join(lines).encode(encoding))
    form = TextForm(encoding, ";")
    seen = [line.decode(encoding) for part in stretches(path, path.stat().st_size, form) for line in form.lines(part)]
    assert 200_000 < len("".join(seen).encode(encoding)) < path.stat().st_size
    assert set(seen) <= set(lines)


def test_rows_of_any_form_have_the_same_sketch() -> None:
    plain = b"timestamp,type,payment_method,amount\n"
    told = make_profile({"date-format": "%d.%m.%Y %H:%M:%S", "time-zone": "Europe/Berlin", "decimal": ","}, "f")
    headers = [read_header(plain, "f", final=True, profile=each) for each in (Profile(), told)]
    rows = (b"2026-01-15T23:30:05,deposit,visa,1.50\n", b'16.01.2026 00:30:05,Deposit,visa,"1,5"\n')
    sketches = [
        sum_rows(row, header.layout, "s").sketch.tolist() for row, header in zip(rows, headers, strict=True) if header
    ]
    assert sketches[0] == sketches[1] != []


@pytest.mark.parametrize("text", ["%m/%d/%Y %H:%M %p", "%Y-%m-%d %j"])
def test_a_format_that_may_contradict_itself_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="date-format"):
        check_date_format(text)
