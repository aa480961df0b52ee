"""The API does what its OpenAPI document says: calls made from the document itself, on a real server."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from agent.cli.door import rooms_of
from agent.config import Web
from agent.domain.event import Event
from agent.domain.messages import Destination
from agent.domain.trigger import Trigger, TriggerKind
from agent.testing import Bot
from agent.web.app import web_app
from agent.web.server import listen
from plugins.api import tool

TOKEN = "t" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
DEST = Destination("test", "1")
EXAMPLES = 3  # of each operation and kind; `schemathesis run` on a server that serves tries thousands
REFUSED: dict[str, set[int]] = {
    # what no schema can know: folders and times that there are, inputs of a pipeline, what was made from what
    "POST /api/triggers": {400},
    "PATCH /api/triggers/{trigger_id}": {400},
    "POST /api/pipelines/{name}/run": {422},
    "PUT /api/pipelines/{name}": {412, 422, 428},
    "DELETE /api/pipelines/{name}": {412, 428},
}
PIPELINE = """
name: greet
steps:
  - {id: first, use: say, args: {text: "hi"}}
  - {id: sure, use: ask, args: {question: "Right?", options: ["Yes", "No"]}}
"""

pytestmark = pytest.mark.timeout(300)


@tool
def say(text: str) -> str:
    """Return the text."""
    return text


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    """Where an agent answers that has a little of everything."""
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "greet.yaml").write_text(PIPELINE)
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = int(one.getsockname()[1])
    async with Bot(tmp_path / "home", [say], offline=True, automation={"report_to": "test:1"}) as bot:
        app = bot.app
        await app.automation.create(Trigger("t1", "n", TriggerKind.MANUAL, {"notice": "x"}, DEST.session_id, DEST))
        await app.automation.publish(Event("order.new", "shop", "k1", {"total": 1}))
        session = await app.orchestrator.sessions.open("test:1")
        await app.store.touch_session("test:1", session.folder, DEST.to_json())

        async def is_well() -> bool:
            return True

        web = Web(port=port, token=TOKEN, token_decides=True)
        server = listen(web_app(web, receive=app.automation.receive, is_well=is_well, rooms=rooms_of(app)), web)
        serving = asyncio.create_task(server.run())
        yield server.address
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def test_every_answer_is_one_that_the_document_describes(address: str):
    async with httpx.AsyncClient(base_url=address, headers=BEARER, trust_env=False, timeout=60) as client:
        described = (await client.get("/api/openapi.json")).json()
    tried = await asyncio.to_thread(_try_all, described, address)
    assert len(tried) >= 45, tried
    assert all(paths.startswith("/api/") for paths in described["paths"])


async def test_the_links_of_an_answer_lead_to_what_it_has_made(address: str):
    async with httpx.AsyncClient(base_url=address, headers=BEARER, trust_env=False, timeout=60) as client:
        described = (await client.get("/api/openapi.json")).json()
        addresses = {
            operation["operationId"]: (method, path)
            for path, operations in described["paths"].items()
            for method, operation in operations.items()
        }
        wanted = {"name": "n", "kind": "manual", "target": {"notice": "x"}}
        followed = []
        for path, status, sent in (("/api/triggers", "201", wanted), ("/api/runs", "202", {"request": "2 + 3"})):
            made = await client.post(path, json=sent)
            links = described["paths"][path]["post"]["responses"][status]["links"]
            assert made.status_code == int(status)
            for link in links.values():
                method, leads_to = addresses[link["operationId"]]
                ((name, pointer),) = link["parameters"].items()
                there = leads_to.replace("{" + name + "}", made.json()[pointer.removeprefix("$response.body#/")])
                if method == "get":
                    assert (await client.get(there)).status_code == 200
                    followed.append(leads_to)
    assert len(followed) == 4, followed


def _try_all(described: dict[str, Any], address: str) -> list[str]:
    import schemathesis
    from schemathesis import GenerationMode

    api = schemathesis.openapi.from_dict(described)
    tried = []
    for result in api.get_all_operations():
        operation = result.ok()
        if operation.method == "post" and operation.path.endswith("/automation/stop"):
            continue  # what comes later would find everything off
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            _try(operation, mode, address)
        tried.append(f"{operation.method} {operation.path}")
    return tried


def _try(operation: Any, mode: Any, address: str) -> None:
    """Make calls that fit the description of an operation, or such that do not."""
    from schemathesis import checks
    from schemathesis.specs.openapi import checks as described

    if mode.is_negative and not (operation.body or operation.query or operation.headers):
        return  # a path is any text: nothing of it is wrong
    wanted = [
        checks.not_a_server_error,
        described.status_code_conformance,
        described.content_type_conformance,
        described.response_headers_conformance,
        described.response_schema_conformance,
        described.negative_data_rejection,
    ]
    right = {200, 201, 202, 204, 403, 404, 409} | REFUSED.get(operation.label, set())

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def hold(case: Any) -> None:
        answer = case.call(base_url=address, headers=BEARER, timeout=60)
        case.validate_response(answer, checks=wanted)
        assert mode.is_negative or answer.status_code in right, answer.text

    hold()
