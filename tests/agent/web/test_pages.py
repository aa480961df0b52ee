"""The owner's pages over a real socket: who gets in, what they show and change, and what they refuse."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request

from agent.cli.door import check_reach, house_of, rooms_of
from agent.config import Web
from agent.domain.states import Status
from agent.errors import ConfigError
from agent.testing import Bot
from agent.web.admin import entry
from agent.web.admin.entry import Entry, NotIn, new_code
from agent.web.admin.joining import add_pages
from agent.web.app import web_app
from agent.web.server import listen
from plugins.api import tool
from plugins.loader import LoadedPlugin

PASSWORD = "correct horse battery"
PIPELINE = """
name: greet
inputs:
  who: {type: text}
steps:
  - {id: first, use: say, args: {text: "hi {{ inputs.who }}"}}
  - {id: sure, use: ask, args: {question: "Say {{ steps.first.output }}?", options: ["Yes", "No"]}}
  - {id: told, use: say, args: {text: "{{ steps.sure.output }}"}, approval: "Tell {{ inputs.who }}?"}
"""
ENDED = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


def a_web(**settings) -> Web:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    return Web(**{"port": port, "password": PASSWORD, **settings})


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "greet.yaml").write_text(PIPELINE)
    settings = {"automation": {"report_to": "test:1"}, "web": {"password": PASSWORD}}
    async with Bot(tmp_path / "home", [say], offline=True, **settings) as made:
        yield made


@pytest.fixture
async def client(bot: Bot) -> AsyncIterator[httpx.AsyncClient]:
    app, web = bot.app, a_web()

    async def is_well() -> bool:
        return True

    rooms = rooms_of(app)
    made = web_app(web, receive=app.automation.receive, is_well=is_well, house=house_of(app, rooms, "A"))
    server = listen(made, web)
    serving = asyncio.create_task(server.run())
    async with httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60) as one:
        yield one
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture
async def owner(client: httpx.AsyncClient) -> httpx.AsyncClient:
    answer = await client.post("/admin/login", data={"password": PASSWORD})
    assert (answer.status_code, answer.headers["location"]) == (303, "/admin")
    return client


async def token(client: httpx.AsyncClient) -> str:
    page = (await client.get("/admin")).text
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


async def send(client: httpx.AsyncClient, address: str, **fields: str) -> str:
    """Send a form as the page would, and return the page that is shown then."""
    data = {"csrf": await token(client), **fields}
    return (await client.post(address, data=data, follow_redirects=True)).text


def asking(cookie: str) -> Request:
    """Return a request that brings a cookie."""
    return Request({"type": "http", "headers": [(b"cookie", f"{entry.COOKIE}={cookie}".encode())]})


# --- who gets in ----------------------------------------------------------------------------------------------------
async def test_nobody_sees_or_changes_anything_without_being_logged_in(bot: Bot, client: httpx.AsyncClient):
    from fastapi import FastAPI

    described = FastAPI()
    add_pages(described, house_of(bot.app, rooms_of(bot.app), ""))
    walked = 0
    for route in described.routes:
        path = re.sub(r"\{[^}]+\}", "x", getattr(route, "path", ""))
        if not path.startswith("/admin") or path.startswith(("/admin/login", "/admin/static")):
            continue
        for method in route.methods:
            answer = await client.request(method, path, headers={"Cookie": "dirigent=x"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/admin/login"), (method, path)
            walked += 1
    assert walked >= 25
    assert await bot.app.automation.switch.off_since() is None
    assert await bot.app.store.recent_runs() == []


async def test_a_link_lets_in_once_and_the_cookie_outlives_a_restart(bot: Bot, client: httpx.AsyncClient):
    code = await new_code(bot.app.store, time.time())
    assert "lets you in once" in (await client.get("/admin/login", params={"code": code})).text
    first = await client.post("/admin/login", data={"code": code})
    flags = first.headers["set-cookie"].lower()
    assert "httponly" in flags
    assert "samesite=strict" in flags
    assert (await client.get("/admin")).status_code == 200
    again = await client.post("/admin/login", data={"code": code})
    assert (again.status_code, "used up" in again.text) == (401, True)

    asks = asking(client.cookies["dirigent"])
    restarted = Entry(bot.app.store)
    await restarted.log_out(await restarted.visit(asks))
    with pytest.raises(NotIn):
        await restarted.visit(asks)


async def test_a_code_is_good_for_ten_minutes_and_a_login_for_two_weeks(bot: Bot):
    now = [1000.0]
    door = Entry(bot.app.store, PASSWORD, lambda: now[0])
    code = await new_code(bot.app.store, now[0])
    now[0] += entry.CODE_SECONDS + 1
    with pytest.raises(NotIn):
        await door.log_in(code=code)

    asks = asking(await door.log_in(password=PASSWORD))
    await door.visit(asks)
    now[0] += entry.SESSION_SECONDS + 1
    with pytest.raises(NotIn):
        await door.visit(asks)


async def test_wrong_passwords_are_slowed_down(client: httpx.AsyncClient):
    for _ in range(entry.TRIES):
        assert (await client.post("/admin/login", data={"password": "wrong"})).status_code == 401
    late = await client.post("/admin/login", data={"password": PASSWORD})
    assert late.status_code == 429
    assert "in a minute" in late.text


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_a_form_from_another_site_changes_nothing(bot: Bot, owner: httpx.AsyncClient, headers):
    data = {"csrf": await token(owner)}
    assert (await owner.post("/admin/automation/stop", data=data, headers=headers)).status_code == 403
    assert (await owner.post("/admin/login", data={"password": PASSWORD}, headers=headers)).status_code == 403
    assert await bot.app.automation.switch.off_since() is None


async def test_a_form_without_its_token_changes_nothing(bot: Bot, owner: httpx.AsyncClient):
    for data in ({}, {"csrf": ""}, {"csrf": "wrong"}):
        assert (await owner.post("/admin/automation/stop", data=data)).status_code == 403
    assert await bot.app.automation.switch.off_since() is None


async def test_pages_let_nothing_foreign_in(owner: httpx.AsyncClient):
    answer = await owner.get("/admin")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert (await owner.get("/admin", headers={"Host": "rebound.example"})).status_code == 421
    assert not re.findall(r"<script(?![^>]*src=)|<style|\son[a-z]+=|style=", answer.text)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "server.lan"])
def test_pages_that_others_reach_need_a_password(host):
    with pytest.raises(ConfigError, match="no password"):
        check_reach(Web(host=host, pages=True))
    check_reach(Web(host=host, pages=True, password=PASSWORD))
    check_reach(Web(pages=True))


# --- what they show -------------------------------------------------------------------------------------------------
async def test_every_page_is_shown_also_when_there_is_nothing(owner: httpx.AsyncClient):
    for place in ("", "/waiting", "/runs", "/triggers", "/pipelines", "/pipelines/greet", "/events", "/sessions"):
        assert (await owner.get(f"/admin{place}")).status_code == 200, place
    for place in ("/plugins", "/budget", "/audit", "/audit/verify"):
        assert (await owner.get(f"/admin{place}")).status_code == 200, place
    for gone in ("/runs/none", "/triggers/none", "/pipelines/none", "/sessions/none"):
        assert (await owner.get(f"/admin{gone}")).status_code == 404, gone
    assert (await owner.get("/admin/runs?limit=many")).status_code == 400
    assert (await owner.get("/", follow_redirects=True)).status_code == 200


async def test_a_run_is_answered_and_approved_on_its_page(bot: Bot, owner: httpx.AsyncClient):
    await bot.app.start()
    page = await send(owner, "/admin/pipelines/greet/run", **{"input:who": "<script>alert(1)</script>"})
    run = (await bot.app.store.recent_runs())[0]
    assert "<script>alert" not in page

    page = await shows(owner, run.ref, "/admin/questions/")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;?" in page
    question = (await bot.app.store.questions_of(run.id))[0]
    assert "Answered: Yes" in await send(owner, f"/admin/questions/{question.id}", option="Yes")
    assert "too late" in await send(owner, f"/admin/questions/{question.id}", option="No")

    page = await shows(owner, run.ref, "/admin/approvals/")
    approval = (await bot.app.store.approvals_of(run.id))[0]
    assert "has changed" in await send(owner, f"/admin/approvals/{approval.id}", decision="allow", digest="0" * 64)
    page = await send(owner, f"/admin/approvals/{approval.id}", decision="yes", digest=approval.digest)
    assert "nothing like that" in page
    assert (await bot.app.store.get_approval(approval.id)).decision is None
    fields = {"decision": "allow", "digest": approval.digest}
    assert "Allowed" in await send(owner, f"/admin/approvals/{approval.id}", **fields)
    assert "too late" in await send(owner, f"/admin/approvals/{approval.id}", **fields)
    await ended(bot, run.id)
    page = (await owner.get(f"/admin/runs/{run.ref}")).text
    assert "3 of 3 steps" in page
    assert page.count('class="n-COMPLETED"') == 3
    assert (await bot.app.store.get_approval(approval.id)).decided_by == "owner (web)"


async def shows(client: httpx.AsyncClient, ref: str, wanted: str) -> str:
    """Return the run's page once it shows something, as its live stream says."""
    async with client.stream("GET", f"/admin/runs/{ref}/live") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if wanted in line:
                break
    return (await client.get(f"/admin/runs/{ref}")).text


