"""Leases: the expiry decides which process tries, the token in the scripts decides which process writes."""

import secrets

import structlog

from daybook.errors import StoreUnavailableError
from daybook.stores.connection import RedisConnection

log = structlog.get_logger("lease")


class Lease:
    """A lease with one owner at a time. Each object is an owner of its own, with a random token. Not reentrant."""

    def __init__(
        self, redis: RedisConnection, lease_key: str, holder_key: str, seconds: float, purpose: str = ""
    ) -> None:
        """Take the keys of the lease and of its holder. The token begins with `purpose`, for `purpose_of`."""
        self._redis = redis
        self._keys = (lease_key, holder_key)
        self._milliseconds = int(seconds * 1000)
        self.token = f"{purpose}:{secrets.token_hex(16)}"
        self.epoch = 0
        """Number of this owner, set by `acquire`: grows with each change of the owner."""

    @property
    def keys(self) -> tuple[str, str]:
        """The lease's own key and that of its holder, for scripts that take or release it on the way."""
        return self._keys

    @property
    def milliseconds(self) -> int:
        return self._milliseconds

    async def acquire(self, *, steal: bool = False) -> float:
        """Return 0.0 if this owner has the lease now, else the seconds until the present lease expires.

        `steal` takes the lease from a live owner; every script then refuses that owner's token.
        """
        taken, value = await self._redis.run("acquire", self._keys, self.token, self._milliseconds, int(steal))
        if taken:
            self.epoch = value
            return 0.0
        return max(float(value), 1.0) / 1000

    async def renew(self) -> bool:
        """Extend the lease; return False when another owner took over."""
        return bool(await self._redis.run("renew", self._keys, self.token, self._milliseconds))

    async def release(self) -> None:
        """Give the lease back, so that the next owner need not wait; do nothing when another owner has it."""
        await self._redis.run("release", self._keys[:1], self.token)

    async def give_back(self) -> None:
        """Release the lease; when Redis is away it expires by itself."""
        try:
            await self.release()
        except StoreUnavailableError as error:
            log.debug("lease not released; it expires by itself", reason=str(error))


def purpose_of(token: bytes) -> str:
    """Return the purpose of the owner with this token; empty when it named none."""
    return token.decode().rpartition(":")[0]
