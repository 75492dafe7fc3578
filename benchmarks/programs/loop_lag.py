"""Runs `daybook import` of a file in this process and watches its event loop; prints JSON as its last line.

A task ticks every millisecond. The delay of a tick is the time for which the loop was not free. In that time the loop's
thread worked, or it waited for a processor or for the interpreter's lock. Its processor time shows which. Another
thread notes the call of the loop's thread when a tick is late.
"""

import asyncio
import json
import statistics
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import uvloop

from daybook import memory, settings
from daybook.cli.exits import Exit
from daybook.cli.importing import import_all

_TICK_SECONDS = 0.001
_LATE_SECONDS = 0.008


class Gap(NamedTuple):
    seconds: float
    own_seconds: float
    """Processor time of the loop's thread within the gap."""
    end: float


class LoopWatch:
    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self._ticked = time.perf_counter()
        self._places: list[tuple[float, str]] = []
        self._thread_id = threading.get_ident()
        self._closed = threading.Event()

    async def tick(self) -> None:
        threading.Thread(target=self._look, daemon=True).start()
        while True:
            begun, own = time.perf_counter(), time.thread_time()
            self._ticked = begun
            await asyncio.sleep(_TICK_SECONDS)
            now = time.perf_counter()
            self.gaps.append(Gap(now - begun - _TICK_SECONDS, time.thread_time() - own, now))

    def close(self) -> None:
        self._closed.set()

    def where(self, gap: Gap) -> str:
        """Return the call in which the loop's thread was last seen within a gap."""
        seen = [place for at, place in self._places if gap.end - gap.seconds <= at <= gap.end]
        return f"in `{seen[-1]}`" if seen else "place not seen"

    def _look(self) -> None:
        while not self._closed.wait(_TICK_SECONDS * 5):
            if time.perf_counter() - self._ticked > _LATE_SECONDS:
                frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - documented in spite of its name
                self._places.append((time.perf_counter(), _place(frame)))


def _place(frame: FrameType | None) -> str:
    """Return the innermost call and the innermost call of Daybook, as `file:function`."""
    names: list[str] = []
    while frame is not None and len(names) < 2:
        path = Path(frame.f_code.co_filename)
        if "daybook" in path.parts or not (names or path.name.startswith("<")):
            names.append(f"{path.name}:{frame.f_code.co_name}")
        frame = frame.f_back
    return " under ".join(names)


async def watched(file: Path) -> tuple[LoopWatch, bool]:
    watch = LoopWatch()
    ticking = asyncio.create_task(watch.tick())
    try:
        code = await import_all(settings.load(replay_speed=0), [file], complete=False)
    finally:
        watch.close()
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking
    return watch, code == Exit.DONE


if __name__ == "__main__":
    memory.tune()
    watch, done = uvloop.run(watched(Path(sys.argv[1])))
    if not done:
        sys.exit("the import failed")
    longest = max(watch.gaps)
    thousandths = statistics.quantiles([gap.seconds * 1000 for gap in watch.gaps], n=1000, method="inclusive")
    print(
        json.dumps(
            {
                "longest_ms": longest.seconds * 1000,
                "own_ms": longest.own_seconds * 1000,
                "most_own_ms": max(gap.own_seconds for gap in watch.gaps) * 1000,
                "p999_ms": statistics.quantiles([gap.seconds for gap in watch.gaps], n=1000, method="inclusive")[-1]
                * 1000,
                "where": watch.where(longest),
            }
        )
    )
