"""The lock of a data directory: one process at a time holds it, and the kernel releases it when that process ends."""

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from daybook.errors import ConfigurationError

LOCK_NAME = "daybook.lock"
OWNER_ONLY = 0o600
"""Mode of every file that Daybook creates in a DataDir."""
_LONGEST_NOTE = 4096


class DataDirInUseError(ConfigurationError):
    """Another process holds the data directory."""


class DataDirLock:
    """The lock of one `data_dir`. `purpose` (such as `daybook serve`) names the holder in other processes' messages.

    Entering takes the lock, and first creates the directory (mode 0700) when it is missing.
    Raises DataDirInUseError when another process holds the lock, and ConfigurationError when the directory cannot be
    created, written or locked.
    The lock ends with the process, even by `kill -9`; programs that the process starts do not inherit it.
    The lock's file is never removed: otherwise two processes could lock two files of one name.
    """

    def __init__(self, data_dir: Path, purpose: str) -> None:
        self._data_dir = data_dir
        self._purpose = purpose
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock and note this process in its file. Raises ConfigurationError as the class says."""
        descriptor = self._open()
        try:
            self._lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} {self._purpose}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise unwritable(self._data_dir, error) from error
        except ConfigurationError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def release(self) -> None:
        """Release the lock; do nothing when it is not held."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _open(self) -> int:
        make_directory(self._data_dir)
        try:
            return os.open(self._data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
        except OSError as error:
            raise unwritable(self._data_dir, error) from error

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUseError(
                f"DataDir {self._data_dir} is in use by {_holder(descriptor)}: stop it or choose another DataDir"
            ) from None


def unwritable(data_dir: Path, error: OSError) -> ConfigurationError:
    """Return the error for a data directory in which `error` occurred."""
    return ConfigurationError(f"DataDir {data_dir} cannot be written: {error.strerror}")


def make_directory(path: Path) -> None:
    """Create a directory (mode 0700) and its parents. Raises ConfigurationError when it cannot be created."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigurationError(f"DataDir {path} cannot be used: there is a file of that name") from None
    except OSError as error:
        raise ConfigurationError(f"DataDir {path} cannot be created: {error.strerror}") from error


def _holder(descriptor: int) -> str:
    """Return the purpose and process id that the holder noted in the lock's file."""
    note = os.pread(descriptor, _LONGEST_NOTE, 0).decode(errors="replace")
    pid, _, purpose = note.strip().partition(" ")
    return f"{purpose} (pid {pid})" if pid else "another process"
