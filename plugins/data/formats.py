"""The readers, one per kind of file: CSV in its many dialects, workbooks, JSON and JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.data.sheets import Sheet, count, distinct_names, from_rows

_DELIMITERS = ";\t|,"  # a file that all of the first three split evenly is not split at its decimal commas


def decode(data: bytes) -> tuple[str, str]:
    """Return (text, note): UTF-8 or UTF-16 by their marks, UTF-8 if it is valid, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), ""
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "The file is not UTF-8; it was read as Windows-1252 (Latin-1)."


def read_text(path: Path, _sheet: str = "") -> Sheet:
    """Read comma, semicolon, tab or bar separated values."""
    text, note = decode(path.read_bytes())
    if "\x00" in text[:10_000]:
        raise ToolFailure(f"'{path.name}' is a binary file, not a text table.", hint="Export it as CSV or Excel.")
    hint = re.match(r"sep=(.)\r?\n", text)
    delimiter = hint[1] if hint else _delimiter(text)
    lines = text[hint.end() :] if hint else text
    csv.field_size_limit(10_000_000)
    try:
        rows = [row for row in csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter) if any(row)]
    except csv.Error as error:
        raise ToolFailure(f"'{path.name}' is no readable CSV: {error}.", hint="Export it again as CSV.") from error
    return from_rows(path.stem, rows, [note] if note else [], comma_likely=delimiter == ";")


def _delimiter(text: str) -> str:
    """The delimiter that splits the first lines into the most columns, evenly."""
    lines = [line for line in text[:50_000].splitlines()[:60] if line.strip()]
    best = (0.0, ",")
    for mark in _DELIMITERS:
        widths = Counter(len(row) for row in csv.reader(lines, delimiter=mark))
        width, often = widths.most_common(1)[0] if widths else (1, 0)
        if width > 1:
            best = max(best, (often / len(lines) + min(width, 50) / 1000, mark), key=lambda pair: pair[0])
    return best[1]


def check_archive(path: Path, most: int = 600_000_000) -> None:
    """Refuse an Office file that unpacks to more than `most` bytes or to a thousand times its size."""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise ToolFailure(
            f"'{path.name}' is damaged or not what its name says.", hint="Send the file again."
        ) from error
    if unpacked > most or unpacked > max(path.stat().st_size, 1) * 1000:
        raise ToolFailure(f"'{path.name}' unpacks to {unpacked / 1e6:,.0f} MB, which is more than is safe to read.")


def read_workbook(path: Path, sheet: str = "") -> Sheet:
    """Read one sheet of a workbook: the one that is named, or the first that holds something."""
    sheets = workbook(path, sheet)
    filled = [(name, rows) for name, rows in sheets if rows]
    if not filled:
        return Sheet(path.stem, [], [])
    name, rows = filled[0]
    notes = []
    if not sheet and len(filled) > 1:
        others = ", ".join(f"'{other}'" for other, _ in filled[1:6])
        notes.append(f"The sheet '{name}' was read; there {'is' if len(filled) == 2 else 'are'} also {others}.")
    return from_rows(path.stem, rows, notes)


def workbook(path: Path, sheet: str = "") -> list[tuple[str, list[list[Any]]]]:
    """Return (sheet name, rows without blank ones) of a workbook: all of its sheets or the one that is named."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    if path.suffix.lower() in {".xlsx", ".xlsm", ".ods", ".xlsb"} and path.read_bytes()[:4] == b"PK\x03\x04":
        check_archive(path)
    try:
        book = CalamineWorkbook.from_path(path)
        names = _sheet_names(path, book.sheet_names, sheet)
        return [(name, _filled(book.get_sheet_by_name(name).to_python(skip_empty_area=True))) for name in names]
    except PasswordError as error:
        raise ToolFailure(
            f"'{path.name}' is protected by a password.", hint="Save it without one and send it again."
        ) from error
    except (CalamineError, OSError, ValueError) as error:
        raise ToolFailure(
            f"'{path.name}' can't be read as a workbook.", hint="Save it as .xlsx or .csv and send it again."
        ) from error


def _sheet_names(path: Path, names: list[str], wanted: str) -> list[str]:
    if not wanted:
        return names
    found = [name for name in names if name.casefold() == wanted.strip().casefold()]
    if not found:
        raise ToolFailure(f"'{path.name}' has no sheet '{wanted}'.", hint=f"Its sheets are {', '.join(names)}.")
    return found


def _filled(rows: list[list[Any]]) -> list[list[Any]]:
    return [[_cell(cell) for cell in row] for row in rows if any(cell not in ("", None) for cell in row)]


def _cell(cell: Any) -> Any:
    """Excel keeps every number as a float."""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return int(cell) if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 else cell


def read_json(path: Path, _sheet: str = "") -> Sheet:
    """Read a list of records; what is nested once becomes `outer.inner`."""
    text, _ = decode(path.read_bytes())
    notes: list[str] = []
    try:
        records = _records(json.loads(text))
    except json.JSONDecodeError as error:
        records = _json_lines(text, notes)
        if not records:
            raise ToolFailure(
                f"'{path.name}' is not valid JSON: {error}.", hint="Send an array of objects or JSON lines."
            ) from error
    except RecursionError as error:
        raise ToolFailure(f"'{path.name}' is nested too deeply to be a table.") from error
    if not records:
        raise ToolFailure(
            f"'{path.name}' holds no list of records.", hint='Expected is [{"name": value, …}, …] or JSON lines.'
        )
    flat = [_flatten(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    columns = [[_json_cell(record.get(name)) for record in flat] for name in names]
    return Sheet(path.stem, distinct_names(names, len(names)), columns, notes)


def _json_lines(text: str, notes: list[str]) -> list[dict[str, Any]]:
    records, bad = [], 0
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            record = None
        if isinstance(record, dict):
            records.append(record)
        else:
            bad += 1
    if bad:
        verb = ("is", "was") if bad == 1 else ("are", "were")
        notes.append(f"{count(bad, 'line')} that {verb[0]} no JSON object {verb[1]} left out.")
    return records


def _records(data: Any) -> list[dict[str, Any]]:
    """Find the list of records: the document itself, or the longest list within an object."""
    if isinstance(data, dict):
        lists = [
            value for value in data.values() if isinstance(value, list) and any(isinstance(i, dict) for i in value)
        ]
        data = max(lists, key=len) if lists else [data]
    return [item for item in data if isinstance(item, dict)] if isinstance(data, list) else []


def _flatten(record: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{inner}": nested for inner, nested in value.items()}
        else:
            flat[key] = value
    return flat


def _json_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else value


def read_parquet(path: Path, _sheet: str = "") -> Sheet:
    """Read a Parquet file."""
    import duckdb

    try:
        with duckdb.connect(config={"threads": 2}) as database:
            found = database.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = [column[0] for column in found.description or ()]
            rows = found.fetchall()
    except duckdb.Error as error:
        raise ToolFailure(f"'{path.name}' can't be read as Parquet.", hint="Write it again and send it.") from error
    columns = (
        [[_json_cell(cell) for cell in cells] for cells in zip(*rows, strict=True)] if rows else [[] for _ in names]
    )
    return Sheet(path.stem, distinct_names(names, len(names)), columns)
