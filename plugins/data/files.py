"""Finding and reading a table of the workspace: `load` returns raw cells, and notes on what was assumed or left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from plugins.api import ToolFailure
from plugins.data import formats
from plugins.data.sheets import Sheet, count

TEXT = (".csv", ".tsv", ".txt", ".tab")
SHEETS = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")
JSON = (".json", ".jsonl", ".ndjson")
PARQUET = (".parquet", ".pq")
SUFFIXES = (*TEXT, *SHEETS, *JSON, *PARQUET)

MOST_BYTES = 200_000_000
_TOTALS = re.compile(
    r"(grand |sub|sub-)?total|sum|summe|gesamt(summe)?|insgesamt|totaux|ensemble|total (général|general)",
    re.IGNORECASE,
)


def locate(file: str, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """Return the workspace file that was named, forgiving case and a missing suffix; else name the others."""
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
    """Read a table from the workspace. `sheet` names a sheet of a workbook; without it the first filled one."""
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
        (TEXT, formats.read_text),
        (SHEETS, formats.read_workbook),
        (JSON, formats.read_json),
        (PARQUET, formats.read_parquet),
    ):
        if suffix in suffixes:
            return reader
    return None


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
