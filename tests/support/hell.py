"""The checks that fuzzers run on arbitrary bytes, and the inputs that are kept for them."""

from collections.abc import Callable
from pathlib import Path

from support.csv_from_hell import check_csv
from support.queue_from_hell import check_batch, check_elements, check_json, check_sealed

KEPT = Path(__file__).parents[1] / "data" / "hell"
"""A folder for each check: its first inputs, and every input on which it failed once."""

Check = Callable[[bytes, Path], object]
"""Takes an input and an empty folder for files. Raises when Daybook is wrong."""

CHECKS: dict[str, Check] = {
    "csv": check_csv,
    "json": lambda data, _: check_json(data),
    "batch": lambda data, _: check_batch(data),
    "sealed": lambda data, _: check_sealed(data),
    "elements": lambda data, _: check_elements(data),
}
