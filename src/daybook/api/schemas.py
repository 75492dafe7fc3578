"""What the API answers, for its OpenAPI document."""

from decimal import Decimal

from pydantic import BaseModel, Field

METHOD_TOTALS_EXAMPLE = {"apple_pay": 18536.58, "paypal": 17587.95}


class DayTotals(BaseModel):
    """A day; a type without transactions is an empty object. Amounts are exact JSON numbers."""

    deposits: dict[str, Decimal] = Field(examples=[METHOD_TOTALS_EXAMPLE])
    withdrawals: dict[str, Decimal] = Field(examples=[METHOD_TOTALS_EXAMPLE])


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
    control_totals: ControlTotals


class ImportsAnswer(BaseModel):
    imports: list[ImportState]
    problems: dict[str, str] = Field(
        description="Files that cannot be imported at all, and why; a bad CsvFilePath under its own name."
    )
