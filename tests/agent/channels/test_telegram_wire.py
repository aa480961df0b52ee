"""What judges the traffic of a bot finds refusals that nobody staged, and what is too fast."""

from __future__ import annotations

import httpx
import pytest

from agent.testing.telegram_server import Call, FakeTelegram
from agent.testing.telegram_wire import problems

from .conftest import OWNER

GROUP = -1001


def calls(times: list[float], chat: int = OWNER, method: str = "sendMessage", outcome: str = "ok") -> list[Call]:
    return [Call(method, {"chat_id": chat}, at, outcome) for at in times]


def test_what_keeps_the_rates_is_fine():
    private = calls([0, 0, 0, *range(1, 60)])
    group = calls([3.0 * n for n in range(40)], GROUP)
    assert problems([*private, *group]) == []


@pytest.mark.parametrize(
    "made",
    [
        calls([0] * 6),
        calls([0.5 * n for n in range(20)], method="editMessageText"),
        calls([2.5 * n for n in range(24)], GROUP),
        [call for chat in range(1, 200) for call in calls([chat / 60], chat)],
    ],
    ids=["burst", "edits", "group", "overall"],
)
def test_what_is_too_fast_is_found(made: list[Call]):
    assert len(problems(made)) == 1


def test_a_refusal_that_nobody_staged_is_found():
    refused = calls([0], outcome="400 Bad Request: chat not found")
    assert "chat not found" in problems(refused)[0]
    assert problems(refused, ["chat not found"]) == []


@pytest.mark.parametrize(
    ("kind", "outcome", "there"),
    [("error", "502 Bad Gateway", 0), ("error_after", "502 Bad Gateway", 1), ("delay", "delay", 1)],
)
async def test_a_staged_fault_is_no_fault_of_the_bot(server: FakeTelegram, kind: str, outcome: str, there: int):
    server.chat(OWNER)
    server.fail("sendMessage", kind, code=502, description="Bad Gateway")
    async with httpx.AsyncClient() as client:
        await client.post(f"{server.base_url}/bot{server.token}/sendMessage", data={"chat_id": OWNER, "text": "x"})
    assert [call.outcome for call in server.calls] == [outcome]
    assert len(server.bot_messages(OWNER)) == there
    assert problems(server.calls) == []


@pytest.mark.parametrize(("kind", "there"), [("garbage", 0), ("garbage_after", 1)])
async def test_garbage_is_no_json(server: FakeTelegram, kind: str, there: int):
    server.chat(OWNER)
    server.fail("sendMessage", kind)
    async with httpx.AsyncClient() as client:
        answer = await client.post(
            f"{server.base_url}/bot{server.token}/sendMessage", data={"chat_id": OWNER, "text": "x"}
        )
    with pytest.raises(ValueError, match="Expecting value"):
        answer.json()
    assert len(server.bot_messages(OWNER)) == there


async def test_a_closed_topic_and_a_chat_without_rights_refuse(server: FakeTelegram):
    chat = server.add_group(GROUP, topics=(7,))
    chat.closed_topics.add(7)
    url = f"{server.base_url}/bot{server.token}/sendMessage"
    async with httpx.AsyncClient() as client:
        closed = await client.post(url, data={"chat_id": GROUP, "text": "x", "message_thread_id": 7})
        chat.silenced = True
        silenced = await client.post(url, data={"chat_id": GROUP, "text": "x"})
    assert closed.json()["description"] == "Bad Request: TOPIC_CLOSED"
    assert silenced.json()["description"] == "Bad Request: not enough rights to send text messages to the chat"
