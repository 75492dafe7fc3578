"""The rows that were imported before: an index of the sketches of all sources, in bounded memory."""

from collections import defaultdict
from typing import NamedTuple

import numpy as np

from daybook.sources.sketch import ALL_ROWS, NO_HASHES, Hashes, bound_of

_MOST = 1 << 20
"""Largest number of hashes in the index: 12 MiB. Above it only the smaller half of all possible hashes is kept on."""
_RECENT = 1 << 14
_SOURCES_EACH = 16
"""Largest number of sources that are named for one hash."""


class Seen(NamedTuple):
    """The rows of a sketch that one source has, too."""

    source: str
    places: list[int]
    """Indexes in the sketch, ascending."""
    bound: int
    """The index knows every row of the source whose hash is not larger."""


class SeenRows:
    """Hashes of sketches, each with its sources. Not thread-safe."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._bound = ALL_ROWS
        self._ids: list[str] = []
        self._numbers: dict[str, int] = {}
        self._bounds: list[int] = []
        self._hashes, self._sources = NO_HASHES, np.zeros(0, np.int32)
        """The hashes in ascending order, and the number of the source of each."""
        self._added: list[tuple[Hashes, int]] = []
        """The hashes that came last, with the number of their source; they move to the arrays together."""
        self._recent: dict[int, int] = {}
        """The same: the number of the first source of each hash."""
        self._further: defaultdict[int, list[int]] = defaultdict(list)
        """The further sources of hashes in `_recent`."""
        self._added_entries = 0

    def __len__(self) -> int:
        return len(self._hashes) + self._added_entries

    def put(self, source: str, sketch: Hashes) -> None:
        """Add a source, or the rows that its sketch has more than before."""
        number = self._numbers.setdefault(source, len(self._ids))
        is_new = number == len(self._ids)
        if is_new:
            self._ids.append(source)
            self._bounds.append(ALL_ROWS)
        self._bounds[number] = bound_of(sketch)
        if self._bound != ALL_ROWS:
            sketch = sketch[sketch <= np.uint64(self._bound)]
        if not is_new:
            known = {place for place, each in self._find(sketch) if each == number}
            sketch = np.delete(sketch, list(known))
        self._added.append((sketch, number))
        self._added_entries += len(sketch)
        hashes = sketch.tolist()
        for each in self._recent.keys() & hashes:
            self._further[each].append(number)
        self._recent.update(dict.fromkeys(set(hashes).difference(self._recent), number))
        if self._added_entries > _RECENT:
            self._settle()

    def find(self, sketch: Hashes) -> list[Seen]:
        """Return the sources that have rows of the sketch."""
        places: defaultdict[int, list[int]] = defaultdict(list)
        for place, number in sorted(self._find(sketch)):
            places[number].append(place)
        return [Seen(self._ids[each], found, min(self._bounds[each], self._bound)) for each, found in places.items()]

    def _find(self, sketch: Hashes) -> set[tuple[int, int]]:
        """Return pairs of a place in the sketch and the number of a source that has that row."""
        found = set()
        if len(self._hashes):
            first = np.searchsorted(self._hashes, sketch)
            there = self._hashes[np.minimum(first, len(self._hashes) - 1)] == sketch
            for place in np.flatnonzero(there).tolist():
                last = min(np.searchsorted(self._hashes, sketch[place], "right"), first[place] + _SOURCES_EACH)
                found |= {(place, number) for number in self._sources[first[place] : last].tolist()}
        if common := self._recent.keys() & (hashes := sketch.tolist()):
            for place in (place for place, each in enumerate(hashes) if each in common):
                numbers = (self._recent[hashes[place]], *self._further.get(hashes[place], ()))
                found |= {(place, number) for number in numbers[-_SOURCES_EACH:]}
        return found

    def _settle(self) -> None:
        """Move the recent hashes to the arrays, and halve the bound while there are too many."""
        parts, numbers = zip(*self._added, strict=True)
        hashes = np.concatenate(parts)
        sources = np.repeat(np.array(numbers, np.int32), [len(part) for part in parts])
        order = np.argsort(hashes)
        hashes, sources = hashes[order], sources[order]
        places = np.searchsorted(self._hashes, hashes)
        self._hashes = np.insert(self._hashes, places, hashes)
        self._sources = np.insert(self._sources, places, sources)
        self._added, self._added_entries, self._recent = [], 0, {}
        self._further.clear()
        while len(self._hashes) > self._most:
            self._bound //= 2
            kept = int(np.searchsorted(self._hashes, np.uint64(self._bound), "right"))
            self._hashes, self._sources = self._hashes[:kept].copy(), self._sources[:kept].copy()
