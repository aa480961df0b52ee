"""How `convert_file` turns one kind of file into another: tables with duckdb and pandas, pictures with Pillow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.api import ToolFailure

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".xlsx", ".parquet")
PICTURES = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tiff")
MARKDOWN = (".md", ".markdown", ".txt")
ALIASES = {
    "jpeg": "jpg",
    "tif": "tiff",
    "htm": "html",
    "excel": "xlsx",
    "ndjson": "jsonl",
    "picture": "png",
    "webpage": "html",
}
MAX_PIXELS = 100_000_000
EXCEL_ROWS = 1_048_575
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{max-width:48rem;margin:2rem auto;padding:0 1rem;font:1rem/1.6 system-ui,sans-serif}}
table{{border-collapse:collapse}}td,th{{border:1px solid #bbb;padding:.3rem .6rem}}
pre{{background:#f4f4f4;padding:.8rem;overflow:auto}}img{{max-width:100%}}</style></head>
<body>
{body}</body></html>
"""


def target_of(file: Path, to: str) -> Path:
    """Return the path to write: `to` is a format (`xlsx`, `.xlsx`, `an Excel file`) or a file's name."""
    plain = to.strip()
    if Path(plain).suffix and not re.fullmatch(r"\.\w+", plain):
        return Path(plain)
    words = [word for word in re.findall(r"\w+", plain.lower()) if word not in {"a", "an", "file", "format", "table"}]
    word = words[0] if words else ""
    return file.with_suffix(f".{ALIASES.get(word, word)}" if word else "")


def convert(file: Path, target: Path) -> str:
    """Convert by the suffixes and return a note for the person, or "". Raises ToolFailure naming what is possible."""
    source, wanted = _kind(file), _kind(target)
    if source in TABLES and wanted in TABLES:
        return _convert_table(file, source, target, wanted)
    if source in PICTURES and wanted in PICTURES:
        return _convert_picture(file, target, wanted)
    if source in MARKDOWN and wanted == ".html":
        return _convert_markdown(file, target)
    same: tuple[str, ...] = TABLES if source in TABLES else PICTURES if source in PICTURES else ()
    possible = (".html",) if source in MARKDOWN else tuple(kind for kind in same if kind != source)
    if possible:
        listed = ", ".join(kind.lstrip(".") for kind in possible)
        raise ToolFailure(f"{file} can't become {wanted.lstrip('.') or 'that'!r}.", hint=f"It can become: {listed}.")
    raise ToolFailure(
        f"I can't convert {source or 'files without a suffix'} files.",
        hint=f"I convert tables ({_listed(TABLES)}), pictures ({_listed(PICTURES)}), and Markdown to html.",
    )


def picture_size(file: Path) -> tuple[int, int]:
    """Return width and height in pixels, or zeros for what is no picture."""
    from PIL import Image

    try:
        with Image.open(file) as picture:
            return picture.size
    except (OSError, ValueError, Image.DecompressionBombError):
        return 0, 0


def _kind(path: Path) -> str:
    plain = path.suffix.lower().lstrip(".")
    return f".{ALIASES.get(plain, plain)}" if plain else ""


def _listed(kinds: tuple[str, ...]) -> str:
    return ", ".join(kind.lstrip(".") for kind in kinds)


def _convert_table(file: Path, source: str, target: Path, wanted: str) -> str:
    try:
        frame, note = _read_table(file, source)
        _write_table(frame, target, wanted)
    except ToolFailure:
        raise
    except Exception as problem:
        reason = str(problem).splitlines()[0] if str(problem) else type(problem).__name__
        raise ToolFailure(f"{file} can't be read as {source.lstrip('.')}: {reason}") from problem
    return f" {len(frame):,} rows, {len(frame.columns)} columns.{note}"


def _read_table(file: Path, kind: str) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    if kind in {".csv", ".tsv"}:
        return _read_text_table(file), ""
    if kind == ".xlsx":
        sheets: dict[Any, pd.DataFrame] = pd.read_excel(file, sheet_name=None, dtype=object, engine="openpyxl")
        first = next(iter(sheets))
        note = f" Only the first of {len(sheets)} sheets, {first!r}, was converted." if len(sheets) > 1 else ""
        return sheets[first], note
    if kind == ".parquet":
        return _query("SELECT * FROM read_parquet(?)", [str(file)]), ""
    text = file.read_text(encoding="utf-8-sig")
    return pd.DataFrame(_records(text, lines=kind == ".jsonl")), ""


