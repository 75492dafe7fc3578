"""What the API answers, for its OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field, WithJsonSchema

Amount = Annotated[Any, WithJsonSchema({"type": "number", "examples": [17587.95]})]
"""In a schema: an exact JSON number, with as many decimals as it needs, two at least."""

METHOD_TOTALS_EXAMPLE = {"apple_pay": 18536.58, "paypal": 17587.95}


class DayTotals(BaseModel):
    """A day; a type without transactions is an empty object. Amounts are exact JSON numbers."""

    deposits: dict[str, Amount] = Field(examples=[METHOD_TOTALS_EXAMPLE])
    withdrawals: dict[str, Amount] = Field(examples=[METHOD_TOTALS_EXAMPLE])


class StatsAnswer(BaseModel):
    """Days in order; days without transactions are absent."""

    data: dict[str, DayTotals]


class Detail(BaseModel):
    detail: str


class Alive(BaseModel):
    status: str = "ok"


class Readiness(BaseModel):
    ready: bool
    checks: dict[str, str] = Field(
        default_factory=dict, description="What is not as it should be, or `ok`; with `?verbose` all checks."
    )


class ControlTotals(BaseModel):
    """Sums of all rows that are applied, exact decimal text."""

    deposits: str
    withdrawals: str


class ImportState(BaseModel):
    """One source. At every moment rows = applied + rejected + waiting."""

    source: str
    path: str
    fingerprint: str = Field(description="SHA-256 of the content that was read so far.")
    size: int = Field(description="Bytes of content.")
    read_bytes: int
    rows: int
    applied: int
    rejected: int
    waiting: int
    state: str = Field(description="`reading`, `applying`, `done`, or `waiting` (see `problem`).")
    problem: str
    rereads: int = Field(
        description="How often another program took its batches from the queue, so that they were read again."
    )
    control_totals: ControlTotals


class ImportsAnswer(BaseModel):
    imports: list[ImportState]
    problems: dict[str, str] = Field(
        description="Files that cannot be imported at all, and why; a bad CsvFilePath under its own name."
    )


class MethodTotal(BaseModel):
    amount: Amount
    transactions: int


class DayMethods(BaseModel):
    """A day; a type without transactions is an empty object."""

    deposits: dict[str, MethodTotal]
    withdrawals: dict[str, MethodTotal]


class BucketOrigin(BaseModel):
    """Where a day's type comes from."""

    store: str = Field(description="`redis` or `archive`.")
    version: int = Field(description="Grows with every change.")
    as_of: datetime | None = Field(description="When it last changed; in the archive: was last written.")


class DayOrigin(BaseModel):
    deposits: BucketOrigin | None
    withdrawals: BucketOrigin | None
    rows_waiting: bool = Field(description="Whether rows are queued that may belong to this day.")


class AggregatesAnswer(BaseModel):
    data: dict[str, DayMethods]
    unknown: list[str] | None = Field(
        default=None,
        description="With `as_of`: days whose rows were still coming in then, or came later; they are not in `data`.",
    )
    provenance: dict[str, DayOrigin] | None = Field(default=None, description="With `provenance=true`.")


class RestatementState(BaseModel):
    """A later change of one payment method's total of a day that had been archived and had left Redis."""

    date: str
    type: str = Field(description="`deposits` or `withdrawals`.")
    payment_method: str
    old: Amount
    new: Amount
    transactions: int = Field(description="How many came in addition.")
    source: str
    offset: int = Field(description="Bytes of the source before the rows that made the change (`queue`: elements).")
    end_offset: int
    at: datetime = Field(description="When it was applied.")
    version: int


class RestatementsAnswer(BaseModel):
    restatements: list[RestatementState]
    next: str | None = Field(description="Ask again with `after` set to this for the rest; null: there is none.")


class CorrectedBy(BaseModel):
    source: str
    line: int


class RejectState(BaseModel):
    line: int = Field(description="In the file, from 1; of the queue: number of the transaction.")
    raw: str
    reason: str
    corrected_by: CorrectedBy | None = Field(description="The row that counts instead.")


class RejectsAnswer(BaseModel):
    source: str
    path: str
    rejects: list[RejectState]
    next: int | None = Field(description="Ask again with `after` set to this for the rest; null: there is none.")


class StoredTotal(BaseModel):
    version: int
    amount: Amount
    transactions: int


class BucketComparison(BaseModel):
    date: str
    type: str
    redis: StoredTotal
    archive: StoredTotal | None
    state: str = Field(
        description="`same`; `ahead`: the next dump writes it; `different`: the archive contradicts Redis."
    )


class SourceAccount(BaseModel):
    """One source: rows = applied + rejected + waiting."""

    source: str
    path: str
    rows: int
    applied: int
    rejected: int
    waiting: int
    balanced: bool
    control_totals: ControlTotals


class Comparison(BaseModel):
    sources: Amount = Field(description="The sum of the control totals of all sources.")
    buckets: Amount = Field(description="The sum of all buckets, in Redis and in the archive.")
    balanced: bool


class ReconcileAnswer(BaseModel):
    balanced: bool = Field(description="Whether everything fits together.")
    steady: bool = Field(description="False: rows were applied while this was read, so ask again.")
    waiting_elements: int = Field(description="Elements in the queue.")
    transactions: Comparison
    deposits: Comparison
    withdrawals: Comparison
    sources: list[SourceAccount]
    buckets: list[BucketComparison] = Field(description="All buckets that Redis holds.")
    archived_buckets: int = Field(description="How many the archive holds.")
