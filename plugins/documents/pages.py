"""PDF, page by page, with pypdf."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from plugins.api import ToolFailure
from plugins.documents.reading import MOST_TEXT, Document

MOST_PAGES = 2000


def pdf(path: Path) -> Document:
    """Return the text of every page; say which pages are only pictures."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    logging.getLogger("pypdf").setLevel(
        logging.CRITICAL
    )  # it reports every flaw of a file that it can read all the same
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise ToolFailure(
                f"'{path.name}' is protected by a password.", hint="Save it without one and send it again."
            )
        pages = list(reader.pages[:MOST_PAGES])
        total = len(reader.pages)
        title = str(reader.metadata.title or "") if reader.metadata else ""
    except (PyPdfError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ToolFailure(f"'{path.name}' is damaged and can't be read as PDF.", hint="Send the file again.") from error
    found = Document("PDF", [], "page", title=title.strip())
    if total > MOST_PAGES:
        found.notes.append(f"It has {total:,} pages; the first {MOST_PAGES:,} were read.")
    _read(found, pages)
    _judge(found, path)
    return found


def _read(found: Document, pages: list[Any]) -> None:
    broken, length = [], 0
    for number, page in enumerate(pages, 1):
        try:
            text = tidy(page.extract_text() or "")
        except Exception:  # a page may be broken in any way; the others are still worth reading
            text = ""
            broken.append(number)
        found.parts.append((f"Page {number}", text))
        length += len(text)
        if length > MOST_TEXT:
            found.notes.append(f"Only the first {number} pages were read; their text is {length:,} characters long.")
            break
    if broken:
        found.notes.append(f"Unreadable: page {_ranges(broken)}.")


def _judge(found: Document, path: Path) -> None:
    """Pages without text are scans: nothing is kept from the reader in silence."""
    empty = [number for number, (_, text) in enumerate(found.parts, 1) if not text]
    if not empty:
        return
    if len(empty) == len(found.parts):
        count = f"{len(empty)} page{'s' if len(empty) > 1 else ''}"
        raise ToolFailure(
            f"'{path.name}' has {count} but no text: it is probably a scan.",
            hint="Send the pages as pictures (PNG or JPEG); their text can be read where tesseract is installed.",
        )
    found.notes.append(f"Without text (pictures or blank): page {_ranges(empty)}.")


def _ranges(numbers: list[int]) -> str:
    """Return `1-3, 7`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}-{high}" if high > low else str(low) for low, high in spans)


def tidy(text: str) -> str:
    """Join words that were hyphenated at a line's end, and trim lines and runs of blank ones."""
    text = re.sub(r"(?<=[a-zà-ÿ])[-\u00ad]\n(?=[a-zà-ÿ])", "", text.replace("\r\n", "\n").replace("\x00", ""))
    lines = [" ".join(line.split(" ")).rstrip() for line in text.split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
