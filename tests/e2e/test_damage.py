"""Stores that somebody else touches while Daybook runs: it stands still where it must, says so, and goes on."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

from daybook.domain.position import Position
from e2e.conftest import MakeService
from support.commands import Commands
from support.outside import OutsideMongo
from support.service import Service, archived_cells, embedded_server, embedded_socket, end_left_over

HEADER = "timestamp,type,payment_method,amount\n"
KEY, COUNTS = "agg:2026-01-15:deposits", "count:2026-01-15:deposits"
DATABASE = "TransactionsDb"
INTERVAL = 0.2
"""Seconds between dumps."""


def rows(day: str, *amounts: str) -> str:
    return "".join(f"2026-01-{day}T10:00:00,deposit,paypal,{amount}\n" for amount in amounts)


@pytest.fixture
def service(make_service: MakeService, tmp_path: Path) -> Service:
    """Follows a file with two days, and has counted it."""
    (tmp_path / "rows.csv").write_text(HEADER + rows("15", "1.00", "2.00") + rows("16", "5.00"))
    made = make_service(
        CsvFilePath=tmp_path / "rows.csv", DumperTaskScheduleInterval=INTERVAL, CutOffDays=3_000_000
    ).start()
    made.wait_until_imported(tmp_path / "rows.csv", 3)
    made.wait(lambda: ("2026-01-16", "deposits", "paypal") in archived_cells(made.data_dir), "it is archived")
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rows.csv"


def append(file: Path, text: str) -> None:
    with file.open("a") as output:
        output.write(text)


def client(service: Service) -> "redis.Redis":
    return redis.Redis(unix_socket_path=embedded_socket(service.data_dir), decode_responses=True)


def problem(service: Service, name: str) -> str:
    """What `/readyz` says of a part; empty while all is well."""
    answer = service.get("/readyz")
    return "" if answer.status_code == 200 else str(answer.json()["checks"].get(name, ""))


def paypal(service: Service, day: str) -> Decimal:
    return service.stats(day, day)[day]["deposits"]["paypal"]


def assert_one_line(text: str, *words: str) -> None:
    assert "\n" not in text
    for word in words:
        assert word in text


class TestForeignWrites:
    def test_a_total_that_is_none_is_named_until_it_is_mended(
        self, service: Service, file: Path, daybook: Commands
    ) -> None:
        words = (f"{KEY}, field paypal: '3.000000000000000", "is no total: another program wrote it")
        with client(service) as redis:
            redis.hset(KEY, "paypal", "3.00000000000000001")
            answer = service.get("/stats", from_date="2026-01-15", to_date="2026-01-16")
            assert answer.status_code == 500
            assert_one_line(answer.json()["detail"], *words)
            assert_one_line(problem(service, "redis"), *words)
            assert paypal(service, "2026-01-16") == Decimal("5.00")

            daybook.settings["DataDir"] = service.data_dir
            verified = daybook.run("verify", code=1)
            assert_one_line(verified.log.strip(), "daybook: ", *words)

            append(file, rows("16", "7.00"))
            service.wait_until_imported(file, 4)
            assert paypal(service, "2026-01-16") == Decimal("12.00"), "other days go on"
            redis.hset(KEY, "paypal", "3.00")
            service.wait(lambda: not problem(service, "redis"), "it is ready again")
        assert paypal(service, "2026-01-15") == Decimal("3.00")
        assert "no difference" in daybook.run("verify").output
        assert "Traceback" not in service.logs

    def test_dumps_wait_for_a_bucket_that_is_to_be_dumped(self, service: Service, file: Path) -> None:
        with client(service) as redis:
            redis.hset(KEY, "foreign", "1e400")
            append(file, rows("16", "7.00"))
            service.wait_until_imported(file, 4)
            redis.sadd("daybook:dirty", "2026-01-15:deposits")
            service.wait_for_log("the dumper waits for a damaged bucket")
            assert_one_line(problem(service, "redis"), f"{KEY}, field foreign: '1e400' is no total")
            append(file, rows("16", "8.00"))
            service.wait_until_imported(file, 5)
            redis.hdel(KEY, "foreign")
            service.wait(lambda: not problem(service, "redis"), "it is ready again")
            of_the_16th = ("2026-01-16", "deposits", "paypal")
            service.wait(lambda: archived_cells(service.data_dir)[of_the_16th] == ("20.00", 3), "it is dumped")
        assert "lane is lost" not in service.log
        assert "Traceback" not in service.logs

    @pytest.mark.parametrize("words", [("SET", KEY, "x"), ("DEL", KEY), ("HDEL", KEY, "paypal")])
    def test_rows_wait_for_a_bucket_that_is_gone(self, service: Service, file: Path, words: tuple[str, ...]) -> None:
        """The aggregator knows the bucket's totals, but what it would write into would be no whole bucket."""
        with client(service) as redis:
            redis.execute_command(*words)
            append(file, rows("15", "4.00"))
            service.wait_for_log("the aggregator waits for a damaged bucket")
            service.wait(lambda: KEY in problem(service, "redis"), "it says so")
            redis.delete(KEY)
            redis.hset(KEY, "paypal", "3.00")
            service.wait(lambda: not problem(service, "redis"), "it is ready again")
        service.wait_until_imported(file, 4)
        assert paypal(service, "2026-01-15") == Decimal("7.00")
        assert "Traceback" not in service.logs

    def test_rows_wait_after_a_start(self, service: Service, file: Path) -> None:
        with client(service) as redis:
            redis.set(COUNTS, '{"paypal":"two"}')
        service.stop()
        append(file, rows("15", "4.00"))
        service.launch().wait_until_answering()
        service.wait_for_log("the aggregator waits for a damaged bucket")
        assert_one_line(problem(service, "redis"), f'{COUNTS}: \'{{"paypal":"two"}}\' is no JSON object of counts')
        with client(service) as redis:
            redis.set(COUNTS, '{"paypal":2}')
        service.wait_until_imported(file, 4)
        service.wait_until_ready()
        assert paypal(service, "2026-01-15") == Decimal("7.00")
        assert "Traceback" not in service.logs

    def test_emptied_redis_is_restored(self, service: Service, file: Path) -> None:
        """The other thing that the message names."""
        with client(service) as redis:
            redis.hset("daybook:versions", "2026-01-15:deposits", "first")
            answer = service.get("/stats", from_date="2026-01-15", to_date="2026-01-16")
            assert_one_line(
                answer.json()["detail"], "daybook:versions, field 2026-01-15:deposits: 'first' is no version"
            )
            redis.flushall()
        service.wait_for_log("Redis was behind the archive and is restored")
        service.wait_until_imported(file, 3)
        service.wait_until_ready()
        assert paypal(service, "2026-01-15") == Decimal("3.00")


