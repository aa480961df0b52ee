"""Small charts of the last days, drawn as SVG by the page's template: bars, stacked where there are kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.domain.states import Status
from agent.web.admin.views import WORDS, money, number

if TYPE_CHECKING:
    from agent.domain.days import Day

WIDE, HIGH, TOP = 420, 120, 12
EDGE = 18  # what half a label takes
ORDER = ("COMPLETED", "RUNNING", "WAITING_APPROVAL", "READY", "PENDING", "CANCELLED", "FAILED")


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle in pixels; `kind` is a status or "" and says its colour, `about` is its tooltip."""

    x: float
    y: float
    wide: float
    high: float
    kind: str
    about: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart: `labels` are (x, text) below it, `total` and `most` are words."""

    title: str
    total: str
    most: str
    bars: tuple[Bar, ...]
    labels: tuple[tuple[float, str], ...]
    about: str


def charts_of(days: Sequence[Day]) -> list[Chart]:
    """Return the charts of the page of metrics."""
    return [
        _chart("Runs", days, lambda day: _ordered(day.runs)),
        _chart("Steps", days, lambda day: _ordered(day.steps)),
        _chart("Money", days, lambda day: {"": day.money}, money),
        _chart("Model calls", days, lambda day: {"": float(day.calls)}),
        _chart("Tokens", days, lambda day: {"": float(day.tokens)}),
    ]


def _ordered(counts: Mapping[str, int]) -> dict[str, float]:
    return {status: float(counts[status]) for status in ORDER if status in counts}


def _chart(
    title: str,
    days: Sequence[Day],
    parts: Callable[[Day], Mapping[str, float]],
    said: Callable[[float], str] = number,
) -> Chart:
    found = [parts(day) for day in days]
    sums = [sum(one.values()) for one in found]
    most, step = max(sums, default=0.0), WIDE / max(1, len(days))
    bars: list[Bar] = []
    for n, (day, one) in enumerate(zip(days, found, strict=True)):
        words = {kind: f"{_date(day.begins)}: {said(many)} {_kind(kind)}".strip() for kind, many in one.items()}
        bars += _stack(n * step, step, {kind: HIGH * many / most for kind, many in one.items() if many > 0}, words)
    every = max(1, len(days) // 7)
    wanted = [n for n in range(len(days)) if not (len(days) - 1 - n) % every]
    labels = tuple((min(max(n * step + step / 2, EDGE), WIDE - EDGE), _date(days[n].begins)) for n in wanted)
    total = said(sum(sums))
    about = f"{title} of the last {len(days)} days: {total} in all, {said(most)} on the busiest day"
    return Chart(title, total, said(most), tuple(bars), labels, about)


def _kind(kind: str) -> str:
    return WORDS[Status(kind)] if kind else ""


def _stack(x: float, step: float, parts: Mapping[str, float], words: Mapping[str, str]) -> list[Bar]:
    """Return the bars of a day, from the bottom up; `parts` are their heights in pixels."""
    bars, bottom = [], float(TOP + HIGH)
    for kind, wanted in parts.items():
        high = max(1.0, wanted)
        bottom -= high
        bars.append(Bar(round(x + 1.5, 1), round(bottom, 1), round(step - 3, 1), round(high, 1), kind, words[kind]))
    return bars


def _date(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%d.%m.")
