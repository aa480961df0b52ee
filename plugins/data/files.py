"""Reading tables: CSV in its many dialects, Excel and OpenDocument sheets, JSON, JSON lines, Parquet.

`load` returns a `Sheet`: column names and raw cells, and notes on what was assumed or left out. Nothing is typed here.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.data import dates, numbers

TEXT = (".csv", ".tsv", ".txt", ".tab")
SHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
JSON = (".json", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*TEXT, *SHEETS, *JSON, *PARQUET)

MOST_BYTES = 200_000_000
MOST_CELLS = 20_000_000
_DELIMITERS = ",;\t|"
_TOTALS = re.compile(
    r"(grand |sub|sub-)?total|sum|summe|gesamt(summe)?|insgesamt|totaux|ensemble|total (général|general)", re.I
)


@dataclass(slots=True)
class Sheet:
    """A table as read: `columns[i]` are the raw cells of `names[i]`, all equally long."""

    name: str
    names: list[str]
    columns: list[list[Any]]
    notes: list[str] = field(default_factory=list)
    comma_likely: bool = False
    headed: bool = True

    @property
    def rows(self) -> int:
        """The number of rows, without the header."""
        return len(self.columns[0]) if self.columns else 0


def locate(file: str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Return the workspace file that was named, forgiving case and a missing suffix; raise ToolFailure naming the others."""
    root = Path.cwd().resolve()
    path = (root / file).resolve()
    if not path.is_relative_to(root):
        raise ToolFailure(f"'{file}' is outside the workspace.", hint="Send the file here first, then name it.")
    if path.is_file():
        return path
    if path.is_dir():
        raise ToolFailure(f"'{file}' is a folder.", hint=f"Name a file in it. {_present(root, suffixes)}")
    wanted = {file.casefold(), *(file.casefold() + suffix for suffix in suffixes)}
    alike = [found for found in root.glob("*") if found.is_file() and found.name.casefold() in wanted]
    if len(alike) == 1:
        return alike[0]
    raise ToolFailure(f"There is no file '{file}' in the workspace.", hint=_present(root, suffixes))


def _present(root: Path, suffixes: Sequence[str]) -> str:
    found = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    if not found:
        return f"No such file is here yet; send one ({', '.join(suffixes)})."
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return f"Files here: {', '.join(found[:10])}{more}."


def load(file: str, sheet: str = "") -> Sheet:
    """Read a table from the workspace. `sheet` names a sheet of a workbook; without it the first with a table is taken."""
    path = locate(file)
    size = path.stat().st_size
    if size == 0:
        raise ToolFailure(
            f"'{file}' is empty (0 bytes).", hint="Send the file again; the upload may have been cut off."
        )
    if size > MOST_BYTES:
        raise ToolFailure(
            f"'{file}' has {size / 1e6:,.0f} MB; this tool reads up to {MOST_BYTES / 1e6:,.0f} MB.",
            hint="Use a smaller extract of it.",
        )
    suffix = path.suffix.lower()
    reader = _reader(suffix)
    if reader is None:
        raise ToolFailure(f"'{file}' is no table that can be read.", hint=f"Readable are {', '.join(SUFFIXES)}.")
    found = reader(path, sheet)
    if not found.names:
        raise ToolFailure(f"'{file}' holds no table: no cell is filled.", hint="Check the file and send it again.")
    _drop_totals(found)
    return found


def _reader(suffix: str) -> Callable[[Path, str], Sheet] | None:
    for suffixes, reader in (
        (TEXT, _read_text),
        (SHEETS, _read_workbook),
        (JSON, _read_json),
        (PARQUET, _read_parquet),
    ):
        if suffix in suffixes:
            return reader
    return None


