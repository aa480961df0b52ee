"""From a request to a picture: which kind of chart, which groups, which file."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from plugins.api import Output, ToolFailure
from plugins.data import answers, drawing, filters, look, names, periods, tables, totals, vocabulary
from plugins.data.drawing import Line, Picture
from plugins.data.grouping import Grouping, group
from plugins.data.tables import Column, Table
from plugins.data.totals import Totals
from plugins.data.wording import rows, together

MOST_BARS = 20
MOST_SLICES = 7
MOST_SERIES = 6
FORMATS = (".png", ".svg", ".pdf")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked to be drawn, as `chart` received it."""

    file: str
    y: str
    x: str
    kind: str
    series: str
    how: str
    where: str
    title: str
    path: str
    sheet: str


def chart(wish: Wish) -> Output:
    """Draw the chart that was asked for and return its file, its numbers and a sentence."""
    table = tables.open_table(wish.file, wish.sheet)
    if wish.where.strip():
        table = _only(table, filters.keep(table, wish.where))
    if wish.kind == "hist" or (wish.kind == "auto" and not wish.x.strip()):
        return _histogram(table, wish)
    if wish.kind == "box":
        return _boxes(table, wish)
    if wish.kind == "scatter" or (wish.kind == "auto" and _both_measured(table, wish)):
        return _scatter(table, wish)
    return _grouped(table, wish)


def _only(table: Table, kept: Any) -> Table:
    """Return the table with the kept rows only."""
    sheet = table.sheet
    columns = [[cell for cell, keep in zip(column, kept, strict=True) if keep] for column in sheet.columns]
    return Table(table.file, replace(sheet, columns=columns), table.notes)


def _both_measured(table: Table, wish: Wish) -> bool:
    """Two columns of many different numbers are compared point by point."""
    named = {vocabulary.plain(name): name for name in table.names}
    x, y = named.get(vocabulary.plain(wish.x)), named.get(vocabulary.plain(wish.y))
    if x is None or y is None:
        return False
    across, up = table.column(x), table.column(y)
    return names.is_measure(across) and names.is_measure(up) and len(across.distinct) > 40


# Numbers per group ----------------------------------------------------------------------------------------------------


def _grouped(table: Table, wish: Wish) -> Output:
    found = totals.of_table(table, wish.y, wish.x, wish.how, coarse=True)
    split = _split(table, found, wish) if wish.series.strip() else None
    shown, rest = _most(found, MOST_SLICES if wish.kind == "pie" else MOST_BARS) if split is None else (found, None)
    picture = split or Picture(
        shown.groups.labels,
        (Line(found.phrase, shown.values),),
        found.unit,
        rest,
        shown.groups.period,
        shown.groups.steps,
    )
    picture = _partly(_filled(picture, found), found)
    draw = _kind(wish, found, picture)
    series = f", by {wish.series}" if split else ""
    title = wish.title or f"{_capital(found.phrase)} by {found.groups.noun}{series}"
    subtitle = _subtitle(found, wish)
    path = _save(wish, title, subtitle, lambda axes: draw(axes, picture), bare=draw is drawing.pie)
    text = together(
        f"Chart of {found.phrase} by {found.groups.noun}{series} ({answers.counted(found)}).",
        answers.summary(found),
        *found.notes,
    )
    value = {"path": path, **answers.value_of(found, found)}
    if split:
        value["series"] = {line.name: list(line.values) for line in picture.lines}
    return Output(value=value, text=text, files=(path,))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _subtitle(found: Totals, wish: Wish) -> str:
    parts = [f"from {found.table.file}", rows(found.used)]
    if wish.where:
        parts.append(wish.where)
    if found.adds_up and len(found.values) > 1:
        parts.append(f"{found.show(found.total)} in all")
    return " · ".join(parts)


def _kind(wish: Wish, found: Totals, picture: Picture) -> Callable[[Any, Picture], None]:
    """Time runs from left to right, in columns while they are few; names are read beside lying bars."""
    if wish.kind == "pie":
        if not found.adds_up or not found.total:
            raise ToolFailure(
                f"A pie shows parts of a whole, and {found.phrase} can't be one.", hint="Ask for bars instead."
            )
        return drawing.pie
    if wish.kind == "line":
        return drawing.line
    if not found.groups.ordered:
        return drawing.bars
    few = len(picture.labels) * len(picture.lines) <= 24
    return drawing.columns if few or (wish.kind == "bar" and len(picture.labels) <= 60) else drawing.line


