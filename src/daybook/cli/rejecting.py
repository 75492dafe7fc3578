"""`daybook rejects`: exports rejected rows as CSV and imports corrected rows."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from daybook.books.rejects import Rejects
from daybook.books.verification import all_sources
from daybook.cli.importing import import_all
from daybook.domain.reject import REJECTED_LINE, REJECTED_SOURCE
from daybook.domain.source import Source
from daybook.errors import ConfigurationError, SourceError
from daybook.lifespan import open_stores
from daybook.settings import Settings
from daybook.sources.files import locate
from daybook.sources.reader import BlockReader
from daybook.stores.stores import Stores


async def export(settings: Settings, name: str, output: Path | None) -> int:
    """Write the rejects without a correction to `output`, or to standard output; return how many.

    `name` is the path of an imported file or the id of its source. Raises ConfigurationError when it is not known or
    the output cannot be written.
    """
    async with open_stores(settings, "daybook rejects export", share=True) as stores:
        source = await _find(stores, name)
        rejects = Rejects(stores)
        if output is not None and _absolute(str(output)) == source.path:
            raise ConfigurationError(f"{output}: is the imported file itself: name another file")
        try:
            if output is None:
                return await _write(rejects, source, sys.stdout)
            with output.open("w", encoding="utf-8", newline="") as file:
                return await _write(rejects, source, file)
        except OSError as error:
            raise ConfigurationError(f"{output or 'standard output'}: {error.strerror}") from error


async def import_corrections(settings: Settings, files: Sequence[Path]) -> bool:
    """Import corrected files that `export` wrote; return False when something was not imported.

    Raises SourceError for a file without the columns that name rejected rows.
    """
    for path in (path for file in files for path in locate(str(file))):
        reader = BlockReader(path, complete=True)
        try:
            header = reader.header()
        finally:
            reader.close()
        if header is None or header.layout.rejected is None:
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


async def _write(rejects: Rejects, source: Source, file: TextIO) -> int:
    lines = 0
    async for text in rejects.csv(source):
        file.write(text)
        lines += 1
    return lines - 1
