"""Reports: Markdown, pictures and tables into one PDF or one HTML file that needs nothing beside it."""

from __future__ import annotations

import re
from pathlib import Path

from plugins.api import Output, ToolFailure
from plugins.data import saving
from plugins.data.files import SUFFIXES, load, locate
from plugins.data.formats import decode
from plugins.data.sheets import count
from plugins.data.vocabulary import words
from plugins.data.wording import table

PICTURES = (".png", ".jpg", ".jpeg")
TEXTS = (".md", ".txt")
MOST_ROWS = 40
_IMAGE = re.compile(r"!\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)")


def report(title: str, text: str, files: list[str], kind: str, path: str) -> Output:
    """Write the report and answer with its path."""
    if not text.strip() and not files:
        raise ToolFailure("The report would be empty.", hint="Give a text, or files to put in.")
    text, files = _named(text, files)
    title = title.strip() or _own_title(text, files)
    target = _target(title, kind, path)
    markdown, pictures, notes = _compose(text, files)
    if target.suffix == ".pdf":
        from plugins.data import pdf

        pages, missing = pdf.write(target, title, markdown, pictures)
        size = count(pages, "page")
        if missing:
            notes.append(
                f"{count(len(missing), 'character')} can't be shown by the fonts here: {' '.join(missing[:10])}"
            )
    else:
        from plugins.data import html

        html.write(target, title, markdown, pictures)
        size = f"{target.stat().st_size / 1000:,.0f} kB"
    name = str(target.relative_to(Path.cwd().resolve()))
    said = " ".join([f"The report '{title}' is in {name} ({size}).", *notes])
    return Output(value={"path": name, "notes": notes}, text=said, files=(name,))


def _named(text: str, files: list[str]) -> tuple[str, list[str]]:
    """Take a text that is nothing but the name of a text file here for that file."""
    name = text.strip()
    named = Path(name).suffix.lower() in TEXTS and "\n" not in name and (Path.cwd() / name).is_file()
    return ("", [name, *files]) if named else (text, files)


def _own_title(text: str, files: list[str]) -> str:
    """Return the first heading of the text or of a text file, or the first file's name in words."""
    for source in [text, *(_text_of(file) for file in files if Path(file).suffix.lower() in TEXTS)]:
        heading = re.search(r"^#{1,3}\s+(\S.*)$", source, re.MULTILINE)
        if heading:
            return heading[1].strip(" #*_")[:100]
    stem = re.sub(r"[-_\s]+", " ", Path(files[0]).stem).strip() if files else ""
    return stem[:1].upper() + stem[1:] if stem else "Report"


def _text_of(file: str) -> str:
    return decode(locate(file, TEXTS).read_bytes())[0]


def _target(title: str, kind: str, path: str) -> Path:
    slug = "-".join(words(title))[:60] or "report"
    target = saving.inside(path.strip() or f"{slug}.{kind}")
    if not target.suffix:
        target = target.with_suffix(f".{kind}")
    if target.suffix.lower() not in {".pdf", ".html"}:
        raise ToolFailure(f"A report can't be written as '{target.suffix}'.", hint="Use .pdf or .html.")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _compose(text: str, files: list[str]) -> tuple[str, dict[str, Path], list[str]]:
    """Return the whole Markdown, the pictures that it names, and notes on what could not be put in."""
    parts, notes = [text], []
    for file in files:
        suffix = Path(file).suffix.lower()
        if suffix in PICTURES:
            if file not in {found[1] for found in _IMAGE.finditer(text)}:
                parts.append(f"![{Path(file).stem}](<{locate(file, PICTURES).relative_to(Path.cwd().resolve())}>)")
        elif suffix in TEXTS:
            parts.append(_text_of(file))
        elif suffix in SUFFIXES:
            parts.append(_as_table(file))
        else:
            raise ToolFailure(
                f"'{file}' can't be put into a report.", hint="Use pictures (PNG, JPEG), tables or Markdown."
            )
    markdown = "\n\n".join(part for part in parts if part.strip())
    pictures = {}
    for found in dict.fromkeys(match[1] for match in re.finditer(r"!\[[^\]]*\]\(\s*<?([^)>]+?)>?\s*\)", markdown)):
        picture = _picture(found)
        if picture is None:
            notes.append(f"The picture '{found}' is not in the workspace and was left out.")
        else:
            pictures[found] = picture
    return markdown, pictures, notes


def _picture(name: str) -> Path | None:
    root = Path.cwd().resolve()
    path = (root / name).resolve()
    return path if path.suffix.lower() in PICTURES and path.is_relative_to(root) and path.is_file() else None


def _as_table(file: str) -> str:
    sheet = load(file)
    lines = list(zip(*sheet.columns, strict=True))
    return f"### {Path(file).stem}\n\n{table(sheet.names, lines, MOST_ROWS)}"