def test_a_source_set_back_is_noticed_soon_after_redis_stood_still(service: Service, file: Path) -> None:
    """The manager's pauses follow what a look at all checkpoints takes, which is not the time that it waits."""
    server = embedded_server(service.data_dir)
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    time.sleep(5.0)
    os.kill(server, signal.SIGCONT)
    service.wait_until_ready()
    key = f"daybook:source:{service.imports()[0]['source']}"
    with client(service) as redis:
        beginning = Position().to_json()
        redis.hset(key, mapping={"checkpoint": 0, "read": beginning, "ledger": 0, "applied": beginning})
        service.wait(lambda: redis.hget(key, "checkpoint") == str(file.stat().st_size), "it is read again", 15)


class TestForeignKeys:
    """Another program wrote a value of another type under a key of Daybook."""

    @pytest.mark.parametrize(
        ("key", "kind"),
        [
            ("daybook:dirty", "set"),
            ("daybook:changed", "sorted set"),
            ("daybook:rejects", "list"),
            ("daybook:state", "hash"),
            ("daybook:lane", "hash"),
            ("daybook:sources", "set"),
        ],
    )
    def test_work_waits_until_redis_is_emptied(
        self, service: Service, file: Path, daybook: Commands, key: str, kind: str
    ) -> None:
        words = (f"Redis key {key} holds a string, not a {kind}: another program wrote it; ", "or empty Redis")
        with client(service) as redis:
            redis.set(key, "x")
            append(file, rows("15", "4.00") + "2026-01-15T10:00:00,deposit,paypal,-1\n" + rows("16", "7.00"))
            service.wait(lambda: key in service.get("/readyz").text, "readiness says so")
            service.wait(lambda: key in service.log, "the log says so")
            assert service.get("/readyz").status_code == 503
            for text in service.get("/readyz").json()["checks"].values():
                assert "\n" not in text
            if key == "daybook:state":
                answer = service.get("/stats", from_date="2026-01-15", to_date="2026-01-16")
                assert answer.status_code == 503
                assert_one_line(answer.json()["detail"], *words)
                assert_one_line(problem(service, "redis"), *words)
                daybook.settings["DataDir"] = service.data_dir
                assert_one_line(daybook.run("verify", code=1).log.strip(), "daybook: ", *words)
            redis.flushall()
        service.wait_until_imported(file, 6)
        service.wait_until_ready()
        assert (paypal(service, "2026-01-15"), paypal(service, "2026-01-16")) == (Decimal("7.00"), Decimal("12.00"))
        assert service.stop() == 0
        assert "Traceback" not in service.logs

    @pytest.mark.parametrize("key", ["TransactionQueue", "daybook:lease:lane"])
    def test_what_daybook_makes_anew_may_be_deleted(self, service: Service, file: Path, key: str) -> None:
        with client(service) as redis:
            redis.delete(key)
            redis.hset(key, "foreign", "value")
            append(file, rows("15", "4.00"))
            service.wait(lambda: f"Redis key {key} holds a hash, not a l" in service.get("/readyz").text, "it says so")
            assert "wrote it; delete it" in service.get("/readyz").text
            redis.delete(key)
        service.wait_until_imported(file, 4)
        service.wait_until_ready()
        assert paypal(service, "2026-01-15") == Decimal("7.00")
        assert "Traceback" not in service.logs


