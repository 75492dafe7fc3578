"""The connection to Redis: one client without retries of its own, the scripts, and checks of the server."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib.resources import files
from typing import Any, NamedTuple

import hiredis
import msgspec
from redis.asyncio import BlockingConnectionPool, Connection, Redis, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.typing import EncodableT

from daybook.errors import ConfigurationError, RedisUnavailableError
from daybook.failpoints import hit
from daybook.stores.foreign_keys import first_foreign, foreign_key, guarded

SCRIPTS = (
    "acquire", "renew", "release", "register", "update_source", "enqueue", "peek", "commit", "read",
    "snapshot", "settle", "evict", "restore", "index_evicted", "waiting", "read_again", "adopt_queue", "change_held",
)  # fmt: skip

_PASSING = ("OOM", "MISCONF", "LOADING", "READONLY", "NOREPLICAS", "BUSY", "MASTERDOWN", "CLUSTERDOWN")
"""First words of the errors that pass without a change of Daybook."""
_FORBIDDEN_IN_SCRIPT = ("ACL failure in script", "The user executing the script can't")
"""First words of Valkey's and of Redis' error for a script that calls what its user may not."""
_PIPE_COMMANDS = 500
_HANDLER_CLOSED = "the handler is closed"
"""uvloop's error for a write to a connection that the server just broke; asyncio's own loop only warns."""
_OLDEST = (7, 0)
_FSYNC_INTERVAL_SECONDS = 1.1
_SYNC_SECONDS = 5.0
_POLL_SECONDS = 0.02
_MSGPACK_STR_32 = b"\xdb"
_CHILDREN = ("aof_rewrite_in_progress", "rdb_bgsave_in_progress")

Argument = str | bytes | int | float


class AppendFsync(NamedTuple):
    """The times at which the server syncs its append-only file."""

    policy: str
    """The setting `appendfsync`: `always`, `everysec` or `no`."""
    pauses: bool
    """The setting `no-appendfsync-on-rewrite`: no sync runs while the server rewrites or saves."""


class ServerInfo(NamedTuple):
    """The facts about a Redis server that Daybook's promises depend on."""

    run_id: str
    """Random text that the server chooses at each start."""
    append_only: bool
    append_fsync: AppendFsync

    @property
    def may_lose(self) -> str:
        """The reason why a crash can lose writes acknowledged more than a second ago, for people; empty if none."""
        if not self.append_only:
            return "Redis has no append-only file"
        return "Redis never syncs its append-only file (appendfsync no)" if self.append_fsync.policy == "no" else ""


def _pack(_: Connection, *words: EncodableT) -> list[bytes]:
    """Pack a command in C; redis-py's own packing holds the event loop for ten milliseconds at a large commit."""
    if isinstance(words[0], str):
        words = (*words[0].split(), *words[1:])
    return [hiredis.pack_command(words)]  # type: ignore[arg-type]


class _TcpConnection(Connection):
    pack_command = _pack


class _UnixConnection(UnixDomainSocketConnection):
    pack_command = _pack


