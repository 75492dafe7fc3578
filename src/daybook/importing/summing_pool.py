"""Sums up blocks in worker processes: several at once, and without taking the interpreter from the event loop."""

import asyncio
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Coroutine
from contextlib import suppress
from itertools import count
from typing import Any, Self, TypeVar, cast

import structlog

from daybook.importing.summing_worker import READY, Answer, Task
from daybook.sources.records import Layout
from daybook.sources.row_sums import Limits, RowSums, sum_rows_within

log = structlog.get_logger("summing")

WORTH_A_PROCESS = 2 << 20
"""Bytes from which a block goes to a worker; a smaller block is summed faster than it is passed on."""
WORTH_A_THREAD = 8 << 10
"""Bytes up to which a block is read and summed faster than a thread takes it on."""
_MOST_WORKERS = 4
_MOST_DEATHS = 3
_PIPE_BYTES = 1 << 20
_numbers = count(1)
Answered = TypeVar("Answered")


class WorkerError(Exception):
    """A worker process died or gave a wrong answer. Its block can be summed again elsewhere."""


class SummingWorker:
    """One worker process; it works on one task at a time."""

    def __init__(self, python: str = sys.executable) -> None:
        """Start the process. Raises OSError when `python` cannot be started."""
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, no shell
            [python, "-P", "-m", "daybook.importing.summing_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._tasks, self._answers = self._process.stdin, self._process.stdout
        _widen(self._tasks.fileno())

    def wait_until_ready(self) -> bool:
        """Block until the worker is ready; return False when it died instead."""
        return self._answers.read(1) == READY

    def sum_block(self, task: Task) -> list[RowSums]:
        """Return the sums of a task's block. Blocks. Raises WorkerError when the worker does not give them."""
        try:
            pickle.dump(task, self._tasks, protocol=5)
            self._tasks.flush()
            number, sums = cast(Answer, pickle.load(self._answers))  # noqa: S301 - from a process of our own
        except Exception as error:
            raise WorkerError(str(error) or "it closed its output") from error
        if number != task.number:
            raise WorkerError("it answered a different task")
        return sums

    def kill(self) -> None:
        """Kill the process and wait until it has ended. Blocks."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._tasks, self._answers):
            with suppress(OSError):
                pipe.close()


class SummingPool:
    """Sums up blocks: large blocks in worker processes, all others in a thread of this process.

    The workers start with the first large block, or at `start()`. A block whose worker dies is summed in a thread.
    """

    def __init__(self, workers: int | None = None, python: str = sys.executable) -> None:
        """Take the number of `workers`.

        The default is one for each processor that this process may use, at most 4; 0 on a single processor.
        """
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._wanted = workers if workers is not None else (min(processors, _MOST_WORKERS) if processors > 1 else 0)
        self._python = python
        self._workers: set[SummingWorker] = set()
        self._jobs: set[asyncio.Task[Any]] = set()
        """Tasks that outlive the caller of `sum_block`: a worker starts, works or is buried."""
        self._idle: asyncio.Queue[SummingWorker | None] = asyncio.Queue()
        """Workers without a task. None stands for "no workers left"; a task that takes it puts it back."""
        self._deaths = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._wanted = 0
        for worker in list(self._workers):
            await asyncio.to_thread(worker.kill)
        while self._jobs:
            await asyncio.wait(self._jobs)

    def start(self) -> None:
        """Start the missing workers. Does not wait until they are ready."""
        while len(self._workers) < self._wanted:
            try:
                worker = SummingWorker(self._python)
            except OSError as error:
                self._do_without(str(error))
                return
            self._workers.add(worker)
            self._begin(self._get_ready(worker))

    async def _get_ready(self, worker: SummingWorker) -> None:
        if await asyncio.to_thread(worker.wait_until_ready):
            self._idle.put_nowait(worker)
        elif self._wanted:
            self._bury(worker, "a summing worker did not start", "it ended before it was ready")

    async def sum_block(
        self, block: bytes, layout: Layout, source: str, limits: Limits, stopped: threading.Event
    ) -> list[RowSums]:
        """Return the sums of a block's rows, as `sum_rows_within` does."""
        if self._wanted and len(block) >= WORTH_A_PROCESS:
            self.start()
            worker = await self._idle.get()
            if worker is not None:
                with suppress(WorkerError):
                    return await self._ask(worker, Task(next(_numbers), block, layout, source, limits))
            else:
                self._idle.put_nowait(None)
        if len(block) <= WORTH_A_THREAD:
            return sum_rows_within(block, layout, source, limits, stopped)
        return await asyncio.to_thread(sum_rows_within, block, layout, source, limits, stopped)

    async def _ask(self, worker: SummingWorker, task: Task) -> list[RowSums]:
        """Return the worker's answer. When the caller is cancelled, the worker stays busy until it has answered.

        A worker that dies is buried, even when the caller is gone.
        """
        asking = self._begin(asyncio.to_thread(worker.sum_block, task))

        def end(done: asyncio.Task[list[RowSums]]) -> None:
            if done.cancelled():
                return
            if error := done.exception():
                self._bury(worker, "a summing worker died; this process sums its block", str(error))
            else:
                self._idle.put_nowait(worker)

        asking.add_done_callback(end)
        return await asyncio.shield(asking)

    def _begin(self, work: Coroutine[Any, Any, Answered]) -> asyncio.Task[Answered]:
        """Start a task that `__aexit__` waits for."""
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    def _bury(self, worker: SummingWorker, event: str, reason: str) -> None:
        """Remove a dead worker, log `event`, and start another worker, unless too many have died."""
        self._workers.discard(worker)
        self._begin(asyncio.to_thread(worker.kill))
        if not self._wanted:
            return
        self._deaths += 1
        log.warning(event, reason=reason, deaths=self._deaths)
        if self._deaths < _MOST_DEATHS:
            self.start()
        else:
            self._do_without("too many workers died")

    def _do_without(self, reason: str) -> None:
        log.warning("imports go on without summing workers and are slower", reason=reason)
        self._wanted = 0
        self._idle.put_nowait(None)


def _widen(pipe: int) -> None:
    """Make a pipe's buffer larger, where the system can, so that writer and reader wait less for each other."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl  # noqa: PLC0415 - not on every system

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
