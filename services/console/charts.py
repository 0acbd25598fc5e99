"""Charts as SVG, made on the server. Lines differ by their dashes and bars by their texts: nobody has to tell colours apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, log10
from typing import Final

from markupsafe import Markup, escape

WIDTH: Final = 640
HEIGHT: Final = 200
#: Room for the numbers at the left, and for the times below.
LEFT: Final = 56
BELOW: Final = 24
#: So many lines can be told apart: each has a dash of its own in console.css.
STYLES: Final = 8


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its name and its points; None where nothing is known, which leaves a gap."""

    name: str
    points: Sequence[tuple[datetime, float | None]]

    @property
    def last(self) -> float | None:
        """What it is now."""
        return self.points[-1][1] if self.points else None


def line_chart(title: str, series: Sequence[Series]) -> Markup:
    """The lines over one axis of time, from 0 up. The legend tells each line's style, name and last value."""
    moments = [at for one in series for at, _ in one.points]
    values = [value for one in series for _, value in one.points if value is not None]
    if not values or min(moments) == max(moments):
        return Markup('<p class="dim">There is nothing to draw yet: it takes two looks.</p>')
    begin, end, top = min(moments), max(moments), ceiling(max(values))
    span_s = (end - begin).total_seconds()

    def x(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - 8) * (at - begin).total_seconds() / span_s

    def y(value: float) -> float:
        return 8 + (HEIGHT - BELOW - 8) * (1 - value / top)

    parts = [_grid(top, begin, end)]
    for number, one in enumerate(series):
        for run in _runs(one.points):
            path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in run)
            parts.append(f'<polyline class="line line-{number % STYLES}" points="{path}"/>')
    told = ", ".join(f"{one.name} {_number(one.last)}" for one in series)
    drawing = (
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{escape(title)}. Now: {escape(told)}">'
        f"{''.join(parts)}</svg>"
    )
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 36 8" aria-hidden="true"><line class="line line-{number % STYLES}" x1="0" y1="4" '
        f'x2="36" y2="4"/></svg> {escape(one.name)} <strong>{_number(one.last)}</strong></li>'
        for number, one in enumerate(series)
    )
    return Markup(f'{drawing}<ul class="legend">{legend}</ul>')  # noqa: S704 - every text in it is escaped above


def bar(value: float, most: float) -> Markup:
    """A bar of a table; its number stands beside it as text."""
    width = 0 if most <= 0 else max(0.0, min(100.0, 100 * value / most))
    rect = f'<rect width="{width:.1f}" height="10"/>'
    return Markup(f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">{rect}</svg>')  # noqa: S704


def ceiling(value: float) -> float:
    """The next round number: 1, 2 or 5 with zeros."""
    if value <= 1:
        return 1
    magnitude = 10.0 ** int(log10(value))
    return next(step * magnitude for step in (1, 2, 5, 10) if value <= step * magnitude)


def _grid(top: float, begin: datetime, end: datetime) -> str:
    bottom = HEIGHT - BELOW
    lines = []
    for part in (0.0, 0.5, 1.0):
        at = 8 + (bottom - 8) * (1 - part)
        lines.append(f'<line class="grid" x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - 8}" y2="{at:.1f}"/>')
        lines.append(
            f'<text class="tick" x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(top * part)}</text>'
        )
    lines.append(f'<text class="tick" x="{LEFT}" y="{HEIGHT - 6}">{begin:%H:%M:%S}</text>')
    lines.append(f'<text class="tick" x="{WIDTH - 8}" y="{HEIGHT - 6}" text-anchor="end">{end:%H:%M:%S} UTC</text>')
    return "".join(lines)


def _runs(points: Sequence[tuple[datetime, float | None]]) -> list[list[tuple[datetime, float]]]:
    runs: list[list[tuple[datetime, float]]] = [[]]
    for at, value in points:
        if value is None:
            runs.append([])
        else:
            runs[-1].append((at, value))
    return [run for run in runs if run]


def _number(value: float | None) -> str:
    if value is None:
        return "?"
    return f"{ceil(value):,}" if value == ceil(value) else f"{value:,.1f}"
