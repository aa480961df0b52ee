"""A walk over every route that there is, found in the application itself: what answers strangers, and with what headers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.cli.door import house_of, rooms_of
from agent.config import Web
from agent.metrics import Metrics
from agent.testing import Bot
from agent.web.admin import entry
from agent.web.admin.entry import Entry
from agent.web.admin.live import MOST_EACH
from agent.web.app import web_app
from agent.web.server import listen

TOKEN, READ, PASSWORD = "t" * 32, "r" * 32, "correct horse battery"
OPEN_TO_ALL = {
    ("GET", "/"),
    ("GET", "/admin/login"),
    ("POST", "/admin/login"),
    ("GET", "/admin/static/{name}"),
    ("GET", "/favicon.ico"),
    ("GET", "/health"),
    ("POST", "/hooks/{trigger}"),  # signed
    ("GET", "/metrics"),  # from this machine
}
STRANGERS: dict[str, dict[str, str]] = {
    "nobody": {},
    "a wrong token": {"Authorization": "Bearer wrong"},
    "the token as a password": {"Authorization": f"Basic {TOKEN}"},
    "a made-up cookie": {"Cookie": f"{entry.COOKIE}=made-up"},
    "the token as a cookie": {"Cookie": f"{entry.COOKIE}={TOKEN}"},
}


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with Bot(tmp_path / "home", offline=True, automation={"report_to": "test:1"}) as made:
        yield made


@pytest.fixture
async def served(bot: Bot) -> AsyncIterator[tuple[Any, httpx.AsyncClient]]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    app = bot.app

    async def is_well() -> bool:
        return True

    web = Web(port=port, token=TOKEN, read_token=READ, pages=True, password=PASSWORD)
    rooms = rooms_of(app)
    house = house_of(app, rooms, "A")
    house = type(house)(rooms, Entry(app.store, PASSWORD), app.config, app.catalogue, house.reload, "A")
    metrics = Metrics(app.store).page
    made = web_app(web, receive=app.automation.receive, is_well=is_well, rooms=rooms, metrics=metrics, house=house)
    server = listen(made, web)
    serving = asyncio.create_task(server.run())
    async with httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60) as client:
        yield made, client
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


def every_route(application: Any) -> list[tuple[str, str]]:
    """Return (method, path) of everything that the application answers."""
    found, queue = set(), list(application.routes)
    while queue:
        route = queue.pop()
        inner = getattr(route, "original_router", None)
        if inner is not None:
            queue += inner.routes
        else:
            found |= {(method, route.path) for method in route.methods or ("GET",)}
    return sorted(found)


def filled(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "x", path)


async def unchanged(bot: Bot) -> bool:
    store = bot.app.store
    return (
        not await store.recent_runs()
        and not await store.triggers()
        and await bot.app.automation.switch.off_since() is None
    )


async def test_no_route_but_the_open_ones_answers_a_stranger(bot: Bot, served):
    application, client = served
    routes = every_route(application)
    assert len(routes) > 90
    assert set(routes) >= OPEN_TO_ALL
    for method, path in sorted(set(routes) - OPEN_TO_ALL):
        for who, headers in STRANGERS.items():
            answer = await client.request(method, filled(path), headers=headers)
            if path.startswith("/admin"):
                assert (answer.status_code, answer.headers.get("location")) == (303, "/admin/login"), (who, path)
            else:
                assert answer.status_code == 401, (who, method, path)
    assert await unchanged(bot)


async def test_every_answer_keeps_browsers_from_harm(served):
    application, client = served
    for method, path in every_route(application):
        answer = await client.request(method, filled(path))
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["x-frame-options"] == "DENY", path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
        assert "server" not in answer.headers
    for answer in (await client.get("/none"), await client.get("/", headers={"Host": "evil.example"})):
        assert answer.headers["x-frame-options"] == "DENY"


async def test_the_token_for_reading_changes_nothing(bot: Bot, served):
    application, client = served
    routes = [(method, path) for method, path in every_route(application) if path.startswith("/api")]
    for method, path in routes:
        answer = await client.request(method, filled(path), headers={"Authorization": f"Bearer {READ}"})
        expected = {200, 404} if method == "GET" else {403}
        assert answer.status_code in expected, (method, path)
    assert sum(method != "GET" for method, _ in routes) >= 20
    assert await unchanged(bot)


async def test_a_foreign_host_is_refused_on_every_route(served):
    application, client = served
    for method, path in every_route(application):
        headers = {"Host": "rebound.example", "Authorization": f"Bearer {TOKEN}"}
        assert (await client.request(method, filled(path), headers=headers)).status_code == 421, path


async def test_no_form_is_taken_without_its_token_or_from_elsewhere(bot: Bot, served):
    application, client = served
    before = client.cookies.get(entry.COOKIE)
    await client.post("/admin/login", data={"password": PASSWORD})
    assert client.cookies[entry.COOKIE] != before
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/admin")).text)
    assert csrf is not None
    forms = [path for method, path in every_route(application) if method == "POST" and path.startswith("/admin/")]
    forms.remove("/admin/login")
    assert len(forms) >= 18
    for path in forms:
        assert (await client.post(filled(path), data={"csrf": "wrong"})).status_code == 403, path
        foreign = {"Origin": "http://evil.example"}
        assert (await client.post(filled(path), data={"csrf": csrf[1]}, headers=foreign)).status_code == 403, path
    assert await unchanged(bot)
    assert (await client.get("/admin")).status_code == 200  # nobody was logged out by it


async def test_a_login_does_not_take_over_a_cookie_that_was_there(served):
    _, client = served
    planted = {"Cookie": f"{entry.COOKIE}=planted"}
    answer = await client.post("/admin/login", data={"password": PASSWORD}, headers=planted)
    given = answer.cookies[entry.COOKIE]
    assert given != "planted"
    client.cookies.clear()
    assert (await client.get("/admin", headers=planted)).status_code == 303


async def test_a_visit_that_is_over_sees_nothing_and_its_stream_ends(bot: Bot, served):
    _, client = served
    await client.post("/admin/login", data={"password": PASSWORD})
    kept = {"Cookie": f"{entry.COOKIE}={client.cookies[entry.COOKIE]}"}
    csrf = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/admin")).text)
    assert csrf is not None
    async with client.stream("GET", "/admin/live") as stream:
        lines = stream.aiter_lines()
        assert "event:" in await anext(lines)
        assert (await client.post("/admin/logout", data={"csrf": csrf[1]})).status_code == 303
        async with asyncio.timeout(60):
            async for _ in lines:
                pass
    assert (await client.get("/admin/runs", headers=kept)).headers["location"] == "/admin/login"


async def test_one_reader_keeps_only_a_few_pages_up_to_date(served):
    _, client = served
    await client.post("/admin/login", data={"password": PASSWORD})
    async with asyncio.TaskGroup() as group, asyncio.timeout(60):
        ready = [asyncio.Event() for _ in range(MOST_EACH)]
        done = asyncio.Event()

        async def hold(begun: asyncio.Event) -> None:
            async with client.stream("GET", "/admin/live") as stream:
                lines = stream.aiter_lines()  # one that nobody holds closes the stream
                await anext(lines)
                begun.set()
                await done.wait()

        for one in ready:
            group.create_task(hold(one))
        for one in ready:
            await one.wait()
        assert (await client.get("/admin/live")).status_code == 204
        assert (await client.get("/admin/runs")).status_code == 200
        done.set()


async def test_files_are_given_to_be_kept_and_never_from_elsewhere(bot: Bot, served):
    _, client = served
    session = await bot.app.orchestrator.sessions.open("test:1")
    await bot.app.store.touch_session(session.id, session.folder, {"channel": "test", "chat_id": "1"})
    (session.workspace / "page.html").write_text("<script>alert(1)</script>")
    (session.workspace / "näme;.txt").write_text("x")
    (session.workspace / "link").symlink_to("/etc/passwd")
    (session.folder / "secret").write_text("x")
    bearer = {"Authorization": f"Bearer {READ}"}
    answer = await client.get("/api/sessions/test:1/files/page.html", headers=bearer)
    assert answer.text == "<script>alert(1)</script>"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith('attachment; filename="page.html"')
    assert "sandbox" in answer.headers["content-security-policy"]
    named = await client.get("/api/sessions/test:1/files/n%C3%A4me;.txt", headers=bearer)
    assert "filename*=UTF-8''n%C3%A4me%3B.txt" in named.headers["content-disposition"]
    for path in ("link", "../secret", "..%2Fsecret", "%2e%2e/secret", "/etc/passwd", "%2Fetc%2Fpasswd", "x%00"):
        for address in (f"/api/sessions/test:1/files/{path}", f"/api/runs/x/files/{path}"):
            assert (await client.get(address, headers=bearer)).status_code in {404, 401}, address
    await client.post("/admin/login", data={"password": PASSWORD})
    assert (await client.get("/admin/sessions/test:1/files/page.html")).headers["content-disposition"]
    assert (await client.get("/admin/sessions/test:1/files/..%2Fsecret")).status_code == 404


async def test_what_breaks_is_told_by_a_reference_alone(bot: Bot, served, monkeypatch):
    _, client = served

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("/home/ada/journal.db: the password is hunter22")

    monkeypatch.setattr(bot.app.store, "recent_runs", broken)
    answer = await client.get("/api/runs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.headers["x-frame-options"]) == (500, "DENY")
    assert "reference E-" in answer.json()["detail"]
    await client.post("/admin/login", data={"password": PASSWORD})
    page = await client.get("/admin/runs")
    assert page.status_code == 500
    assert "reference E-" in page.text
    assert "hunter22" not in answer.text + page.text


async def test_a_slow_sender_of_a_body_is_let_go(served, monkeypatch):
    application, client = served
    monkeypatch.setattr("agent.web.guard.READ_SECONDS", 0.2)
    reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
    head = f"POST /api/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 900\r\n\r\n{{"
    writer.write(head.encode())
    await writer.drain()
    async with asyncio.timeout(30):
        assert b"408" in await reader.readline()
    writer.close()
    assert application is not None


async def test_an_address_names_all_its_methods_when_it_has_not_the_one_asked_for(served):
    application, client = served
    bearer, routes = {"Authorization": f"Bearer {TOKEN}"}, every_route(application)
    for path in {path for _, path in routes if path.startswith("/api")}:
        answer = await client.request("OPTIONS", filled(path), headers=bearer)
        assert answer.status_code == 405
        assert set(answer.headers["allow"].split(", ")) == {method for method, one in routes if one == path}, path


async def test_a_name_with_a_nul_is_nobodys_on_every_route(served):
    application, client = served
    await client.post("/admin/login", data={"password": PASSWORD})
    for method, path in every_route(application):
        if "{" in path:
            address = re.sub(r"\{[^}]+\}", "a%00b", path)
            answer = await client.request(method, address, headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.status_code == 404, (method, path)
    for query in ("runs?session=%00", "audit?session=%00", "audit?kind=%00"):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        assert (await client.get(f"/api/{query}", headers=headers)).status_code == 422
        assert (await client.get(f"/admin/{query}")).status_code == 400
