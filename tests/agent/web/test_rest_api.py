"""The REST API and the metrics over a real socket: nothing without a token, the automation's switch, pipelines to run."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi.routing import APIRoute

from agent.cli.door import rooms_of
from agent.config import Web
from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.metrics import Metrics
from agent.testing import Bot
from agent.web.app import web_app
from agent.web.guard import MOST_BYTES
from agent.web.server import listen
from plugins.api import tool

TOKEN = "t" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DEST = Destination("test", "1")
PIPELINE = """
name: greet
inputs:
  who: {type: text}
steps:
  - {id: first, use: say, args: {text: "hi {{ inputs.who }}"}}
"""
OPEN_TO_ALL = {"/health", "/hooks/{trigger}", "/telegram", "/telegram/{path:path}"}


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


async def on_telegram(_headers, _body) -> int:
    return 401


class Door:
    def __init__(self, bot: Bot) -> None:
        self.bot = bot

    def application(self, web: Web):
        app = self.bot.app

        async def is_well() -> bool:
            return True

        return web_app(
            web,
            receive=app.automation.receive,
            is_well=is_well,
            on_telegram=on_telegram,
            rooms=rooms_of(app),
            metrics=Metrics(app.store).page,
        )


def a_web(**settings) -> Web:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    return Web(**{"port": port, "token": TOKEN, **settings})


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "greet.yaml").write_text(PIPELINE)
    async with Bot(tmp_path / "home", [say], offline=True, automation={"report_to": "test:1"}) as made:
        yield made


@pytest.fixture
async def served(bot: Bot):
    """Return a function that serves with settings and gives a client."""
    tasks, clients = [], []

    async def serve(**settings) -> httpx.AsyncClient:
        web = a_web(**settings)
        server = listen(Door(bot).application(web), web)
        tasks.append(asyncio.create_task(server.run()))
        clients.append(httpx.AsyncClient(base_url=server.address, trust_env=False, timeout=60))
        return clients[-1]

    yield serve
    for client in clients:
        await client.aclose()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("token", [TOKEN, None])
async def test_no_route_but_health_and_hooks_answers_without_the_token(bot: Bot, served, token):
    client = await served(token=token, metrics_token="m" * 16)
    routes = _routes(Door(bot).application(a_web(token=token, metrics_token="m" * 16)))
    assert len(routes) >= 12
    for path, method in routes:
        address = path.replace("{ref}", "x").replace("{name}", "greet").replace("{path:path}", "x")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic " + TOKEN}):
            answer = await client.request(method, address.replace("{trigger}", "x"), headers=headers)
            if path not in OPEN_TO_ALL:
                assert answer.status_code in {401, 403}, (method, path, headers)
                assert answer.headers["content-type"] == "application/problem+json"
                assert {"status", "detail", "error", "hint"} <= set(answer.json())
    assert await bot.app.store.recent_runs() == []
    assert await bot.app.automation.switch.off_since() is None


def _routes(application) -> list[tuple[str, str]]:
    found, queue = [], list(application.routes)
    while queue:
        route = queue.pop()
        if isinstance(route, APIRoute):
            found += [(route.path, method) for method in route.methods]
        else:
            queue += getattr(route, "original_router", route).routes  # included routers are kept as they are
    return found


async def test_without_a_token_the_api_says_how_it_is_opened(served):
    client = await served(token=None)
    answer = await client.get("/api/automation/status", headers={"Authorization": "Bearer x"})
    assert answer.status_code == 403
    assert "web.token" in answer.json()["hint"]


async def test_the_automation_is_stopped_and_started(bot: Bot, served):
    client = await served()
    await bot.app.automation.start()

    stopped = (await client.post("/api/automation/stop", headers=BEARER)).json()
    assert (stopped["running"], stopped["halted_since"] is None) == (False, False)
    again = (await client.post("/api/automation/stop", headers=BEARER)).json()
    assert again["halted_since"] == stopped["halted_since"]
    started = (await client.post("/api/automation/start", headers=BEARER)).json()
    assert (started["running"], started["halted_since"]) == (True, None)
    assert (await client.get("/api/automation/status", headers=BEARER)).json() == started
    assert (await client.get("/api/automation/stop", headers=BEARER)).status_code == 405


async def test_a_pipeline_is_run_once_for_one_idempotency_key(bot: Bot, served):
    client = await served()
    headers = {**BEARER, "Idempotency-Key": "order-1"}
    order = {"inputs": {"who": "Ada"}}
    both = await asyncio.gather(
        *(client.post("/api/pipelines/greet/run", json=order, headers=headers) for _ in range(2))
    )
    assert sorted(answer.status_code for answer in both) == [200, 202]
    ref = both[0].json()["ref"]
    assert both[1].json()["ref"] == ref
    await bot.app.engine.idle()

    run = (await client.get(f"/api/runs/{ref}", headers=BEARER)).json()
    assert (run["status"], run["origin"], run["source"]) == ("COMPLETED", "api", "pipeline:greet")
    assert ("first", "COMPLETED") in [(step["id"], step["status"]) for step in run["steps"]]
    assert [one["ref"] for one in (await client.get("/api/runs?limit=5", headers=BEARER)).json()] == [ref]
    other = await client.post("/api/pipelines/greet/run", json={"inputs": {"who": "Bob"}}, headers=headers)
    assert other.status_code == 409
    (stored,) = await bot.app.store.recent_runs()
    assert not stored.provenance.trusted


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/api/pipelines/great/run", b"{}", 404),
        ("/api/pipelines/greet/run", b"{}", 422),
        ("/api/pipelines/greet/run", b'{"inputs": 1}', 422),
        ("/api/pipelines/greet/run", b'{"input": {}}', 422),
        ("/api/pipelines/greet/run", b"\xff", 422),
        ("/api/pipelines/greet/run", b"x" * (MOST_BYTES + 1), 413),
    ],
)
async def test_what_cannot_be_run_is_told_and_opens_nothing(bot: Bot, served, path, content, status):
    answer = await (await served()).post(path, content=content, headers=BEARER)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert await bot.app.store.recent_runs() == []


async def test_lists_show_what_there_is(bot: Bot, served):
    client = await served()
    await bot.app.automation.create(Trigger("t1", "n", TriggerKind.MANUAL, {"notice": "x"}, DEST.session_id, DEST))
    await bot.app.chains.create_chain("twice", ["greet", "greet"])

    seen = {
        name: (await client.get(f"/api/{name}", headers=BEARER)).json()
        for name in ("pipelines", "chains", "triggers", "events?status=new")
    }
    assert "greet" in [one["name"] for one in seen["pipelines"]]
    assert [(one["name"], one["workflows"]) for one in seen["chains"]] == [("twice", ["greet", "greet"])]
    assert [one["id"] for one in seen["triggers"]] == ["t1"]
    assert seen["events?status=new"] == []
    assert (await client.get("/api/events?status=old", headers=BEARER)).status_code == 422
    assert (await client.get("/api/runs?limit=0", headers=BEARER)).status_code == 422
    assert (await client.get("/api/runs/none", headers=BEARER)).status_code == 404
    described = (await client.get("/api/openapi.json", headers=BEARER)).json()
    assert "/api/pipelines/{name}/run" in described["paths"]


async def test_metrics_are_for_this_machine_and_not_for_what_a_proxy_forwards(served):
    client = await served()
    page = await client.get("/metrics")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE trigger_fires_total counter" in page.text
    for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}, {"Host": "192.0.2.7"}):
        assert (await client.get("/metrics", headers=headers)).status_code == 403
        assert (await client.get("/metrics", headers={**headers, **BEARER})).status_code == 200


async def test_metrics_of_a_token_want_it_from_this_machine_too(served):
    client = await served(metrics_token="m" * 16)
    assert (await client.get("/metrics")).status_code == 401
    assert (await client.get("/metrics", headers={"Authorization": "Bearer " + "m" * 16})).status_code == 200
    assert (await client.get("/api/runs", headers={"Authorization": "Bearer " + "m" * 16})).status_code == 401


async def test_a_foreign_name_for_this_machine_is_refused_with_the_token_too(served):
    answer = await (await served()).get("/api/runs", headers={**BEARER, "Host": "evil.example"})
    assert answer.status_code == 421
