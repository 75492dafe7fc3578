"""A process that sums up blocks for its parent. It reads tasks from standard input and writes answers to standard
output.

It ends when its standard input ends, so it never outlives its parent.
"""

import pickle
import signal
import sys
from typing import BinaryIO, NamedTuple

from daybook import memory
from daybook.sources.records import Layout
from daybook.sources.row_sums import Limits, RowSums, sum_rows_within

READY = b"\n"

Answer = tuple[int, list[RowSums]]
"""The task's number and the sums of its block."""


class Task(NamedTuple):
    """One block to sum up, with the arguments of `sum_rows_within`."""

    number: int
    """Number of the task; the answer repeats it."""
    block: bytes
    layout: Layout
    source: str
    limits: Limits


def work(tasks: BinaryIO, answers: BinaryIO) -> None:
    """Write `READY`, then answer each task until `tasks` ends. Tasks and answers are pickled."""
    answers.write(READY)
    answers.flush()
    while True:
        try:
            task: Task = pickle.load(tasks)  # noqa: S301 - from the process that started this one
        except (EOFError, pickle.UnpicklingError):  # the input ended, between tasks or within one
            return
        answer: Answer = task.number, sum_rows_within(task.block, task.layout, task.source, task.limits)
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when this process ends
    memory.tune()
    try:
        work(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stdout = None  # the parent is gone; do not flush at exit