def _most(found: Totals, most: int) -> tuple[Totals, int | None]:
    """Keep the largest groups; where numbers add up, the others become one called "Other"."""
    if found.groups.ordered or len(found.values) <= most:
        return found, None
    if not found.adds_up:
        found.table.note(f"The chart shows the top {most} of {len(found.values)} by {found.phrase}.")
        return totals.select(found, list(range(most))), None
    shown = totals.select(found, list(range(most - 1)))
    others = found.values[most - 1 :]
    rest = round(sum(value or 0 for value in others), 9)
    kept = f"The chart shows the top {most - 1} of {len(found.values)}"
    if most == MOST_BARS and rest > 1.2 * (shown.values[0] or 0):  # its bar would dwarf those that matter
        found.table.note(f"{kept}; the others add up to {found.show(rest)}.")
        return shown, None
    found.table.note(f"{kept}; the others are taken together.")
    name = f"Other ({len(others)})"
    groups = replace(shown.groups, labels=(*shown.groups.labels, name), keys=(*shown.groups.keys, name))
    return replace(shown, groups=groups, values=(*shown.values, rest), counts=(*shown.counts, 0)), most - 1


def _filled(picture: Picture, found: Totals) -> Picture:
    """Periods without rows get their place on the axis: as zero where numbers add up, as a gap elsewhere."""
    if not found.groups.running or len(picture.steps) < 2:
        return picture
    steps = tuple(range(picture.steps[0], picture.steps[-1] + 1))
    missing = len(steps) - len(picture.steps)
    if not missing or len(steps) > 5000:
        return picture
    absent = 0 if found.how in {"sum", "count", "distinct"} else None
    place = {step: index for index, step in enumerate(picture.steps)}
    lines = tuple(
        Line(line.name, tuple(line.values[place[step]] if step in place else absent for step in steps))
        for line in picture.lines
    )
    period = found.groups.period or "day"
    first = next(step for step in steps if step not in place)
    more = f" and {missing - 1} more" if missing > 1 else ""
    found.table.note(f"There are no rows for {periods.label(first, period)}{more}.")
    return replace(picture, labels=tuple(periods.label(step, period) for step in steps), lines=lines, steps=steps)


def _partly(picture: Picture, found: Totals) -> Picture:
    """Mark the first and last period where the data begins or ends within it, and say so."""
    if found.how not in {"sum", "count", "distinct"}:
        return picture
    ends = totals.incomplete(found)
    if ends:
        labels = " and ".join(found.groups.labels[index] for index in ends)
        found.table.note(f"{labels} {'is' if len(ends) == 1 else 'are'} not complete in the data.")
    places = {0: 0, len(found.values) - 1: len(picture.labels) - 1}
    return replace(picture, partly=tuple(places[index] for index in ends))


def _split(table: Table, found: Totals, wish: Wish) -> Picture:
    """One line per value of the series column: the largest ones, and the others together where they add up."""
    import numpy as np

    series = group(table, wish.series, np.ones(table.rows, dtype=bool))
    sizes = np.bincount(series.codes[series.codes >= 0], minlength=len(series.labels))
    chosen = np.argsort(-sizes, kind="stable")[:MOST_SERIES]
    if len(series.labels) > MOST_SERIES:
        table.note(
            f"The chart shows the {MOST_SERIES} most frequent of {len(series.labels)} values of '{series.noun}'."
        )
    lines = []
    for code in sorted(int(c) for c in chosen):
        part = _part(table, wish, series.codes == code)
        values = dict(zip(part.groups.keys, part.values, strict=True)) if part else {}
        absent = 0 if found.how in {"sum", "count", "distinct"} else None
        lines.append(Line(series.labels[code], tuple(values.get(key, absent) for key in found.groups.keys)))
    return Picture(found.groups.labels, tuple(lines), found.unit, None, found.groups.period, found.groups.steps)


def _part(table: Table, wish: Wish, kept: Any) -> Totals | None:
    """The same numbers for a part of the rows, without saying everything twice."""
    quiet = table.quietly()  # shares the typed columns
    measure = names.measure(quiet, wish.y or "rows")
    groups = group(quiet, wish.x, kept, coarse=False)
    if not groups.labels:
        return None
    try:
        return totals.per_group(quiet, measure, totals.settle(measure, wish.how, wish.y), groups)
    except ToolFailure:
        return None


# Numbers row by row ---------------------------------------------------------------------------------------------------


def _number_column(table: Table, wanted: str) -> Column:
    column = names.find(table, wanted)
    if column.numbers is None:
        raise ToolFailure(
            f"'{column.name}' of {table.file} holds no numbers.", hint=f"Its columns are {names.inventory(table)}."
        )
    table.note_column(column)
    return column


def _known(table: Table, *columns: Column) -> Any:
    """Return which rows have a number in all the columns; say how many have not."""
    import numpy as np

    known = np.ones(table.rows, dtype=bool)
    for column in columns:
        known &= ~np.isnan(column.numbers if column.numbers is not None else np.array([]))
    missing = int((~known).sum())
    if missing:
        which = names.listed([column.name for column in columns], "or")
        table.note(f"{rows(missing)} without a number in {which} {'was' if missing == 1 else 'were'} left out.")
    if not known.any():
        raise ToolFailure(
            f"No row of {table.file} has numbers to draw.", hint=f"Its columns are {names.inventory(table)}."
        )
    return known


