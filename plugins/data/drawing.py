"""The kinds of chart, each drawn on one pair of axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugins.data import look, periods
from plugins.data.look import ACCENT, INK, PALE, PALETTE, QUIET, REST

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Line:
    """A series: its name and a value (or None) for each position of the chart."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn: labels along the axis, one or more series, the unit, and which label is the rest of many.

    `partly` are the positions of periods that the data covers only in part; they are drawn so that it shows.
    """

    labels: tuple[str, ...]
    lines: tuple[Line, ...]
    unit: str = ""
    rest: int | None = None
    period: periods.Period | None = None
    steps: tuple[int, ...] = ()
    partly: tuple[int, ...] = ()


def columns(axes: Any, picture: Picture) -> None:
    """Upright bars for a few periods; the highest stands out and has its value."""
    count, width = len(picture.lines), 0.78 / len(picture.lines)
    for number, line in enumerate(picture.lines):
        places = [index + (number - (count - 1) / 2) * width for index in range(len(picture.labels))]
        heights = [value or 0.0 for value in line.values]
        colours: Any = _highlight(line.values) if count == 1 else PALETTE[number % len(PALETTE)]
        drawn = axes.bar(places, heights, width=width * 0.94, color=colours, label=line.name, zorder=2)
        for index in picture.partly:
            drawn[index].set(hatch="///", edgecolor="white", linewidth=0)
    _time_ticks(axes, picture)
    axes.yaxis.set_major_formatter(look.axis_number(picture.unit))
    axes.margins(y=0.12)
    if count == 1:
        _mark_columns(axes, picture)
    else:
        _legend(axes)
    _ground(axes, picture)


def _highlight(values: Sequence[float | None]) -> list[str]:
    known = [value for value in values if value is not None]
    top = max(known) if len(known) > 1 else None
    return [ACCENT if top is None or value == top else PALE for value in values]


def _mark_columns(axes: Any, picture: Picture) -> None:
    values = picture.lines[0].values
    known = [value for value in values if value is not None]
    every = len(values) <= 12
    for index, value in enumerate(values):
        if value is None or not (every or value == max(known)):
            continue
        strong = value == max(known) and len(known) > 1
        axes.annotate(
            look.short(value, picture.unit),
            (index, value),
            xytext=(0, 4 if value >= 0 else -4),
            textcoords="offset points",
            ha="center",
            va="bottom" if value >= 0 else "top",
            fontsize=9,
            color=INK if strong else QUIET,
            fontweight="bold" if strong else "normal",
        )


def bars(axes: Any, picture: Picture) -> None:
    """Lying bars for categories, so that their names can be read."""
    count = len(picture.lines)
    height = (0.78 if count > 1 or len(picture.labels) > 5 else 0.6) / count
    for number, line in enumerate(picture.lines):
        places = [index + (number - (count - 1) / 2) * height for index in range(len(picture.labels))]
        colours: Any = PALETTE[number % len(PALETTE)]
        if count == 1:
            colours = _highlight([None if i == picture.rest else v for i, v in enumerate(line.values)])
            colours = [REST if index == picture.rest else colour for index, colour in enumerate(colours)]
        axes.barh(
            places,
            [value or 0.0 for value in line.values],
            height=height * 0.94,
            color=colours,
            label=line.name,
            zorder=2,
        )
        if len(picture.labels) * count <= 30:
            _mark_bars(axes, line, places, picture.unit)
    axes.set_yticks(range(len(picture.labels)), [look.label(text) for text in picture.labels])
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks([])
    axes.margins(x=0.12, y=0.02)
    axes.axvline(0, color=QUIET, linewidth=0.8, zorder=3)
    if count > 1:
        _legend(axes)


def _mark_bars(axes: Any, line: Line, places: Sequence[float], unit: str) -> None:
    for place, value in zip(places, line.values, strict=True):
        if value is not None:
            axes.annotate(
                look.short(value, unit),
                (value, place),
                xytext=(5 if value >= 0 else -5, 0),
                textcoords="offset points",
                va="center",
                ha="left" if value >= 0 else "right",
                fontsize=9,
                color=INK,
            )


def line(axes: Any, picture: Picture) -> None:
    """A line over time, or over an ordered axis; the highest and lowest points are named."""
    single = len(picture.lines) == 1
    places = list(range(len(picture.labels)))
    for number, one in enumerate(picture.lines):
        heights = [float("nan") if value is None else value for value in one.values]
        marker = "o" if len(places) <= 40 else None
        axes.plot(
            places,
            heights,
            color=PALETTE[number % len(PALETTE)],
            linewidth=2.2,
            marker=marker,
            markersize=4,
            label=one.name,
            zorder=3,
        )
        if single and min(v for v in one.values if v is not None) >= 0:
            axes.fill_between(places, heights, color=ACCENT, alpha=0.08, linewidth=0, zorder=1)
    _time_ticks(axes, picture)
    axes.yaxis.set_major_formatter(look.axis_number(picture.unit))
    axes.margins(x=0.02, y=0.16)
    if single:
        _mark_ends(axes, picture)
    else:
        _legend(axes)
    _ground(axes, picture)


def _ground(axes: Any, picture: Picture) -> None:
    """Numbers that are not far from zero begin at zero; a line far above it may show its own range."""
    known = [value for one in picture.lines for value in one.values if value is not None]
    if min(known) >= 0:
        axes.set_ylim(bottom=0)
    elif max(known) > 0:
        axes.axhline(0, color=QUIET, linewidth=0.8, zorder=2)


def _mark_ends(axes: Any, picture: Picture) -> None:
    values = picture.lines[0].values
    known = [(value, index) for index, value in enumerate(values) if value is not None]
    if len(known) < 3:
        return
    for (value, index), above in ((max(known), True), (min(known), False)):
        axes.plot([index], [value], "o", color=ACCENT if above else "#D55E00", markersize=7, zorder=4)
        edge = index / max(len(values) - 1, 1)
        axes.annotate(
            f"{look.label(picture.labels[index])}: {look.short(value, picture.unit)}"
            f"{' (not complete)' if index in picture.partly else ''}",
            (index, value),
            xytext=(0, 9 if above else -9),
            textcoords="offset points",
            va="bottom" if above else "top",
            ha="left" if edge < 0.12 else "right" if edge > 0.88 else "center",
            fontsize=9,
            fontweight="bold" if above else "normal",
            color=INK,
            zorder=5,
        )


def _legend(axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles,
        [look.label(text, 22) for text in labels],
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=min(len(labels), 5),
        fontsize=9,
        handlelength=1.2,
        columnspacing=1.2,
        borderaxespad=0.2,
    )


def _time_ticks(axes: Any, picture: Picture) -> None:
    """Name as many positions as there is room for; months and days carry the year only where it begins."""
    texts = _tick_texts(picture)
    room = 16 if max(map(len, texts)) <= 4 else 12 if max(map(len, texts)) <= 8 else 7
    every = max(1, -(-len(texts) // room))
    if picture.period == "month" and every > 1:
        every = next((step for step in (2, 3, 4, 6, 12) if step >= every), 12)
    first = _first_tick(picture, every)
    chosen = list(range(first, len(texts), every))
    if not picture.steps:
        texts = [look.label(text, 14) for text in texts]
    axes.set_xticks(chosen, [_with_year(picture, index, texts, chosen) for index in chosen])


def _first_tick(picture: Picture, every: int) -> int:
    """Begin where the calendar does, so that a January is among the named months."""
    if picture.period != "month" or every == 1:
        return 0
    return next((i for i, step in enumerate(picture.steps[:every]) if step % 12 % every == 0), 0)


def _tick_texts(picture: Picture) -> list[str]:
    if picture.period == "month":
        return [periods.MONTHS[step % 12][:3] for step in picture.steps]
    if picture.period in {"day", "week"}:
        days = [periods.start(step, picture.period) for step in picture.steps]
        return [f"{day.day} {periods.MONTHS[day.month - 1][:3]}" for day in days]
    if picture.period == "quarter":
        return [f"Q{step % 4 + 1}" for step in picture.steps]
    if picture.period in {"weekday", "month of year"}:
        return [text[:3] for text in picture.labels]
    return list(picture.labels)


def _with_year(picture: Picture, index: int, texts: Sequence[str], chosen: Sequence[int]) -> str:
    if picture.period not in {"month", "quarter", "day", "week"}:
        return texts[index]
    year = periods.start(picture.steps[index], picture.period).year
    place = chosen.index(index)
    before = periods.start(picture.steps[chosen[place - 1]], picture.period).year if place else None
    return f"{texts[index]}\n{year if year != before else ' '}"


def pie(axes: Any, picture: Picture) -> None:
    """A ring of shares, named beside it, largest first."""
    values = [value or 0.0 for value in picture.lines[0].values]
    colours = [REST if index == picture.rest else PALETTE[index % len(PALETTE)] for index in range(len(values))]
    total = sum(values)
    wedges, *_ = axes.pie(
        values,
        startangle=90,
        counterclock=False,
        colors=colours,
        radius=1.15,
        center=(-0.9, 0),
        wedgeprops={"width": 0.45, "edgecolor": "white", "linewidth": 2},
    )
    axes.text(-0.9, 0, look.short(total, picture.unit), ha="center", va="center", fontsize=17, fontweight="bold")
    names = [
        f"{look.label(text)}   {100 * value / total:.1f} %   ({look.short(value, picture.unit)})"
        for text, value in zip(picture.labels, values, strict=True)
    ]
    axes.legend(
        wedges, names, loc="center left", bbox_to_anchor=(0.56, 0.5), fontsize=10.5, labelspacing=0.9, handlelength=1
    )
    axes.set_xlim(-2.2, 2.2)


def scatter(
    axes: Any, x: NDArray[np.float64], y: NDArray[np.float64], names: tuple[str, str], units: tuple[str, str]
) -> None:
    """A point for each row; many points become pale, so that their density shows."""
    alpha = 0.75 if len(x) < 300 else 0.35 if len(x) < 5000 else 0.12
    axes.scatter(x, y, s=26 if len(x) < 2000 else 9, color=ACCENT, alpha=alpha, linewidths=0, zorder=3, rasterized=True)
    axes.grid(axis="both")
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.xaxis.set_major_formatter(look.axis_number(units[0]))
    axes.yaxis.set_major_formatter(look.axis_number(units[1]))


def histogram(axes: Any, values: NDArray[np.float64], name: str, unit: str) -> None:
    """How many rows lie in each range of a number; the median is marked."""
    import numpy as np

    whole = bool(np.all(values == np.round(values))) and np.ptp(values) <= 40
    edges = (
        np.arange(values.min(), values.max() + 2) - 0.5
        if whole
        else np.histogram_bin_edges(values, bins=min(40, max(8, int(len(values) ** 0.5))))
    )
    axes.hist(values, bins=edges, color=PALE, edgecolor="white", linewidth=1, zorder=2)
    median = float(np.median(values))
    axes.axvline(median, color=ACCENT, linewidth=2, zorder=3)
    axes.annotate(
        f"median {look.short(median, unit)}",
        (median, 0.98),
        xycoords=("data", "axes fraction"),
        xytext=(6, 0),
        textcoords="offset points",
        fontsize=9.5,
        fontweight="bold",
        color=ACCENT,
        va="top",
    )
    axes.set_xlabel(name)
    axes.set_ylabel("rows")
    axes.xaxis.set_major_formatter(look.axis_number(unit))
    axes.yaxis.set_major_formatter(look.axis_number(""))


def boxes(axes: Any, parts: Sequence[NDArray[np.float64]], labels: Sequence[str], unit: str) -> None:
    """A box per group: the middle half, its median, and whiskers to 1.5 times the box."""
    axes.boxplot(
        parts,
        orientation="horizontal",
        widths=0.55,
        patch_artist=True,
        showfliers=sum(map(len, parts)) < 5000,
        boxprops={"facecolor": PALE, "edgecolor": ACCENT},
        medianprops={"color": INK, "linewidth": 2},
        whiskerprops={"color": ACCENT},
        capprops={"color": ACCENT},
        flierprops={"markersize": 3, "markeredgecolor": QUIET},
    )
    axes.set_yticks(range(1, len(labels) + 1), [look.label(text) for text in labels])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.xaxis.set_major_formatter(look.axis_number(unit))
