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
EXAMPLES = 4  # of each operation; more with a larger number find nothing else
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


def _try_all(described: dict[str, Any], address: str) -> list[str]:
    import schemathesis
    from schemathesis import checks

    api = schemathesis.openapi.from_dict(described)
    wanted = [
        checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    tried = []
    for result in api.get_all_operations():
        operation = result.ok()
        if operation.method == "post" and operation.path.endswith("/automation/stop"):
            continue  # what comes later would find everything off

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def hold(case: Any) -> None:
            case.call_and_validate(base_url=address, headers=BEARER, checks=wanted, timeout=60)

        hold()
        tried.append(f"{operation.method} {operation.path}")
    return tried
