"""The questions about a new file before anything of it counts: was it imported before, and is it what it should be?"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from daybook.clock import moment_text, utc_now
from daybook.domain.source import Held, Source
from daybook.importing.looking import Look
from daybook.importing.seen_rows import Seen, SeenRows
from daybook.sources.sketch import ALL_ROWS, Hashes, bound_of, unpack
from daybook.stores.held_sources import read_sketches
from daybook.stores.stores import Stores

log = structlog.get_logger("importer")

_MOST_ROWS = 0.5
"""A larger share of rows is most of them."""
_FEWEST_HASHES = 8
"""A sample of fewer rows says nothing, unless it is all rows."""
_FEWEST_ROWS = 20
"""A file with fewer rows is not judged by its rejects."""
_CANDIDATES = 16
_REASONS = 3


class Answers(NamedTuple):
    """What to do with files that raise a question."""

    on_overlap: str = "import"
    """`hold`, `warn`, `import`, or `auto`: hold what was seen at the same path or under the same name, else warn."""
    max_reject_share: float = 1.0
    """Largest share of the first rows that may be rejected."""
    anyway: bool = False
    """Import whatever is held, and hold nothing."""


class _Alike(NamedTuple):
    """A source whose rows a new file has."""

    source: Source
    own: bool
    """True when it was imported from the same path, or under the same name."""
    rows: int
    """Number of rows that were imported before, from this source and others."""
    estimated: bool
    """True when the number comes from a sample."""


class Questions:
    """Asks the questions for all importers of a process. `about` is called for one file at a time."""

    def __init__(self, stores: Stores, answers: Answers) -> None:
        self._redis, self._sources, self.answers = stores.redis, stores.sources, answers
        self._seen = SeenRows()
        self._loaded: set[str] = set()
        """Sources whose sketches need not be read from Redis: they were read to the end, or this process reads them."""

    async def about(self, look: Look) -> Held | None:
        """Return why a new file must be held; None when it may be imported.

        Raises StoreUnavailableError, SourceError.
        """
        if self.answers.anyway:
            return None
        reason = self._rejects(look)
        if reason:
            return Held("rejects", reason, moment_text(utc_now()))
        if self.answers.on_overlap == "import":
            return None
        await self._catch_up()
        if not self._seen:
            return None
        await asyncio.to_thread(look.look_farther)
        alike = await self._alike(look)
        if alike is None:
            return None
        reason = _overlap(alike, look)
        if self.answers.on_overlap == "hold" or (self.answers.on_overlap == "auto" and alike.own):
            return Held("overlap", reason, moment_text(utc_now()), like=alike.source.id)
        log.warning("rows look imported before, and count again", file=str(look.path), reason=reason)
        return None

    def learn(self, source: str, sketch: Hashes) -> None:
        """Note the rows of a source that this process imports."""
        if self.answers.anyway or self.answers.on_overlap == "import":
            return
        self._loaded.add(source)
        self._seen.put(source, sketch)

    def _rejects(self, look: Look) -> str:
        rows, reasons = look.first_rows, look.reasons
        rejected = reasons.total()
        if rows < _FEWEST_ROWS or rejected <= self.answers.max_reject_share * rows:
            return ""
        commonest = "; ".join(f"{reason}: {number:,}" for reason, number in reasons.most_common(_REASONS))
        return (
            f"{rejected:,} of its first {rows:,} rows would be rejected: {commonest} "
            f"(`daybook inspect {look.path}` shows what would mend them)"
        )

    async def _catch_up(self) -> None:
        """Read the sketches of the sources that other processes import or imported."""
        ids = self._sources.indexed_ids
        if len(ids) == len(self._loaded):
            return
        self._loaded &= ids
        for each, found in (await read_sketches(self._redis, ids - self._loaded)).items():
            self._seen.put(each, unpack(found.sketch))
            if found.complete:
                self._loaded.add(each)

    async def _alike(self, look: Look) -> _Alike | None:
        """Return the source that most rows were imported from before; None when most are new."""
        found = sorted(self._seen.find(look.sketch), key=lambda seen: len(seen.places), reverse=True)[:_CANDIDATES]
        if not found:
            return None
        known = {source.id: source for source in await self._sources.some(seen.source for seen in found)}
        counted = [seen for seen in found if seen.source in known and _counts(known[seen.source])]
        for known_to in sorted({seen.bound for seen in counted}, reverse=True):
            bound = min(known_to, bound_of(look.sketch))
            number = int(np.searchsorted(look.sketch, np.uint64(bound), "right"))
            if number < _FEWEST_HASHES and bound != ALL_ROWS:
                continue
            places = {seen.source: _below(seen, number) for seen in counted if seen.bound >= bound}
            share = len(set().union(*places.values())) / max(number, 1)
            if share > _MOST_ROWS:
                rows = round(share * look.rows)
                like, own = _most_alike(look.path, number, places, known)
                return _Alike(like, own, rows, estimated=bound != ALL_ROWS)
        return None


def _counts(source: Source) -> bool:
    """Return whether rows of the source count, or will."""
    return source.held is None and source.reverted is None


def _below(seen: Seen, number: int) -> set[int]:
    """Return those of the seen rows that are among the first `number` of the sketch."""
    return {place for place in seen.places if place < number}


def _most_alike(
    path: Path, number: int, places: Mapping[str, set[int]], known: Mapping[str, Source]
) -> tuple[Source, bool]:
    """Return the source that has the most rows, and whether it is one of the same path or name.

    Where such a source has most of the rows by itself, no other one is named.
    """
    name = _plain_name(str(path))

    def rank(source: str) -> tuple[bool, bool, int]:
        own = _plain_name(known[source].path) == name and len(places[source]) > _MOST_ROWS * number
        return own, own and known[source].path == str(path), len(places[source])

    best = max(places, key=rank)
    return known[best], rank(best)[0]


def _plain_name(path: str) -> str:
    return Path(path).name.removesuffix(".gz").removesuffix(".zip").removesuffix(".csv")


def _overlap(alike: _Alike, look: Look) -> str:
    source, looked_at = alike.source, "" if look.whole else " that were looked at"
    day = f" on {source.since[:10]}" if source.since else ""
    about = "about " if alike.estimated else ""
    return (
        f"{about}{alike.rows:,} of {look.rows:,} rows{looked_at} look like those of {source.shown_path}, "
        f"imported{day} (source {source.id})"
    )
