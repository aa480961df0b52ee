"""Markdown as models write it → texts with entities that Telegram accepts.

The conversion is telegramify-markdown's; what it gets wrong is mended here: `<`, `$` and footnotes are kept as they
are, a fence in a list starts on a line of its own, tables are aligned by display width and become a CSV file when they
are wide, and a part holds at most 100 entities and is never empty. Should letters or digits be missing after all this,
the text is sent as it was written: formatting may be lost, words may not.
"""

from __future__ import annotations

import csv
import functools
import html
import io
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.channels.telegram.texts import (
    CONTINUES,
    LIMIT,
    MOST_ENTITIES,
    Document,
    Part,
    Text,
    clean,
    columns,
    cut,
    fitted,
    width,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telegramify_markdown.config import RenderConfig

MOST_PARTS = 3
SUMMARY = 1500
TABLE_COLUMNS = 58
PREVIEW = 80
# Stand-ins for characters that the converter would take for HTML or mathematics; one UTF-16 unit each, so offsets hold.
GUARDS = {"<": "\uf7f1", "$": "\uf7f2", "[": "\uf7f3"}
UNGUARD = str.maketrans({guard: char for char, guard in GUARDS.items()})
FORGET_GUARDS = str.maketrans(dict.fromkeys(GUARDS.values()))
FENCE = re.compile(r"^\s{0,8}(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}|~{3,})")
RULE = re.compile(r"^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
# What the converter takes for more than the name of a language is a line that somebody forgot to break.
NAMED_FENCE = re.compile(
    r"^(\s{0,8}(?:[-*+]\s+|\d+[.)]\s+)?(?:`{3,}|~{3,})[ \t]*[\w+#.-]*)(?![\w+#.-])[ \t]*(\S[^`]*)$"
)
# Marks with letters or digits that are drawn otherwise: numbers of lists, ticked boxes, names of links, mathematics.
DRAWN = re.compile(r"^[ \t>*+-]*\d+[.)]|\[[xX]\]|^ {0,3}\[[^\[\]\n]+\]:(?=\s)|\]\[[^\]\n]*\]|\\[A-Za-z]+", re.MULTILINE)
CELL_MARKS = re.compile(r"(\*\*|__|`)(.+?)\1")


def formatted(markdown: str) -> list[Part]:
    """Return the parts to be sent, in order: texts first, then files. More than three texts become a file."""
    source, tables = _without_tables(_lines(clean(markdown).translate(FORGET_GUARDS)))
    texts = list(_texts(source))
    if len(texts) > MOST_PARTS:
        whole = Document("answer.md", markdown.encode("utf-8", "replace"), "The whole answer")
        return [_summary(source), whole, *tables]
    return [*texts, *tables]


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def preview(text: str) -> Text:
    """Return a beginning that nobody takes for the whole; what a person may see if we die before the rest is there."""
    words = " ".join(text.split())
    return Text((words[:PREVIEW].rstrip() if len(words) > 1 else "") + CONTINUES)


def _summary(source: str) -> Text:
    first = next(_texts(cut(source, SUMMARY)))
    note = "\n\nThe whole answer is in answer.md."
    return fitted(cut(first.text, LIMIT - width(note)) + note, list(first.entities))


def _texts(source: str) -> Iterator[Text]:
    """Return sendable texts; at least one."""
    texts = list(_sendable(*_converted(source)))
    if _lost(source, texts):
        logger.debug("Formatting would have cost words; they are sent as they were written")
        texts = list(_sendable(source, []))
    return iter(texts)


def _sendable(text: str, entities: list[Any]) -> Iterator[Text]:
    from telegramify_markdown import split_entities

    chunks = split_entities(text, entities, LIMIT) or [("(no text)", [])]
    for chunk, marks in chunks:
        yield from _few_entities(chunk, [mark.to_dict() for mark in marks])


def _converted(source: str) -> tuple[str, list[Any]]:
    from telegramify_markdown import convert

    try:
        text, entities = convert(_guarded(source), config=_look())
    except Exception:
        logger.exception("Markdown could not be converted; it is sent plain")
        return source, []
    for entity in entities:
        entity.url = entity.url.translate(UNGUARD) if entity.url else entity.url
        entity.language = entity.language.translate(UNGUARD) if entity.language else entity.language
    return _fences_on_their_own_lines(text.translate(UNGUARD), entities)


def _guarded(source: str) -> str:
    """Hide what the converter would take for HTML, mathematics or a footnote."""
    return source.replace("<", GUARDS["<"]).replace("$", GUARDS["$"]).replace("[^", f"{GUARDS['[']}^")


def _lost(source: str, texts: list[Text]) -> bool:
    """Tell whether letters or digits of the source are neither in the texts nor in their links and languages."""
    kept = [text.text for text in texts]
    kept += [str(value) for text in texts for entity in text.entities for value in entity.values()]
    return bool(_words(DRAWN.sub("", html.unescape(source))) - _words(" ".join(kept)))


def _words(text: str) -> Counter[str]:
    """Count letters, digits and pictures; how they are composed does not matter."""
    normal = unicodedata.normalize("NFKC", text).casefold()
    return Counter(char for char in normal if char.isalnum() or (char > "~" and unicodedata.category(char)[0] == "S"))


@functools.cache
def _look() -> RenderConfig:
    """Headings bold without pictures; plain bullets."""
    from telegramify_markdown import RenderConfig

    look = RenderConfig.isolated()
    for level in range(1, 7):
        setattr(look.markdown_symbol, f"heading_level_{level}", "")
    look.markdown_symbol.unordered_list_item = "•"
    look.markdown_symbol.task_uncompleted = "☐"
    return look


def _fences_on_their_own_lines(text: str, entities: list[Any]) -> tuple[str, list[Any]]:
    """Put a line break before and after every `pre` that lacks one."""
    for fence in [entity for entity in entities if entity.type == "pre"]:
        for at in (fence.offset + fence.length, fence.offset):
            text = _break_at(text, at, entities)
    return text, entities


def _break_at(text: str, at: int, entities: list[Any]) -> str:
    data = text.encode("utf-16-le")
    before, after = data[: at * 2].decode("utf-16-le"), data[at * 2 :].decode("utf-16-le")
    if not before or not after or before.endswith("\n") or after.startswith("\n"):
        return text
    for entity in entities:
        if entity.offset >= at:
            entity.offset += 1
        elif entity.offset + entity.length > at:
            entity.length += 1
    return f"{before}\n{after}"


def _few_entities(text: str, entities: list[dict[str, Any]]) -> Iterator[Text]:
    """Yield the text in pieces of at most 100 entities, cut at line ends where there are some."""
    entities = sorted(entities, key=lambda mark: (mark["offset"], -mark["length"]))
    while len(entities) > MOST_ENTITIES and entities[MOST_ENTITIES]["offset"] > 0:
        data = text.encode("utf-16-le")
        end = entities[MOST_ENTITIES]["offset"]
        head = data[: end * 2].decode("utf-16-le")
        if "\n" in head.strip():
            head = head[: head.rindex("\n") + 1]
        end = width(head)
        if head.strip():
            yield fitted(head, [mark for mark in entities if mark["offset"] < end])
        text = data[end * 2 :].decode("utf-16-le")
        entities = [_shifted(mark, end) for mark in entities if mark["offset"] + mark["length"] > end]
    if text.strip():
        yield fitted(text, entities)


def _shifted(mark: dict[str, Any], by: int) -> dict[str, Any]:
    start = max(mark["offset"] - by, 0)
    return {**mark, "offset": start, "length": mark["offset"] + mark["length"] - by - start}


# --- tables -----------------------------------------------------------------------------------------------------------
def _without_tables(source: str) -> tuple[str, list[Part]]:
    """Replace tables outside fences by aligned fences, or by the name of a CSV file that is returned with the text."""
    out: list[str] = []
    files: list[Part] = []
    lines = source.split("\n")
    fence = ""
    at = 0
    while at < len(lines):
        mark = FENCE.match(lines[at])
        if mark:
            if not fence:
                lines[at : at + 1] = _fence_line(lines[at])
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        if (
            not fence
            and "|" in lines[at]
            and at + 1 < len(lines)
            and "|" in lines[at + 1]
            and RULE.match(lines[at + 1])
        ):
            end = at + 2
            while end < len(lines) and "|" in lines[end]:
                end += 1
            rows = [_cells(line) for line in (lines[at], *lines[at + 2 : end])]
            out += _drawn(rows, files)
            at = end
        else:
            out.append(lines[at])
            at += 1
    return "\n".join(out), files


def _fence_line(line: str) -> list[str]:
    """Return the line that opens a fence, and what stands on it besides the language as a line of its own."""
    named = NAMED_FENCE.match(line)
    return [line] if named is None else [named[1], named[2]]


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    cells = re.split(r"(?<!\\)\|", inner)
    return [CELL_MARKS.sub(r"\2", cell.replace(r"\|", "|").strip()) for cell in cells]


def _drawn(rows: list[list[str]], files: list[Part]) -> list[str]:
    most = max(len(row) for row in rows)
    rows = [[*row, *[""] * (most - len(row))] for row in rows]
    widths = [max(columns(row[i]) for row in rows) for i in range(most)]
    if sum(widths) + 3 * (most - 1) > TABLE_COLUMNS:
        name = f"table-{len(files) + 1}.csv"
        files.append(Document(name, _csv(rows), f"{len(rows) - 1} rows"))
        return ["", f"📄 {name} ({', '.join(rows[0])}; {len(rows) - 1} rows)".replace("*", "").replace("_", r"\_"), ""]
    lines = [" | ".join(cell + " " * (w - columns(cell)) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines.insert(1, "-+-".join("-" * w for w in widths))
    return ["", "````", *(line.rstrip() for line in lines), "````", ""]


def _csv(rows: list[list[str]]) -> bytes:
    sheet = io.StringIO()
    csv.writer(sheet).writerows(rows)
    return b"\xef\xbb\xbf" + sheet.getvalue().encode("utf-8", "replace")