async def ended(bot: Bot, run_id: int) -> None:
    async with asyncio.timeout(60):
        while (await bot.app.store.get_run(run_id)).status not in ENDED:
            await asyncio.sleep(0.02)


async def test_the_live_stream_ends_with_the_run(bot: Bot, owner: httpx.AsyncClient):
    await bot.app.start()
    await send(owner, "/admin/pipelines/greet/run", **{"input:who": "Ada"})
    run = (await bot.app.store.recent_runs())[0]
    await shows(owner, run.ref, "/admin/questions/")
    page = await send(owner, f"/admin/runs/{run.ref}/stop")
    assert "stopped" in page.lower()
    async with owner.stream("GET", f"/admin/runs/{run.ref}/live") as stream:
        events = [line async for line in stream.aiter_lines() if line.startswith("event:")]
    assert events[-1] == "event: over"


# --- what they change -----------------------------------------------------------------------------------------------
async def test_a_wrong_pipeline_is_not_saved_and_not_lost(bot: Bot, owner: httpx.AsyncClient):
    file = bot.app.pipelines.folder / "greet.yaml"
    wrong = PIPELINE.replace("use: say", "use: sya")
    data = {"csrf": await token(owner), "text": wrong, "verb": "save"}
    answer = await owner.post("/admin/pipelines/greet", data=data)
    assert answer.status_code == 422
    assert "greet.yaml:6" in answer.text
    assert "say" in answer.text
    assert "use: sya" in answer.text
    assert file.read_text() == PIPELINE

    right = PIPELINE.replace('"hi ', '"hello ')
    assert "Saved" in await send(owner, "/admin/pipelines/greet", text=right.replace("\n", "\r\n"), verb="save")
    assert file.read_text() == right
    assert [one.name for one in file.parent.iterdir()] == ["greet.yaml"]


