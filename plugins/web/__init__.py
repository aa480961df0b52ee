"""The web: read pages, download files, search.

What comes from the web is untrusted: it is labelled so, downloaded by the agent through one guarded client
(`plugins.web.client`), and parsed inside the sandbox (`plugins.web.page`). Search needs an engine that the owner names:
a SearXNG server (`[plugins.web] searxng = "http://…"`), or a key for Brave or Tavily
(`[secrets] brave_key = "…"` or `tavily_key = "…"`).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from plugins.api import Context, Field, Form, Output, Plugin, ToolFailure, tool
from plugins.web.guard import Allowed
from plugins.web.page import readable

if TYPE_CHECKING:
    from plugins.web.client import Answer

plugin = Plugin(
    settings={
        "searxng": "Address of a SearXNG server with the JSON format enabled, such as http://localhost:8888.",
        "allow_private": "Hosts, addresses or networks of your own that may be read, such as nas.lan, 10.0.0.0/8.",
    },
    ui=(
        Form("Read a page", "fetch", (Field("url", "Its address?"),)),
        Form("Search the web", "search_web", (Field("query", "What for?"),)),
    ),
)

PAGE_BYTES = 5_000_000
MAX_CHARS = 200_000
HTML = {"text/html", "application/xhtml+xml"}
TEXT = re.compile(r"^(text/.*|application/(.*\+)?(json|xml|yaml|javascript|x-ndjson)|image/svg\+xml)$")
META_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w-]{2,30})", re.IGNORECASE)
UNSAFE_NAME = re.compile(r"[^\w.() -]+")
FILE_NAME = re.compile(r"filename\*?\s*=\s*(?:UTF-8'[^']*')?\"?([^\";]+)", re.IGNORECASE)


@tool(
    host=True,
    effect="read",
    untrusted=True,
    egress=("url",),
    produces=("text",),
    examples=(
        "fetch {url}",
        "open {url}",
        "read {url}",
        "get {url}",
        "read the page {url}",
        "what does {url} say",
        "what is on {url}",
        "öffne {url}",
        "lies die seite {url}",
        "ouvre la page {url}",
    ),
)
async def fetch(ctx: Context, url: str, max_chars: int = 20_000) -> Output:
    """Fetch a web page as readable text."""
    from plugins.web.client import get

    ctx.progress(f"reading {_host(url)}")
    answer = await get(url, _allowed(ctx), limit=PAGE_BYTES, cut=True)
    title, text = await _text(ctx, answer)
    if not text.strip():
        raise ToolFailure(
            f"{answer.url} holds no readable text.",
            hint="It may be drawn by a program in the browser, which I don't run.",
        )
    bound = min(max(max_chars, 100), MAX_CHARS)
    shown = text[:bound]
    note = f"\n\n… cut at {bound:,} of {len(text):,} characters" if len(text) > bound else ""
    note += f"\n\n… only its first {PAGE_BYTES // 1_000_000} MB were read" if answer.cut else ""
    value = {"url": answer.url, "title": title, "text": shown}
    return Output(value, f"{title or answer.url}\n{answer.url}\n\n{shown}{note}")


@tool(
    host=True,
    effect="read",
    untrusted=True,
    egress=("url",),
    timeout=120,
    produces=(".csv", ".json", ".xlsx", ".parquet", ".pdf", ".docx", ".html", ".md", ".txt", ".png", ".jpg"),
    examples=(
        "download {url}",
        "download {url} as {path}",
        "download {url} to {path}",
        "save {url} as {path}",
        "lade {url} herunter",
        "télécharge {url}",
    ),
)
async def download(ctx: Context, url: str, path: str = "") -> Output:
    """Download a file from the web into the workspace, 20 MB at most."""
    from plugins.web.client import get

    ctx.progress(f"downloading from {_host(url)}")
    answer = await get(url, _allowed(ctx))
    name = path.strip() or _file_name(answer)
    saved = await ctx.save(name, answer.body)
    text = f"Downloaded {saved} ({len(answer.body):,} bytes, {answer.kind or 'of unknown kind'}) from {answer.url}."
    return Output(saved, text, files=(saved,))


@tool(
    host=True,
    effect="read",
    untrusted=True,
    egress=("query",),
    secrets=("brave_key", "tavily_key"),
    produces=("text",),
    examples=(
        "search the web for {query}",
        "search for {query}",
        "web search {query}",
        "google {query}",
        "look up {query}",
        "find {query} on the web",
        "suche im netz nach {query}",
        "cherche {query} sur le web",
    ),
)
async def search_web(ctx: Context, query: str, limit: int = 5) -> Output:
    """Search the web; return titles, addresses and excerpts."""
    from plugins.web.search import search

    if not query.strip():
        raise ToolFailure("There is nothing to search for.")
    ctx.progress(f"searching for {query[:60]}")
    found = await search(ctx, query.strip(), min(max(limit, 1), 20))
    if not found:
        return Output([], f"The web search for {query!r} found nothing.")
    lines = [
        f"{number}. {hit['title']}\n   {hit['url']}\n   {hit['text']}" for number, hit in enumerate(found, start=1)
    ]
    return Output(found, "\n".join(lines))


def _allowed(ctx: Context) -> Allowed:
    return Allowed.parse(ctx.settings.get("allow_private", ""))


def _host(url: str) -> str:
    return urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")[2][:80] or "the page"


async def _text(ctx: Context, answer: Answer) -> tuple[str, str]:
    """Return title and text. HTML is parsed inside; what is no text is refused with the way on."""
    if answer.kind in HTML or (not answer.kind and answer.body.lstrip()[:1] == b"<"):
        found = await ctx.inside(readable, html=_decoded(answer), url=answer.url)
        return str(found["title"]), str(found["text"])
    if answer.kind == "application/json" and not answer.cut:
        return "", _indented(_decoded(answer))
    if TEXT.match(answer.kind) or (not answer.kind and b"\0" not in answer.body):
        return "", _decoded(answer)
    raise ToolFailure(
        f"{answer.url} is no page, but a file of the kind {answer.kind or 'unknown'}.",
        hint="Use download, then extract_text for documents or python for data.",
    )


def _decoded(answer: Answer) -> str:
    declared = META_CHARSET.search(answer.body[:4_096])
    for charset in filter(None, (answer.charset, declared and declared[1].decode("ascii", "replace"), "utf-8")):
        try:
            return answer.body.decode(charset)
        except (LookupError, UnicodeDecodeError, ValueError):
            continue
    # The page was cut in the middle of a character, or is Windows-1252 that says nothing of it.
    text = answer.body.decode("utf-8", errors="replace")
    return text if text.count("\ufffd") <= 1 + len(text) // 1_000 else answer.body.decode("cp1252", errors="replace")


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _file_name(answer: Answer) -> str:
    """Return a harmless file name from what the server says, or from the address."""
    said = FILE_NAME.search(answer.disposition)
    last = unquote(said[1] if said else urlsplit(answer.url).path).replace("\\", "/").rstrip("/").rpartition("/")[2]
    name = UNSAFE_NAME.sub("_", last).strip(" .")[-100:]
    if name and ("." in name or said):
        return name
    import mimetypes

    suffix = mimetypes.guess_extension(answer.kind) or ""
    return f"{name or urlsplit(answer.url).hostname or 'download'}{suffix}"
