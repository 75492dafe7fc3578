"""`python -m torture.programs.turned_clock serve`: Daybook with a clock that the campaign sets while it runs."""

import os
from datetime import datetime, timedelta
from pathlib import Path

from daybook import clock

OFFSET_VARIABLE = "DAYBOOK_TORTURE_CLOCK"
"""Environment variable with the name of a file; the file holds the seconds by which the clock is ahead."""


def _turned(true_now: datetime) -> datetime:
    return true_now + timedelta(seconds=float(Path(os.environ[OFFSET_VARIABLE]).read_text()))


if __name__ == "__main__":
    true_clock = clock.utc_now
    clock.utc_now = lambda: _turned(true_clock())
    from daybook.cli import main  # all imports of the clock from here on get the turned one

    main()