def _read_text_table(file: Path) -> pd.DataFrame:
    """Read every cell as it stands: 007 stays 007, and an empty cell stays empty."""
    import csv

    import pandas as pd

    data = file.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    try:
        separator = csv.Sniffer().sniff(text[:20_000], delimiters=",;\t|").delimiter
    except csv.Error:
        separator = "\t" if file.suffix.lower() == ".tsv" else ","
    import io

    frame = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    numbered: pd.DataFrame = frame.apply(_numbers)
    return numbered


def _numbers(column: Any) -> Any:
    """Turn a column into numbers when every filled cell is one and is written as a number is (no leading zeros)."""
    import pandas as pd

    filled = column[column != ""]
    if not len(filled):
        return column.where(column != "", None)
    plain = filled.str.fullmatch(r"-?(0|[1-9]\d{0,14})(\.\d+)?")
    if not plain.all():
        return column.where(column != "", None)
    numbers = pd.to_numeric(column.where(column != "", None))
    whole = not filled.str.contains(".", regex=False).any()
    return numbers.astype("Int64") if whole else numbers


def _records(text: str, *, lines: bool) -> Any:
    if lines:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    value = json.loads(text)
    if isinstance(value, dict):
        tables = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
        # {"items": [{…}, …]} is a table with a wrapping around it; {"a": [1, 2], "b": [3, 4]} is one by columns.
        return tables[0] if len(tables) == 1 else value if _by_columns(value) else [value]
    if not isinstance(value, list):
        raise ToolFailure("This JSON is a single value and no table.", hint="A table is a list of objects.")
    return value if all(isinstance(one, (dict, list)) for one in value) else {"value": value}


def _by_columns(value: dict[str, Any]) -> bool:
    columns = list(value.values())
    return bool(columns) and all(isinstance(one, list) for one in columns) and len({len(one) for one in columns}) == 1


def _write_table(frame: pd.DataFrame, target: Path, kind: str) -> None:
    if kind in {".csv", ".tsv"}:
        frame.to_csv(target, index=False, sep="\t" if kind == ".tsv" else ",", encoding="utf-8")
    elif kind in {".json", ".jsonl"}:
        lines = kind == ".jsonl"
        frame.to_json(
            target, orient="records", lines=lines, force_ascii=False, date_format="iso", indent=None if lines else 2
        )
    elif kind == ".xlsx":
        if len(frame) > EXCEL_ROWS:
            raise ToolFailure(
                f"{len(frame):,} rows don't fit: an Excel sheet holds {EXCEL_ROWS:,}.", hint="Use parquet."
            )
        _flat(frame).to_excel(target, index=False)
    else:
        _write_parquet(frame, target)


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table with what a sheet's cell can't hold as text: lists, objects, times with a zone."""

    def cell(value: Any) -> Any:
        if isinstance(value, (list, dict)):
            return json.dumps(value, ensure_ascii=False)
        return value.isoformat() if getattr(value, "tzinfo", None) else value

    return frame.map(cell)


def _write_parquet(frame: pd.DataFrame, target: Path) -> None:
    import duckdb

    with duckdb.connect() as base:
        base.register("source", frame)
        # COPY takes no parameter for its target.
        name = str(target).replace("'", "''")
        base.execute(f"COPY source TO '{name}' (FORMAT parquet)")


def _query(sql: str, values: list[str]) -> pd.DataFrame:
    import duckdb

    with duckdb.connect() as base:
        frame: pd.DataFrame = base.execute(sql, values).df()
        return frame


def _convert_picture(file: Path, target: Path, wanted: str) -> str:
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise ToolFailure(f"{file} has {opened.width:,} × {opened.height:,} pixels, which is too many.")
            picture = ImageOps.exif_transpose(opened)
            if wanted in {".jpg", ".bmp"} and picture.mode not in {"RGB", "L"}:
                # These have no transparency: what shines through is white, not black.
                picture = picture.convert("RGBA")
                ground = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(ground, picture).convert("RGB")
            picture.save(target, quality=90) if wanted in {".jpg", ".webp"} else picture.save(target)
            return f" {picture.width} × {picture.height} pixels."
    except (OSError, ValueError, Image.DecompressionBombError) as problem:
        raise ToolFailure(f"{file} can't be read as a picture: {problem}") from problem


def _convert_markdown(file: Path, target: Path) -> str:
    from html import escape

    from markdown_it import MarkdownIt

    text = file.read_bytes().decode("utf-8-sig", errors="replace")
    # Raw HTML of the source is shown, not run: it may come from anywhere.
    body = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).render(text)
    heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
    title = heading[1] if heading else file.stem
    target.write_text(PAGE.format(title=escape(title), body=body), encoding="utf-8")
    return ""
