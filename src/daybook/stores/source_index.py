"""Finds the few sources that a file can be, without comparing the file with all of them."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator, KeysView

_KEY_BYTES = 1024
"""Bytes of each head in the index. Longer heads with the same beginning are found together; `identify` compares all."""


class SourceIndex:
    """Paths and beginnings of heads of all sources with a path. Not thread-safe."""

    def __init__(self, places: Iterable[tuple[str, str, bytes]] = ()) -> None:
        """Put `places`: the id, path and head of each source."""
        self._places: dict[str, tuple[str, bytes]] = {}
        self._by_path: dict[str, set[str]] = {}
        self._by_key: dict[bytes, set[str]] = {}
        self._keys: list[bytes] = []
        """Keys of `_by_key`, sorted."""
        for place in places:
            self.put(*place)

    def put(self, source: str, path: str, head: bytes) -> None:
        """Add a source, or move it to another path."""
        if source in self._places:
            self._by_path[self._places[source][0]].discard(source)
        key = self._places[source][1] if source in self._places else head[:_KEY_BYTES]
        self._places[source] = path, key
        self._by_path.setdefault(path, set()).add(source)
        if key not in self._by_key:
            insort(self._keys, key)
        self._by_key.setdefault(key, set()).add(source)

    @property
    def ids(self) -> KeysView[str]:
        return self._places.keys()

    def path_of(self, source: str) -> str | None:
        place = self._places.get(source)
        return place[0] if place else None

    def near(self, path: str, head: bytes) -> set[str]:
        """Return the sources at the path, those whose head begins the file, and those whose head the file begins."""
        key = head[:_KEY_BYTES]
        found = set(self._by_path.get(path, ()))
        for each in (*self._beginnings_of(key), *self._continued(key)):
            found |= self._by_key[each]
        return found

    def _continued(self, key: bytes) -> Iterator[bytes]:
        """Yield the keys that begin with `key`."""
        for position in range(bisect_left(self._keys, key), len(self._keys)):
            if not self._keys[position].startswith(key):
                return
            yield self._keys[position]

    def _beginnings_of(self, key: bytes) -> Iterator[bytes]:
        """Yield the shorter keys that `key` begins with: each is the next lower one of what is left to look for."""
        position = bisect_left(self._keys, key)
        while position > 0:
            lower = self._keys[position - 1]
            if key.startswith(lower):
                yield lower
                position -= 1
            else:
                position = bisect_right(self._keys, key[: _length_alike(lower, key)])


def _length_alike(one: bytes, other: bytes) -> int:
    """Return how many first bytes are the same."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
