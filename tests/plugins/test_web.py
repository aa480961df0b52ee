"""The web tools, as plain functions: pages, files, search."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import respx

from plugins.api import ToolFailure
from plugins.web import download, fetch, search_web
from plugins.web.page import readable

ARTICLE = """<!doctype html><html><head><meta charset="iso-8859-1"><title>Tea &amp; toast</title></head><body>
<nav><a href="/">Home</a></nav><script>alert("x")</script>
<article><h1>Tea</h1><p>Tea is a drink made from <a href="/leaves">leaves</a>, and it is much older than you may think.
It has been drunk for thousands of years all over the world, in good company and alone.</p>
<table><tr><th>Kind</th><th>Minutes</th></tr><tr><td>Green</td><td>2</td></tr></table>
<p>Süß it is too, with sugar, and this paragraph is long enough to be taken for a part of the article itself.</p>
</article></body></html>"""


class Surroundings:
    """The context of a host tool, with a workspace in a folder; `inside` runs the function here."""

    def __init__(self, folder: Path, settings: dict[str, str] | None = None, secrets: dict[str, str] | None = None):
        self.workdir = folder
        self.settings = settings or {}
        self.secrets = secrets or {}
        self.said: list[str] = []
        self.ran_inside: list[str] = []

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        self.said.append(text)

    def secret(self, name: str) -> str:
        if name not in self.secrets:
            raise ToolFailure(f"The secret {name} is not set.")
        return self.secrets[name]

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        self.ran_inside.append(function.__name__)
        return json.loads(json.dumps(function(**json.loads(json.dumps(arguments)))))

    async def save(self, name: str, data: bytes) -> str:
        (self.workdir / name).write_bytes(data)
        return name


@pytest.fixture
def ctx(tmp_path: Path) -> Any:
    return Surroundings(tmp_path)


@pytest.fixture
def web():
    with respx.mock(using="httpcore", assert_all_called=False) as router:
        yield router


def page(body: str | bytes, kind: str = "text/html") -> httpx.Response:
    content = body.encode() if isinstance(body, str) else body
    return httpx.Response(200, content=content, headers={"Content-Type": kind})


async def refusal(call: Any) -> str:
    with pytest.raises(ToolFailure) as caught:
        await call
    return f"{caught.value.message} {caught.value.hint}"


# --- pages ----------------------------------------------------------------------------------------------------------


async def test_a_page_is_read_as_markdown_parsed_inside(ctx: Any, web: respx.MockRouter):
    web.get("https://example.org/tea").mock(return_value=page(ARTICLE.encode("latin-1")))
    result = await fetch(ctx, "example.org/tea")
    assert ctx.ran_inside == ["readable"]
    assert ctx.said == ["reading example.org"]
    assert result.value["title"] == "Tea & toast"
    assert result.value["url"] == "https://example.org/tea"
    assert result.text.startswith("Tea & toast\nhttps://example.org/tea\n\n")
    assert "[leaves](https://example.org/leaves)" in result.text
    assert "| Green | 2 |" in result.text
    assert "Süß" in result.text
    assert "alert" not in result.text


async def test_a_long_page_is_cut_and_says_so(ctx: Any, web: respx.MockRouter):
    web.get("https://example.org/").mock(return_value=page("word " * 10_000, "text/plain"))
    result = await fetch(ctx, "https://example.org/", max_chars=1_000)
    assert len(result.value["text"]) == 1_000
    assert "cut at 1,000 of 50,000 characters" in result.text


def test_a_page_that_is_no_article_is_read_as_all_its_text():
    found = readable("<html><body><ul><li>One</li><li><b>Two</b></li></ul><script>x()</script></body></html>")
    assert "One" in found["text"]
    assert "Two" in found["text"]
    assert "x()" not in found["text"]
    assert found["title"] == ""


@pytest.mark.parametrize("html", ["", "<", "<html>", "\x00", "<p>" * 3_000, "plain words"])
def test_rubbish_instead_of_a_page_is_read_as_far_as_it_goes(html: str):
    assert set(readable(html)) == {"title", "text"}


async def test_json_and_text_are_read_as_they_are(ctx: Any, web: respx.MockRouter):
    web.get("https://example.org/a").mock(return_value=page('{"b":[1]}', "application/json"))
    web.get("https://example.org/b").mock(return_value=page("a,b", "text/csv; charset=nonsense"))
    assert (await fetch(ctx, "https://example.org/a")).value["text"] == '{\n "b": [\n  1\n ]\n}'
    assert (await fetch(ctx, "https://example.org/b")).value["text"] == "a,b"
    assert ctx.ran_inside == []


async def test_what_is_no_page_points_to_download(ctx: Any, web: respx.MockRouter):
    web.get("https://example.org/a.pdf").mock(return_value=page(b"%PDF", "application/pdf"))
    assert "a file of the kind application/pdf. Use download" in await refusal(fetch(ctx, "https://example.org/a.pdf"))


async def test_a_page_without_text_says_why(ctx: Any, web: respx.MockRouter):
    web.get("https://example.org/").mock(return_value=page("<html><body><script>draw()</script></body></html>"))
    assert "drawn by a program" in await refusal(fetch(ctx, "https://example.org/"))


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "headers", "name"),
    [
        ("https://example.org/a/report.pdf?x=1", {}, "report.pdf"),
        (
            "https://example.org/get",
            {"Content-Disposition": 'attachment; filename="../../etc/pass wd.csv"'},
            "pass wd.csv",
        ),
        ("https://example.org/get", {"Content-Disposition": "attachment; filename*=UTF-8''%C3%84%20x.csv"}, "Ä x.csv"),
        ("https://example.org/%2e%2e%2f.bashrc", {}, "bashrc"),
        ("https://example.org/", {"Content-Type": "text/html"}, "example.org.html"),
    ],
)
async def test_a_download_gets_a_harmless_name(ctx: Any, web: respx.MockRouter, url: str, headers: Any, name: str):
    web.get(url__startswith="https://example.org/").mock(
        return_value=httpx.Response(200, content=b"abc", headers=headers)
    )
    result = await download(ctx, url)
    if name == "bashrc":
        name = result.value
        assert "/" not in name
        assert not name.startswith(".")
    assert result.value == name
    assert result.files == (name,)
    assert (ctx.workdir / name).read_bytes() == b"abc"


async def test_a_download_goes_where_it_is_told(ctx: Any, web: respx.MockRouter):
    web.get("https://example.org/x").mock(return_value=page(b"abc", "text/csv"))
    result = await download(ctx, "https://example.org/x", "mine.csv")
    assert result.value == "mine.csv"
    assert "mine.csv (3 bytes, text/csv) from https://example.org/x" in result.text


# --- search ---------------------------------------------------------------------------------------------------------

HITS = [{"title": "A <strong>b</strong>", "url": "https://a.org", "content": "x &amp; y"}, {"title": "no url"}]


async def test_without_an_engine_the_message_says_how_to_set_one_up(ctx: Any):
    said = await refusal(search_web(ctx, "tea"))
    assert "No search engine is set up." in said
    assert all(word in said for word in ("searxng", "[plugins.web]", "brave_key", "tavily_key", "[secrets]"))


async def test_a_searxng_server_of_ones_own_is_asked(tmp_path: Path, web: respx.MockRouter):
    route = web.get("http://localhost:8888/base/search").mock(
        return_value=httpx.Response(200, json={"results": [HITS[0] | {"title": "A <strong>b</strong>"}, HITS[1]]})
    )
    ctx: Any = Surroundings(tmp_path, {"searxng": "http://localhost:8888/base/"})
    result = await search_web(ctx, "green tea")
    assert result.value == [{"title": "A b", "url": "https://a.org", "text": "x & y"}]
    assert result.text == "1. A b\n   https://a.org\n   x & y"
    assert dict(route.calls[0].request.url.params) == {"q": "green tea", "format": "json"}


async def test_a_searxng_server_without_json_says_what_to_change(tmp_path: Path, web: respx.MockRouter):
    web.get("http://localhost:8888/search").mock(return_value=httpx.Response(403))
    ctx: Any = Surroundings(tmp_path, {"searxng": "http://localhost:8888"})
    assert "Add json to search.formats" in await refusal(search_web(ctx, "x"))
    web.get("http://localhost:8888/search").mock(return_value=page("<html>"))
    assert "SearXNG did not answer as JSON but as text/html" in await refusal(search_web(ctx, "x"))


async def test_brave_and_tavily_are_asked_with_their_keys(tmp_path: Path, web: respx.MockRouter):
    brave = web.get("https://api.search.brave.com/res/v1/web/search").mock(
        return_value=httpx.Response(
            200, json={"web": {"results": [{"title": "T", "url": "https://b.org", "description": "d"}]}}
        )
    )
    tavily = web.post("https://api.tavily.com/search").mock(return_value=httpx.Response(200, json={"results": HITS}))
    found = await search_web(Surroundings(tmp_path, secrets={"brave_key": "K1"}), "tea", limit=3)  # type: ignore[arg-type]
    assert found.value == [{"title": "T", "url": "https://b.org", "text": "d"}]
    assert brave.calls[0].request.headers["X-Subscription-Token"] == "K1"
    assert brave.calls[0].request.url.params["count"] == "3"
    found = await search_web(Surroundings(tmp_path, secrets={"tavily_key": "K2"}), "tea")  # type: ignore[arg-type]
    assert found.value[0]["url"] == "https://a.org"
    assert tavily.calls[0].request.headers["Authorization"] == "Bearer K2"
    assert json.loads(tavily.calls[0].request.content) == {"query": "tea", "max_results": 5}


@pytest.mark.parametrize("answer", [{"results": None}, {"results": "x"}, [], {"results": [1, None]}, 5])
async def test_strange_answers_of_an_engine_are_nothing_found(tmp_path: Path, web: respx.MockRouter, answer: Any):
    web.get("http://localhost:8888/search").mock(return_value=httpx.Response(200, json=answer))
    ctx: Any = Surroundings(tmp_path, {"searxng": "http://localhost:8888"})
    assert (await search_web(ctx, "tea")).text == "The web search for 'tea' found nothing."


async def test_an_empty_search_is_refused(ctx: Any):
    assert "nothing to search for" in await refusal(search_web(ctx, " "))