class TestTheArchiveFile:
    def test_deleted_and_brought_back(self, service: Service, file: Path, tmp_path: Path) -> None:
        archive, kept = service.data_dir / "archive.sqlite", tmp_path / "kept.sqlite"
        archive.rename(kept)
        service.wait(lambda: problem(service, "sqlite"), "it is missed")
        assert_one_line(
            problem(service, "sqlite"), "was deleted or moved while it was in use", "put the same file back"
        )
        append(file, rows("16", "7.00"))
        service.wait_until_imported(file, 4)
        service.wait_for_log("waits for the archive")
        with client(service) as redis:
            assert redis.sismember("daybook:dirty", "2026-01-16:deposits")
        kept.rename(archive)
        service.wait_until_ready()
        of_the_16th = ("2026-01-16", "deposits", "paypal")
        service.wait(lambda: archived_cells(service.data_dir)[of_the_16th] == ("12.00", 2), "it is dumped")
        assert service.stop() == 0
        assert "Traceback" not in service.logs

    def test_replaced_by_its_copy(self, service: Service, file: Path, tmp_path: Path) -> None:
        """The running service stays away from it; the next start compares it with Redis and goes on."""
        archive, kept = service.data_dir / "archive.sqlite", tmp_path / "kept.sqlite"
        archive.rename(kept)
        service.wait(lambda: "deleted or moved" in problem(service, "sqlite"), "it is missed")
        shutil.copy(kept, archive)
        service.wait(lambda: "was replaced" in problem(service, "sqlite"), "it is not taken for the same")
        append(file, rows("16", "7.00"))
        service.wait_until_imported(file, 4)
        assert service.stop() == 0
        service.start()
        of_the_16th = ("2026-01-16", "deposits", "paypal")
        service.wait(lambda: archived_cells(service.data_dir)[of_the_16th] == ("12.00", 2), "it is dumped")
        assert paypal(service, "2026-01-15") == Decimal("3.00")
        assert "Traceback" not in service.logs

    def test_gone_for_good(self, service: Service) -> None:
        """No new file takes its place: totals would be missing without a word."""
        (service.data_dir / "archive.sqlite").unlink()
        service.wait(lambda: problem(service, "sqlite"), "it is missed")
        assert service.stop() == 0
        assert not (service.data_dir / "archive.sqlite").exists()
        assert service.launch().ended() == 1
        assert "Redis belongs to another archive" in service.log.splitlines()[-1]


