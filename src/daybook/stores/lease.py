"""Leases: expiry decides who tries, the epoch inside the scripts decides who writes."""

import secrets

from daybook.stores.connection import RedisConnection


class Lease:
    """One owner at a time. Not reentrant; a new object is a new owner."""

    def __init__(self, redis: RedisConnection, lease_key: str, holder_key: str, seconds: float) -> None:
        self._redis = redis
        self._keys = (lease_key, holder_key)
        self._milliseconds = int(seconds * 1000)
        self.token = secrets.token_hex(16)
        self.epoch = 0

    async def acquire(self, *, steal: bool = False) -> float:
        """0.0 when this owner has it now, else the seconds until the present one's expires.

        `steal` takes it from a living owner, who is then refused by every script.
        """
        taken, value = await self._redis.run("acquire", self._keys, self.token, self._milliseconds, int(steal))
        if taken:
            self.epoch = value
            return 0.0
        return max(float(value), 1.0) / 1000

    async def renew(self) -> bool:
        """False when another owner has taken over."""
        return bool(await self._redis.run("renew", self._keys, self.token, self._milliseconds))

    async def release(self) -> None:
        await self._redis.run("release", self._keys[:1], self.token)
