"""Draws the comparison as an SVG for light and dark pages, with one bar for each system."""

from collections.abc import Sequence
from html import escape

from benchmarks.results import Speed

_WIDTH, _LABEL, _NOTE = 860, 210, 250
_BAR, _PITCH, _TOP = 20, 44, 74
_STYLE = """\
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 }
.small { font-size: 11px; fill: #57606a }
.bar { fill: #b6bec7 }
.ours { fill: #0969da }
.spread { stroke: #24292f; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } .bar { fill: #565e68 } .ours { fill: #4493f8 }
  .spread { stroke: #e6edf3 }
}\
"""


def draw(speeds: Sequence[Speed], rows: int) -> str:
    """Return the chart as SVG text, the fastest system first."""
    ranked = sorted(speeds, key=lambda speed: -speed.rate.median)
    longest = max((speed.rate.most for speed in ranked), default=1.0)
    scale = (_WIDTH - _LABEL - _NOTE) / longest
    height = _TOP + _PITCH * len(ranked) + 8
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title">',
        f"<style>{_STYLE}</style>",
        f'<text id="title" class="title" x="0" y="22">Rows a second, {rows:,} rows of one CSV file</text>',
        '<text class="small" x="0" y="42">Bars: median of the rounds; lines: slowest to fastest.</text>',
    ]
    for number, speed in enumerate(ranked):
        lines += _bar(speed, _TOP + _PITCH * number, scale)
    return "\n".join([*lines, "</svg>", ""])


def _bar(speed: Speed, top: int, scale: float) -> list[str]:
    end, middle = _LABEL + speed.rate.median * scale, top + _BAR / 2
    least, most = (_LABEL + rate * scale for rate in (speed.rate.least, speed.rate.most))
    kind = "bar ours" if speed.ours else "bar"
    exact = "exact" if speed.exact == "yes" else "not exact"
    return [
        f'<text x="{_LABEL - 10}" y="{middle + 4:.1f}" text-anchor="end">{escape(speed.name)}</text>',
        f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{max(end - _LABEL, 1):.1f}" height="{_BAR}" rx="2"/>',
        f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{middle:.1f}" y2="{middle:.1f}"/>',
        f'<text x="{most + 8:.1f}" y="{top + 9}">{_short(speed.rate.median)}, {exact}</text>',
        f'<text class="small" x="{most + 8:.1f}" y="{top + 24}">keeps: {escape(speed.keeps)}</text>',
    ]


def _short(rate: float) -> str:
    if rate >= 1e6:
        return f"{rate / 1e6:.1f} M/s"
    return f"{rate / 1e3:.0f} k/s" if rate >= 1e4 else f"{rate / 1e3:.1f} k/s"
