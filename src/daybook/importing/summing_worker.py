"""A process that adds blocks up for another one: tasks come by standard input, answers go by standard output.

It ends when its standard input does, so it never outlives the process that started it.
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
"""The task's number, and the sums of its block."""


class Task(NamedTuple):
    number: int
    """Comes back with the answer."""
    block: bytes
    layout: Layout
    source: str
    limits: Limits


def work(tasks: BinaryIO, answers: BinaryIO) -> None:
    answers.write(READY)
    answers.flush()
    while True:
        try:
            task: Task = pickle.load(tasks)  # noqa: S301 - from the process that started this one
        except (EOFError, pickle.UnpicklingError):  # at a task's end, or in the middle of one
            return
        answer: Answer = task.number, sum_rows_within(task.block, task.layout, task.source, task.limits)
        pickle.dump(answer, answers, protocol=5)
        answers.flush()


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # whoever started it decides when it ends
    memory.tune()
    try:
        work(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        sys.stdout = None  # nobody reads the last answer
