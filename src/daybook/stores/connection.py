"""The way to Redis: one client without retries of its own, the scripts, and what the server promises."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from daybook.errors import ConfigurationError, RedisUnavailableError
from daybook.stores import redis_keys

SCRIPTS = (
    "acquire", "renew", "release", "register", "describe", "enqueue", "peek", "commit", "read",
    "snapshot", "settle", "evict", "restore",
)  # fmt: skip

_PASSING = ("OOM", "MISCONF", "LOADING", "READONLY", "NOREPLICAS", "BUSY", "MASTERDOWN", "CLUSTERDOWN")
_OLDEST = (7, 0)
_WITH_WAITAOF = (7, 2)
_FSYNC_INTERVAL_SECONDS = 1.1
_WAITAOF_MILLISECONDS = 3000

Argument = str | bytes | int | float


class ServerInfo(NamedTuple):
    run_id: str
    version: tuple[int, ...]
    append_only: bool
    append_fsync: str
    """`always`, `everysec`, `no`; empty when the server does not tell."""


class RedisConnection:
    """Commands and scripts on one Redis.

    Nothing is retried here: a command that timed out may have run, so the caller, who holds the token that
    makes a second try harmless, decides. A server that is away or cannot write raises RedisUnavailableError.
    """

    def __init__(self, client: Redis) -> None:
        self.client = client
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
    ) -> "RedisConnection":
        place: dict[str, Any] = {"unix_socket_path": unix_socket} if unix_socket else {"host": host, "port": port}
        return cls(
            Redis(
                **place,
                username=username,
                password=password,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                retry=Retry(NoBackoff(), 0),
                protocol=2,
            )
        )

    async def close(self) -> None:
        await self.client.aclose()

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        with translated():
            return await self._scripts[script](keys=list(keys), args=list(arguments))

    async def command(self, *words: Argument) -> Any:
        with translated():
            return await self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    async def check_server(self) -> ServerInfo:
        """What the server is. Raises ConfigurationError when Daybook's promises cannot be kept on it."""
        with translated():
            info: dict[str, Any] = await self.client.info("everything")
        version = tuple(int(part) for part in str(info["redis_version"]).split(".")[:2])
        if version < _OLDEST:
            raise ConfigurationError(f"Redis {info['redis_version']} is too old: 7.0 or newer is needed")
        policy = info.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            raise ConfigurationError(f"Redis has maxmemory-policy {policy}: it may delete totals; set it to noeviction")
        append_only = int(info.get("aof_enabled", 0)) == 1
        return ServerInfo(str(info["run_id"]), version, append_only, await self._append_fsync())

    async def _append_fsync(self) -> str:
        try:
            answer = await self.command("CONFIG", "GET", "appendfsync")
        except ResponseError:
            return ""
        return answer[1].decode() if len(answer) > 1 else ""

    async def wait_until_durable(self, server: ServerInfo) -> None:
        """Return once everything that Redis has executed so far is on its disk.

        A server without an append-only file has nothing to wait for (a warning names it at start).
        Raises RedisUnavailableError if the disk does not confirm in time.
        """
        if not server.append_only or server.append_fsync == "always":
            return
        if server.version >= _WITH_WAITAOF:
            with translated():
                async with self.client.pipeline(transaction=False) as pipe:
                    # WAITAOF speaks of the writes of its own connection, so a write goes first.
                    pipe.hset(redis_keys.LANE, "fence", 1)
                    pipe.execute_command("WAITAOF", 1, 0, _WAITAOF_MILLISECONDS)
                    _, (local, _) = await pipe.execute()
            if local < 1:
                raise RedisUnavailableError("Redis did not confirm in time that its writes are on disk")
            return
        await self._wait_out_fsync()

    async def _wait_out_fsync(self) -> None:
        """Before 7.2: twice no pending fsync, one fsync interval apart."""
        quiet = 0
        while quiet < 2:  # noqa: PLR2004 - see above
            if quiet:
                await asyncio.sleep(_FSYNC_INTERVAL_SECONDS)
            with translated():
                info: dict[str, Any] = await self.client.info("persistence")
            if info.get("aof_last_write_status") != "ok":
                raise RedisUnavailableError("Redis cannot write its append-only file")
            if int(info.get("aof_pending_bio_fsync", 0)):
                quiet = 0
                await asyncio.sleep(0.05)
            else:
                quiet += 1


def _script_text(name: str) -> str:
    return files("daybook.stores").joinpath("scripts", f"{name}.lua").read_text()


@contextmanager
def translated() -> Iterator[None]:
    """Turns "Redis is away" and "Redis cannot write" into RedisUnavailableError."""
    try:
        yield
    except (OutOfMemoryError, ReadOnlyError) as error:
        raise RedisUnavailableError(f"Redis cannot write: {error}") from error
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise RedisUnavailableError(f"Redis does not answer: {error or type(error).__name__}") from error
    except ResponseError as error:
        if str(error).startswith(_PASSING):
            raise RedisUnavailableError(f"Redis refuses: {error}") from error
        raise