async def test_what_somebody_else_has_saved_meanwhile_is_not_written_over(bot: Bot, owner: httpx.AsyncClient):
    folder = bot.app.pipelines.folder
    seen = (await owner.get("/admin/pipelines/greet")).text
    made_from = re.search(r'name="made_from" value="([^"]+)"', seen)
    assert made_from is not None
    first, mine = PIPELINE.replace('"hi ', '"hello '), PIPELINE.replace('"hi ', '"hey ')
    await send(owner, "/admin/pipelines/greet", text=first, verb="save", made_from=made_from[1])
    page = await send(owner, "/admin/pipelines/greet", text=mine, verb="save", made_from=made_from[1])
    assert "changed meanwhile" in page
    assert "hey" in page  # what was typed is there still
    assert (folder / "greet.yaml").read_text() == first
    (folder / "fresh.yaml").write_text(first)
    await send(owner, "/admin/pipelines/fresh", text=mine, verb="save", made_from="")
    assert (folder / "fresh.yaml").read_text() == first
    entries = await bot.app.store.audit_entries(kind="pipeline", limit=9)
    assert [(one.facts["saved"], one.facts["by"]) for one in entries] == [("greet", "owner (web)")]


@pytest.mark.parametrize("typed", ["[" * 99_999, '{"every": NaN}', '{"at": 1e18}', '{"every": 60, "until": "x"}', "[]"])
async def test_a_form_that_no_browser_sends_makes_no_trigger_and_breaks_nothing(
    bot: Bot, owner: httpx.AsyncClient, typed: str
):
    data = {"csrf": await token(owner), "when": "json", "value": typed, "does": "notice", "what": "x"}
    assert (await owner.post("/admin/triggers", data=data)).status_code == 303
    assert await bot.app.store.triggers() == []


async def test_checking_a_pipeline_saves_nothing(bot: Bot, owner: httpx.AsyncClient):
    page = await send(owner, "/admin/pipelines/fresh", text=PIPELINE, verb="check")
    assert "asks you first" in page
    assert "fresh" not in bot.app.pipelines.names()
    for name in ("..", "a%2Fb", "a%20b", "x" * 80):
        answer = await owner.post(f"/admin/pipelines/{name}", data={"csrf": await token(owner), "text": PIPELINE})
        assert answer.status_code in {404, 405, 422}, name


