"""Reads a Markdown page: its code and links with their line numbers, and the anchors of its headings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_COMMENT = re.compile(r"(?:^|\s)# .*")


class Code(NamedTuple):
    line: int
    text: str
    in_block: bool
    """True for a line of a fenced block, without its comment; False for a span in backticks."""


class Link(NamedTuple):
    line: int
    path: str
    """The path as written on the page; empty for a link within the page."""
    anchor: str


class Page:
    def __init__(self, path: Path) -> None:
        self.path = path

    def code(self) -> Iterator[Code]:
        for number, line, in_block in self._lines():
            texts = [_COMMENT.sub("", line)] if in_block else _SPAN.findall(line)
            yield from (Code(number, text, in_block) for text in texts)

    def links(self) -> Iterator[Link]:
        """Yield all links that stay inside the repository."""
        for number, line, in_block in self._lines():
            for target in () if in_block else _LINK.findall(line):
                if not re.match(r"[a-z]+:", target):
                    path, _, anchor = target.partition("#")
                    yield Link(number, path, anchor)

    def anchors(self) -> set[str]:
        """Return the anchors that GitHub gives to the headings."""
        found: list[str] = []
        for _, line, in_block in self._lines():
            if not in_block and re.match("#{1,6} ", line):
                words = line.lstrip("#").strip().lower()
                found.append(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
        return {f"{name}-{found[:i].count(name)}" if name in found[:i] else name for i, name in enumerate(found)}

    def _lines(self) -> Iterator[tuple[int, str, bool]]:
        in_block = False
        for number, line in enumerate(self.path.read_text().splitlines(), 1):
            if line.lstrip().startswith("```"):
                in_block = not in_block
            else:
                yield number, line, in_block
