"""Answers of a given shape, on servers that manage more or less of it."""

import asyncio
import json

import pytest

from agent.errors import ModelRefused, ModelRubbish
from agent.llm.protocol import ChatMessage, LLMRequest
from agent.llm.structured import is_closed, read_shape
from agent.testing.openai_server import Answer

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
GOOD = '{"city": "Ulm", "people": 128000}'
BAD = '{"city": "Ulm", "people": "many"}'
OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}


def ways(talk):
    """How the shape was asked for in each request that came."""
    return [
        "schema" if "response_format" in r else "tool" if "tool_choice" in r else "prompt" for r in talk.server.requests
    ]


async def test_a_shape_is_asked_for_by_json_schema_first(talk):
    async with talk(GOOD) as t:
        end = await t.complete(schema=CITY, schema_name="the city!")
        assert json.loads(end.text) == {"city": "Ulm", "people": 128000}
        assert t.server.requests[0]["response_format"]["json_schema"] == {
            "name": "the_city_",
            "schema": CITY,
            "strict": True,
        }


async def test_strict_is_asked_for_only_where_a_server_would_take_it(talk):
    async with talk('{"city": "Ulm"}') as t:
        assert (await t.complete(schema=OPEN)).text == '{"city":"Ulm"}'
        assert t.server.requests[0]["response_format"]["json_schema"]["strict"] is False
    assert is_closed(CITY)
    assert not is_closed({"type": "array", "items": OPEN})


async def test_a_server_without_json_schema_is_asked_by_a_forced_tool_from_then_on(talk):
    async with talk(GOOD, GOOD, refuses=["json_schema"]) as t:
        for _ in range(2):
            end = await t.complete(schema=CITY)
            assert json.loads(end.text)["city"] == "Ulm"
            assert (end.reason, end.tool_requests) == ("stop", ())
        assert ways(t) == ["schema", "tool", "tool"]


async def test_a_server_without_forced_tools_is_asked_in_the_prompt_from_then_on(talk):
    async with talk(GOOD, GOOD, refuses=["json_schema", "tool_choice"]) as t:
        for _ in range(2):
            assert json.loads((await t.complete(schema=CITY)).text)["city"] == "Ulm"
        assert ways(t) == ["schema", "tool", "prompt", "prompt"]
        system = t.server.requests[-1]["messages"][0]
        assert system["role"] == "system"
        assert system["content"].startswith("Be brief.\n\n")
        assert json.dumps(CITY, separators=(",", ":")) in system["content"]


@pytest.mark.parametrize("status", [400, 404, 422, 501])
async def test_an_unexplained_refusal_of_a_shape_is_blamed_on_the_shape(talk, status):
    refusal = Answer(status=status, error="bad request")
    async with talk(refusal, GOOD) as t:
        assert json.loads((await t.complete(schema=CITY)).text)["people"] == 128000
        assert ways(t) == ["schema", "tool"]


async def test_a_refusal_that_has_nothing_to_do_with_the_shape_ends_after_the_last_rung(talk):
    async with talk(*[Answer(status=400, error="bad request")] * 3, "never") as t:
        with pytest.raises(ModelRefused, match="bad request"):
            await t.complete(schema=CITY)
        assert ways(t) == ["schema", "tool", "prompt"]
        t.server.will(GOOD)
        t.server.book.queue.pop(0)
        await t.complete(schema=CITY)
        assert ways(t)[-1] == "schema"


async def test_a_request_that_is_too_long_is_not_blamed_on_the_shape(talk):
    async with talk(Answer(status=400, error="maximum context length is 4096 tokens"), GOOD) as t:
        with pytest.raises(ModelRefused, match="too long"):
            await t.complete(schema=CITY)
        assert len(t.server.requests) == 1


async def test_calls_at_the_same_time_step_down_together(talk):
    async with talk(*[GOOD] * 4, refuses=["json_schema"]) as t:
        await asyncio.gather(*(t.complete(schema=CITY) for _ in range(4)))
        assert set(ways(t)) == {"schema", "tool"}


async def test_a_schema_that_cannot_be_enforced_strictly_is_asked_for_loosely(talk):
    refusal = Answer(status=400, error="Invalid schema for response_format 'result': 'maxItems' is not permitted.")
    async with talk(refusal, GOOD, GOOD) as t:
        for _ in range(2):
            await t.complete(schema=CITY)
        assert [r["response_format"]["json_schema"]["strict"] for r in t.server.requests] == [True, False, False]


