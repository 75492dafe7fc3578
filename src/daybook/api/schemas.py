"""The answers of the API, for its OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

Amount = Annotated[Any, WithJsonSchema({"type": "number", "examples": [17587.95]})]
"""An exact JSON number in a schema, with as many decimals as it needs, at least two."""

METHOD_TOTALS_EXAMPLE = {"apple_pay": 18536.58, "paypal": 17587.95}


class DayTotals(BaseModel):
    """The totals of a day by payment method, as exact JSON numbers. A type without transactions is an empty object."""

    deposits: dict[str, Amount] = Field(examples=[METHOD_TOTALS_EXAMPLE])
    withdrawals: dict[str, Amount] = Field(examples=[METHOD_TOTALS_EXAMPLE])


class StatsAnswer(BaseModel):
    """Days in order. Days without transactions are left out."""

    data: dict[str, DayTotals]


class Detail(BaseModel):
    """An error."""

    detail: str


class Alive(BaseModel):
    """The answer of a process that runs."""

    status: str = "ok"


class Readiness(BaseModel):
    """The state of the stores and of the background work."""

    ready: bool
    checks: dict[str, str] = Field(
        default_factory=dict,
        description="The problem of each failed check, by its name. With `?verbose`, all checks; `ok` has no problem.",
    )
    waits: dict[str, str] = Field(
        default_factory=dict, description="The things that parts of the background work wait for, and for how long."
    )
    held: dict[str, str] = Field(
        default_factory=dict, description="With `?verbose`: the reason for each held file, by path."
    )


class ControlTotals(BaseModel):
    """The sums of all applied rows."""

    deposits: Amount
    withdrawals: Amount


class ReversalRequest(BaseModel):
    """Who reverts a source, and why. Both are kept with the source."""

    by: str = Field(min_length=1, max_length=200, examples=["ann@example.org"])
    why: str = Field(min_length=1, max_length=2000, examples=["The report was exported twice."])


class ReversalState(BaseModel):
    """A reversal, and what the source counted before it."""

    by: str
    why: str
    at: str = Field(description="Moment at which it was asked for.")
    replaced_by: str = Field(description="Source that took its place; empty without one.")
    rows: int = Field(description="Rows that the source had, rejected ones included.")
    control_totals: ControlTotals


class ImportState(BaseModel):
    """One source and its progress. At every moment rows = applied + rejected + waiting."""

    source: str
    path: str
    fingerprint: str = Field(description="SHA-256 of the content read so far.")
    size: int = Field(description="Size of the content in bytes.")
    read_bytes: int = Field(description="Bytes of content read so far.")
    rows: int
    applied: int
    rejected: int
    waiting: int
    state: str = Field(
        description="`reading`, `applying`, `done`, `waiting` (`problem` says why), `held` or `dropped` (`held` says "
        "why), `reverting` or `reverted`."
    )
    problem: str
    since: str = Field(description="Moment at which it was registered; empty when unknown.")
    held: str = Field(description="The reason why nothing is read of it until it is released; empty without one.")
    rereads: int = Field(
        description="How often another program took its batches from the queue, so that they were read again."
    )
    profile: dict[str, Any] | None = Field(
        default=None, description="The import profile by which its rows are read; null for the plain form."
    )
    control_totals: ControlTotals
    replaces: str = Field(description="Source whose place it took; empty without one.")
    reversal: ReversalState | None = Field(description="Its reversal, under way or done.")


class Labelled(BaseModel):
    """An answer with amounts."""

    currency: str | None = Field(
        default=None, description="Code of the currency of all amounts; absent unless the setting `Currency` is set."
    )


class ImportsAnswer(Labelled):
    """All sources, in the order in which they were registered."""

    imports: list[ImportState]
    problems: dict[str, str] = Field(
        description="The reason for each file that cannot be imported, by path; a bad CsvFilePath under that name."
    )


class MethodTotal(BaseModel):
    """The total of a payment method."""

    amount: Amount
    transactions: int = Field(description="Number of transactions.")


class DayMethods(BaseModel):
    """The totals of a day by payment method. A type without transactions is an empty object."""

    deposits: dict[str, MethodTotal]
    withdrawals: dict[str, MethodTotal]


class BucketOrigin(BaseModel):
    """The origin of a day's totals of one type."""

    store: str = Field(description="The store that was read: `redis` or `archive`.")
    version: int = Field(description="Grows with every change.")
    as_of: datetime | None = Field(
        description="Time of the last change in Redis, or of the last write in the archive; null when not known."
    )


