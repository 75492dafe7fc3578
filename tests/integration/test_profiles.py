"""The profile of a source stays with it: after a crash, for refused rows, corrections and recounts."""

import csv
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec import structs

from daybook.books.rejects import Rejects
from daybook.domain.source import Source
from daybook.embedded.valkey_server import EmbeddedValkey
from daybook.errors import SourceError
from daybook.importing.context import Step
from daybook.runtime.stop import StopToken
from daybook.sources.profile import make_profile
from daybook.sources.profiles import Profiles
from daybook.sources.recount import recount
from daybook.stores.source_fields import pack_source, unpack_source
from support.pipeline import Parts, lane

TOLD: dict[str, object] = {
    "map": {"timestamp": "Buchung", "type": "Art", "payment_method": "Weg", "amount": "Betrag"},
    "date-format": "%d.%m.%Y %H:%M",
    "time-zone": "Europe/Berlin",
    "delimiter": ";",
    "decimal": ",",
    "thousands": ".",
    "encoding": "utf-16",
    "type-map": {"Gutschrift": "deposit", "Lastschrift": "withdrawal", "Gebühr": "reject"},
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    async with EmbeddedValkey(tmp_path / "data") as valkey:
        yield valkey


def write(path: Path, lines: list[str], line_end: str = "\r\n") -> Path:
    with path.open("w", encoding="utf-16", newline="") as file:
        file.write(line_end.join(["Buchung;Art;Weg;Betrag", *lines, ""]))
    return path


def some_rows(number: int) -> list[str]:
    return [f"{row % 28 + 1:02d}.01.2026 12:00;Gutschrift;Weg {row % 3};1.{row:03d},50" for row in range(number)]


async def add(parts: Parts, path: Path, profiles: Profiles | None = None) -> Source:
    importer = parts.importer(path, buckets=4, profiles=profiles)
    while await importer.import_next(StopToken()) is not Step.AT_END:
        pass
    await parts.drain()
    source = await parts.sources.get(importer.source_id or "")
    assert source is not None
    return source


async def test_an_import_goes_on_after_a_crash_with_the_profile_of_its_source(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    path = write(tmp_path / "m.csv", some_rows(200))
    async with lane(server.socket, tmp_path / "a.sqlite") as parts:
        first = parts.importer(path, buckets=4, profiles=Profiles(TOLD))
        for _ in range(3):
            assert await first.import_next(StopToken()) is Step.MOVED
    async with lane(server.socket, tmp_path / "a.sqlite") as parts:
        source = await add(parts, path)
        assert (source.read.rows, source.applied_rows, source.profile) == (200, 200, make_profile(TOLD, "f").to_json())
        wanted = sum(Decimal(f"1{row:03d}.50") for row in range(200))
        assert sum((await parts.totals()).values()) == wanted
        found = recount(path, source.applied.offset, set(), lambda _: None, profile=source.profile)
        assert (found.offset, found.digest, found.applied) == (path.stat().st_size, source.applied.digest, 200)
        assert unpack_source(pack_source(source)) == source
        plain = structs.replace(source, profile="")
        assert unpack_source(pack_source(plain)) == plain


async def test_a_file_grows_under_its_profile_and_under_no_other(server: EmbeddedValkey, tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", some_rows(2))
    async with lane(server.socket, tmp_path / "a.sqlite") as parts:
        await add(parts, path, Profiles(TOLD))
        with path.open("ab") as file:
            file.write("01.02.2026 00:30;Gutschrift;Weg 1;5\r\n".encode("utf-16-le"))
        with pytest.raises(SourceError, match=r"keeps its profile: now decimal '\.' instead of ','"):
            await add(parts, path, Profiles(TOLD | {"decimal": ".", "thousands": ""}))
        assert (await add(parts, path)).applied_rows == 3
        assert (await parts.totals())["2026-01-31", "deposits", "Weg 1"] == 5


async def test_rejects_have_the_text_of_the_file_and_corrections_the_rules_of_its_profile(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    rows = [
        "15.01.2026 12:00;Gebühr;Weg;1,00",
        "31.02.2026 12:00;Gutschrift;Weg;1.000,25",
        '15.01.2026 12:00;X;"a;b";2,00',
    ]
    path = write(tmp_path / "m.csv", rows)
    async with lane(server.socket, tmp_path / "a.sqlite") as parts:
        source = await add(parts, path, Profiles(TOLD))
        await parts.dumper.dump_once()
        rejects = Rejects(parts.stores)
        page = [each.reject for each in await rejects.page(source.id, 0, 10)]
        assert [(each.line, each.raw) for each in page] == list(enumerate(rows, 2))
        assert page[0].reason == "type 'Gebühr' is rejected by the import profile"
        exported = list(csv.DictReader(io.StringIO("".join([line async for line in rejects.csv(source)]))))
        assert [row["betrag"] for row in exported] == ["1,00", "1.000,25", "2,00"]
        assert exported[2]["weg"] == "a;b"
        exported[0]["art"], exported[1]["buchung"] = "Lastschrift", "28.02.2026 12:00"
        corrected = tmp_path / "corrected.csv"
        with corrected.open("w", newline="") as file:
            writer = csv.DictWriter(file, exported[0].keys())
            writer.writeheader()
            writer.writerows(exported[:2])
        found = await add(parts, corrected)
        assert (found.read.rows, found.applied_rows) == (2, 2)
        assert await parts.totals() == {
            ("2026-01-15", "withdrawals", "Weg"): Decimal(1),
            ("2026-02-28", "deposits", "Weg"): Decimal("1000.25"),
        }
        again = recount(corrected, found.applied.offset, set(), lambda _: None, profile=found.profile)
        assert (again.applied, again.digest) == (2, found.applied.digest)


async def test_rows_of_sources_with_other_profiles_are_not_corrected_together(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    first = write(tmp_path / "m.csv", ["15.01.2026 12:00;Gebühr;Weg;1.500,00"])
    second = tmp_path / "n.csv"
    second.write_text("Buchung,Art,Weg,Betrag\n2026-01-15,fee,Weg,1.500\n")
    async with lane(server.socket, tmp_path / "a.sqlite") as parts:
        one = await add(parts, first, Profiles(TOLD))
        other = await add(parts, second, Profiles({"map": TOLD["map"]}))
        await parts.dumper.dump_once()
        corrected = tmp_path / "corrected.csv"
        corrected.write_text(
            "Buchung,Art,Weg,Betrag,rejected_source,rejected_line\n"
            f'15.01.2026 12:00,Gutschrift,Weg,"1.500,00",{one.id},2\n'
            f"15.01.2026 12:00,Gutschrift,Weg,1.500,{other.id},2\n"
        )
        found = await add(parts, corrected)
        assert (found.applied_rows, found.rejected_rows) == (1, 1)
        await parts.dumper.dump_once()
        (reject,) = [each.reject for each in await Rejects(parts.stores).page(found.id, 0, 10)]
        assert reject.reason == f"source {other.id} is read by another profile: correct its rows in another file"


async def test_refused_rows_are_found_in_the_file_as_its_profile_tells(server: EmbeddedValkey, tmp_path: Path) -> None:
    rows = [f"15.01.2026 12:00;Gutschrift;Weg {row};1,00" for row in range(5)]
    path = write(tmp_path / "m.csv", rows)
    async with lane(server.socket, tmp_path / "a.sqlite", max_methods=3) as parts:
        source = await add(parts, path, Profiles(TOLD))
        assert (source.applied_rows, source.refused.rows) == (3, 2)
        await parts.dumper.dump_once()
        page = [each.reject for each in await Rejects(parts.stores).page(source.id, 0, 10)]
        assert [(each.line, each.raw) for each in page] == [(5, rows[3]), (6, rows[4])]


async def test_rows_of_another_currency_stay_rejected_whatever_is_set_later(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        "timestamp,type,payment_method,amount,currency\n"
        "2026-01-15,deposit,visa,1.00,EUR\n2026-01-15T10:30:00,deposit,visa,2.00,EUR\n2026-01-15,deposit,visa,4.00,USD\n"
    )
    async with lane(server.socket, tmp_path / "a.sqlite") as parts:
        source = await add(parts, path, Profiles(currency="EUR"))
        assert (source.applied_rows, source.rejected_rows, source.profile) == (2, 1, '{"currency":"EUR"}')
        with path.open("a") as file:
            file.write("2026-01-15,deposit,visa,8.00,USD\n")
        with pytest.raises(SourceError, match="imported with Currency=EUR, and now Currency is USD"):
            await add(parts, path, Profiles(currency="USD"))
        source = await add(parts, path)
        assert (source.applied_rows, source.rejected_rows) == (2, 2)
        found = recount(path, source.applied.offset, set(), lambda _: None, profile=source.profile)
        assert found.invalid_lines == {4, 5}