def _scatter(table: Table, wish: Wish) -> Output:
    import numpy as np

    across, up = _number_column(table, wish.x), _number_column(table, wish.y)
    known = _known(table, across, up)
    x, y = across.numbers[known], up.numbers[known]  # type: ignore[index]
    varied = len(x) > 2 and float(np.ptp(x)) > 0 and float(np.ptp(y)) > 0
    correlation = float(np.corrcoef(x, y)[0, 1]) if varied else None
    said = "" if correlation is None else f"Their correlation is {correlation:.2f}."
    title = wish.title or f"{_capital(up.name)} against {across.name}"
    subtitle = f"from {table.file} · {rows(len(x))}" + (f" · correlation {correlation:.2f}" if said else "")
    path = _save(
        wish, title, subtitle, lambda axes: drawing.scatter(axes, x, y, (across.name, up.name), (across.unit, up.unit))
    )
    text = together(f"Chart of {up.name} against {across.name} ({len(x):,} points).", said, *table.notes)
    return Output(
        value={"path": path, "points": len(x), "correlation": correlation, "notes": list(table.notes)},
        text=text,
        files=(path,),
    )


def _histogram(table: Table, wish: Wish) -> Output:
    import numpy as np

    column = _number_column(table, wish.y or wish.x)
    values = column.numbers[_known(table, column)]  # type: ignore[index]
    title = wish.title or f"Distribution of {column.name}"
    path = _save(
        wish,
        title,
        f"from {table.file} · {rows(len(values))}",
        lambda axes: drawing.histogram(axes, values, column.name, column.unit),
    )
    facts = {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "max": float(values.max()),
    }
    said = ", ".join(f"{name} {look.short(number, column.unit)}" for name, number in facts.items())
    text = together(f"Distribution of {column.name} over {len(values):,} rows: {said}.", *table.notes)
    return Output(value={"path": path, **facts, "notes": list(table.notes)}, text=text, files=(path,))


def _boxes(table: Table, wish: Wish) -> Output:
    import numpy as np

    column = _number_column(table, wish.y)
    known = _known(table, column)
    groups = (
        group(table, wish.x, known, coarse=True)
        if wish.x.strip()
        else Grouping("all", np.where(known, 0, -1), ("all",), ("all",), ordered=True)
    )
    sizes = np.bincount(groups.codes[groups.codes >= 0], minlength=len(groups.labels))
    chosen = sorted(int(i) for i in np.argsort(-sizes, kind="stable")[:MOST_BARS])
    if len(groups.labels) > len(chosen):
        table.note(f"The chart shows the {len(chosen)} most frequent of {len(groups.labels)} groups.")
    parts = [column.numbers[groups.codes == i] for i in chosen]  # type: ignore[index]
    labels = [groups.labels[i] for i in chosen]
    title = wish.title or f"{_capital(column.name)} by {groups.noun}"
    path = _save(
        wish,
        title,
        f"from {table.file} · {rows(int(known.sum()))}",
        lambda axes: drawing.boxes(axes, parts, labels, column.unit),
    )
    medians = {label: float(np.median(part)) for label, part in zip(labels, parts, strict=True)}
    text = together(f"Chart of the spread of {column.name} by {groups.noun}.", *table.notes)
    return Output(value={"path": path, "medians": medians, "notes": list(table.notes)}, text=text, files=(path,))


# The file -------------------------------------------------------------------------------------------------------------


def _save(wish: Wish, title: str, subtitle: str, draw: Callable[[Any], None], *, bare: bool = False) -> str:
    """Draw on fresh axes and write the picture; return its path within the workspace."""
    target = _target(wish, title)
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with mpl.rc_context(cast("Any", look.style())), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # such a letter is drawn as a box
        figure = Figure(figsize=look.SIZE, dpi=look.DPI)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.03, 0.03, 0.94, 0.78)) if bare else figure.add_subplot()
        draw(axes)
        look.heading(figure, title, subtitle)
        if not bare:
            legend = 0.045 if axes.get_legend() else 0.0
            figure.tight_layout(rect=(0.015, 0.01, 0.985, 0.86 - legend))
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target)
    return str(target.relative_to(Path.cwd().resolve()))


def _target(wish: Wish, title: str) -> Path:
    """Return where the picture goes: inside the workspace, never over the data."""
    slug = "-".join(vocabulary.words(title))[:60] or "chart"
    root = Path.cwd().resolve()
    path = (root / (wish.path.strip() or f"{slug}.png")).resolve()
    if not path.suffix:
        path = path.with_suffix(".png")
    if path.suffix.lower() not in FORMATS:
        raise ToolFailure(f"A chart can't be written as '{path.suffix}'.", hint=f"Use {', '.join(FORMATS)}.")
    if not path.is_relative_to(root):
        raise ToolFailure(f"'{wish.path}' is outside the workspace.", hint="Give a file name.")
    return path
