"""All kinds of fault, in the order of the report."""

from torture.case import Kind
from torture.kinds.clocks import CLOCK
from torture.kinds.corrections import CORRECTION
from torture.kinds.files import FILE
from torture.kinds.kills import FAILPOINT, KILL
from torture.kinds.mongo import MONGO
from torture.kinds.network import NETWORK
from torture.kinds.original import ORIGINAL
from torture.kinds.pauses import PAUSE
from torture.kinds.redis_crashes import REDIS
from torture.kinds.reversals import REVERSALS
from torture.kinds.shortages import SHORTAGE
from torture.kinds.stops import STOP
from torture.kinds.thefts import THEFT

KINDS: tuple[Kind, ...] = (
    KILL,
    FAILPOINT,
    PAUSE,
    NETWORK,
    *REDIS,
    *MONGO,
    SHORTAGE,
    STOP,
    CLOCK,
    FILE,
    CORRECTION,
    *THEFT,
    REVERSALS,
    ORIGINAL,
)