class RedisConnection:
    """Commands and scripts on one Redis.

    Calls raise RedisUnavailableError while it is away or cannot write, and ForeignKeyError, which names the key, when
    another program wrote a value of another type. A script has written nothing then, or only what its next try repeats.
    Nothing is retried here, because a command that timed out may have run. The caller decides: it holds the token that
    makes a second try harmless.
    """

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._foreign: set[str] = set()
        """Keys that were found foreign and may still be."""
        self._scripts = {name: client.register_script(_script_text(name)) for name in SCRIPTS}

    @classmethod
    def to(
        cls,
        *,
        host: str = "",
        port: int = 6379,
        unix_socket: str | None = None,
        username: str | None = None,
        password: str | None = None,
        timeout_seconds: float = 5.0,
        max_connections: int = 100,
    ) -> "RedisConnection":
        """Return a connection to `unix_socket`, or else to `host` and `port`; the first command connects.

        `timeout_seconds` bounds the connecting, each reply, and the wait for one of `max_connections` to be free.
        """
        place: dict[str, Any] = {"path": unix_socket} if unix_socket else {"host": host, "port": port}
        pool = BlockingConnectionPool(
            max_connections=max_connections,
            timeout=timeout_seconds,
            connection_class=_UnixConnection if unix_socket else _TcpConnection,
            **place,
            username=username,
            password=password,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        return cls(Redis.from_pool(pool))

    async def close(self) -> None:
        await self.client.aclose()

    async def run(self, script: str, keys: Sequence[str], *arguments: Argument | Mapping[str, Any]) -> Any:
        """Run one of `SCRIPTS`. A mapping is sent as a msgpack document, whose fields the script reads by name."""
        hit("redis", script, "before")
        packed = [msgspec.msgpack.encode(each) if isinstance(each, Mapping) else each for each in arguments]
        async with self._naming(keys):
            answer = await self._scripts[script](keys=list(keys), args=packed)
        hit("redis", script, "after")
        return answer

    async def command(self, *words: Argument) -> Any:
        """Run one command; return the answer as the server gives it, texts as bytes."""
        async with self._naming(str(word) for word in words[1:2]):
            return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def pipeline(self, commands: Sequence[Sequence[Argument]], *, transaction: bool = False) -> list[Any]:
        """Send commands together, some hundred at once (in one `transaction` each); return their answers in order."""
        answers: list[Any] = []
        for start in range(0, len(commands), _PIPE_COMMANDS):
            some = commands[start : start + _PIPE_COMMANDS]
            keys = (str(word) for words in some for word in words[1:2])
            async with self._naming(keys), self.client.pipeline(transaction=transaction) as pipe:
                for words in some:
                    pipe.execute_command(*words)
                answers += await pipe.execute()
        return answers

    @asynccontextmanager
    async def _naming(self, keys: Iterable[str]) -> AsyncIterator[None]:
        """Translate errors, and name the key when one of `keys`, or one that a script read, is foreign."""
        try:
            with translated():
                yield
        except ResponseError as error:
            with translated():
                foreign = await foreign_key(self.client, error, keys)
            if foreign is None:
                raise
            self._foreign.add(foreign.key)
            raise foreign from error

    async def check_foreign(self) -> None:
        """Raise ForeignKeyError while one of the keys that were found foreign still is."""
        with translated():
            foreign = await first_foreign(self.client, sorted(self._foreign))
        if foreign is not None:
            raise foreign
        self._foreign.clear()

    async def check_server(self) -> ServerInfo:
        """Return facts about the server. Raises ConfigurationError when Daybook cannot keep its promises on it.

        The server must be 7.0 or newer, and its `maxmemory-policy` must be `noeviction`.
        """
        with translated():
            info: dict[str, Any] = await self.client.info("everything")
        version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
        if version < _OLDEST:
            raise ConfigurationError(f"Redis {info['redis_version']} is too old: 7.0 or newer is needed")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigurationError(f"Redis has maxmemory-policy {policy}: it may delete totals; set it to noeviction")
        return ServerInfo(str(info["run_id"]), int(info.get("aof_enabled", 0)) == 1, await self._append_fsync())

    async def _append_fsync(self) -> AppendFsync:
        try:
            answer = await self.command("CONFIG", "GET", "appendfsync", "no-appendfsync-on-rewrite")
        except ResponseError:  # hosted servers hide it
            return AppendFsync("everysec", pauses=False)
        found = {name.decode(): value.decode() for name, value in zip(answer[::2], answer[1::2], strict=True)}
        return AppendFsync(found.get("appendfsync", "everysec"), found.get("no-appendfsync-on-rewrite") == "yes")

    async def wait_until_durable(self) -> None:
        """Return once everything that Redis has executed so far is on its disk.

        Returns at once if the server syncs every write. It also returns at once if the server keeps no append-only
        file or never syncs it; a warning at start names such a server.
        Under `appendfsync everysec` it waits until a sync that began after this call has ended.
        `WAITAOF` is not used: many servers, the embedded one among them, confirm by it writes that no sync has
        covered yet (redis/redis#13793).
        Raises RedisUnavailableError if this takes more than 5 seconds, or if Redis cannot write its append-only file.
        """
        fsync = await self._append_fsync()
        if fsync.policy != "everysec":
            return
        try:
            async with asyncio.timeout(_SYNC_SECONDS):
                if await self._no_sync_runs(fsync):
                    await asyncio.sleep(_FSYNC_INTERVAL_SECONDS)
                    await self.command("PING")  # the server begins the due sync in this turn of its loop, or before
                    await self._no_sync_runs(fsync)
        except TimeoutError:
            raise RedisUnavailableError("Redis did not confirm in time that its writes are on disk") from None

    async def _no_sync_runs(self, fsync: AppendFsync) -> bool:
        """Wait until no sync runs or is held up; return False when there is no append-only file."""
        while True:
            with translated():
                info: dict[str, Any] = await self.client.info("persistence")
            if not int(info.get("aof_enabled", 0)):
                return False
            if info.get("aof_last_write_status") != "ok":
                raise RedisUnavailableError("Redis cannot write its append-only file")
            paused = fsync.pauses and any(int(info.get(child, 0)) for child in _CHILDREN)
            if not paused and not int(info.get("aof_pending_bio_fsync", 0)):
                return True
            await asyncio.sleep(_POLL_SECONDS)


def text_of(content: bytes) -> msgspec.Raw:
    """Return `content` as a msgpack text: Redis' decoder has no binary type, but its texts may hold any bytes."""
    return msgspec.Raw(_MSGPACK_STR_32 + len(content).to_bytes(4, "big") + content)


def _script_text(name: str) -> str:
    return guarded(files("daybook.stores").joinpath("scripts", f"{name}.lua").read_text())


@contextmanager
def translated() -> Iterator[None]:
    """Turn the client's errors into RedisUnavailableError when Redis is away or cannot write; pass on all others."""
    try:
        yield
    except NoPermissionError as error:
        raise RedisUnavailableError(f"Redis refuses: {error}") from error
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise RedisUnavailableError(f"Redis cannot write: {error}") from error
    except AuthenticationError as error:
        raise RedisUnavailableError(f"Redis refuses: {error}") from error
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise RedisUnavailableError(f"Redis does not answer: {error or type(error).__name__}") from error
    except RuntimeError as error:
        if not str(error).endswith(_HANDLER_CLOSED):
            raise
        raise RedisUnavailableError("Redis does not answer: the connection broke while it was being made") from error
    except ResponseError as error:
        if str(error).startswith((*_PASSING, *_FORBIDDEN_IN_SCRIPT)):
            raise RedisUnavailableError(f"Redis refuses: {error}") from error
        raise
