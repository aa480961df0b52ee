"""SQL over workspace files, with DuckDB: every file is a table in memory; nothing else can be reached."""

from __future__ import annotations

import datetime as dt
import math
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.api import Output, ToolFailure
from plugins.data import saving, tables
from plugins.data.names import inventory
from plugins.data.tables import Column, Table
from plugins.data.wording import rows, table

if TYPE_CHECKING:
    import duckdb

MOST_ROWS = 500
SHOWN_ROWS = 20


def query(files: list[str], sql: str, save: str) -> Output:
    """Answer with the rows of one SELECT; `save` writes all of them."""
    import duckdb

    if not files:
        raise ToolFailure("No file was named to query.", hint="Name at least one data file.")
    opened = _views(files)
    sql = _with_views(sql, files)
    with duckdb.connect(config={"threads": 2, "memory_limit": "600MB", "temp_directory": ""}) as database:
        for view, found in opened.items():
            _put(database, view, found)
        database.execute("SET enable_external_access = false; SET lock_configuration = true")
        names, lines = _run(database, sql, opened)
    notes = [note for found in opened.values() for note in found.notes]
    saved = saving.write(save, names, lines) if save.strip() else ""
    return _answer(names, lines, notes, saved)


def _answer(names: list[str], lines: list[tuple[Any, ...]], notes: list[str], saved: str) -> Output:
    shown = [[_json(cell) for cell in line] for line in lines[:MOST_ROWS]]
    size = f"{rows(len(lines))}."
    if len(lines) > SHOWN_ROWS and not saved:
        size = f'{rows(len(lines))}; the first {SHOWN_ROWS} are shown (save="result.csv" keeps them all).'
    text = "\n\n".join(
        part
        for part in (
            size,
            table(names, [[_shown(cell) for cell in line] for line in lines], SHOWN_ROWS),
            f"Saved as {saved}." if saved else "",
            *notes,
        )
        if part
    )
    value = {
        "columns": names,
        "rows": [dict(zip(names, line, strict=True)) for line in shown],
        "count": len(lines),
        "saved": saved,
        "notes": notes,
    }
    return Output(value=value, text=text, files=(saved,) if saved else (), partial=len(lines) > MOST_ROWS and not saved)


def view_name(file: str) -> str:
    """Return the view's name of a file: `Sales 2024.csv` → `sales_2024`."""
    name = re.sub(r"\W+", "_", Path(file).stem.casefold()).strip("_")
    return f"t_{name}" if not name or name[0].isdigit() else name


def _with_views(sql: str, files: list[str]) -> str:
    """Let a query name a file as such: `FROM sales.csv` or `FROM 'sales.csv'`."""
    for file in files:
        view = quoted(view_name(file))
        for name in sorted({file, Path(file).name}):
            written = re.escape(name)
            form = rf"\b(from|join)(\s+)(?:'{written}'|\"{written}\"|{written}\b)"
            sql = re.sub(form, rf"\1\2{view}", sql, flags=re.IGNORECASE)
    return sql


def _views(files: list[str]) -> dict[str, Table]:
    """Open the files; every sheet of a workbook is a view of its own, the first also under the workbook's name."""
    from plugins.data.files import SHEETS, locate
    from plugins.data.formats import workbook

    opened: dict[str, Table] = {}
    for file in dict.fromkeys(files):
        name = view_name(file)
        if name in opened:
            raise ToolFailure(f"Two files would both be called '{name}'.", hint="Rename one of them.")
        opened[name] = tables.open_table(file)
        path = locate(file)
        if path.suffix.lower() in SHEETS:
            sheets = [sheet for sheet, lines in workbook(path) if lines]
            opened |= (
                {f"{name}_{view_name(sheet)}": tables.open_table(file, sheet) for sheet in sheets}
                if len(sheets) > 1
                else {}
            )
    return opened


def _put(database: duckdb.DuckDBPyConnection, view: str, found: Table) -> None:
    """Copy a table into the database, with its types."""
    import pandas as pd

    for column in found.all():
        found.note_column(column)
        found.note_unreadable(column)
    frame = pd.DataFrame({name: _values(found.column(name)) for name in found.names})
    database.register("incoming", frame)
    # Every name is quoted, and the database holds nothing but these tables.
    selected = ", ".join(_cast(found.column(name)) for name in found.names)
    database.execute(f"CREATE TABLE {quoted(view)} AS SELECT {selected} FROM incoming")  # noqa: S608  # names are quoted
    database.unregister("incoming")


def _values(column: Column) -> Any:
    import numpy as np

    if column.numbers is not None:
        return column.numbers
    if column.dates is not None:
        return column.dates
    texts = np.array([text or None for text in column.texts()] or [None], dtype=object)
    return texts[column.codes]


def _cast(column: Column) -> str:
    """Decimal fractions stay exact; whole numbers stay whole; dates without a time are dates."""
    import numpy as np

    name = quoted(column.name)
    if column.numbers is not None:
        known = column.numbers[~np.isnan(column.numbers)]
        if float(np.abs(known).max(initial=0)) * 10.0 ** min(column.decimals, 9) < 2**53 and column.decimals <= 9:
            kind = "BIGINT" if column.decimals == 0 else f"DECIMAL(18, {column.decimals})"
            return f"CAST(CASE WHEN isnan({name}) THEN NULL ELSE {name} END AS {kind}) AS {name}"
        return f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END AS {name}"
    if column.dates is not None:
        return f"CAST({name} AS {'TIMESTAMP' if column.precision == 'time' else 'DATE'}) AS {name}"
    return f"CAST({name} AS VARCHAR) AS {name}"


def quoted(name: str) -> str:
    """Return a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def _run(
    database: duckdb.DuckDBPyConnection, sql: str, opened: dict[str, Table]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    import duckdb

    try:
        statements = database.extract_statements(sql)
    except duckdb.Error as error:
        raise _failure(error, opened) from error
    if len(statements) != 1 or statements[0].type not in {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}:
        raise ToolFailure(
            "Only one SELECT can be run.", hint="The files themselves are never changed; use `save` for a new file."
        )
    try:
        found = database.execute(statements[0])
        return [column[0] for column in found.description or ()], found.fetchall()
    except duckdb.Error as error:
        raise _failure(error, opened) from error


def _failure(error: Exception, opened: dict[str, Table]) -> ToolFailure:
    views = "; ".join(f"{view}: {inventory(found)}" for view, found in opened.items())
    message = str(error).split("\n\n")[0].split("\nLINE")[0].strip()
    return ToolFailure(f"The SQL can't be run. {message}", hint=f"The tables are {views}.")


def _json(cell: Any) -> Any:
    """Return a cell as JSON: exact decimals as the nearest number, dates in ISO form."""
    if isinstance(cell, Decimal):
        return int(cell) if cell == cell.to_integral() and cell.as_tuple().exponent == 0 else float(cell)
    if isinstance(cell, (dt.date, dt.datetime, dt.time)):
        return cell.isoformat()
    if isinstance(cell, dict):
        return {str(key): _json(value) for key, value in cell.items()}
    if isinstance(cell, (list, tuple)):
        return [_json(value) for value in cell]
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    return cell if cell is None or isinstance(cell, (str, int, float, bool)) else str(cell)


def _shown(cell: Any) -> str:
    if isinstance(cell, float | Decimal):
        number = float(cell)
        return f"{cell:,.2f}" if abs(number) >= 0.01 or number == 0 else f"{number:.3g}"
    return "" if cell is None else str(cell)
