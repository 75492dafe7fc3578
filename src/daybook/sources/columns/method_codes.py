"""Codes for the payment methods of a block, found column by column. `check_payment_method` has the rules."""

import numpy as np

from daybook.domain.transaction import MAX_METHOD_LENGTH, check_payment_method
from daybook.sources.columns.words import WORD, Column, Indexes, Mask, WordArray, Words, first
from daybook.sources.records import SPACE
from daybook.sources.sketch import NO_HASHES, method_hash

_HASH_BITS, _HASH_ROUNDS = 14, 16
_HASH_FACTOR = np.uint64(0x9E3779B97F4A7C15)


class MethodCodes:
    """A small hash table of payment methods, which grows from chunk to chunk. Every hit is compared in full."""

    def __init__(self) -> None:
        self.names: list[str] = []
        """Payment methods in the order of their codes. Invalid ones have codes too, but no row with one is sure."""
        self.hashes = NO_HASHES
        """Hash of each name, by its code."""
        self._code_of: dict[bytes, int] = {}
        self._code_of_bin = np.full(1 << _HASH_BITS, -1, np.int64)
        self._valid = np.zeros(0, np.bool_)
        self._lengths = np.zeros(0, np.int64)
        self._parts = [np.zeros(0, np.uint64) for _ in range(MAX_METHOD_LENGTH // WORD)]

    def codes(self, words: Words, column: Column) -> tuple[Indexes, Mask]:
        """Return the code of each row's payment method (an index in `names`), and which rows have a valid one."""
        length = column.end - column.start
        sure = (length >= 1) & (length <= MAX_METHOD_LENGTH)
        length = np.where(sure, length, 0)
        parts = [_part(words, column.start, length, at) for at in range(0, int(length.max(initial=0)), WORD)]
        bins = _hash(length, parts)
        codes = self._code_of_bin[bins]
        if self.names:
            same = (codes >= 0) & (length == self._lengths[codes])
            for part, known in zip(parts, self._parts, strict=False):
                same &= part == known[codes]
            new = np.flatnonzero(~same & sure)
        else:
            new = np.flatnonzero(sure)
        if len(new):
            codes[new] = self._learn(words, column, new, bins, length, parts)
        sure &= codes >= 0
        if not self._valid.all():
            sure &= self._valid[codes]
        return codes, sure

    def _learn(
        self, words: Words, column: Column, rows: Indexes, bins: Indexes, length: Indexes, parts: list[WordArray]
    ) -> Indexes:
        """Add the methods of `rows` to the table. Return their codes, -1 where too many methods share a bin."""
        codes = np.full(len(length), -1, np.int64)
        pending, known, firsts = rows, len(self.names), []
        for _ in range(_HASH_ROUNDS):
            if not len(pending):
                break
            holder = np.full(1 << _HASH_BITS, -1, np.int64)
            holder[bins[pending]] = pending
            found = holder[bins[pending]]
            same = length[pending] == length[found]
            for part in parts:
                same &= part[pending] == part[found]
            used = np.flatnonzero(holder >= 0)
            code_of = np.empty(1 << _HASH_BITS, np.int64)
            for bin_, row in zip(used.tolist(), holder[used].tolist(), strict=True):
                text = words.text(column.start[row], column.end[row])
                code_of[bin_] = code = self._code_of.setdefault(text, len(self.names))
                if code == len(self.names):
                    self.names.append(text.decode("utf-8", "replace"))
                    firsts.append(row)
                    if self._code_of_bin[bin_] < 0:
                        self._code_of_bin[bin_] = code
            codes[pending[same]] = code_of[bins[pending[same]]]
            pending = pending[~same]
        self.hashes = np.append(self.hashes, np.array([*map(method_hash, self.names[known:])], np.uint64))
        self._valid = np.append(self._valid, [_is_method(name) for name in self.names[known:]]).astype(np.bool_)
        self._lengths = np.append(self._lengths, length[firsts])
        for at, part in enumerate(self._parts):
            self._parts[at] = np.append(
                part, parts[at][firsts] if at < len(parts) else np.zeros(len(firsts), np.uint64)
            )
        return codes[rows]


def _part(words: Words, start: Indexes, length: Indexes, at: int) -> WordArray:
    """Return the characters `at` to `at + 7` of each field."""
    if at == 0:
        return first(words.at(start), np.minimum(length, WORD))
    part = np.zeros(len(start), np.uint64)
    longer = np.flatnonzero(length > at)
    part[longer] = first(words.at(start[longer] + at), np.minimum(length[longer] - at, WORD))
    return part


def _hash(length: Indexes, parts: list[WordArray]) -> Indexes:
    mixed = length.astype(np.uint64)
    for part in parts:
        mixed = (mixed ^ part) * _HASH_FACTOR
        mixed ^= mixed >> np.uint64(29)
    return ((mixed * _HASH_FACTOR) >> np.uint64(64 - _HASH_BITS)).astype(np.int64)


def _is_method(text: str) -> bool:
    if text.strip(SPACE) != text:  # a row of a file has no spaces around its method, one of JSON keeps them
        return False
    try:
        return check_payment_method(text) == text
    except ValueError:
        return False
