"""All kinds of fault, in the order of the report."""

from torture.case import Kind
from torture.kinds import kills

KINDS: tuple[Kind, ...] = (*kills.KINDS,)
