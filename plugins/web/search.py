"""Search engines: a SearXNG server of one's own, Brave, Tavily. The first that is configured is asked."""

from __future__ import annotations

import html
import json
import re
from typing import Any
from urllib.parse import urlencode

from plugins.api import Context, ToolFailure
from plugins.web.client import Answer, get
from plugins.web.guard import Allowed, check_url

TAG = re.compile(r"<[^>]{1,200}>")
EXCERPT = 500
HOW = (
    'Set searxng = "http://localhost:8888" under [plugins.web] in dirigent.toml for a SearXNG server of your own, or'
    " brave_key or tavily_key under [secrets]. A page whose address you know can be read without: fetch."
)
JSON_LIMIT = 5_000_000


async def search(ctx: Context, query: str, limit: int) -> list[dict[str, str]]:
    """Return {"title", "url", "text"} of the best hits. Raises ToolFailure when no engine is set or it fails."""
    allowed = Allowed.parse(ctx.settings.get("allow_private", ""))
    base = ctx.settings.get("searxng", "").strip().rstrip("/")
    if base:
        return await _searxng(base, query, limit, allowed)
    key = _secret(ctx, "brave_key")
    if key:
        return await _brave(key, query, limit, allowed)
    key = _secret(ctx, "tavily_key")
    if key:
        return await _tavily(key, query, limit, allowed)
    raise ToolFailure("No search engine is set up.", hint=HOW)


def _secret(ctx: Context, name: str) -> str:
    try:
        return ctx.secret(name)
    except ToolFailure:
        return ""


async def _searxng(base: str, query: str, limit: int, allowed: Allowed) -> list[dict[str, str]]:
    url = check_url(base, allowed)
    # The owner named this server; it may well be in the owner's own network.
    allowed = allowed.and_host(url.host, url.port or (443 if url.scheme == "https" else 80))
    try:
        answer = await get(f"{url}".rstrip("/") + "/search?" + urlencode({"q": query, "format": "json"}), allowed)
    except ToolFailure as failure:
        if " 403" in failure.message:
            hint = "Add json to search.formats in its settings.yml."
            raise ToolFailure("The SearXNG server refuses to answer as JSON.", hint=hint) from failure
        raise
    return _hits(_read(answer, "SearXNG"), ("results",), "content", limit)


async def _brave(key: str, query: str, limit: int, allowed: Allowed) -> list[dict[str, str]]:
    url = "https://api.search.brave.com/res/v1/web/search?" + urlencode({"q": query[:400], "count": limit})
    headers = {"X-Subscription-Token": key, "Accept": "application/json"}
    answer = await get(url, allowed, limit=JSON_LIMIT, headers=headers)
    return _hits(_read(answer, "Brave"), ("web", "results"), "description", limit)


async def _tavily(key: str, query: str, limit: int, allowed: Allowed) -> list[dict[str, str]]:
    answer = await get(
        "https://api.tavily.com/search",
        allowed,
        limit=JSON_LIMIT,
        method="POST",
        headers={"Authorization": f"Bearer {key}"},
        json={"query": query[:400], "max_results": limit},
    )
    return _hits(_read(answer, "Tavily"), ("results",), "content", limit)


def _read(answer: Answer, engine: str) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as problem:
        raise ToolFailure(f"{engine} did not answer as JSON but as {answer.kind or 'something else'}.") from problem


def _hits(value: Any, path: tuple[str, ...], text: str, limit: int) -> list[dict[str, str]]:
    for key in path:
        value = value.get(key, []) if isinstance(value, dict) else []
    rows = [row for row in value if isinstance(row, dict) and row.get("url")] if isinstance(value, list) else []
    return [
        {"title": _plain(row.get("title")) or str(row["url"]), "url": str(row["url"]), "text": _plain(row.get(text))}
        for row in rows[:limit]
    ]


def _plain(text: Any) -> str:
    words = " ".join(html.unescape(TAG.sub("", str(text or ""))).split())
    return words if len(words) <= EXCERPT else words[:EXCERPT] + "…"