async def test_triggers_are_made_switched_fired_and_deleted(bot: Bot, owner: httpx.AsyncClient):
    store = bot.app.store
    assert "cron" in await send(owner, "/admin/triggers", when="cron", value="99 9 * * *", what="news", does="request")
    assert await store.triggers() == []
    fields = {"when": "cron", "value": "0 9 * * 1-5", "zone": "Europe/Vienna", "what": "Water", "does": "notice"}
    assert "Created: plants" in await send(owner, "/admin/triggers", name="plants", **fields)
    made = (await store.triggers())[0]
    assert (made.spec, made.target) == ({"cron": "0 9 * * 1-5", "zone": "Europe/Vienna"}, {"notice": "Water"})
    await send(owner, f"/admin/triggers/{made.id}/disable")
    assert not (await store.triggers())[0].enabled
    await send(owner, f"/admin/triggers/{made.id}/enable")
    assert "Fired" in await send(owner, f"/admin/triggers/{made.id}/fire")
    assert len(await store.fires_of(made.id)) == 1
    assert "Nothing is called" in await send(owner, f"/admin/triggers/{made.id}/explode")
    await send(owner, f"/admin/triggers/{made.id}/delete")
    assert await store.triggers() == []


async def test_the_automation_is_stopped_and_started_on_the_page(bot: Bot, owner: httpx.AsyncClient):
    await bot.app.automation.start()
    assert "Events are kept" in await send(owner, "/admin/automation/stop")
    assert await bot.app.automation.switch.off_since() is not None
    await send(owner, "/admin/automation/start")
    assert await bot.app.automation.switch.off_since() is None


async def test_what_is_remembered_is_forgotten_by_its_exact_line(bot: Bot, owner: httpx.AsyncClient):
    from agent.memory.memory import SessionMemory

    session = await bot.app.orchestrator.sessions.open("test:1")
    await bot.app.store.touch_session(session.id, session.folder, {"channel": "test", "chat_id": "1"})
    memory = SessionMemory(session.folder)
    await memory.remember("likes tea")
    await memory.remember("likes coffee")
    page = (await owner.get("/admin/sessions/test:1")).text
    assert "likes tea" in page
    lines = re.findall(r'name="line" value="([^"]*)"', page)
    tea = next(line for line in lines if "tea" in line)
    assert "Forgotten" in await send(owner, "/admin/sessions/test:1/memory/forget", line=tea)
    assert [entry.text for entry in await memory.entries()] == ["likes coffee"]

    left = (await memory.entries())[0].line()
    assert "Changed" in await send(owner, "/admin/sessions/test:1/memory/edit", line=left, text="likes cocoa")
    assert "Remembered" in await send(owner, "/admin/sessions/test:1/memory/remember", text="is called Ada")
    assert [entry.text for entry in await memory.entries()] == ["likes cocoa", "is called Ada"]
    assert "not remembered any more" in await send(owner, "/admin/sessions/test:1/memory/edit", line=left, text="x")


async def test_no_secret_is_on_any_page(bot: Bot, owner: httpx.AsyncClient):
    for place in ("", "/runs", "/triggers", "/pipelines", "/sessions", "/plugins", "/budget", "/audit"):
        assert PASSWORD not in (await owner.get(f"/admin{place}")).text


async def test_skills_are_shown_beside_plugins_and_what_is_wrong_with_the_others(
    owner: httpx.AsyncClient, tmp_path: Path
):
    for name, head in (("good", "name: good\ndescription: Does <b>good</b>."), ("bad", "name: bad")):
        (tmp_path / "home" / "skills" / name).mkdir(parents=True)
        (tmp_path / "home" / "skills" / name / "SKILL.md").write_text(f"---\n{head}\n---\nHow to do it.\n")
    page = (await owner.get("/admin/plugins")).text
    assert "Does &lt;b&gt;good&lt;/b&gt;." in page
    assert "How to do it." in page
    assert "`description:` is missing" in page


async def test_plugins_and_servers_that_are_held_back_are_shown_with_the_way_on(bot: Bot, owner: httpx.AsyncClient):
    held = {"order": "runs outside the sandbox (host=True)"}
    shop = LoadedPlugin("shop", "/p/shop.py", held_back=held, note="A <b>link</b> leads out of it.")
    clock = LoadedPlugin("clock", "mcp:clock")
    bot.app.catalogue.plugins = (*bot.app.catalogue.plugins, shop, clock)
    accept = "held back until you accept it (`dirigent mcp accept clock`): now"
    bot.app.catalogue.remark = {"shop": shop.remark, "clock": accept, "test": ""}.__getitem__
    page = (await owner.get("/admin/plugins")).text
    assert "<code>dirigent plugins trust shop</code>" in page
    assert "<li>order runs outside the sandbox (host=True)</li>" in page
    assert "A &lt;b&gt;link&lt;/b&gt; leads out of it." in page
    assert accept in page
    assert page.count("! held back") == 2
    assert page.index('id="p-clock"') < page.index('id="p-shop"') < page.index('id="p-test"'), "what to do comes first"
