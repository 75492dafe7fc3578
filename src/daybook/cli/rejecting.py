"""`daybook rejects`: exports rejected rows as CSV and imports corrected rows."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TextIO

from daybook.books.rejects import Rejects
from daybook.books.verification import all_sources
from daybook.cli.importing import import_all
from daybook.cli.waiting import stores_to_read
from daybook.domain.reject import REJECTED_LINE, REJECTED_SOURCE
from daybook.domain.source import Source
from daybook.errors import ConfigurationError, SourceError
from daybook.logs import printable_lines
from daybook.settings import Settings
from daybook.sources.files import locate
from daybook.sources.profiles import corrected_source
from daybook.stores.stores import Stores


async def export(settings: Settings, name: str, output: Path | None, *, spreadsheet_safe: bool = False) -> int:
    """Write the rejects without a correction to `output`, or to standard output; return how many.

    `name` is the path of an imported file or the id of its source. Raises ConfigurationError when it is not known or
    the output cannot be written.
    """
    async with stores_to_read(settings, "daybook rejects export") as stores:
        source = await _find(stores, name)
        lines = Rejects(stores).csv(source, spreadsheet_safe=spreadsheet_safe)
        if output is not None and _absolute(str(output)) == source.path:
            raise ConfigurationError(f"{output}: is the imported file itself: name another file")
        try:
            if output is None:
                return await _write(lines, sys.stdout)
            with output.open("w", encoding="utf-8", newline="") as file:
                return await _write(lines, file)
        except OSError as error:
            raise ConfigurationError(f"{output or 'standard output'}: {error.strerror}") from error


async def import_corrections(settings: Settings, files: Sequence[Path]) -> int:
    """Import corrected files that `export` wrote; return the exit code.

    Raises SourceError for a file without the columns that name rejected rows.
    """
    for path in (path for file in files for path in locate(str(file))):
        if corrected_source(path) is None:
            raise SourceError(
                f"{path}: has no columns {REJECTED_SOURCE} and {REJECTED_LINE}: "
                "name a file that `daybook rejects export` wrote"
            )
    return await import_all(settings, files, complete=True)


async def _find(stores: Stores, name: str) -> Source:
    path = _absolute(name)
    for source in reversed(await all_sources(stores)):
        if name == source.id or path == source.path:
            return source
    raise ConfigurationError(f"{name}: neither the path nor the id of an imported file (see GET /v1/imports)")


def _absolute(name: str) -> str:
    return str(Path(name).expanduser().absolute())


async def _write(lines: AsyncIterator[str], file: TextIO) -> int:
    """Write the header and the rows; return the number of rows.

    On a terminal control characters are written as escapes, because the terminal would obey them.
    """
    number = 0
    async for text in lines:
        file.write(printable_lines(text) if file.isatty() else text)
        number += 1
    return number - 1
