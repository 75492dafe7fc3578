"""How this process handles memory: blocks and their columns are some megabytes each, totals are many small objects."""

import ctypes
import gc
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
_KEPT_BYTES = 256 << 20
_LARGEST_MMAP_THRESHOLD = 32 << 20
_OBJECTS_BETWEEN_COLLECTIONS = (200_000, 20, 100)


def tune() -> None:
    """Settings that pay in a process that reads blocks or holds totals; both are measured in `docs/benchmarks.md`."""
    gc.set_threshold(*_OBJECTS_BETWEEN_COLLECTIONS)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """For the next block, instead of giving it back to the system each time; does nothing where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 2)