def test_all_files_are_for_the_owner_only(make_service: MakeService, tmp_path: Path) -> None:
    """Also in a folder of another mode, which keeps it, under a umask that forbids nothing."""
    folder = tmp_path / "open"
    (folder / "data").mkdir(parents=True)
    (folder / "data").chmod(0o755)
    (tmp_path / "rows.csv").write_text(HEADER + rows("15", "1.00"))
    before = os.umask(0)
    try:
        service = make_service(folder, CsvFilePath=tmp_path / "rows.csv", DumperTaskScheduleInterval=INTERVAL)
        service._spawner = None  # the umask is this process's
        service.start().wait_until_imported(tmp_path / "rows.csv", 1)
    finally:
        os.umask(before)
    service.wait(lambda: archived_cells(service.data_dir), "it is archived")
    with client(service) as redis:
        redis.bgrewriteaof()
        service.wait(lambda: redis.info("persistence")["aof_rewrite_in_progress"] == 0, "the log is rewritten")
    found = {path.relative_to(service.data_dir): path.lstat().st_mode & 0o777 for path in service.data_dir.rglob("*")}
    assert {str(path) for path in found} >= {
        *("archive.sqlite", "archive.sqlite-wal", "archive.sqlite-shm", "daybook.lock"),
        *("valkey", "valkey/server.log", "valkey/server.json", "valkey/appendonlydir"),
    }
    assert {str(path): oct(mode) for path, mode in found.items() if mode & 0o077} == {}
    assert service.data_dir.stat().st_mode & 0o777 == 0o755
    assert service.stop() == 0
    end_left_over(service.data_dir)


class TestMongoDocuments:
    """Another program changed a document in MongoDB."""

    @pytest.fixture
    def mongo(self, tmp_path: Path) -> Iterator[OutsideMongo]:
        with OutsideMongo(tmp_path / "mongo") as server:
            yield server.start()

    def test_rows_wait_for_a_damaged_bucket(self, make_service: MakeService, mongo: OutsideMongo, file: Path) -> None:
        file.write_text(HEADER + rows("15", "1.00", "2.00"))
        service = make_service(
            CsvFilePath=file, DumperTaskScheduleInterval=INTERVAL, CutOffDays=0, MaxWaitSeconds=1, **mongo.settings
        ).start()
        service.wait_until_imported(file, 2)
        service.wait_for_log("evicted")
        words = ("MongoDB's document of 2026-01-15 deposits in DailyAggregates", "another program wrote it")
        with mongo.client() as plain:
            held = plain[DATABASE]["DailyAggregates"]
            good = held.find_one({"Date": "2026-01-15"})
            assert good is not None
            held.replace_one({"_id": good["_id"]}, good | {"TotalAmount": {"paypal": float("nan")}})
            append(file, rows("15", "4.00"))
            service.wait(lambda: problem(service, "aggregator"), "it is not ready, because of the wait")
            assert_one_line(problem(service, "aggregator"), *words)
            answer = service.get("/stats", from_date="2026-01-15", to_date="2026-01-16")
            assert answer.status_code == 500
            assert_one_line(answer.json()["detail"], *words)
            held.replace_one({"_id": good["_id"]}, good)
        service.wait_until_imported(file, 3)
        service.wait_until_ready()
        assert paypal(service, "2026-01-15") == Decimal("7.00")
        assert service.log.count("lane taken") == 1
        assert "Traceback" not in service.logs

    @pytest.mark.parametrize(
        ("collection", "change"),
        [("DaybookState", {"snapshot": "x"}), ("DaybookSources", {"Packed": b"x"}), ("DaybookSources", {"Packed": 5})],
    )
    def test_the_lane_waits_for_a_damaged_document(
        self,
        make_service: MakeService,
        mongo: OutsideMongo,
        file: Path,
        collection: str,
        change: dict[str, Any],
    ) -> None:
        file.write_text(HEADER + rows("15", "1.00", "2.00"))
        service = make_service(CsvFilePath=file, DumperTaskScheduleInterval=INTERVAL, **mongo.settings).start()
        service.wait_until_imported(file, 2)
        with mongo.client() as plain:
            held = plain[DATABASE][collection]
            service.wait(plain[DATABASE]["DaybookSources"].find_one, "it is dumped")
            assert service.stop() == 0
            good = held.find_one()
            assert good is not None
            held.replace_one({"_id": good["_id"]}, good | change)
            shutil.rmtree(service.data_dir / "valkey")
            service.launch().wait_until_answering()
            words = (f"MongoDB's document of {good['_id']!r} in {collection}", "another program wrote it")
            service.wait(lambda: words[0] in problem(service, "lane"), "it is not ready, because of the wait")
            assert_one_line(problem(service, "lane"), *words)
            held.replace_one({"_id": good["_id"]}, good)
        service.wait_until_ready()
        service.wait_until_imported(file, 2)
        assert paypal(service, "2026-01-15") == Decimal("3.00")
        assert "Traceback" not in service.logs
