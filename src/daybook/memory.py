"""Memory settings for two loads: blocks and their columns of some megabytes each, and totals of many small objects."""

import ctypes
import gc
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Parameter numbers of mallopt(3)."""
_KEPT_BYTES = 256 << 20
_LARGEST_MMAP_THRESHOLD = 32 << 20
_OBJECTS_BETWEEN_COLLECTIONS = (200_000, 20, 100)


def tune() -> None:
    """Tune the garbage collector and the allocator for a process that reads blocks or holds totals.

    `docs/benchmarks.md` tells what both cost without it.
    """
    gc.set_threshold(*_OBJECTS_BETWEEN_COLLECTIONS)
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Keep freed memory for the next block instead of returning it to the system. Does nothing without glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
        mallopt(_ARENA_MAX, 2)
