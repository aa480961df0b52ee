"""From a page's HTML to readable Markdown. Runs inside the sandbox: the HTML is anybody's."""

from __future__ import annotations

import html as entities
import re

TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
NOT_TEXT = ["script", "style", "noscript", "template", "svg", "iframe", "form", "nav"]


def readable(html: str, url: str = "") -> dict[str, str]:
    """Return {"title", "text"}: the page's main text as Markdown with its links, or all of its text."""
    import trafilatura

    found = trafilatura.extract(
        html,
        url=url or None,
        output_format="markdown",
        include_links=True,
        include_tables=True,
        include_comments=False,
        favor_recall=True,
    )
    return {"title": _title(html), "text": found or _everything(html)}


def _title(html: str) -> str:
    found = TITLE.search(html[:100_000])
    return " ".join(entities.unescape(found[1]).split())[:300] if found else ""


def _everything(html: str) -> str:
    """Return all text of a page that is not an article: a list, a form, a start page."""
    from bs4 import BeautifulSoup
    from markdownify import MarkdownConverter

    soup = BeautifulSoup(html, "html.parser")
    for part in soup(NOT_TEXT):
        part.decompose()
    body = soup.body or soup
    try:
        text: str = MarkdownConverter(heading_style="ATX").convert_soup(body)
    except RecursionError:
        # Thousands of elements in each other: no page that a person made, but its words are still there.
        text = body.get_text("\n", strip=True)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
