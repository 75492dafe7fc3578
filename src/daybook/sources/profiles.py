"""The profile that a file is to be read with: `daybook.toml` beside it or the setting `ImportProfile`, and options."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from daybook.domain.reject import REJECTED_SOURCE
from daybook.domain.source import Source, Stat, name_rejected_rows
from daybook.errors import SourceError
from daybook.sources.files import ContentFile, stat_or_none, unreadable
from daybook.sources.profile import Profile, make_profile
from daybook.sources.records import MAX_RECORD_BYTES, records

PROFILE_NAME = "daybook.toml"
_HEAD_BYTES = 2 * MAX_RECORD_BYTES


@dataclass(frozen=True)
class Profiles:
    """What is told of files that are imported."""

    options: Mapping[str, object] = field(default_factory=dict)
    """Options of the command; each goes before the same key of a TOML file."""
    default: Path | None = None
    """TOML file for folders without one of their own."""
    currency: str = ""
    """Code that the column `currency` of a new source must have; empty: none is asked for."""

    def of(self, path: Path, source: Source | None) -> Profile:
        """Return the profile by which a file is read. Blocks. `source` is the one that the file holds; None: a new one.

        A source keeps its profile, unless it is held and nothing of it was read. Raises SourceError when another one
        is told, or when what is told is wrong.
        """
        told = self._told(path)
        kept = Profile.from_json(source.profile) if source else Profile()
        if source is None or (told is not None and source.held is not None and source.read.offset == 0):
            return msgspec.structs.replace(told or kept, currency=self.currency)
        if kept.currency and self.currency not in ("", kept.currency):
            raise SourceError(
                f"{path}: source {source.id} was imported with Currency={kept.currency}, and now Currency is "
                f"{self.currency}: nothing more is read from it"
            )
        if told is not None and not told.is_like(kept):
            raise SourceError(
                f"{path}: source {source.id} was imported with another profile, and a source keeps its profile: now "
                f"{told.differences(kept)}. Leave the profile out to go on as before"
            )
        return kept

    def of_replacement(self, path: Path, replaced: Source) -> Profile:
        """Return the profile of a new file that takes the place of a source: that of the source, if none is told."""
        told = self._told(path) or Profile.from_json(replaced.profile)
        return msgspec.structs.replace(told, currency=self.currency)

    def _told(self, path: Path) -> Profile | None:
        """Return the profile that is told for a file, None when none is."""
        beside = path.parent / PROFILE_NAME
        found = beside if stat_or_none(beside) else self.default
        if found is None:
            return make_profile(self.options, "import") if self.options else None
        told = read_toml(found)
        where = f"{found}, with the options" if self.options else str(found)
        return make_profile(_laid_over(told, self.options), where)


def _laid_over(told: Mapping[str, object], options: Mapping[str, object]) -> dict[str, object]:
    whole = dict(told) | dict(options)
    for key, value in options.items():
        below = told.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            whole[key] = {**below, **value}
    return whole


def read_toml(path: Path) -> Mapping[str, object]:
    """Return what a TOML file of a profile tells. Raises SourceError when it cannot be read."""
    stat = stat_or_none(path)
    if stat is None:
        raise SourceError(f"{path}: no such file")
    return _read_toml(path, stat)


@lru_cache(maxsize=256)
def _read_toml(path: Path, _: Stat) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unreadable(path, error) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: is no TOML: {error}") from None


def corrected_source(path: Path) -> str | None:
    """Return the id of the source that the first row of a file of corrections names; empty when it has no row yet.

    Returns None for any other file. Blocks. Raises SourceError when the file cannot be read.
    """
    content = ContentFile(path)
    try:
        head = content.read_at(0, _HEAD_BYTES)
    finally:
        content.close()
    found = records(head.removeprefix(b"\xef\xbb\xbf"), final=len(head) < _HEAD_BYTES)
    names = [name.strip().lower() for name in getattr(next(found, None), "fields", None) or []]
    if not name_rejected_rows(names):
        return None
    rows = (record.fields for record in found if record.fields is not None)
    return next((row[names.index(REJECTED_SOURCE)].strip() for row in rows if len(row) == len(names)), "")
