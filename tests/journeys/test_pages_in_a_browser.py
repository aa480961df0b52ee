"""The owner's pages in a real browser, on a desk and on a phone: a run watched live, answered, approved; accessible."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli.door import house_of, rooms_of
from agent.config import Web
from agent.domain.event import Event
from agent.domain.messages import Destination
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Origin
from agent.domain.trigger import Trigger, TriggerKind
from agent.memory.memory import SessionMemory
from agent.testing import Bot
from agent.web.admin.entry import new_code
from agent.web.app import web_app
from agent.web.opening import open_pipeline
from agent.web.server import WebServer, listen
from plugins.api import tool

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES = {"desk": (1280, 900), "phone": (390, 800)}
PLACES = ("", "/waiting", "/runs", "/triggers", "/pipelines", "/pipelines/demo", "/events", "/sessions", "/plugins")
WAIT = 30_000.0  # milliseconds
PIPELINE = """\
name: demo
inputs: {who: {type: text, default: world}}
steps:
  - {id: hello, use: say, args: {text: "hello {{ inputs.who }}"}}
  - {id: upper, use: value, args: {value: "{{ steps.hello.output | upper }}"}}
  - {id: count, use: value, args: {value: "{{ steps.hello.output | length }}"}}
  - {id: sure, use: ask, args: {question: "Is {{ steps.upper.output }} right?", options: ["Yes", "No"]}}
  - id: all
    use: value
    args: {value: "{{ steps.upper.output }} {{ steps.count.output }} {{ steps.sure.output }}"}
    approval: "Publish {{ steps.upper.output }}?"
"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium; as root: apt-get install chromium"),
    pytest.mark.timeout(300),
]


MAILS = """\
name: mails
steps:
  - {id: a, use: send, args: {to: "ada@example.org", text: "hi"}}
  - {id: b, use: send, args: {to: "bob@example.org", text: "hi"}}
"""
HOSTILE = (
    "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>\u202e{{ 7*7 }}'\"><svg onload=1>"
)


@tool(effect="once")
def send(to: str, text: str) -> str:
    """Send a message."""
    return f"sent {text} to {to}"


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[tuple[Bot, WebServer]]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "demo.yaml").write_text(PIPELINE)
    (tmp_path / "home" / "pipelines" / "mails.yaml").write_text(MAILS)
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    settings = {"automation": {"report_to": "test:1"}, "web": {"port": port, "pages": True}}
    async with Bot(tmp_path / "home", [say, send], offline=True, **settings) as bot:
        app = bot.app
        await app.start()

        async def is_well() -> bool:
            return True

        web = Web(port=port, pages=True)
        server = listen(
            web_app(web, receive=app.automation.receive, is_well=is_well, house=house_of(app, rooms_of(app), "A")), web
        )
        serving = asyncio.create_task(server.run())
        yield bot, server
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


@pytest.fixture(params=sorted(SIZES))
async def page(request, served: tuple[Bot, WebServer]) -> AsyncIterator[Any]:
    """A logged-in page of a browser; what its console complains about fails the test."""
    from playwright.async_api import async_playwright

    bot, server = served
    wide, high = SIZES[request.param]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        made = await browser.new_page(viewport={"width": wide, "height": high})
        made.set_default_timeout(WAIT)
        complaints: list[str] = []
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        code = await new_code(bot.app.store, time.time())
        await made.goto(f"{server.address}/admin/login?code={code}")
        await made.click("text=Log in")
        await made.wait_for_url("**/admin")
        yield made
        await browser.close()
        assert [said for said in complaints if "422" not in said] == []


