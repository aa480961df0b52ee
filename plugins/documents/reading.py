"""From a file to Markdown: which reader, which pages, how much of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from plugins.api import Output, ToolFailure

MOST_BYTES = 100_000_000
MOST_SHOWN = 20_000
MOST_TEXT = 10_000_000


@dataclass(slots=True)
class Document:
    """What was read: `parts` are (name, Markdown) of pages, slides, sheets, or one part without a name."""

    kind: str
    parts: list[tuple[str, str]]
    unit: str = ""
    notes: list[str] = field(default_factory=list)
    title: str = ""


Reader = Callable[[Path], Document]


def extract(name: str, pages: str, save: str) -> Output:
    """Answer with the text of a document."""
    path = locate(name)
    found = _reader(path)(path)
    parts = _chosen(found, pages, path.name)
    text = "\n\n".join(f"## {title}\n\n{body}" if title else body for title, body in parts).strip()
    if not text:
        raise ToolFailure(
            f"'{path.name}' holds no text.", hint=" ".join(found.notes) or "Check that it is the right file."
        )
    if len(text) > MOST_TEXT:
        text = text[:MOST_TEXT]
        found.notes.append(f"The text is longer than {MOST_TEXT:,} characters; the rest was not read.")
    return _answer(path, found, parts, text, save)


def whole_text(name: str) -> str:
    """Return all text of a document, its pages or sheets below each other."""
    path = locate(name)
    return "\n\n".join(body for _, body in _reader(path)(path).parts)


def _answer(path: Path, found: Document, parts: list[tuple[str, str]], text: str, save: str) -> Output:
    saved = _save(save, text) if save.strip() else ""
    shown = text if len(text) <= MOST_SHOWN else _cut(text)
    notes = list(found.notes)
    if len(shown) < len(text):
        way = f"all of it is in {saved}" if saved else 'ask for single pages, or save="text.md" to keep all of it'
        notes.append(f"The first {len(shown):,} of {len(text):,} characters are shown; {way}.")
    size = f"{len(parts)} {found.unit}{'' if len(parts) == 1 else 's'}, " if found.unit else ""
    head = f"{path.name} ({found.kind}, {size}{len(text.split()):,} words)"
    value = {
        "text": shown,
        "title": found.title,
        "kind": found.kind,
        "characters": len(text),
        "saved": saved,
        "notes": notes,
        "parts": [title for title, _ in parts if title],
    }
    spoken = "\n\n".join([*(f"[{note}]" for note in notes), f"{head}:", shown])
    return Output(
        value=value, text=spoken, files=(saved,) if saved else (), partial=len(shown) < len(text) and not saved
    )


def _cut(text: str) -> str:
    """Cut at the end of a paragraph or word."""
    end = max(text.rfind("\n\n", 0, MOST_SHOWN), int(MOST_SHOWN * 0.8))
    return (
        text[:end] if text[end : end + 1] == "\n" else text[: text.rfind(" ", 0, MOST_SHOWN) + 1 or MOST_SHOWN].rstrip()
    )


def locate(name: str) -> Path:
    """Return the workspace file that was named; raise ToolFailure when it can't be one to read."""
    root = Path.cwd().resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root):
        raise ToolFailure(f"'{name}' is outside the workspace.", hint="Send the file here first, then name it.")
    if not path.is_file():
        alike = [found for found in root.glob("*") if found.is_file() and found.name.casefold() == name.casefold()]
        if len(alike) != 1:
            raise ToolFailure(f"There is no file '{name}' in the workspace.", hint=_present(root))
        path = alike[0]
    size = path.stat().st_size
    if size == 0:
        raise ToolFailure(
            f"'{path.name}' is empty (0 bytes).", hint="Send the file again; the upload may have been cut off."
        )
    if size > MOST_BYTES:
        raise ToolFailure(f"'{path.name}' has {size / 1e6:,.0f} MB; up to {MOST_BYTES / 1e6:,.0f} MB are read.")
    return path


def _present(root: Path) -> str:
    found = sorted(
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")
    )
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    return f"Files here: {', '.join(found[:10])}{more}." if found else "No file is here yet; send one."


def _reader(path: Path) -> Reader:
    """Choose by the file's first bytes where they tell, else by its suffix."""
    from plugins.documents import mail, office, pages, pictures, plain

    suffix = path.suffix.lower()
    readers: dict[str, Reader] = {
        ".pdf": pages.pdf, ".docx": office.word, ".pptx": office.slides, ".xlsx": office.sheets, ".xls": office.sheets,
        ".xlsm": office.sheets, ".ods": office.sheets, ".html": plain.html, ".htm": plain.html, ".xhtml": plain.html,
        ".eml": mail.mail, ".rtf": plain.rtf, **dict.fromkeys(pictures.SUFFIXES, pictures.picture),
        **dict.fromkeys(plain.SUFFIXES, plain.text),
    }  # fmt: skip
    with path.open("rb") as file:
        start = file.read(1024)
    if start.lstrip()[:5] == b"%PDF-":
        return pages.pdf
    if start[:5] == b"{\\rtf":
        return plain.rtf
    if suffix in readers:
        return readers[suffix]
    if suffix in {".doc", ".ppt"}:
        raise ToolFailure(
            f"'{path.name}' is of the old Office format.", hint=f"Save it as {suffix}x or PDF and send it again."
        )
    if b"\x00" not in start:
        return plain.text
    raise ToolFailure(
        f"'{path.name}' is of a kind that can't be read.",
        hint=f"Readable are {', '.join(sorted(readers))}.",
    )


def _chosen(found: Document, pages: str, name: str) -> list[tuple[str, str]]:
    """Return the parts that `pages` names: numbers and ranges, or a part's name."""
    wanted = pages.strip()
    if not wanted:
        return found.parts
    total = len(found.parts)
    if not found.unit:
        found.notes.append(f"A {found.kind} has no pages; all of it was read.")
        return found.parts
    named = [part for part in found.parts if part[0].casefold() == wanted.casefold()]
    numbers = [] if named else _numbers(wanted, total, name, found.unit)
    return named or [found.parts[number - 1] for number in numbers]


def _numbers(wanted: str, total: int, name: str, unit: str) -> list[int]:
    numbers: list[int] = []
    for piece in wanted.replace(" ", "").replace("–", "-").split(","):
        first, dash, last = piece.partition("-")
        try:
            low = int(first) if first else 1
            high = (int(last) if last else total) if dash else low
        except ValueError:
            raise ToolFailure(f"'{wanted}' names no {unit}s.", hint='Write them like "3" or "2-5,9".') from None
        numbers += range(max(low, 1), min(high, total) + 1)
    if not numbers:
        raise ToolFailure(f"'{name}' has {total} {unit}{'' if total == 1 else 's'}; {wanted} is none of them.")
    return list(dict.fromkeys(numbers))


def _save(save: str, text: str) -> str:
    root = Path.cwd().resolve()
    target = (root / save.strip()).resolve()
    if not target.suffix:
        target = target.with_suffix(".md")
    if not target.is_relative_to(root):
        raise ToolFailure(f"'{save}' is outside the workspace.", hint="Give a file name, such as text.md.")
    if target.suffix.lower() not in {".md", ".txt"}:
        raise ToolFailure(f"Text can't be saved as '{target.suffix}'.", hint="Use .md or .txt.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text + "\n", encoding="utf-8")
    return str(target.relative_to(root))
