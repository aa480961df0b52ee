"""The fake server is as strict as the real one, and its scripts do what they say."""

import asyncio
import json
import os
import signal
import sys

import httpx
import pytest

from agent.errors import ConfigError
from agent.testing.openai_script import load_script, tokens_of
from agent.testing.openai_server import Answer, FakeOpenAI, Rule, main

USER = {"role": "user", "content": "hi"}
CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


async def ask(server, **body):
    body = {"model": "fake-model", "messages": [USER], **body}
    async with httpx.AsyncClient() as client:
        return await client.post(
            f"{server.base_url}/chat/completions", json=body, headers={"Authorization": "Bearer k"}
        )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "Invalid value: 'robot'"),
        ({"messages": [{"role": "user"}]}, "content"),
        ({"messages": [{"role": "assistant", "content": None}]}, "content"),
        ({"messages": [USER, {"role": "tool", "content": "x", "tool_call_id": "a"}]}, "preceding message"),
        ({"messages": [USER, CALLING]}, "did not have response messages: a"),
        ({"messages": [USER, CALLING, USER]}, "did not have response messages"),
        ({"messages": [USER, CALLING, {"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"messages": [{**USER, "tool_calls": [CALL]}]}, "tool_calls"),
        ({"colour": "blue"}, "Unrecognized request argument supplied: colour"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream'"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "same time"),
        ({"temperature": 3}, "temperature"),
        ({"stop": list("abcde")}, "stop"),
        ({"tools": []}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "no spaces"}}]}, "does not match"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}}, "Tool choice"),
        ({"response_format": {"type": "json_object"}}, "'json'"),
        ({"response_format": {"type": "json_schema"}}, "json_schema.name"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}},
                }
            },
            "additionalProperties",
        ),
    ],
)
async def test_what_the_real_server_refuses_is_refused(body, words):
    async with FakeOpenAI(["never"]) as server:
        answer = await ask(server, **body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]["message"]


async def test_a_proper_request_is_answered_whole_or_streamed():
    async with FakeOpenAI(["one two", Answer(tool_calls=(("f", {"a": 1}),))]) as server:
        whole = (await ask(server)).json()
        assert whole["choices"][0]["message"]["content"] == "one two"
        assert whole["usage"]["completion_tokens"] == 2
        streamed = (await ask(server, stream=True, tools=[TOOL])).text
        events = [line[6:] for line in streamed.splitlines() if line]
        assert events.pop() == "[DONE]"
        chunks = [json.loads(event) for event in events]
        assert not any("usage" in chunk for chunk in chunks)
        assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
        tail = [c["choices"][0]["delta"] for c in chunks if "tool_calls" in c["choices"][0]["delta"]]
        assert "".join(d["tool_calls"][0]["function"]["arguments"] for d in tail) == '{"a": 1}'


async def test_the_speed_is_the_scripted_one():
    async with FakeOpenAI([Answer("a b c d e f", first_token_seconds=0.1, tokens_per_second=50)]) as server:
        begun = asyncio.get_running_loop().time()
        await ask(server, stream=True)
        assert 0.2 <= asyncio.get_running_loop().time() - begun < 2


async def test_a_script_that_has_run_out_says_so():
    async with FakeOpenAI() as server:
        answer = await ask(server)
        assert (answer.status_code, "no further answer" in answer.text) == (500, True)


async def test_rules_choose_by_words_prompt_and_tools():
    async with FakeOpenAI(["queued"]) as server:
        server.book.default = "else"
        server.book.rules += [
            Rule(("first", "then"), when="weath.r"),
            Rule(("planned",), purpose="you plan"),
            Rule(("tooled",), tools=True, times=1),
        ]

        async def text(user="x", system="", **body):
            messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
            answer = await ask(server, messages=messages, **body)
            return answer.json()["choices"][0]["message"]["content"]

        assert [await text("the Weather") for _ in range(3)] == ["first", "then", "then"]
        assert await text(system="Here you plan.") == "planned"
        assert [await text(tools=[TOOL]) for _ in range(3)] == ["tooled", "queued", "else"]


async def test_a_function_answers_every_request():
    async with FakeOpenAI(lambda request: request["messages"][-1]["content"].upper()) as server:
        assert (await ask(server)).json()["choices"][0]["message"]["content"] == "HI"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON list"),
        ("{}", "no list"),
        ('["fine", {"texd": "x"}]', r"Entry 2 .*'texd'"),
        ('[{"answer": "x", "wen": "y"}]', "Entry 1"),
        ('[{"answer": "x", "when": "("}]', "Entry 1"),
    ],
)
def test_a_wrong_script_is_explained(tmp_path, text, words, capsys):
    path = tmp_path / "script.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_script(path)
    assert main(["--script", str(path)]) == 2
    assert "script.json" in capsys.readouterr().err


def test_pieces_joined_are_the_text():
    text = "Ein Satz,  mit\tallem — und_dies: {{ s1.output }}\n\n" + "x" * 50
    assert "".join(tokens_of(text)) == text
    assert len(tokens_of("one two three")) == 3


async def test_it_runs_as_a_process_of_its_own(tmp_path):
    script, log = tmp_path / "script.json", tmp_path / "requests.jsonl"
    script.write_text(json.dumps([{"when": "weather", "answer": {"text": {"sky": "blue"}}}, {"default": "hm"}]))
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "agent.testing.openai_server",
            "--port",
            "0",
            "--script",
            str(script),
            "--log",
            str(log),
        ),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        base_url = (await process.stdout.readline()).decode().strip()
        async with httpx.AsyncClient() as client:
            body = {"model": "fake-model", "messages": [{"role": "user", "content": "weather?"}]}
            answer = (await client.post(f"{base_url}/chat/completions", json=body)).json()
        assert json.loads(answer["choices"][0]["message"]["content"]) == {"sky": "blue"}
        assert json.loads(log.read_text())["request"] == body
        process.send_signal(signal.SIGINT)
        await process.communicate()  # to the end, so that its pipe is closed before the loop is
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            os.kill(process.pid, signal.SIGKILL)
            await process.wait()