async def overflow(page: Any) -> int:
    return int(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


async def test_a_run_is_watched_answered_and_approved(page, served: tuple[Bot, WebServer]):
    bot, server = served
    await page.goto(f"{server.address}/admin/pipelines/demo")
    await page.fill("#i-who", "Ada")
    await page.click("text=Run as saved")
    await page.wait_for_url("**/admin/runs/*")

    # It comes by itself: nobody has reloaded the page.
    await page.wait_for_selector("#waits h2:has-text('Is HELLO ADA right?')")
    await page.fill("#waits input[name=answer]", "typing")
    await asyncio.sleep(1.5)  # longer than the page takes to look again
    assert await page.input_value("#waits input[name=answer]") == "typing"
    await page.click("#waits button:has-text('Yes')")
    await page.wait_for_selector("#waits h2:has-text('Publish HELLO ADA?')")
    assert await overflow(page) <= 0
    await page.click("#waits button:has-text('Allow')")
    await page.locator(".plan .n-COMPLETED").nth(4).wait_for()
    await page.click("#step-all summary")
    assert "HELLO ADA 9 Yes" in await page.inner_text("#step-all")
    assert (await bot.app.store.recent_runs())[0].answer


async def test_a_pipeline_is_edited_wrongly_and_rightly_and_a_trigger_made(page, served: tuple[Bot, WebServer]):
    bot, server = served
    await page.goto(f"{server.address}/admin/pipelines/demo")
    await page.fill("#text", PIPELINE.replace("use: say", "use: sya"))
    await page.click("button[value=save]")
    await page.wait_for_selector("[role=alert]:has-text('demo.yaml:4')")
    assert "sya" in await page.input_value("#text")
    await page.fill("#text", PIPELINE.replace('"hello ', '"good day '))
    await page.click("button[value=save]")
    await page.wait_for_selector("[role=status]:has-text('Saved')")
    assert "good day" in (bot.app.pipelines.folder / "demo.yaml").read_text()

    await page.goto(f"{server.address}/admin/triggers")
    await page.click("summary:has-text('New trigger')")
    await page.fill("#t-name", "mornings")
    await page.fill("#t-value", "0 9 * * 1-5")
    await page.select_option("#t-does", "pipeline")
    await page.fill("#t-what", "demo")
    await page.click("button:has-text('Create')")
    await page.wait_for_selector("h1:has-text('mornings')")
    assert [trigger.target for trigger in await bot.app.store.triggers()] == [{"pipeline": "demo"}]
    await page.click("#edit > summary")
    await page.fill("#t-value", "30 7 * * *")
    await page.click("button:has-text('Save')")
    await page.wait_for_selector("[role=status]:has-text('Saved')")
    assert (await bot.app.store.triggers())[0].spec["cron"] == "30 7 * * *"


async def test_a_call_is_changed_then_allowed_and_the_others_denied(page, served: tuple[Bot, WebServer]):
    bot, server = served
    read = Provenance.of("web:example.org", trusted=False)
    run = await open_pipeline(rooms_of(bot.app), "mails", {}, origin=Origin.API, provenance=read)
    await page.goto(f"{server.address}/admin/waiting")
    # It comes by itself, and so does the number in the menu.
    await page.wait_for_selector("button:has-text('Allow all 2')")
    await page.wait_for_selector("#count:has-text('2')")
    call = page.locator(".one").first
    await call.locator("summary").click()
    await call.locator("textarea").first.fill("eve@example.org")
    assert await overflow(page) <= 0
    await call.locator("button:has-text('Allow')").click()  # of a call that nobody has seen yet
    await page.wait_for_selector("[role=status]:has-text('Nothing has been done yet')")
    assert "eve@example.org" in await page.locator(".one .args").first.inner_text()
    await page.locator(".one").first.locator("button:has-text('Allow')").click()
    await page.wait_for_selector("[role=status]:has-text('Allowed')")
    await page.click(".asks button:has-text('Deny')")
    await page.wait_for_selector("[role=status]:has-text('Denied')")
    await bot.app.engine.idle()
    steps = {record.step.id: record for record in await bot.app.store.get_steps(run.id)}
    assert steps["a"].output == "sent hi to eve@example.org"
    assert steps["b"].output is None


@pytest.mark.parametrize("page", ["desk"], indirect=True)
async def test_hostile_texts_are_only_shown_on_every_page(page, served: tuple[Bot, WebServer]):
    bot, server = served
    app, dest = bot.app, Destination("test", "1")
    session = await app.orchestrator.sessions.open("test:1")
    await app.store.touch_session("test:1", session.folder, dest.to_json())
    await SessionMemory(session.folder).remember(HOSTILE)
    (session.workspace / "'onclick=alert(1) x.svg").write_text(HOSTILE)
    bad = Trigger("t1", HOSTILE, TriggerKind.EVENT, {"request": HOSTILE}, "test:1", dest, spec={"type": "order.*"})
    await app.automation.create(bad)
    await app.automation.publish(Event("other.new", HOSTILE, HOSTILE, {"text": HOSTILE}, project=HOSTILE))
    await app.store.audit("looked", "test:1", {"text": HOSTILE})
    rooms = rooms_of(app)
    run = await open_pipeline(rooms, "demo", {"who": HOSTILE}, origin=Origin.API, provenance=USER)
    await page.goto(f"{server.address}/admin/runs/{run.ref}")
    await page.wait_for_selector("#waits button:has-text('Yes')")
    places = (*PLACES, "/audit", "/triggers/t1", "/sessions/test:1", f"/runs/{run.ref}")
    for place in places:
        await page.goto(f"{server.address}/admin{place}")
        assert await page.title() != "owned", place
        assert await page.locator("main img, main [onerror], main svg[onload], main script").count() == 0, place
        text = await page.inner_text("main")
        assert "\u202e" not in text, place
        assert "49'" not in text, place
    assert "[U+202E]" in await page.inner_text("main")


@pytest.mark.parametrize("page", ["phone"], indirect=True)
async def test_without_javascript_everything_is_there(page, served: tuple[Bot, WebServer]):
    bot, server = served
    bare = await page.context.browser.new_context(java_script_enabled=False)
    await bare.add_cookies(await page.context.cookies())
    plain = await bare.new_page()
    await plain.goto(f"{server.address}/admin/pipelines/demo")
    await plain.click("text=Run as saved")
    await plain.wait_for_url("**/admin/runs/*")
    await bot.app.engine.idle()
    await plain.reload()
    assert "UTC" in await plain.locator("time").first.inner_text()
    await plain.click("#waits button:has-text('Yes')")
    await plain.wait_for_selector("[role=status]:has-text('Answered: Yes')")
    await bare.close()


async def test_every_page_fits_and_is_accessible_in_the_dark_too(page, served: tuple[Bot, WebServer]):
    from axe_playwright_python.async_playwright import Axe

    bot, server = served
    read = Provenance.of("web:example.org", trusted=False)
    for name in ("mails", "demo"):
        run = await open_pipeline(rooms_of(bot.app), name, {}, origin=Origin.API, provenance=read)
    await bot.app.engine.idle()
    axe = Axe()
    for place in (*PLACES, "/budget", "/audit", "/metrics", f"/runs/{run.ref}", f"/runs/{run.ref}/log"):
        await page.goto(f"{server.address}/admin{place}")
        assert await overflow(page) <= 0, place
        await page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            found = await axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]})
            violations = [(one["id"], one["nodes"][0]["html"][:120]) for one in found.response["violations"]]
            assert violations == [], (place, scheme)
