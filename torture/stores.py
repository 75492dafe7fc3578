"""The stores of a case: their servers, their settings, and clients that read them without Daybook."""

import shutil
from pathlib import Path
from typing import NamedTuple

from redis import Redis

from support.mongo_server import free_port
from support.outside import OutsideMongo
from support.redis_server import KINDS, RedisServer
from support.service import Service, Setting, archived_cells, archived_rejects, embedded_socket
from torture.case import Case

ARCHIVES = ("sqlite", "secantus", *(["mongod"] if shutil.which("mongod") else []))


class TcpRedis(RedisServer):
    """A Redis that also listens on a port, as a service needs it. The port stays the same after every start."""

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        super().__init__(kind, folder, "--bind", "127.0.0.1", "--port", str(self.port), *options)
        self.settings: dict[str, Setting] = {"RedisHost": "127.0.0.1", "RedisPort": self.port}

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket), decode_responses=True, socket_timeout=10)


class Archived(NamedTuple):
    """The content of the archive."""

    cells: dict[tuple[str, str, str], tuple[str, int]]
    """Day, type and method → amount as text, and number of rows."""
    rejects: list[tuple[int, str]]
    """Lines and raw texts, in order."""


class Stores(NamedTuple):
    redis: TcpRedis | None
    """The case's own Redis; None for the embedded server."""
    mongo: OutsideMongo | None
    """The case's own MongoDB; None for SQLite in the DataDir."""

    @property
    def settings(self) -> dict[str, Setting]:
        return {**(self.redis.settings if self.redis else {}), **(self.mongo.settings if self.mongo else {})}

    def client(self, service: Service) -> Redis:
        if self.redis is not None:
            return self.redis.client()
        place = embedded_socket(service.data_dir)
        return Redis(unix_socket_path=place, decode_responses=True, socket_timeout=10)

    def archived(self, data_dir: Path) -> Archived:
        if self.mongo is None:
            rejects = sorted((reject.line, reject.raw) for reject in archived_rejects(data_dir))
            return Archived(archived_cells(data_dir), rejects)
        with self.mongo.client() as client:
            database = client["TransactionsDb"]
            cells = {
                (found["Date"], found["Type"], method): (str(total), int(found["TransactionCount"][method]))
                for found in database["DailyAggregates"].find()
                for method, total in found["TotalAmount"].items()
            }
            rejects = sorted((int(each["_id"]["line"]), each["Raw"]) for each in database["DaybookRejects"].find())
            return Archived(cells, rejects)


def some_stores(case: Case, *, redis_kinds: tuple[str, ...] = ("embedded", *KINDS)) -> Stores:
    """Choose stores by the case's random numbers and start their servers."""
    kind = case.chance.choice(redis_kinds)
    server = None if kind == "embedded" else own_redis(case, kind)
    return Stores(server, some_archive(case))


def own_redis(case: Case, kind: str, *options: str, folder: Path | None = None) -> TcpRedis:
    return case.stack.enter_context(TcpRedis(kind, folder or case.folder / "redis", *options))


def some_archive(case: Case) -> OutsideMongo | None:
    kind = case.chance.choice(ARCHIVES)
    return None if kind == "sqlite" else own_mongo(case, kind)


def own_mongo(case: Case, kind: str, folder: Path | None = None) -> OutsideMongo:
    """Start a MongoDB in `folder`, or in the case's folder."""
    place = (folder or case.folder) / "mongo"
    return case.stack.enter_context(OutsideMongo(place, kind)).start()
