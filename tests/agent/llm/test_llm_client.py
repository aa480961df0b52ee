"""The client against a strict server over real sockets."""

import asyncio
import json
import logging
import socket
import subprocess
import sys
import time
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from agent.config import Model
from agent.errors import ModelRefused, ModelUnavailable
from agent.llm.openai_client import OpenAIModel
from agent.llm.protocol import ChatMessage, LLMRequest, TextDelta, ToolRequest
from agent.testing.openai_server import Answer, FakeOpenAI

TOOL = {"type": "function", "function": {"name": "roll", "description": "Roll.", "parameters": {"type": "object"}}}
LONG = " ".join(f"word{i}" for i in range(200))


async def test_an_answer_is_streamed_as_it_comes(talk):
    async with talk(Answer("One two three.", tokens_per_second=200)) as t:
        end = await t.stream()
        assert (t.text, end.text, end.reason) == ("One two three.", "One two three.", "stop")
        assert len(t.deltas) == 4
        assert t.server.requests[0]["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_the_first_words_are_out_while_the_rest_is_still_written(talk):
    async with talk(Answer("One two", stall_after=1)) as t, aclosing(t.model.stream(t.request())) as items:
        assert await anext(items) == TextDelta("One")


async def test_usage_is_what_the_server_reports(talk):
    async with talk("one two three") as t:
        usage = (await t.complete()).usage
        assert (usage.kind, usage.model, usage.estimated) == ("answer", "fake-model", False)
        assert (usage.prompt_tokens, usage.completion_tokens) == (12, 3)


async def test_a_server_on_this_machine_costs_nothing_unless_a_price_is_set(talk):
    async with talk("hi", "hi", settings={"prices": {"dear": (1.0, 2.0)}}, models=["fake-model", "dear"]) as t:
        assert (await t.complete()).usage.money == 0.0
        usage = (await t.complete(model="dear")).usage
        assert usage.money == pytest.approx((usage.prompt_tokens + 2 * usage.completion_tokens) / 1e6)


async def test_usage_is_estimated_when_the_server_reports_none(talk):
    async with talk(Answer("x" * 350, usage=False)) as t:
        usage = (await t.complete()).usage
        assert usage.estimated
        assert usage.completion_tokens == 100
        assert usage.prompt_tokens == 4


async def test_a_server_that_refuses_stream_options_is_asked_without_them_from_then_on(talk):
    async with talk("one", "two", refuses=["stream_options"]) as t:
        assert (await t.complete()).usage.estimated
        assert (await t.complete()).text == "two"
        assert ["stream_options" in request for request in t.server.requests] == [True, False, False]


async def test_max_tokens_becomes_max_completion_tokens_once_the_server_asks_for_it(talk):
    async with talk("one", "two", refuses=["max_tokens"]) as t:
        await t.complete(max_tokens=50)
        await t.complete(max_tokens=60)
        sent = [(r.get("max_tokens"), r.get("max_completion_tokens")) for r in t.server.requests]
        assert sent == [(50, None), (None, 50), (None, 60)]


async def test_a_fixed_temperature_and_a_missing_system_role_are_worked_around(talk):
    async with talk("one", "two", refuses=["temperature", "system"]) as t:
        assert (await t.complete(temperature=0.2)).text == "one"
        assert (await t.complete(temperature=0.2)).text == "two"
        last = t.server.requests[-1]
        assert "temperature" not in last
        assert last["messages"] == [{"role": "user", "content": "Be brief.\n\nHello"}]
        assert len(t.server.requests) == 4


async def test_thoughts_are_never_part_of_the_answer(talk):
    async with talk(
        Answer("Four.", reasoning="Two and two…"),
        Answer("<think>Two and two…</think>\n\nFour.", split_bytes=3),
    ) as t:
        for _ in range(2):
            end = await t.stream()
            assert (t.text, end.text) == ("Four.", "Four.")
            assert end.usage.completion_tokens > 2


async def test_tool_calls_are_put_together(talk):
    calls = (("roll", {"sides": 6, "note": "é\n"}), ("roll", '{"sides": 20}'))
    async with talk(Answer("I roll.", tool_calls=calls)) as t:
        end = await t.stream(tools=(TOOL,))
        assert end.reason == "tool_calls"
        assert end.text == "I roll."
        assert [json.loads(r.arguments) for r in end.tool_requests] == [{"sides": 6, "note": "é\n"}, {"sides": 20}]
        assert len({r.id for r in end.tool_requests}) == 2


async def test_tool_results_go_back_in_the_form_that_servers_demand(talk):
    messages = (
        ChatMessage("user", "Roll twice."),
        ChatMessage("assistant", "", (ToolRequest("a", "roll", '{"sides": 6}'), ToolRequest("b", "roll", '{"sid'))),
        ChatMessage("tool", "4", tool_call_id="a"),
        ChatMessage("tool", "not understood", tool_call_id="b"),
    )
    async with talk("4") as t:
        assert (await t.stream(request=LLMRequest("task", messages, tools=(TOOL,)))).text == "4"
        calls = t.server.requests[0]["messages"][1]["tool_calls"]
        assert [call["function"]["arguments"] for call in calls] == ['{"sides": 6}', "{}"]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
async def test_a_busy_server_is_tried_again_and_the_person_is_told(talk, status):
    async with talk(Answer(status=status), "at last") as t:
        assert (await t.stream()).text == "at last"
        assert len(t.notices) == 1
        assert str(status) in t.notices[0]
        assert "trying again in 1 s" in t.notices[0]


async def test_the_tries_have_an_end(talk):
    async with talk(
        Answer(status=503, error="overloaded"),
        Answer(status=503, error="overloaded"),
        "too late",
        settings={"tries": 2},
    ) as t:
        with pytest.raises(ModelUnavailable, match=r"503.*overloaded"):
            await t.complete()
        assert len(t.server.requests) == 2


async def test_retry_after_is_honoured(talk):
    async with talk(Answer(status=429, retry_after=0.3), "now") as t:
        begun = time.monotonic()
        assert (await t.complete()).text == "now"
        assert time.monotonic() - begun >= 0.3


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_wait_that_is_too_long_is_told_instead_of_kept(talk, form):
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    async with talk(Answer(status=429, retry_after="3600" if form == "seconds" else date), "never") as t:
        with pytest.raises(ModelUnavailable, match=r"asks to wait 3\d\d\d s"):
            await t.complete()
        assert len(t.server.requests) == 1


async def test_a_model_that_is_still_being_loaded_is_waited_for(talk):
    loading = [Answer(status=503, error="Loading model")] * 6
    async with talk(*loading, "ready", settings={"tries": 2}) as t:
        assert (await t.stream()).text == "ready"
        assert len(t.notices) == 6


@pytest.mark.parametrize("drop", [-1, 0])
async def test_a_connection_lost_before_the_first_word_is_tried_again(talk, drop):
    async with talk(Answer(LONG, drop_after=drop), LONG) as t:
        assert (await t.stream()).text == LONG
        assert "broke the connection" in t.notices[0]


async def test_a_connection_lost_after_thoughts_alone_is_tried_again(talk):
    async with talk(Answer("Four.", reasoning="Two and two", drop_after=2), "Four.") as t:
        assert (await t.stream()).text == "Four."


async def test_an_answer_that_breaks_off_is_not_restarted_silently(talk):
    async with talk(Answer("one two three four", drop_after=2, tokens_per_second=100), "never") as t:
        with pytest.raises(ModelUnavailable, match="broke off after 7 characters"):
            await t.stream()
        assert t.text == "one two"
        assert len(t.server.requests) == 1


async def test_an_answer_that_nobody_saw_is_asked_for_again(talk):
    async with talk(Answer("one two three four", drop_after=2, tokens_per_second=100), "whole") as t:
        assert (await t.complete()).text == "whole"


async def test_a_stream_without_an_end_is_not_taken_for_an_answer(talk):
    async with talk(
        Answer("half", stream_error={"error": {"message": "CUDA out of memory", "type": "server_error"}}), "whole"
    ) as t:
        assert (await t.complete()).text == "whole"


async def test_an_error_within_the_stream_names_what_the_server_said(talk):
    fault = {"error": {"message": "CUDA out of memory"}}
    async with talk(Answer("one two", stream_error=fault, tokens_per_second=100)) as t:
        with pytest.raises(ModelUnavailable, match="CUDA out of memory"):
            await t.stream()


async def test_a_missing_done_line_is_forgiven(talk):
    async with talk(Answer("fine", done=False)) as t:
        assert (await t.complete()).text == "fine"


async def test_a_broken_chunk_is_a_clear_error(talk):
    broken = Answer("one two three", bad_chunk_after=2, tokens_per_second=100)
    async with talk(broken, settings={"tries": 1}) as t:
        with pytest.raises(ModelUnavailable, match=r"broke off after 7 .*unreadable \(JSONDecodeError\)"):
            await t.stream()


async def test_a_broken_first_chunk_is_tried_again(talk):
    async with talk(Answer("one", bad_chunk_after=0), "two") as t:
        assert (await t.stream()).text == "two"


async def test_a_server_that_does_not_begin_is_given_up_after_the_first_token_time(talk):
    async with talk(Answer("late", first_token_seconds=60), settings={"first_token_seconds": 0.2}) as t:
        with pytest.raises(ModelUnavailable, match=r"did not begin .* 0\.2 s") as caught:
            await t.complete()
        assert "llm.first_token_seconds" in caught.value.hint
        await t.server.left.wait()


async def test_a_head_without_tokens_is_no_beginning(talk):
    patience = {"first_token_seconds": 0.2, "stall_seconds": 60}
    async with talk(Answer("late", stall_after=0), settings=patience) as t:
        with pytest.raises(ModelUnavailable, match="did not begin"):
            await t.complete()


async def test_a_stream_that_stalls_has_its_own_time(talk):
    async with talk(Answer("one two three", stall_after=2), settings={"stall_seconds": 2}) as t:
        with pytest.raises(ModelUnavailable, match=r"broke off after 7 characters.*silent for 2 s"):
            await t.stream()
        await t.server.left.wait()


async def test_a_slow_reader_is_no_stall(talk):
    async with talk(Answer("one two three"), settings={"stall_seconds": 0.15}) as t:
        text = ""
        async for item in t.model.stream(t.request()):
            await asyncio.sleep(0.2)
            text += getattr(item, "text", "") if isinstance(item, TextDelta) else ""
        assert text == "one two three"


async def test_a_model_that_repeats_itself_is_cut(talk):
    async with talk(Answer("Well. " + "I will look into it.\n" * 5000, tokens_per_second=20_000)) as t:
        end = await t.stream()
        assert end.reason == "repeated"
        assert len(end.text) < 20_000
        await t.server.left.wait()


async def test_thoughts_that_go_round_in_circles_are_cut_too(talk):
    async with talk(Answer("never", reasoning="But wait. " * 5000, tokens_per_second=20_000)) as t:
        end = await t.stream()
        assert (end.reason, end.text, end.tool_requests) == ("repeated", "", ())


async def test_half_characters_are_joined_or_replaced_in_both_directions(talk):
    halves = [{"choices": [{"delta": {"content": part}}]} for part in ("a\ud83d", "\ude00b\ud83d", "c\ude00")]

    async def server(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(
            next(line for line in head.lower().splitlines() if line.startswith(b"content-length")).split(b":")[1]
        )
        sent.append(json.loads(await reader.readexactly(size)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for half in halves:
            writer.write(b"data: " + json.dumps(half).encode() + b"\n\n")
        writer.write(b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()

    sent = []
    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        model = OpenAIModel("m", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", None, Model())
        end = await model.complete(LLMRequest("answer", (ChatMessage("user", "bad byte: \udcff"),)))
        await model.close()
    assert end.text == "a😀b\ufffdc\ufffd"
    assert sent[0]["messages"][0]["content"] == "bad byte: \ufffd"


async def test_reasons_are_told_apart(talk):
    async with talk(
        Answer("cut", finish="length"), Answer("", finish="content_filter"), Answer("x", finish="eos")
    ) as t:
        assert [(await t.complete()).reason for _ in range(3)] == ["length", "filtered", "stop"]


async def test_cancelling_closes_the_stream_at_once(talk):
    async with talk(Answer(LONG, stall_after=3), "next") as t:
        begun = asyncio.Event()

        async def read():
            async for _ in t.model.stream(t.request()):
                begun.set()

        task = asyncio.create_task(read())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(t.server.left.wait(), 60)
        assert (await t.complete()).text == "next"


async def test_leaving_the_stream_closes_it(talk):
    async with talk(Answer(LONG, stall_after=3)) as t:
        async with aclosing(t.model.stream(t.request())) as items:
            await anext(items)
        await asyncio.wait_for(t.server.left.wait(), 60)


async def test_a_cancelled_first_call_does_not_spoil_the_next(talk):
    async with talk("fine") as t:
        task = asyncio.create_task(t.complete())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await t.complete()).text == "fine"


async def test_calls_share_a_connection(talk):
    async with talk(*[Answer(f"{i} {LONG}") for i in range(5)]) as t:
        for i in range(5):
            assert (await t.complete()).text.startswith(str(i))
        assert t.server.connections == 1


async def test_a_connection_that_the_server_closed_meanwhile_is_replaced_silently():
    ended = asyncio.Event()

    async def server(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(
            next(line for line in head.lower().splitlines() if line.startswith(b"content-length")).split(b":")[1]
        )
        await reader.readexactly(size)
        body = b'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(server, "127.0.0.1", 0) as listening:
        model = OpenAIModel("m", f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1", None, Model(tries=1))
        for _ in range(3):
            ended.clear()
            assert (await model.complete(LLMRequest("answer", (ChatMessage("user", "hi"),)))).text == "hi"
            await ended.wait()
        await model.close()


async def test_many_calls_run_at_the_same_time(talk):
    async with talk(*[Answer(LONG, tokens_per_second=400, first_token_seconds=0.2)] * 20) as t:
        answers = await asyncio.gather(*(t.complete() for _ in range(20)))
        assert {answer.text for answer in answers} == {LONG}
        assert t.server.connections == 20  # one after the other would have shared one


async def test_an_answer_in_one_document_is_read_too(talk):
    async with talk(Answer("whole", tool_calls=(("roll", {"sides": 6}),), whole=True)) as t:
        end = await t.stream(tools=(TOOL,))
        assert (t.text, end.reason, end.usage.estimated) == ("whole", "tool_calls", False)
        assert end.tool_requests == (ToolRequest("call_0", "roll", '{"sides": 6}'),)


async def test_a_wrong_key_is_refused_for_good_and_never_shown(talk):
    async with talk("never", api_key="right", key="sk-wrong-0123456789") as t:
        with pytest.raises(ModelRefused, match=r"refuses the key \(401\)") as caught:
            await t.complete()
        assert "OPENAI_API_KEY" in caught.value.hint
        assert "sk-wrong" not in repr(caught.value) + str(caught.value)
        assert caught.value.__context__ is None


async def test_a_missing_key_is_asked_for(talk):
    async with talk("never", api_key="right", key=None) as t:
        with pytest.raises(ModelRefused, match="wants a key") as caught:
            await t.complete()
        assert "Set OPENAI_API_KEY" in caught.value.hint


async def test_an_unknown_model_names_those_that_the_server_has(talk):
    async with talk(models=["llama3.2", "qwen3:8b", "mistral"], name="llama3.1") as t:
        with pytest.raises(ModelRefused, match=r"does not have the model 'llama3\.1'") as caught:
            await t.complete()
        assert "It has: llama3.2, qwen3:8b, mistral." in caught.value.hint


async def test_a_refused_connection_names_the_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://user:pass@127.0.0.1:{free.getsockname()[1]}/v1"
        model = OpenAIModel("m", url, None, Model(tries=2))
        with pytest.raises(ModelUnavailable, match=r"http://127\.0\.0\.1:\d+/v1 cannot be reached") as caught:
            await model.complete(LLMRequest("answer", (ChatMessage("user", "hi"),)))
        await model.close()
    assert "pass" not in str(caught.value) + repr(model)
    assert "OPENAI_BASE_URL" in caught.value.hint


async def test_an_address_without_v1_is_explained(talk):
    async with talk("never") as t:
        model = OpenAIModel("fake-model", t.server.root, "key-123456", Model())
        with pytest.raises(ModelRefused, match="Nothing that speaks the OpenAI protocol") as caught:
            await model.complete(t.request())
        await model.close()
        assert "/v1" in caught.value.hint


async def test_a_page_instead_of_a_model_server_is_explained(talk):
    async with talk("never") as t:

        async def page(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<hi>")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(page, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            model = OpenAIModel("m", f"http://127.0.0.1:{port}/v1", None, Model())
            with pytest.raises(ModelRefused, match="text/html"):
                await model.complete(t.request())
            await model.close()


async def test_an_address_that_is_none_is_explained(talk):
    async with talk() as t:
        model = OpenAIModel("m", "localhost:8000/v1", None, Model(tries=1))
        with pytest.raises(ModelRefused, match="OPENAI_BASE_URL"):
            await model.complete(t.request())
        await model.close()


@pytest.mark.parametrize(
    ("answer", "words", "hint"),
    [
        (
            Answer(status=400, error="maximum context length is 4096 tokens", code="context_length_exceeded"),
            "too long",
            "llm.window",
        ),
        (Answer(status=500, error="the request exceeds the available context size"), "too long", "llm.window"),
        (Answer(status=429, error="You exceeded your current quota", code="insufficient_quota"), "no credit", "credit"),
        (Answer(status=402, error="Insufficient Balance"), "no credit", "credit"),
        (Answer(status=400, error="tool names must be nice"), "refused the request .*nice", "doctor"),
        (Answer(status=400, error={"unexpected": ["shape"]}), "shape", "doctor"),
        (Answer(status=400, error={"error": "a bare text"}), "a bare text", "doctor"),
    ],
)
async def test_what_another_try_does_not_mend_is_refused_for_good(talk, answer, words, hint):
    async with talk(answer, "never") as t:
        with pytest.raises(ModelRefused, match=words) as caught:
            await t.complete()
        assert hint in caught.value.hint
        assert len(t.server.requests) == 1


async def test_no_secret_reaches_the_logs(talk):
    lines = []
    sink = logger.add(lambda message: lines.append(str(message)), level="TRACE")
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        async with talk(
            Answer(status=503, error="sk-secret-key is busy"), Answer(status=401, error="sk-secret-key?")
        ) as t:
            with pytest.raises(ModelRefused) as caught:
                await t.complete()
    finally:
        logger.remove(sink)
        logging.getLogger().removeHandler(handler)
    assert lines
    assert "sk-secret-key" not in "".join(lines) + "".join(records) + str(caught.value)


async def test_proxies_of_the_environment_do_not_come_between_this_machine_and_itself(talk, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with talk("direct") as t:
        assert (await t.complete()).text == "direct"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(min_size=1, max_size=60), size=st.integers(1, 40), call=st.booleans())
async def test_packets_may_cut_the_stream_anywhere(text, size, call):
    text = text.replace("<", "(").encode(errors="ignore").decode()
    answer = Answer("" if call else text, tool_calls=(("roll", {"t": text}),) if call else (), split_bytes=size)
    async with FakeOpenAI([answer]) as server:
        model = OpenAIModel("fake-model", server.base_url, None, Model())
        end = await model.complete(LLMRequest("task", (ChatMessage("user", "hi"),), tools=(TOOL,)))
        await model.close()
    assert (json.loads(end.tool_requests[0].arguments)["t"] if call else end.text) == text


def test_the_client_is_loaded_without_the_sdk():
    code = (
        "import sys, agent.llm.openai_client, agent.llm.detect; "
        "print({'openai', 'httpx', 'httpx2', 'tiktoken', 'jsonschema', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
