"""Text files, web pages and RTF."""

from __future__ import annotations

import re
from pathlib import Path

from plugins.api import ToolFailure
from plugins.documents.reading import Document

SUFFIXES = (
    ".txt", ".md", ".markdown", ".rst", ".log", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml", ".toml",
    ".ini", ".py", ".js", ".ts", ".sql", ".sh", ".tex", ".srt", ".vtt", ".ics", ".vcf",
)  # fmt: skip
_RTF = re.compile(
    r"\\'([0-9a-fA-F]{2})|\\u(-?\d+) ?.?|\\([a-zA-Z]+)(-?\d+)? ?|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)"
)
_RTF_SILENT = frozenset(
    ("fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "themedata", "header", "footer", "listtable")
)
_RTF_SIGNS = {
    "par": "\n\n", "line": "\n", "tab": "\t", "cell": " | ", "row": "\n", "emdash": "—", "endash": "–", "bullet": "•",
    "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”",
}  # fmt: skip


def decode(data: bytes) -> tuple[str, list[str]]:
    """Return (text, notes): by its mark, as UTF-8 if it is valid, else by what the bytes look like."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace"), []
    try:
        return data.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        guess = from_bytes(data[:200_000]).best()
        name = guess.encoding if guess else "cp1252"
        return data.decode(name, errors="replace"), [f"The file is not UTF-8; it was read as {name.replace('_', '-')}."]


def text(path: Path) -> Document:
    """Return a text file as it is."""
    data = path.read_bytes()
    if b"\x00" in data[:4096] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ToolFailure(f"'{path.name}' is a binary file, not text.", hint="Send it in a format such as PDF or DOCX.")
    found, notes = decode(data)
    return Document("text", [("", found.strip())], notes=notes)


def html(path: Path) -> Document:
    """Return a page's main text as Markdown; a page without a main text as a whole."""
    import trafilatura
    from markdownify import markdownify

    source, notes = decode(path.read_bytes())
    main = trafilatura.extract(
        source, output_format="markdown", include_tables=True, include_links=True, favor_recall=True
    )
    bare = re.sub(r"(?is)<(script|style|noscript|template|head)\b.*?</\1\s*>", "", source)
    try:
        whole = re.sub(r"\n{3,}", "\n\n", markdownify(bare, heading_style="ATX", strip=["img"])).strip()
    except RecursionError:
        whole = re.sub(r"<[^>]+>", " ", bare)
        notes.append("The page is nested too deeply; its text is without its form.")
    title = re.search(r"(?is)<title[^>]*>(.*?)</title>", source)
    chosen = main if main and len(main) > 0.5 * len(whole) else whole
    return Document("web page", [("", chosen.strip())], notes=notes, title=" ".join(title[1].split()) if title else "")


def rtf(path: Path) -> Document:
    """Return the text of an RTF file, without its styles."""
    source = path.read_bytes().decode("latin-1")
    if not source.startswith("{\\rtf"):
        raise ToolFailure(f"'{path.name}' is no RTF document.", hint="Save it anew and send it again.")
    page = re.search(r"\\ansicpg(\d+)", source)
    codec = f"cp{page[1]}" if page else "cp1252"
    return Document("RTF document", [("", re.sub(r"\n{3,}", "\n\n", "".join(_rtf_words(source, codec))).strip())])


def _rtf_words(source: str, codec: str) -> list[str]:
    words: list[str] = []
    silent: list[bool] = [False]
    for match in _RTF.finditer(source):
        byte, code, word, _, sign, brace, plain = match.groups()
        if brace == "{":
            silent.append(silent[-1])
        elif brace == "}":
            silent[:] = silent[:-1] or [False]
        elif word in _RTF_SILENT or sign == "*":
            silent[-1] = True
        elif not silent[-1]:
            words.append(_rtf_byte(byte, codec) if byte else _rtf_text(code, word, sign, plain))
    return words


def _rtf_byte(byte: str, codec: str) -> str:
    try:
        return bytes.fromhex(byte).decode(codec, errors="replace")
    except LookupError:
        return bytes.fromhex(byte).decode("cp1252", errors="replace")


def _rtf_text(code: str | None, word: str | None, sign: str | None, plain: str | None) -> str:
    if code:
        return chr(int(code) % 0x10000)
    if sign:
        return {"~": "\u00a0", "-": "", "_": "-"}.get(sign, sign if sign in "{}\\" else "")
    return _RTF_SIGNS.get(word or "", "") + (plain or "")
