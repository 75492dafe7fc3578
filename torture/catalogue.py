"""All kinds of fault, in the order of the report."""

from torture.case import Kind
from torture.kinds import kills
from torture.kinds.network import NETWORK
from torture.kinds.pauses import PAUSE
from torture.kinds.redis_crashes import REDIS

KINDS: tuple[Kind, ...] = (*kills.KINDS, PAUSE, NETWORK, *REDIS)
