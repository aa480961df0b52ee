"""Markdown as one HTML file: pictures are inside it, and nothing is loaded from elsewhere."""

from __future__ import annotations

import base64
import html
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --quiet: #6b7280; --line: #e5e7eb; --ground: #fff; --soft: #f6f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e5e7eb; --quiet: #9ca3af; --line: #374151; --ground: #111827; --soft: #1f2937; }
}
body { font: 16px/1.55 system-ui, "Noto Sans", sans-serif; color: var(--ink); background: var(--ground);
  max-width: 52rem; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.9rem; line-height: 1.2; } h2 { margin-top: 2.2rem; } h3 { margin-top: 1.6rem; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { border-bottom: 2px solid var(--quiet); } td.number { text-align: right; white-space: nowrap; }
img { max-width: 100%; height: auto; border-radius: 4px; } pre, code { background: var(--soft); border-radius: 4px; }
pre { padding: .8rem; overflow: auto; } code { padding: .1em .3em; } blockquote { color: var(--quiet); margin-left: 0;
  padding-left: 1rem; border-left: 3px solid var(--line); } .scroll { overflow-x: auto; }
@media print { body { margin: 0; max-width: none; } tr, img { break-inside: avoid; } }
"""


def write(target: Path, title: str, markdown: str, pictures: dict[str, Path]) -> None:
    """Write the page."""
    tokens = parser().parse(markdown)
    _embed(tokens, pictures)
    _align(tokens)
    body = parser().renderer.render(tokens, parser().options, {})
    body = body.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
    # A page without scripts and connections, even when the text came from elsewhere.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head><body><main><h1>{html.escape(title)}</h1>\n{body}</main></body></html>\n"
    )
    target.write_text(page, encoding="utf-8")


def parser() -> Any:
    """Return the Markdown parser of all reports: tables and strike-through; raw HTML is shown as text."""
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])


def _embed(tokens: list[Any], pictures: dict[str, Path]) -> None:
    """Put pictures into the page; name those that are not there."""
    for token in tokens:
        for child in token.children or ():
            if child.type != "image":
                continue
            path = pictures.get(unquote(str(child.attrs["src"])))
            if path is None:
                child.type, child.tag, child.content, child.children = "text", "", f"[{child.content}]", None
                continue
            kind = "png" if path.suffix.lower() == ".png" else "jpeg"
            child.attrs["src"] = f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _align(tokens: list[Any]) -> None:
    """Numbers stand to the right."""
    for cell, inner in pairwise(tokens):
        if cell.type == "td_open" and is_number(inner.content):
            cell.attrJoin("class", "number")


def is_number(text: str) -> bool:
    """Return True for what reads as a number, money or a share."""
    from plugins.data.numbers import written

    return written(text.replace("**", "")) is not None
