"""Words: eight characters of text as one 64-bit number. A word may begin at any byte of a block.

The first character is the lowest byte of the word. All functions work on arrays with one word for each row.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indexes = NDArray[np.int64]
Mask = NDArray[np.bool_]
WordArray = NDArray[np.uint64]

WORD = 8
_PAD = 8 * WORD
_HIGH_BITS = np.uint64(0x8080808080808080)
_ZEROS = np.uint64(0x3030303030303030)
_TO_HIGH_BIT_ABOVE_9 = np.uint64(0x7676767676767676)
_FIRST = np.array([(1 << 8 * count) - 1 for count in range(WORD)] + [2**64 - 1], np.uint64)
_LAST = np.array([0] + [(2**64 - 1) ^ ((1 << 8 * (WORD - count)) - 1) for count in range(1, WORD + 1)], np.uint64)
_LAST_OR_ALL = np.append(np.array([2**64 - 1], np.uint64), _LAST[1:])
"""The same masks as `_LAST`, but the whole word for 0."""


class Column(NamedTuple):
    """The positions at which the fields of one column begin and end, one for each row."""

    start: Indexes
    end: Indexes


class Words:
    """A block of bytes, padded so that a word may begin up to 64 bytes before it or end up to 64 bytes after it.

    Positions are those of the padded block, whose bytes before `begin` are padding: the block's first byte is
    at position `begin`.
    """

    begin = _PAD

    def __init__(self, block: bytes) -> None:
        padded = bytes(_PAD) + block + bytes(_PAD)
        self.bytes = np.frombuffer(padded, np.uint8)
        self._words: WordArray = np.ndarray((len(padded) - WORD + 1,), "<u8", padded, strides=(1,))
        self._padded = padded

    def at(self, positions: Indexes) -> WordArray:
        """Return the words that begin at `positions`."""
        return self._words[positions]

    def text(self, start: int, end: int) -> bytes:
        return self._padded[start:end]

    def find(self, first: int, second: int) -> Indexes:
        """Return the positions at which the block has either of two bytes, ascending."""
        return np.flatnonzero((self.bytes == first) | (self.bytes == second))


def word(text: bytes) -> np.uint64:
    """Return at most eight characters as a word."""
    return np.uint64(int.from_bytes(text, "little"))


def first(words: WordArray, count: Indexes) -> WordArray:
    """Return the first `count` (0 to 8) characters of each word; the others become 0."""
    return words & _FIRST[count]


def digits_in(words: WordArray, form: bytes) -> tuple[WordArray, Mask]:
    """Return the words with digits as numbers 0 to 9 and separators as 0, and which of the words have the form.

    In the form, `0` stands for a digit and any other character for itself.
    """
    above = word(bytes(0x76 if character == ord("0") else 0x7F for character in form))
    found = words ^ word(form)
    return found, ((found | (found + above)) & _HIGH_BITS) == 0


def last_digits(words: WordArray, count: Indexes) -> tuple[WordArray, Mask]:
    """Return the last `count` (0 to 8) characters as numbers 0 to 9, the others as 0, and where all are digits."""
    kept = _LAST[count]
    found = (words & kept) ^ (_ZEROS & kept)
    return found, ((found | (found + _TO_HIGH_BIT_ABOVE_9)) & _HIGH_BITS) == 0


def without_dot(words: WordArray, decimals: Indexes) -> WordArray:
    """Remove the dot before the last `decimals` (0 to 8) characters; those before it move up by one.

    A number with 0 decimals has no dot and stays as it is.
    """
    kept = _LAST_OR_ALL[decimals]
    return (words & kept) | ((words << np.uint64(8)) & ~kept)


def pairs_of(digits: WordArray) -> WordArray:
    """Return each pair of digits as one number in a lane of 16 bits; the first pair is in the lowest lane."""
    return (digits * np.uint64(10) + (digits >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)


def are_at_most(pairs: WordArray, largest: tuple[int, int, int, int]) -> Mask:
    """Return which words have four pairs that are at most `largest`, pair by pair."""
    room = sum((0x7FFF - bound) << (16 * lane) for lane, bound in enumerate(largest))
    over: WordArray = (pairs + np.uint64(room)) & np.uint64(0x8000800080008000)
    fits: Mask = over == 0
    return fits


def number(pairs: WordArray) -> WordArray:
    """Return the four pairs of each word as one number."""
    fours = (pairs * np.uint64(100) + (pairs >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (fours * np.uint64(10_000) + (fours >> np.uint64(32))) & np.uint64(0xFFFFFFFF)