async def test_each_model_has_its_own_rung(talk):
    async with talk(
        Answer(status=400, error="no response_format here"), GOOD, GOOD, models=["fake-model", "other"]
    ) as t:
        await t.complete(schema=CITY)
        await t.complete(schema=CITY, model="other")
        assert ways(t) == ["schema", "tool", "schema"]


async def test_a_server_that_ignores_the_schema_gets_one_turn_to_mend_its_answer(talk):
    async with talk("Ulm has 128,000 people.", GOOD, GOOD) as t:
        end = await t.complete(schema=CITY)
        assert json.loads(end.text)["people"] == 128000
        repair = t.server.requests[1]["messages"]
        assert repair[-2] == {"role": "assistant", "content": "Ulm has 128,000 people."}
        assert "no valid JSON" in repair[-1]["content"]
        assert end.usage.prompt_tokens > 40
        await t.complete(schema=CITY)
        assert ways(t) == ["schema", "tool", "tool"]


async def test_the_turn_to_mend_names_the_error(talk):
    async with talk(BAD, GOOD) as t:
        await t.complete(schema=CITY)
        assert "At $.people: 'many' is not of type 'integer'" in t.server.requests[1]["messages"][-1]["content"]


async def test_an_answer_that_is_wrong_twice_is_rubbish(talk):
    async with talk(BAD, BAD, GOOD) as t:
        with pytest.raises(ModelRubbish, match=r"\$\.people"):
            await t.complete(schema=CITY)
        assert len(t.server.requests) == 2


async def test_an_answer_that_was_cut_is_not_asked_to_be_mended(talk):
    async with talk(Answer('{"city": "Ul', finish="length"), GOOD) as t:
        with pytest.raises(ModelRubbish, match="cut"):
            await t.complete(schema=CITY)
        assert len(t.server.requests) == 1


async def test_a_model_that_cannot_be_forced_to_call_is_asked_in_the_prompt_next_time(talk):
    async with talk(GOOD, GOOD, refuses=["json_schema"], ignores=["tool_choice"]) as t:
        for _ in range(2):
            end = await t.stream(schema=CITY)
            assert json.loads(end.text)["city"] == "Ulm"
            assert t.text == GOOD
        assert ways(t) == ["schema", "tool", "prompt"]


async def test_a_shape_is_streamed_on_every_rung(talk):
    async with talk(GOOD, GOOD, GOOD) as t:
        for refused in ([], ["json_schema"], ["json_schema", "tool_choice"]):
            t.server.refuses = set(refused)
            end = await t.stream(schema=CITY)
            assert t.text == GOOD
            assert len(t.deltas) > 3
            assert json.loads(end.text)["city"] == "Ulm"


async def test_a_stream_that_was_wrong_ends_with_the_mended_answer(talk):
    async with talk(BAD, GOOD) as t:
        end = await t.stream(schema=CITY)
        assert t.text == BAD
        assert json.loads(end.text)["people"] == 128000


async def test_tools_and_a_shape_go_together(talk):
    tool = {"type": "function", "function": {"name": "roll", "parameters": {"type": "object"}}}
    async with talk(GOOD, refuses=["json_schema"]) as t:
        request = LLMRequest("task", (ChatMessage("user", "hi"),), tools=(tool,), schema=CITY)
        assert json.loads((await t.model.complete(request)).text)["city"] == "Ulm"
        assert ways(t) == ["schema", "prompt"]
        assert t.server.requests[-1]["tools"] == [tool]


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"Here it is:\n\n{GOOD}\n\nI hope that helps.",
        f"hm, a city {{maybe}} …</think>{GOOD}",
    ],
)
def test_json_is_found_in_what_models_put_around_it(text):
    assert json.loads(read_shape(text, CITY)) == {"city": "Ulm", "people": 128000}


@pytest.mark.parametrize("text", ["", "null", "[1]", "{", '{"city": 1}', "yes"])
def test_what_does_not_fit_is_said_to_the_model(text):
    with pytest.raises(ValueError, match=r"."):
        read_shape(text, CITY)


def test_a_schema_that_cannot_be_used_is_named_and_nothing_is_fetched():
    with pytest.raises(ModelRefused, match="not part of it"):
        read_shape("{}", {"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(ModelRefused, match="'text'"):
        read_shape("{}", {"type": "text"})