class DayOrigin(BaseModel):
    """The origin of a day's totals; null for a type without transactions."""

    deposits: BucketOrigin | None
    withdrawals: BucketOrigin | None
    rows_waiting: bool = Field(description="True when rows that may belong to this day wait in the queue.")


class AggregatesAnswer(Labelled):
    """Days in order. Days without transactions are left out."""

    data: dict[str, DayMethods]
    unknown: list[str] | None = Field(
        default=None,
        description="With `as_of`: days that were not closed at that moment, so their totals then are not known. "
        "They are not in `data`.",
    )
    provenance: dict[str, DayOrigin] | None = Field(
        default=None, description="With `provenance=true`: the origin of each day."
    )


class DayContributions(BaseModel):
    """The totals of a day by payment method and source. A type without transactions is an empty object."""

    deposits: dict[str, dict[str, MethodTotal]]
    withdrawals: dict[str, dict[str, MethodTotal]]


class ContributingSource(BaseModel):
    """A source in an answer by source."""

    path: str
    complete: bool = Field(description="False when contributions of some of its applied rows were not kept.")


class ContributionsAnswer(Labelled):
    """Days in order. Days without contributions are left out."""

    data: dict[str, DayContributions]
    sources: dict[str, ContributingSource]


class RestatementState(BaseModel):
    """A change of one payment method's total on a closed day, which was archived and evicted from Redis before."""

    date: str
    type: str = Field(description="`deposits` or `withdrawals`.")
    payment_method: str
    old: Amount
    new: Amount
    transactions: int = Field(description="Number of added transactions.")
    source: str = Field(description="Source of the rows that made the change.")
    offset: int = Field(description="Byte offset of these rows in the source; for `queue`, a number of elements.")
    end_offset: int = Field(description="End of these rows, counted like `offset`.")
    at: datetime = Field(description="Time at which the change was applied.")
    version: int = Field(description="Version of the day and type after the change.")


class RestatementsAnswer(Labelled):
    """A page of restatements."""

    restatements: list[RestatementState]
    next: str | None = Field(description="Value of `after` for the next page; null on the last page.")


class CorrectedBy(BaseModel):
    """The row that counts in the place of a rejected one."""

    source: str
    line: int


class RejectState(BaseModel):
    """A rejected row."""

    line: int = Field(description="Line in the file, from 1; for `queue`, the number of the row.")
    raw: str = Field(description="The row's text.")
    reason: str
    corrected_by: CorrectedBy | None = Field(description="The row that counts in its place; null when there is none.")


class RejectsAnswer(BaseModel):
    """A page of the rejects of a source."""

    source: str
    path: str
    rejects: list[RejectState]
    next: int | None = Field(description="Value of `after` for the next page; null on the last page.")


class StoredTotal(BaseModel):
    """The sum of a day and type in one store."""

    version: int
    amount: Amount
    transactions: int = Field(description="Number of transactions.")


class BucketComparison(BaseModel):
    """A day and type in Redis and in the archive."""

    date: str
    type: str
    redis: StoredTotal
    archive: StoredTotal | None
    state: str = Field(
        description="`same`; `ahead`: Redis is newer and the next dump writes it; "
        "`different`: the archive contradicts Redis."
    )


class SourceAccount(BaseModel):
    """The rows of one source. It is balanced when rows = applied + rejected + waiting."""

    source: str
    path: str
    rows: int
    applied: int
    rejected: int
    waiting: int
    balanced: bool
    control_totals: ControlTotals
    contributions: str = Field(
        description="`same`: they add up to the applied rows and control totals; `different`: they do not; "
        "`incomplete`: `KeepContributions` was off for some of its rows."
    )


class Comparison(BaseModel):
    """A grand total, computed in two ways."""

    sources: Amount = Field(description="Sum over all sources.")
    buckets: Amount = Field(description="Sum over all days and types, in Redis and in the archive.")
    balanced: bool = Field(description="True when both sums are equal.")


class ReconcileAnswer(Labelled):
    """The comparison of all sources, of Redis and of the archive."""

    balanced: bool = Field(
        description="True when all sums and complete contributions agree and the archive does not contradict Redis."
    )
    steady: bool = Field(description="False when rows were applied meanwhile; ask again then.")
    waiting_elements: int = Field(description="Number of elements in the queue.")
    transactions: Comparison
    deposits: Comparison
    withdrawals: Comparison
    sources: list[SourceAccount]
    buckets: list[BucketComparison] = Field(description="All days and types that Redis holds.")
    archived_buckets: int = Field(description="Number of days and types in the archive.")