# Text -----------------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> tuple[str, str]:
    """Return (text, note): UTF-8 or UTF-16 by their marks, UTF-8 if it is valid, else Windows-1252."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), ""
    try:
        return data.decode("utf-8-sig"), ""
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace"), "The file is not UTF-8; it was read as Windows-1252 (Latin-1)."


def _read_text(path: Path, sheet: str) -> Sheet:
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


def from_rows(name: str, rows: list[list[Any]], notes: list[str], *, comma_likely: bool = False) -> Sheet:
    """Make a sheet of rows: find the header, even the rows out, and say what was odd."""
    if not rows:
        return Sheet(name, [], [])
    if len(rows) * max(len(rows[0]), 1) > MOST_CELLS:
        raise ToolFailure(f"'{name}' has more than {MOST_CELLS:,} cells.", hint="Use a smaller extract of it.")
    width = Counter(_width(row) for row in rows[:1000]).most_common(1)[0][0] or max(map(_width, rows[:1000]))
    skipped = 0
    while skipped < min(len(rows) - 1, 20) and _width(rows[skipped]) < max(width * 0.6, min(width, 2)):
        skipped += 1
    if skipped:
        notes.append(f"{count(skipped, 'line')} above the table's header {'was' if skipped == 1 else 'were'} skipped.")
    body = rows[skipped:]
    width = max(width, _width(body[0]))
    headed = _is_header(body)
    names = _names(body[0] if headed else [], width)
    if not headed:
        notes.append(f"The file has no header line, so its columns are called {names[0]} to {names[-1]}.")
    body = body[1:] if headed else body
    odd = sum(_width(row) > width for row in body)
    if odd:
        notes.append(f"{count(odd, 'row')} had more cells than the header; the surplus was left out.")
    blank: list[Any] = [""] * width
    even = [row if len(row) == width else (row + blank)[:width] for row in body]
    columns = [list(cells) for cells in zip(*even, strict=True)] if even else [[] for _ in range(width)]
    return Sheet(name, names, columns, notes, comma_likely, headed)


def _width(row: Sequence[Any]) -> int:
    """The number of cells up to the last filled one."""
    width = len(row)
    while width and row[width - 1] in ("", None):
        width -= 1
    return width


def _is_header(rows: list[list[Any]]) -> bool:
    """A first line is a header unless it holds numbers or dates, or only repeats what stands below it."""
    first = [cell for cell in rows[0] if cell not in ("", None)]
    if not first:
        return True
    if any(_is_value(cell) for cell in first) and not all(_is_yearly(cell) or not _is_value(cell) for cell in first):
        return False
    texts = [str(cell).strip().casefold() for cell in first]
    if len(rows) > 3 and not any(_is_value(cell) for row in rows[1:20] for cell in row):
        return not any(
            t in {str(c).strip().casefold() for c in column}
            for t, column in zip(texts, zip(*_even(rows[1:500]), strict=True), strict=False)
        )
    return True


def _even(rows: list[list[Any]]) -> list[list[Any]]:
    width = max(map(len, rows))
    return [row + [""] * (width - len(row)) for row in rows]


def _is_value(cell: Any) -> bool:
    if not isinstance(cell, str):
        return True
    return numbers.written(cell) is not None or dates.parse(cell) is not None


def _is_yearly(cell: Any) -> bool:
    """Years, months and quarters head the columns of pivoted tables: `region, 2023, 2024`."""
    text = str(cell).removesuffix(".0").strip()
    if re.fullmatch(r"(19|20)\d\d", text):
        return True
    moment = dates.parse(text)
    return isinstance(moment, dates.Moment) and moment.precision in {"month", "quarter", "week"}


def _names(header: Sequence[Any], width: int) -> list[str]:
    """Give every column a name of its own."""
    names: list[str] = []
    for index in range(width):
        cell = header[index] if index < len(header) else ""
        if isinstance(cell, float) and cell.is_integer():
            cell = int(cell)
        base = " ".join(str("" if cell is None else cell).split()) or f"column_{index + 1}"
        name, number = base, 2
        while name.casefold() in {known.casefold() for known in names}:
            name, number = f"{base}_{number}", number + 1
        names.append(name)
    return names


def _drop_totals(sheet: Sheet) -> None:
    """Take a closing line `Total … 12,345` out, so that nothing is counted twice, and say so."""
    dropped = 0
    while sheet.rows > 2 and dropped < 3:
        cells = [column[-1] for column in sheet.columns]
        texts = [cell.strip(" :") for cell in cells if isinstance(cell, str) and cell.strip()]
        if not any(_TOTALS.fullmatch(text) for text in texts) or _seen_before(sheet, texts):
            break
        for column in sheet.columns:
            column.pop()
        dropped += 1
    if dropped:
        sheet.notes.append(f"{count(dropped, 'closing total line')} {'was' if dropped == 1 else 'were'} left out.")


def _seen_before(sheet: Sheet, texts: list[str]) -> bool:
    """`Total` may also be a brand: then it stands in other rows too."""
    words = {text for text in texts if _TOTALS.fullmatch(text)}
    return any(cell in words for column in sheet.columns for cell in column[-200:-3] if isinstance(cell, str))


# Workbooks ------------------------------------------------------------------------------------------------------------


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


def _read_workbook(path: Path, sheet: str) -> Sheet:
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


# JSON and Parquet -----------------------------------------------------------------------------------------------------


def _read_json(path: Path, sheet: str) -> Sheet:
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
    return Sheet(path.stem, _names(names, len(names)), columns, notes)


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
        notes.append(
            f"{count(bad, 'line')} that {'is' if bad == 1 else 'are'} no JSON object {'was' if bad == 1 else 'were'} left out."
        )
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


def _read_parquet(path: Path, sheet: str) -> Sheet:
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
    return Sheet(path.stem, _names(names, len(names)), columns)


def count(number: int, noun: str) -> str:
    """Return `1 row` or `12,345 rows`."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
