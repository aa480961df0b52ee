"""What a data file holds, column by column."""

from __future__ import annotations

from typing import Any

from plugins.api import Output
from plugins.data import names, tables
from plugins.data.tables import Column, Table
from plugins.data.wording import quantity, rows, table

MOST_COLUMNS = 60


def describe(file: str, sheet: str) -> Output:
    """Answer with rows, columns, their kinds, ranges, missing cells and examples."""
    found = tables.open_table(file, sheet)
    columns = found.all()
    for column in columns:
        found.note_column(column)
        found.note_unreadable(column)
    facts = [_facts(found, column) for column in columns]
    lines = [(f["name"], f["type"], f["values"], f["missing"] or "") for f in facts[:MOST_COLUMNS]]
    size = f"{found.file}: {rows(found.rows)} and {len(columns)} column{'s' * (len(columns) != 1)}."
    text = "\n\n".join(
        [f"{size}\n\n{table(('column', 'type', 'values', 'missing'), lines, MOST_COLUMNS)}", *found.notes]
    )
    return Output(
        value={"file": found.file, "rows": found.rows, "columns": facts, "notes": list(found.notes)}, text=text
    )


def _facts(found: Table, column: Column) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": column.name,
        "type": _kind(column),
        "missing": column.blank,
        "unreadable": column.bad,
    }
    if column.bad:
        facts["unreadable_example"] = column.bad_sample
    filled = len(column) - column.blank
    if column.kind == "number":
        return facts | _number_facts(column)
    if column.kind == "date":
        return facts | _date_facts(column)
    if column.kind == "text":
        return facts | _text_facts(column, filled)
    return facts | {"values": "all empty" if found.rows else "no rows"}


def _kind(column: Column) -> str:
    if column.kind == "number":
        return f"number ({column.unit})" if column.unit else "number"
    return column.precision if column.kind == "date" and column.precision not in {"day", "time"} else column.kind


def _number_facts(column: Column) -> dict[str, Any]:
    import numpy as np

    assert column.numbers is not None
    known = column.numbers[~np.isnan(column.numbers)]
    low, high, middle = float(known.min()), float(known.max()), float(np.median(known))
    if not names.is_measure(column):
        return {"values": f"{low:.15g} to {high:.15g}", "min": low, "max": high}
    shown = f"{quantity(low, column.unit)} to {quantity(high, column.unit)}, median {quantity(middle, column.unit)}"
    return {"values": shown, "min": low, "max": high, "median": middle, "mean": float(known.mean())}


def _date_facts(column: Column) -> dict[str, Any]:
    import numpy as np

    assert column.dates is not None
    known = column.dates[~np.isnat(column.dates)]
    low, high = (moment.astype("datetime64[s]").item() for moment in (known.min(), known.max()))
    shown = f"{low:%Y-%m-%d} to {high:%Y-%m-%d}"
    return {"values": shown, "min": low.isoformat(), "max": high.isoformat()}


def _text_facts(column: Column, filled: int) -> dict[str, Any]:
    import numpy as np

    counts = np.bincount(column.codes, minlength=len(column.distinct))
    ranked = sorted(((int(n), text) for n, text in zip(counts, column.texts(), strict=True) if text), reverse=True)
    if len(ranked) == 1:
        shown = f"always {ranked[0][1]}"
    elif len(ranked) == filled:
        shown = f"all different, such as {ranked[-1][1]}"
    else:
        examples = ", ".join(f"{text[:30]} ({number:,})" for number, text in ranked[:3])
        shown = f"{len(ranked):,} different: {examples}" + (", …" if len(ranked) > 3 else "")
    return {"values": shown, "distinct": len(ranked), "examples": [text for _, text in ranked[:5]]}
