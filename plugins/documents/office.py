"""Word, PowerPoint and workbooks as Markdown."""

from __future__ import annotations

import datetime as dt
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.documents.reading import Document

MOST_UNPACKED = 400_000_000
MOST_ROWS = 5000


def _check(path: Path, member: str, kind: str) -> None:
    """An Office file is a ZIP archive with a certain member; it must not unpack to something enormous."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        with path.open("rb") as file:
            locked = file.read(8) == bytes.fromhex("d0cf11e0a1b11ae1")
        reason = "is protected by a password or of an old format" if locked else "is damaged or not what its name says"
        raise ToolFailure(
            f"'{path.name}' {reason}.", hint="Save it anew, without a password, and send it again."
        ) from error
    if size > MOST_UNPACKED or size > path.stat().st_size * 1000:
        raise ToolFailure(f"'{path.name}' unpacks to {size / 1e6:,.0f} MB, which is more than is safe to read.")
    if member not in names:
        raise ToolFailure(f"'{path.name}' is no {kind} document.", hint="Check the file's name, or save it anew.")


def word(path: Path) -> Document:
    """Return headings, paragraphs, lists and tables in their order."""
    from docx import Document as WordDocument
    from docx.table import Table

    _check(path, "word/document.xml", "Word")
    try:
        document = WordDocument(str(path))
        parts = [
            _docx_table(block) if isinstance(block, Table) else _paragraph(block)
            for block in document.iter_inner_content()
        ]
        title = document.core_properties.title or ""
    except Exception as error:  # lxml and python-docx raise many kinds for broken files
        raise ToolFailure(
            f"'{path.name}' is damaged and can't be read as Word.", hint="Save it anew and send it again."
        ) from error
    return Document("Word document", [("", "\n\n".join(part for part in parts if part))], title=title)


def _paragraph(paragraph: Any) -> str:
    text = str(paragraph.text).strip()
    style = (paragraph.style.name or "") if paragraph.style is not None else ""
    if not text:
        return ""
    if style == "Title":
        return f"# {text}"
    if style.startswith("Heading"):
        level = style.rpartition(" ")[2]
        return f"{'#' * min(int(level) if level.isdigit() else 1, 6)} {text}"
    if style.startswith("List"):
        return f"{'1.' if 'Number' in style else '-'} {text}"
    return text


def _docx_table(found: Any) -> str:
    return table([[str(cell.text) for cell in row.cells] for row in found.rows])


def slides(path: Path) -> Document:
    """Return every slide: title, text, tables, speaker's notes."""
    from pptx import Presentation

    _check(path, "ppt/presentation.xml", "PowerPoint")
    try:
        deck = Presentation(str(path))
        parts = [(f"Slide {number}", "\n\n".join(_slide(slide))) for number, slide in enumerate(deck.slides, 1)]
    except Exception as error:  # lxml and python-pptx raise many kinds for broken files
        raise ToolFailure(
            f"'{path.name}' is damaged and can't be read as PowerPoint.", hint="Save it anew and send it again."
        ) from error
    return Document("presentation", parts, "slide", title=deck.core_properties.title or "")


def _slide(slide: Any) -> Iterator[str]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield f"### {' '.join(title.text_frame.text.split())}"
    for shape in _shapes(slide.shapes):
        if title is not None and shape.shape_id == title.shape_id:
            continue
        if shape.has_text_frame:
            lines = [f"{'  ' * p.level}- {p.text.strip()}" for p in shape.text_frame.paragraphs if p.text.strip()]
            if lines:
                yield "\n".join(lines)
        elif getattr(shape, "has_table", False):
            yield table([[cell.text for cell in row.cells] for row in shape.table.rows])
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield f"> Notes: {' '.join(notes.split())}"


def _shapes(shapes: Any) -> Iterator[Any]:
    """Shapes, those within groups included."""
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes)
        else:
            yield shape


def sheets(path: Path) -> Document:
    """Return every sheet of a workbook as a table."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
    if zipped:
        _check(path, "content.xml" if path.suffix.lower() == ".ods" else "xl/workbook.xml", "workbook")
    try:
        book = CalamineWorkbook.from_path(path)
        raw = {name: book.get_sheet_by_name(name).to_python(skip_empty_area=True) for name in book.sheet_names}
    except PasswordError as error:
        raise ToolFailure(
            f"'{path.name}' is protected by a password.", hint="Save it without one and send it again."
        ) from error
    except (CalamineError, OSError, ValueError) as error:
        raise ToolFailure(
            f"'{path.name}' is damaged and can't be read as a workbook.", hint="Save it anew and send it again."
        ) from error
    found = Document("workbook", [], "sheet")
    for name, rows in raw.items():
        filled = [[_shown(cell) for cell in row] for row in rows if any(cell not in ("", None) for cell in row)]
        if len(filled) > MOST_ROWS:
            found.notes.append(f"The sheet '{name}' has {len(filled):,} rows; the first {MOST_ROWS:,} are in the text.")
        found.parts.append((name, table(filled[:MOST_ROWS])))
    return found


def _shown(cell: Any) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, dt.datetime) and cell.time() == dt.time():
        return cell.date().isoformat()
    return str(cell)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as a Markdown table whose first row is its head."""
    if not rows:
        return ""
    width = max(map(len, rows))
    even = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] + [""] * (width - len(row)) for row in rows]
    lines = ["| " + " | ".join(row) + " |" for row in even]
    return "\n".join([lines[0], "|" + "---|" * width, *lines[1:]])
