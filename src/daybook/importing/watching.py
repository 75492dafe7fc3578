"""Watches folders: the system tells what changed, where it can; whoever needs all of it looks now and then besides."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import structlog
import watchfiles

log = structlog.get_logger("importer")

_STEP_MS = 200
_DEBOUNCE_MS = 400


class Place(NamedTuple):
    """A folder to watch."""

    folder: Path
    below: bool
    """True when the folders below it are watched, too."""
    inode: int
    """A folder that is made anew must be watched anew."""


class FolderWatch:
    """A thread that waits for changes in one folder. Where it cannot, it logs that once and tells nothing."""

    def __init__(self, on_change: Callable[[set[Path]], None]) -> None:
        """`on_change` gets paths, in the loop that runs now."""
        self._loop, self._on_change = asyncio.get_running_loop(), on_change
        self._place: Place | None = None
        self._stopped = threading.Event()

    def watch(self, place: Place | None) -> None:
        """Watch another place from now on; None: none. A place that is watched already stays watched."""
        if place == self._place:
            return
        self._stopped.set()
        self._place, self._stopped = place, threading.Event()
        if place is not None:
            threading.Thread(target=self._run, args=(place, self._stopped), name="watch", daemon=True).start()

    def _run(self, place: Place, stopped: threading.Event) -> None:
        changes = watchfiles.watch(
            place.folder,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=stopped,
            raise_interrupt=False,
            force_polling=False,
            recursive=place.below,
            ignore_permission_denied=True,
        )
        try:
            for found in changes:
                if stopped.is_set():
                    return
                self._loop.call_soon_threadsafe(self._on_change, {Path(path) for _, path in found})
        except RuntimeError:  # the loop is closed, or the folder's events ended
            log.debug("the folder is no longer watched", folder=str(place.folder), exc_info=True)
        except OSError as error:
            reason = error.strerror or str(error)
            log.warning("changes are found by looking now and then", folder=str(place.folder), reason=reason)
