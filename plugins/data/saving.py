"""Writing a table to the workspace: CSV, Excel, JSON, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure

Lines = Sequence[Sequence[Any]]


def inside(path: str) -> Path:
    """Return the path within the workspace; raise ToolFailure for one outside."""
    root = Path.cwd().resolve()
    target = (root / path.strip()).resolve()
    if not target.is_relative_to(root) or target == root:
        raise ToolFailure(f"'{path}' is outside the workspace.", hint="Give a file name, such as result.csv.")
    return target


def write(path: str, names: Sequence[str], lines: Lines) -> str:
    """Write the table in the format of the path's suffix; return the path within the workspace."""
    target = inside(path)
    if not target.suffix:
        target = target.with_suffix(".csv")
    writers: dict[str, Callable[[Path, Sequence[str], Lines], None]] = {
        ".csv": _csv,
        ".xlsx": _xlsx,
        ".json": _json,
        ".parquet": _parquet,
    }
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise ToolFailure(f"A table can't be saved as '{target.suffix}'.", hint=f"Use {', '.join(writers)}.")
    target.parent.mkdir(parents=True, exist_ok=True)
    writer(target, names, lines)
    return str(target.relative_to(Path.cwd().resolve()))


def _csv(target: Path, names: Sequence[str], lines: Lines) -> None:
    with target.open("w", encoding="utf-8-sig", newline="") as file:  # the mark lets Excel see that it is UTF-8
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(lines)


def _xlsx(target: Path, names: Sequence[str], lines: Lines) -> None:
    from openpyxl import Workbook
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Font

    if len(lines) > 1_048_575:
        raise ToolFailure("Excel holds at most 1,048,576 rows.", hint="Save as .csv or .parquet.")
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Result")
    sheet.freeze_panes = "A2"
    head = [WriteOnlyCell(sheet, str(name)) for name in names]
    for cell in head:
        cell.font = Font(bold=True)
    sheet.append(head)
    for line in lines:
        sheet.append([_excel(sheet, value) for value in line])
    book.save(target)


def _excel(sheet: Any, value: Any) -> Any:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if not isinstance(value, (str, list, dict, tuple)):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", str(value))[:32_767])
    cell.data_type = "s"  # a text that begins with '=' stays a text
    return cell


def _json(target: Path, names: Sequence[str], lines: Lines) -> None:
    records = [dict(zip(names, line, strict=True)) for line in lines]
    target.write_text(json.dumps(records, ensure_ascii=False, indent=1, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else str(value)


def _parquet(target: Path, names: Sequence[str], lines: Lines) -> None:
    import duckdb
    import pandas as pd

    frame = pd.DataFrame([list(line) for line in lines], columns=list(names))
    with duckdb.connect() as database:
        database.register("frame", frame)
        destination = str(target).replace("'", "''")
        database.execute(f"COPY frame TO '{destination}' (FORMAT parquet)")
