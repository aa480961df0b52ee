"""The API where people decide, remember and look: what a program may say, and what only the owner's token does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.cli.door import rooms_of
from agent.domain.messages import Destination
from agent.domain.provenance import Provenance
from agent.domain.run import Origin
from agent.domain.states import FINAL, Status
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing import Bot
from agent.web.opening import open_pipeline
from plugins.api import tool

TOKEN = "t" * 32
MAILS = """
name: mails
steps:
  - {id: a, use: send, args: {to: "ada@example.org", text: "hi"}}
  - {id: b, use: send, args: {to: "bob@example.org", text: "hi"}}
"""
ASKS = """
name: asks
steps:
  - {id: sure, use: ask, args: {question: "Right?", options: ["Yes", "No"]}}
"""


@tool(effect="once")
def send(to: str, text: str) -> str:
    """Send a message."""
    return f"sent {text} to {to}"


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "mails.yaml").write_text(MAILS)
    (tmp_path / "home" / "pipelines" / "asks.yaml").write_text(ASKS)
    async with Bot(tmp_path / "home", [send], offline=True, automation={"report_to": "test:1"}) as made:
        await made.app.start()
        yield made


async def waiting(client: httpx.AsyncClient, what: str, number: int = 1) -> list[dict[str, Any]]:
    """Return what waits, once it is so many."""
    async with asyncio.timeout(60):
        while len(found := (await client.get(f"/api/{what}")).json()) < number:
            await asyncio.sleep(0.02)
    return found


async def ended(bot: Bot, ref: str) -> Status:
    async with asyncio.timeout(60):
        while (run := await bot.app.store.find_run(ref)).status not in FINAL:
            await asyncio.sleep(0.02)
    return run.status


async def mails(bot: Bot) -> str:
    """Open a run whose calls ask: what chose them was read somewhere."""
    read = Provenance.of("web:example.org", trusted=False)
    run = await open_pipeline(rooms_of(bot.app), "mails", {}, origin=Origin.API, provenance=read)
    return run.ref


async def test_a_program_sees_what_waits_and_does_not_decide_it(bot: Bot, serve):
    client = await serve()
    await mails(bot)
    first, _ = await waiting(client, "approvals", 2)
    assert (first["tool"], first["args"]["to"]) == ("test.send", "ada@example.org")
    assert first["origins"]
    for address in (f"/api/approvals/{first['id']}", f"/api/approvals/{first['id']}/change"):
        answer = await client.post(address, json={"decision": "allow", "digest": first["digest"]})
        assert answer.status_code == 403
        assert "web.token_decides" in answer.json()["hint"]
    assert (await client.get(f"/api/approvals/{first['id']}")).json()["decision"] is None


async def test_the_owners_token_changes_a_call_and_allows_exactly_that(bot: Bot, serve):
    client = await serve(token_decides=True)
    ref = await mails(bot)
    first, second = await waiting(client, "approvals", 2)
    order = {"digest": first["digest"], "args": {"text": "hello", "to": "eve@example.org"}}
    changed = (await client.post(f"/api/approvals/{first['id']}/change", json=order)).json()
    assert changed["args"] == {"to": "eve@example.org", "text": "hello"}
    assert (changed["id"], changed["digest"]) != (first["id"], first["digest"])

    stale = await client.post(f"/api/approvals/{changed['id']}", json={"decision": "allow", "digest": first["digest"]})
    assert (stale.status_code, stale.json()["title"]) == (409, "Conflict")
    unknown = {"digest": changed["digest"], "args": {"whom": "x"}}
    assert (await client.post(f"/api/approvals/{changed['id']}/change", json=unknown)).status_code == 404
    for call, decision in ((changed, "allow"), (second, "deny")):
        said = {"decision": decision, "digest": call["digest"]}
        assert (await client.post(f"/api/approvals/{call['id']}", json=said)).json()["decision"] == decision
        assert (await client.post(f"/api/approvals/{call['id']}", json=said)).status_code == 409
    await ended(bot, ref)
    steps = {one["id"]: one for one in (await client.get(f"/api/runs/{ref}")).json()["steps"]}
    assert steps["a"]["output"] == "sent hello to eve@example.org"
    assert steps["b"]["output"] is None


async def test_a_programs_answer_is_no_word_of_the_owners(bot: Bot, serve):
    client = await serve()
    opened = (await client.post("/api/pipelines/asks/run")).json()
    (asked,) = await waiting(client, "questions")
    assert (await client.post(f"/api/questions/{asked['id']}", json={"answer": " "})).status_code == 422
    assert (await client.post(f"/api/questions/{asked['id']}", json={"answer": "Yes"})).json()["answer"] == "Yes"
    assert (await client.post(f"/api/questions/{asked['id']}", json={"answer": "No"})).status_code == 409
    assert await ended(bot, opened["ref"]) is Status.COMPLETED
    step = (await client.get(f"/api/runs/{opened['ref']}")).json()["steps"][0]
    assert "member:api (not trusted)" in step["origins"]


async def test_a_run_is_stopped_and_done_again(bot: Bot, serve):
    client = await serve()
    opened = (await client.post("/api/pipelines/asks/run")).json()
    await waiting(client, "questions")
    assert (await client.post(f"/api/runs/{opened['ref']}/retry")).status_code == 409
    assert (await client.post(f"/api/runs/{opened['ref']}/stop")).status_code == 200
    assert (await client.post(f"/api/runs/{opened['ref']}/stop")).status_code == 409
    again = await client.post(f"/api/runs/{opened['ref']}/retry")
    assert (again.status_code, again.json()["ref"] != opened["ref"]) == (202, True)
    newest, older = (await client.get("/api/runs")).json()
    assert [one["ref"] for one in (await client.get(f"/api/runs?before={newest['id']}")).json()] == [older["ref"]]
    assert [one["ref"] for one in (await client.get("/api/runs?status=CANCELLED")).json()] == [opened["ref"]]


async def test_a_request_in_words_is_begun_once_for_a_key_and_is_not_trusted(bot: Bot, serve):
    client = await serve()
    headers = {"Idempotency-Key": "k"}
    first = await client.post("/api/runs", json={"request": "/help"}, headers=headers)
    again = await client.post("/api/runs", json={"request": "/help"}, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["ref"] == again.json()["ref"]
    assert (await client.post("/api/runs", json={"request": "other"}, headers=headers)).status_code == 409
    (run,) = await bot.app.store.recent_runs()
    assert not run.provenance.trusted


async def test_triggers_are_made_changed_fired_and_deleted(bot: Bot, serve):
    client = await serve()
    wanted = {"name": "n", "kind": "schedule", "spec": {"cron": "0 9 * * *", "zone": "UTC"}, "target": {"notice": "x"}}
    made = (await client.post("/api/triggers", json=wanted)).json()
    assert made["next_fire"] is not None
    assert not (await bot.app.store.triggers())[0].trusted
    wrong = await client.post("/api/triggers", json={**wanted, "spec": {"cron": "99 9 * * *"}})
    assert wrong.status_code == 400
    address = f"/api/triggers/{made['id']}"
    changed = (await client.patch(address, json={"name": "m", "overlap": "skip"})).json()
    assert (changed["name"], changed["overlap"], changed["spec"]) == ("m", "skip", made["spec"])
    assert (await client.patch(address, json={"approval": ""})).status_code == 403
    assert (await client.post(f"{address}/disable")).json()["enabled"] is False
    assert (await client.post(f"{address}/fire")).status_code == 202
    assert len((await client.get(f"{address}/fires")).json()) == 1
    assert (await client.delete(address)).status_code == 204
    assert (await client.get(address)).status_code == 404


async def test_memory_events_and_the_audit_log_are_there(bot: Bot, serve):
    client = await serve()
    session = await bot.app.orchestrator.sessions.open("test:1")
    await bot.app.store.touch_session(session.id, session.folder, {"channel": "test", "chat_id": "1"})
    fact = (await client.post("/api/sessions/test:1/memory", json={"text": "likes tea"})).json()
    assert fact["trusted"] is False
    assert (await client.post("/api/sessions/test:1/memory/forget", json={"line": fact["line"]})).status_code == 200
    assert (await client.get("/api/sessions/test:1/memory")).json() == []
    event = {"type": "order.new", "payload": {"total": 1}, "key": "1"}
    assert [(await client.post("/api/events", json=event)).status_code for _ in range(2)] == [202, 200]
    await bot.app.store.audit("looked", "test:1", {"n": 1})
    assert (await client.get("/api/audit?kind=looked")).json()[0]["detail"] == {"n": 1}
    assert (await client.get("/api/audit/verify")).json()["broken"] is None
    assert len((await client.get("/api/figures?days=3")).json()) == 3
    assert "today" in [one["name"] for one in (await client.get("/api/budget")).json()]


async def test_only_the_owner_trusts_what_comes_in_by_a_trigger(bot: Bot, serve):
    client = await serve()
    dest = Destination("test", "1")
    mine = Trigger("t9", "n", TriggerKind.EVENT, {"pipeline": "asks"}, "test:1", dest, {"type": "order.new"})
    await bot.app.automation.create(mine)
    trusting = {"spec": {"type": "*", "trusted": True}}
    assert (await client.patch("/api/triggers/t9", json=trusting)).status_code == 403
    made = await client.post(
        "/api/triggers", json={"name": "n", "kind": "event", **trusting, "target": {"notice": "x"}}
    )
    assert made.status_code == 403
    assert await bot.app.store.triggers() == [await bot.app.store.get_trigger("t9")]
    assert (await bot.app.store.get_trigger("t9")).spec == {"type": "order.new"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec": {"cron": "0 9 * * *", "evry": 5}}, "spec.cron.evry"),
        ({"spec": {"evry": 5}}, "one of the keys every, cron, at"),
        ({"kind": "file", "spec": {"folder": 5}}, "spec.folder"),
        ({"spec": {"every": 1e300}}, "spec.every"),
        ({"target": {"notice": "x", "request": "y"}}, "target.request.notice"),
        ({"target": {"pipeline": "asks", "inputs": 5}}, "target.pipeline.inputs"),
    ],
)
async def test_what_is_wrong_with_a_trigger_is_named_by_its_place(bot: Bot, serve, change, said):
    wanted = {"name": "n", "kind": "schedule", "spec": {"every": 60}, "target": {"notice": "x"}, **change}
    answer = await (await serve()).post("/api/triggers", json=wanted)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert await bot.app.store.triggers() == []


@pytest.mark.parametrize("content", ["", '{"payload": {"x": NaN}}', '{"payload": {"x": 1e999}}', '{"key": "\\u0000"}'])
async def test_what_no_journal_could_keep_is_no_event(bot: Bot, serve, content):
    body = content.replace("{", '{"type": "a", ', 1)
    answer = await (await serve()).post("/api/events", content=body)
    assert answer.status_code == 422
    assert await bot.app.store.newest_events(5) == []
