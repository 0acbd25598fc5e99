"""Line charts as SVG, written by hand: a plotting library would be the largest thing to install."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final

from benchmarks.measure import Measurement

_WIDTH: Final = 640
_HEIGHT: Final = 360
_LEFT: Final = 60
_RIGHT: Final = 150
_TOP: Final = 40
_BOTTOM: Final = 50
_COLOURS: Final = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#d68910", "#555555")

Points = Sequence[tuple[float, float]]


def write_plots(folder: Path, found: Sequence[Measurement]) -> list[Path]:
    """Latency and CPU per order against the rate, of all timed open-loop runs; nothing where there are fewer than two rates."""
    latency: dict[str, list[tuple[float, float]]] = {}
    cpu: dict[str, list[tuple[float, float]]] = {}
    for m in found:
        if not m.run.rate_per_s or m.run.statements:
            continue
        name = m.contender or "this system"
        summary = m.outcome.latency
        for label, seconds in (("p50", summary.p50_s), ("p99", summary.p99_s)):
            if seconds is not None:
                latency.setdefault(f"{name} {label}", []).append((m.run.rate_per_s, seconds * 1000))
        cpu.setdefault(name, []).append((m.run.rate_per_s, m.cpu_ms_per_order))
    if len({m.run.rate_per_s for m in found if m.run.rate_per_s}) < 2:
        return []
    charts = {
        "latency.svg": chart("Latency against rate", "orders/s", "ms from the intended time", latency),
        "cpu.svg": chart("CPU per order against rate", "orders/s", "ms of CPU, everything counted", cpu),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in charts.items():
        (folder / name).write_text(text)
    return [folder / name for name in charts]


def chart(title: str, x_label: str, y_label: str, lines: Mapping[str, Points]) -> str:
    """A chart with logarithmic axes."""
    xs, ys = [x for points in lines.values() for x, _ in points], [y for points in lines.values() for _, y in points]
    x_ticks, y_ticks = _ticks(min(xs), max(xs)), _ticks(min(ys), max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        across = _share(x, x_ticks) * (_WIDTH - _LEFT - _RIGHT)
        up = _share(y, y_ticks) * (_HEIGHT - _TOP - _BOTTOM)
        return _LEFT + across, _HEIGHT - _BOTTOM - up

    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>',
        f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="14" y="{bottom}" transform="rotate(-90 14 {bottom})">{escape(y_label)}</text>',
    ]
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(f'<path d="M{x:.1f} {_TOP}V{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{right}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, y) for x, y in sorted(points)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
        parts.append(f'<text x="{right + 10}" y="{_TOP + 14 * (number + 1)}" fill="{colour}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(least: float, most: float) -> list[float]:
    """1, 2 and 5 times powers of ten around the values."""
    low, high = math.floor(math.log10(max(least, 1e-9))), math.ceil(math.log10(max(most, 1e-9)))
    steps = [factor * 10.0**power for power in range(low, high + 1) for factor in (1, 2, 5)]
    begin = max(index for index, step in enumerate(steps) if step <= max(least, 1e-9) or index == 0)
    end = min((index for index, step in enumerate(steps) if step >= most), default=len(steps) - 1)
    return steps[begin : max(end, begin + 1) + 1]


def _share(value: float, ticks: Sequence[float]) -> float:
    return (math.log10(max(value, 1e-9)) - math.log10(ticks[0])) / (math.log10(ticks[-1]) - math.log10(ticks[0]))
