"""Dirigent as a server for other programs, by the library's own client: over HTTP, and over a process' pipes."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from agent.cli.door import open_door, programs_of, rooms_of
from agent.config import Web
from agent.errors import ConfigError
from agent.testing import Bot
from agent.testing.scripted import step

TOKEN = "t" * 32
BEARER = {"Authorization": f"Bearer {TOKEN}"}
PIPELINE = """
name: greet
description: Greets somebody.
inputs:
  who: {type: text, description: The one who is greeted}
  tone: {type: choice, choices: [warm, cold], default: warm}
steps:
  - {id: first, use: echo, args: {text: "hi {{ inputs.who }}"}}
"""
HELLO = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest.fixture
async def bot(tmp_path: Path, tools: list[Callable[..., str]]) -> AsyncIterator[Bot]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)
    (tmp_path / "home" / "pipelines" / "greet.yaml").write_text(PIPELINE)
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    web = {"port": port, "token": TOKEN, "mcp": True}
    async with Bot(tmp_path / "home", tools, automation={"report_to": "test:1"}, web=web) as made:
        yield made


@pytest.fixture
async def address(bot: Bot) -> AsyncIterator[str]:
    """Serve as `dirigent serve` does."""
    door = await open_door(bot.app)
    tasks = [asyncio.create_task(one.run()) for one in door]
    yield f"{door[0].address}/mcp"
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def program(address: str) -> AsyncIterator[Client]:
    async with (
        httpx2.AsyncClient(headers=BEARER, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(address, http_client=http)) as client,
    ):
        yield client


async def test_without_the_token_nothing_answers(address: str, bot: Bot):
    async with httpx.AsyncClient(trust_env=False) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            answers = [
                await client.post(address, json=HELLO, headers=headers),
                await client.get(address, headers=headers),
            ]
            assert {answer.status_code for answer in answers} == {401}
        page = await client.post(address, json=HELLO, headers={**BEARER, "Origin": "https://evil.example"})
        named = await client.post(address, json=HELLO, headers={**BEARER, "Host": "evil.example"})
    assert (page.status_code, named.status_code) == (403, 421)
    assert await bot.app.store.recent_runs() == []


async def test_it_is_off_unless_it_is_switched_on_and_wants_a_token(bot: Bot):
    assert programs_of(Web(token=TOKEN), rooms_of(bot.app)) is None
    with pytest.raises(ConfigError, match="no token"):
        programs_of(Web(mcp=True), rooms_of(bot.app))


async def test_a_program_asks_and_gets_the_answer_with_its_files(address: str, bot: Bot):
    bot.llm.will_plan(step("first", "note", name="report.txt", text="all is well", title="Write the report"))
    bot.llm.will_answer("Here it is.")
    told = []

    async def heard(done, total, message):
        told.append((done, total))

    async with program(address) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        answer = await client.call_tool("ask", {"request": "write a report"}, progress_callback=heard)
        uri = answer.structured_content["files"][0]
        read = await client.read_resource(uri)
    assert names == ["ask", "run_pipeline", "list_pipelines", "run_status", "answer_question", "stop_run"]
    assert (answer.is_error, answer.content[0].text) == (False, "Here it is.")
    assert answer.structured_content["status"] == "COMPLETED"
    assert base64.b64decode(read.contents[0].blob) == b"all is well"
    assert told
    assert told[-1][1] == 1


async def test_what_a_program_wants_is_no_word_of_the_owners(address: str, bot: Bot):
    bot.llm.will_plan(step("first", "send", to="ann@example.org", text="hello"))
    async with program(address) as client:
        told = await client.call_tool("ask", {"request": "send hello to ann@example.org"})
        ref = told.structured_content["run"]
        assert "asked in their own chat" in told.structured_content["waiting"]
        assert not (bot.workspace / "sent.log").exists()
        run = await bot.app.store.find_run(ref)
        (approval,) = await bot.app.store.approvals_of(run.id)
        # No word of a program's is a yes, whatever it calls the question.
        for question in (approval.id, "a", ""):
            refused = await client.call_tool("answer_question", {"run": ref, "question": question, "answer": "allow"})
            assert refused.is_error
        assert approval.args == {"to": "ann@example.org", "text": "hello"}
        bot.llm.will_answer("Sent.")
        await bot.presses(f"a/{approval.id}/allow")
        done = await client.call_tool("run_status", {"run": ref, "wait_seconds": 60})
    assert done.content[0].text == "Sent."
    assert (bot.workspace / "sent.log").read_text() == "ann@example.org: hello\n"


async def test_a_question_is_answered_by_the_program(address: str, bot: Bot):
    bot.llm.will_plan(
        step("who", ask="Who?", options=("Ann", "Bob")), step("first", "echo", after=("who",), text="{{ who.output }}")
    )
    bot.llm.will_answer("Hello Bob.")
    async with program(address) as client:
        told = (await client.call_tool("ask", {"request": "greet somebody"})).structured_content
        (question,) = told["questions"]
        assert (question["text"], question["options"]) == ("Who?", ["Ann", "Bob"])
        await client.call_tool("answer_question", {"run": told["run"], "question": question["id"], "answer": "Bob"})
        done = await client.call_tool("run_status", {"run": told["run"], "wait_seconds": 60})
        again = await client.call_tool(
            "answer_question", {"run": told["run"], "question": question["id"], "answer": "Ann"}
        )
    assert done.content[0].text == "Hello Bob."
    assert again.is_error


async def test_pipelines_are_listed_with_their_inputs_and_run(address: str):
    async with program(address) as client:
        offers = (await client.call_tool("list_pipelines", {})).structured_content["pipelines"]
        greet = next(one for one in offers if one["name"] == "greet")
        assert greet["inputs"]["required"] == ["who"]
        assert greet["inputs"]["properties"]["tone"] == {"enum": ["warm", "cold"], "default": "warm"}
        done = await client.call_tool("run_pipeline", {"name": "greet", "inputs": {"who": "Ann"}})
        wrong = await client.call_tool("run_pipeline", {"name": "greet", "inputs": {}})
        none = await client.call_tool("run_pipeline", {"name": "great", "inputs": {}})
    assert "hi Ann" in done.content[0].text
    assert "input 'who' is missing" in wrong.content[0].text
    assert "Did you mean 'greet'" in none.content[0].text


async def test_a_program_sees_no_run_of_the_owners(address: str, bot: Bot):
    bot.llm.will_plan(step("first", "echo", text="secret"))
    bot.llm.will_answer("secret")
    await bot.hears("tell me the secret")
    mine = (await bot.last_run()).ref
    async with program(address) as client:
        told = await client.call_tool("run_status", {"run": mine})
        assert told.is_error
        assert "There is no such run" in told.content[0].text
        with pytest.raises(Exception, match="There is no such run"):
            await client.read_resource(f"dirigent://runs/{mine}/report.txt")


async def test_the_same_key_is_the_same_run(address: str, bot: Bot):
    bot.llm.will_plan(step("first", "echo", text="one"))
    bot.llm.will_answer("one")
    async with program(address) as client:
        refs = [
            (await client.call_tool("ask", {"request": "say one", "key": "k1"})).structured_content["run"] for _ in "ab"
        ]
        other = await client.call_tool("ask", {"request": "say two", "key": "k1"})
    assert refs[0] == refs[1]
    assert "another request" in other.content[0].text
    assert len(await bot.app.store.recent_runs()) == 1


async def test_a_program_stops_what_programs_have_begun_and_nothing_else(address: str, bot: Bot):
    bot.llm.will_plan(step("who", ask="Who?"))
    async with program(address) as client:
        ref = (await client.call_tool("ask", {"request": "greet somebody"})).structured_content["run"]
        stopped = await client.call_tool("stop_run", {"run": ref})
        again = await client.call_tool("stop_run", {"run": ref})
        bot.llm.will_plan(step("who", ask="Who?"))
        await bot.hears("greet somebody else")
        mine = await bot.last_run()
        refused = await client.call_tool("stop_run", {"run": mine.ref})
    assert [one.structured_content["status"] for one in (stopped, again)] == ["CANCELLED", "CANCELLED"]
    assert "There is no such run" in refused.content[0].text
    assert (await bot.app.store.get_run(mine.id)).status == "WAITING_APPROVAL"


async def test_wrong_arguments_are_said_and_do_nothing(address: str, bot: Bot):
    async with program(address) as client:
        number = await client.call_tool("ask", {"request": 5})
        long = await client.call_tool("ask", {"request": "x" * 60_000})
        assert number.content[0].text == "request: 5 is not of type 'string'"
        assert long.content[0].text == "request: its value does not fit maxLength 50000"
        for name, args in (("ask", {}), ("ask", {"request": " "}), ("ask", {"request": "x", "approve": True})):
            assert (await client.call_tool(name, args)).is_error
        with pytest.raises(Exception, match="no tool 'approve'"):
            await client.call_tool("approve", {"run": "x"})
    assert await bot.app.store.recent_runs() == []


async def test_a_program_speaks_with_it_over_pipes(tmp_path: Path):
    home = tmp_path / "home"
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "sum.yaml").write_text(
        "name: sum\nsteps:\n  - {id: one, use: calculate, args: {expression: '6 * 7'}}\n"
    )
    env = {**os.environ, "DIRIGENT_HOME": str(home), "DIRIGENT_MODEL": "offline"}
    started = StdioServerParameters(command=sys.executable, args=["-m", "agent", "mcp", "serve"], env=env)
    async with Client(started, read_timeout_seconds=120) as client:
        assert client.server_info.name == "dirigent"
        done = await client.call_tool("run_pipeline", {"name": "sum"})
        asked = await client.call_tool("ask", {"request": "calculate 6 * 7"})
    assert "42" in done.content[0].text
    assert "42" in asked.content[0].text
