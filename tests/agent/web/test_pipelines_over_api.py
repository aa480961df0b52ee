"""Pipelines over the API: read with a tag, checked with the place of each fault, written once, never over a change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing import Bot

TOKEN, READ = "t" * 32, "r" * 32
GREET = (
    "name: greet\ninputs:\n  who: {type: text}\nsteps:\n  - {id: a, use: value, args: {value: '{{ inputs.who }}'}}\n"
)
OTHER = "name: greet\nsteps:\n  - {id: b, use: value, args: {value: 2}}\ntriggers: [{schedule: every day at 9}]\n"
WRONG = "name: greet\nsteps:\n  - {id: a, use: value, argz: {}}\n  - {id: b, use: value, wenn: true}\n"


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "greet.yml").write_text(GREET)
    async with Bot(tmp_path / "home", offline=True, automation={"report_to": "test:1"}) as made:
        yield made


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"read_token": READ, "token_decides": True}


def folder(bot: Bot) -> dict[str, str]:
    """Return what lies in the folder of pipelines."""
    return {file.name: file.read_text() for file in sorted(bot.app.pipelines.folder.iterdir())}


async def told(bot: Bot) -> list[dict[str, Any]]:
    return [entry.facts for entry in await bot.app.store.audit_entries(kind="pipeline", limit=9)]


async def test_a_pipeline_is_read_with_its_tag_and_what_it_takes(serve):
    client = await serve()
    answer = await client.get("/api/pipelines/greet", headers={"Authorization": f"Bearer {READ}"})
    found = answer.json()
    assert (answer.status_code, found["text"], found["plugin"], found["faults"]) == (200, GREET, "", [])
    assert found["inputs"]["required"] == ["who"]
    assert answer.headers["etag"].startswith('"')
    assert (await client.get("/api/pipelines/great")).status_code == 404


async def test_a_text_is_looked_at_and_neither_kept_nor_run(bot: Bot, serve):
    client = await serve(token_decides=False)
    good = (await client.post("/api/pipelines/new/check", json={"text": GREET})).json()
    assert (good["good"], [step["use"] for step in good["steps"]], good["cost"]) == (True, ["value"], 0.0)
    wrong = (await client.post("/api/pipelines/new/check", json={"text": WRONG})).json()
    assert (wrong["good"], wrong["steps"]) == (False, [])
    assert [(fault["line"], fault["column"]) for fault in wrong["faults"]] == [(3, 25), (4, 25)]
    assert "did you mean `args`?" in wrong["faults"][0]["detail"]
    assert folder(bot) == {"greet.yml": GREET}
    assert await bot.app.store.recent_runs() == []


async def test_a_new_one_is_written_and_its_triggers_are_set(bot: Bot, serve):
    client = await serve()
    text = OTHER.replace("name: greet", "name: daily")
    answer = await client.put("/api/pipelines/daily", json={"text": text})
    assert (answer.status_code, answer.json()["text"]) == (201, text)
    assert folder(bot) == {"daily.yaml": text, "greet.yml": GREET}
    assert [one.source for one in await bot.app.store.triggers()] == ["daily"]
    (entry,) = await told(bot)
    assert (entry["saved"], entry["by"]) == ("daily", "api")
    gone = await client.delete("/api/pipelines/daily", headers={"If-Match": answer.headers["etag"]})
    assert gone.status_code == 204
    assert await bot.app.store.triggers() == []
    assert (await told(bot))[-1] == {"removed": "daily", "by": "api"}


async def test_a_change_of_something_else_than_was_looked_at_is_lost_by_nobody(bot: Bot, serve):
    client = await serve()
    tag = (await client.get("/api/pipelines/greet")).headers["etag"]
    both = await asyncio.gather(
        *(client.put("/api/pipelines/greet", json={"text": t}, headers={"If-Match": tag}) for t in (OTHER, GREET + "#"))
    )
    assert sorted(answer.status_code for answer in both) == [200, 412]
    kept = next(answer for answer in both if answer.status_code == 200)
    assert folder(bot) == {"greet.yml": kept.json()["text"]}
    for method in ("PUT", "DELETE"):
        unsaid = await client.request(method, "/api/pipelines/greet", json={"text": GREET})
        assert unsaid.status_code == 428
        stale = await client.request(method, "/api/pipelines/greet", json={"text": GREET}, headers={"If-Match": tag})
        assert stale.status_code == 412
    assert len(await told(bot)) == 1


async def test_a_wrong_one_changes_nothing_and_says_where_it_is_wrong(bot: Bot, serve):
    client = await serve()
    tag = (await client.get("/api/pipelines/greet")).headers["etag"]
    answer = await client.put("/api/pipelines/greet", json={"text": WRONG}, headers={"If-Match": tag})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [(fault["line"], fault["column"]) for fault in answer.json()["faults"]] == [(3, 25), (4, 25)]
    for name in ("a%20b", "..%2Fx", "x" * 65, ".x"):
        assert (await client.put(f"/api/pipelines/{name}", json={"text": GREET})).status_code in {404, 405, 422}, name
    assert folder(bot) == {"greet.yml": GREET}
    assert await told(bot) == []


async def test_only_the_owner_writes_what_runs_as_their_own_word(bot: Bot, serve):
    client = await serve(token_decides=False)
    tag = (await client.get("/api/pipelines/greet")).headers["etag"]
    for method in ("PUT", "DELETE"):
        answer = await client.request(method, "/api/pipelines/greet", json={"text": OTHER}, headers={"If-Match": tag})
        assert answer.status_code == 403
    assert folder(bot) == {"greet.yml": GREET}


async def test_one_that_something_runs_or_a_plugin_ships_is_not_removed(bot: Bot, serve, tmp_path):
    client = await serve()
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "orders.yaml").write_text(GREET.replace("greet", "orders"))
    bot.app.pipelines.__dict__["_shipped"] = [("shop", tmp_path / "shop")]
    dest = Destination("test", "1")
    await bot.app.automation.create(
        Trigger("t1", "nightly", TriggerKind.MANUAL, {"pipeline": "greet", "inputs": {"who": "x"}}, "test:1", dest)
    )
    for name, why in (("greet", "nightly"), ("orders", "shop")):
        tag = (await client.get(f"/api/pipelines/{name}")).headers["etag"]
        answer = await client.delete(f"/api/pipelines/{name}", headers={"If-Match": tag})
        assert answer.status_code == 409
        assert why in answer.json()["detail"]
    assert folder(bot) == {"greet.yml": GREET}
