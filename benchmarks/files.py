"""The generated input files and their exact totals. They are made once and kept in the bench folder."""

import hashlib
import inspect
import json
from collections.abc import Callable
from datetime import date
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from benchmarks import oracle
from benchmarks.measure import BenchmarkError
from benchmarks.oracle import Cell, Totals
from daybook import sample
from daybook.sample import SampleSpec

_CHECKED_ROWS = 10_000
TEN_YEARS = SampleSpec(first_day=date(2016, 1, 1), days=3653, methods=50)


class DataFile(NamedTuple):
    path: Path
    rows: int
    totals: Totals

    @property
    def days(self) -> tuple[str, str]:
        """The first and the last day."""
        days = [day for day, _, _ in self.totals]
        return min(days), max(days)


class Files:
    """Makes files. Their names hold a hash of the generator and its options, so a changed generator makes new files."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder, self._say = folder, say
        self._version = hashlib.sha256(inspect.getsource(sample).encode()).hexdigest()

    def month(self, rows: int) -> DataFile:
        """Return a file of 31 days and 5 payment methods, all rows out of order."""
        return self._generated("month", SampleSpec(rows=rows))

    def ten_years(self, rows: int, late: float) -> DataFile:
        """Return a file of 3,653 days and 50 payment methods, with the share `late` of the rows out of order."""
        return self._generated(f"years-{late:g}", _changed(TEN_YEARS, rows=rows, out_of_order=late))

    def head(self, whole: DataFile, rows: int) -> DataFile:
        """Return a file of the first rows of another file; the other file itself when it has no more rows."""
        if rows >= whole.rows:
            return whole
        return self._with_totals(self.pieces(whole, (rows,))[0], rows)

    def pieces(self, whole: DataFile, sizes: tuple[int, ...]) -> list[Path]:
        """Return consecutive pieces of another file as files with a header. `sizes` are their numbers of rows."""
        paths = [whole.path.with_suffix(f".{len(sizes)}x{size}.{number}.csv") for number, size in enumerate(sizes)]
        if not all(path.exists() for path in paths):
            with whole.path.open("rb") as lines:
                header = next(lines)
                for path, size in zip(paths, sizes, strict=True):
                    draft = path.with_suffix(".draft")
                    with draft.open("wb") as piece:
                        piece.write(header)
                        piece.writelines(islice(lines, size))
                    draft.replace(path)
        return paths

    def _generated(self, name: str, spec: SampleSpec) -> DataFile:
        mark = hashlib.sha256(f"{self._version}{spec}".encode()).hexdigest()[:8]
        path = self._folder / f"{name}-{spec.rows}-{mark}.csv"
        if not path.exists():
            self._say(f"writing {spec.rows:,} rows to {path.name}")
            draft = path.with_suffix(".draft")
            sample.write_sample(spec, draft)
            draft.replace(path)
        return self._with_totals(path, spec.rows)

    def _with_totals(self, path: Path, rows: int) -> DataFile:
        kept = path.with_suffix(".totals.json")
        if not kept.exists():
            self._say(f"adding up {path.name}")
            totals = oracle.by_columns(path)
            self._check(path, rows, totals)
            kept.write_text(json.dumps([[*key, *cell] for key, cell in totals.items()]))
        found = json.loads(kept.read_text())
        return DataFile(path, rows, {(day, kind, method): Cell(*cell) for day, kind, method, *cell in found})

    def _check(self, path: Path, rows: int, totals: Totals) -> None:
        """Compare the fast sums with the plain ones, over the whole of a short file or the beginning of a long one."""
        checked = path
        if rows > _CHECKED_ROWS:
            checked = path.with_suffix(".beginning")
            with path.open("rb") as lines:
                checked.write_bytes(b"".join(islice(lines, _CHECKED_ROWS + 1)))
        alike = oracle.by_columns(checked) == oracle.by_rows(checked)
        if checked != path:
            checked.unlink()
        if not alike or sum(cell.rows for cell in totals.values()) != rows:
            raise BenchmarkError(f"the exact totals of {path.name} cannot be trusted: two computations differ")


def _changed(spec: SampleSpec, *, rows: int, out_of_order: float) -> SampleSpec:
    return SampleSpec(
        rows=rows, first_day=spec.first_day, days=spec.days, methods=spec.methods, out_of_order=out_of_order
    )
