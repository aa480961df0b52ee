"""Rows of a data file as they are: those that fulfil a condition, sorted, the first of them, or all in a new file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from plugins.api import Output
from plugins.data import filters, names, saving, tables
from plugins.data.tables import Column, Table
from plugins.data.wording import rows, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHOWN = 20
MOST_SHOWN = 200
MOST_VALUES = 500
Order = Literal["ascending", "descending"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: `first` is how many (0: all). The texts are as a person says them; "" leaves that part out."""

    file: str
    where: str = ""
    sort: str = ""
    order: Order = "ascending"
    first: int = 0
    save: str = ""
    sheet: str = ""


def show(wanted: Wanted) -> Output:
    """Answer with the rows; `save` writes all that were asked for."""
    import numpy as np

    found = tables.open_table(wanted.file, wanted.sheet)
    kept = filters.keep(found, wanted.where) if wanted.where.strip() else np.ones(found.rows, dtype=bool)
    order = np.flatnonzero(kept)
    sorted_by = ""
    if wanted.sort.strip():
        column = names.find(found, wanted.sort.strip())
        found.note_column(column)
        order = _sorted(column, order, wanted.order)
        sorted_by = f", sorted by {column.name} ({wanted.order})"
    order = order[: wanted.first] if wanted.first > 0 else order
    saved = saving.write(wanted.save, found.names, _lines(found, order)) if wanted.save.strip() else ""
    return _answer(found, wanted, order, int(kept.sum()), sorted_by=sorted_by, saved=saved)


def _sorted(column: Column, order: NDArray[np.int64], how: Order) -> NDArray[np.int64]:
    """Sort rows by a column; blank and unreadable cells come last either way, and ties keep the file's order."""
    import numpy as np

    if column.numbers is not None:
        known = ~np.isnan(column.numbers)
        ranks = np.unique(column.numbers, return_inverse=True)[1]
    elif column.dates is not None:
        known = ~np.isnat(column.dates)
        ranks = np.unique(column.dates, return_inverse=True)[1]
    else:
        texts = column.texts()
        known = np.array([bool(text) for text in texts], dtype=bool)[column.codes]
        folded = {text: rank for rank, text in enumerate(sorted({text.casefold() for text in texts}))}
        ranks = np.array([folded[text.casefold()] for text in texts], dtype=np.int64)[column.codes]
    signed = -ranks if how == "descending" else ranks
    filled, blank = order[known[order]], order[~known[order]]
    return np.concatenate([filled[np.argsort(signed[filled], kind="stable")], blank])


def _lines(found: Table, order: NDArray[np.int64]) -> list[list[Any]]:
    columns = [_values(found.column(name), order) for name in found.names]
    return [list(line) for line in zip(*columns, strict=True)]


def _values(column: Column, order: NDArray[np.int64]) -> list[Any]:
    """Return numbers as numbers and dates as dates, so that a saved file can be calculated with."""
    import numpy as np

    texts = column.texts()
    if column.numbers is not None:
        whole = column.decimals == 0
        return [
            (texts[code] or None) if np.isnan(number) else int(number) if whole else float(number)
            for number, code in zip(column.numbers[order].tolist(), column.codes[order], strict=True)
        ]
    if column.dates is not None and column.precision in {"day", "time"}:
        moments = column.dates[order].tolist()
        dated = [moment.date() if moment and column.precision == "day" else moment for moment in moments]
        return [moment or texts[code] or None for moment, code in zip(dated, column.codes[order].tolist(), strict=True)]
    return [texts[code] or None for code in column.codes[order].tolist()]


def _answer(
    found: Table, wanted: Wanted, order: NDArray[np.int64], matching: int, *, sorted_by: str, saved: str
) -> Output:
    most = min(wanted.first or SHOWN, MOST_SHOWN)
    lines = _lines(found, order[:MOST_VALUES])
    whose = f" where {wanted.where.strip()}" if wanted.where.strip() else ""
    head = f"{rows(matching)} of {found.rows:,} in {found.file}{whose}{sorted_by}" if whose else ""
    head = head or f"{found.file} has {rows(found.rows)}{sorted_by}"
    shown = min(len(order), most)
    head += "." if shown == matching else f"; the first {shown:,} {'is' if shown == 1 else 'are'}:"
    parts = [head, table(found.names, lines[:most], most), f"Saved as {saved}." if saved else "", *found.notes]
    value = {
        "columns": found.names,
        "rows": [dict(zip(found.names, map(_plain, line), strict=True)) for line in lines],
        "count": matching,
        "saved": saved,
        "notes": list(found.notes),
    }
    return Output(value=value, text="\n\n".join(filter(None, parts)), files=(saved,) if saved else ())


def _plain(cell: Any) -> Any:
    return cell.isoformat() if hasattr(cell, "isoformat") else cell
