"""`llm` steps of pipelines whose answer has a shape: choices, JSON Schemas, mending, other models, and no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from agent.testing import Bot
from plugins.api import tool


@tool(untrusted=True)
def page() -> str:
    """Read a page."""
    return "The printer smokes."


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], None]:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)

    def written(text: str) -> None:
        (tmp_path / "home" / "pipelines" / "p.yaml").write_text(f"name: p\n{dedent(text)}")

    return written


CHOICE = (
    "steps: [{id: c, use: llm, args: {prompt: Which?, choices: [red, blue]}}]\noutputs: {c: '{{ steps.c.output }}'}"
)


async def test_the_answer_is_one_of_the_choices(bot, write):
    write(CHOICE)
    bot.llm.will_say("step", '{"choice": "blue"}')

    answer = await bot.hears("/run p", trusted=True)

    assert answer.text == "blue"
    assert bot.llm.requests[0].schema["properties"]["choice"] == {"enum": ["red", "blue"]}
    assert "red | blue" in bot.llm.requests[0].messages[-1].content
    assert bot.llm.requests[0].tools == ()


async def test_a_wrong_answer_is_mended_once_with_what_is_wrong_with_it(bot, write):
    write(CHOICE)
    bot.llm.will_say("step", '{"choice": "green"}')
    bot.llm.will_say("step", '{"choice": "red"}')

    answer = await bot.hears("/run p", trusted=True)

    assert answer.text == "red"
    assert "'green' is not one of ['red', 'blue']" in bot.llm.requests[1].messages[-1].content


async def test_a_second_wrong_answer_is_an_error_that_says_what_was_wrong(bot, write):
    write(CHOICE)
    bot.llm.will_say("step", "I would say green.")
    bot.llm.will_say("step", '{"choice": "green"}')

    answer = await bot.hears("/run p", trusted=True)

    assert answer.status == "FAILED"
    assert "Step 'c'" in answer.text
    assert "'green' is not one of ['red', 'blue']" in answer.text
    assert len(bot.llm.requests) == 2


async def test_a_choice_comes_with_its_confidence_when_the_schema_asks_for_it(bot, write):
    write(
        """
        steps:
          - id: c
            use: llm
            args: {prompt: Which?, choices: [red, blue], schema: {properties: {confidence: {type: number}}}}
        outputs: {c: "{{ steps.c.output.choice if steps.c.output.confidence > 0.5 else 'unsure' }}"}
        """,
    )
    bot.llm.will_say("step", '{"choice": "red", "confidence": 7}')
    bot.llm.will_say("step", '{"choice": "red", "confidence": 0.7}')

    answer = await bot.hears("/run p", trusted=True)

    assert answer.text == "red"
    assert "7 is greater than the maximum of 1" in bot.llm.requests[1].messages[-1].content


@pytest.mark.parametrize(
    ("schema", "said", "value"),
    [
        ("{type: object, properties: {n: {type: integer}}, required: [n]}", {"n": 3}, {"n": 3}),
        ("{type: array, items: {type: string}}", {"result": ["a", "b"]}, ["a", "b"]),
        ("{type: array, items: {$ref: '#/$defs/w'}, $defs: {w: {type: string}}}", {"result": ["a"]}, ["a"]),
        ("{type: number}", {"result": 2.5}, 2.5),
    ],
)
async def test_the_output_is_the_checked_value(bot, write, schema, said, value):
    write('steps: [{id: c, use: llm, args: {prompt: Count., schema: "SCHEMA"}}]'.replace('"SCHEMA"', schema))
    bot.llm.will_say("step", f"Here it is:\n```json\n{json.dumps(said)}\n```")

    await bot.hears("/run p", trusted=True)

    assert (await bot.steps())[0].output == value


async def test_a_step_may_ask_another_model_and_choices_may_come_from_an_input(bot, write):
    write(
        """
        inputs: {queues: list}
        steps: [{id: c, use: llm, args: {prompt: Which?, choices: "{{ inputs.queues }}", model: small-one}}]
        outputs: {c: "{{ steps.c.output }}"}
        """,
    )
    bot.llm.will_say("step", '{"choice": "Billing"}')

    answer = await bot.hears("/run p queues=Sales,Billing", trusted=True)

    assert answer.text == "Billing"
    assert bot.llm.requests[0].model == "small-one"


async def test_an_answer_of_a_shape_carries_the_labels_of_its_material(tmp_path, write):
    write(
        """
        steps:
          - {id: p, use: page}
          - {id: c, use: llm, args: {prompt: Which?, text: "{{ steps.p.output }}", choices: [yes, no]}}
        """,
    )
    async with Bot(tmp_path / "home", [page]) as bot:
        bot.llm.will_say("step", '{"choice": "yes"}')
        await bot.hears("/run p", trusted=True)
        (found,) = [record for record in await bot.steps() if record.step.id == "c"]

    assert found.provenance.untrusted_names == ("test.page#p",)


async def test_without_a_model_the_step_says_how_to_add_one(tmp_path, write):
    write(CHOICE)
    async with Bot(tmp_path / "home", [page], offline=True) as bot:
        answer = await bot.hears("/run p", trusted=True)

    assert answer.status == "FAILED"
    assert "Step 'c' needs a model, and none is in use. `dirigent init` adds a model." in answer.text


async def test_without_a_model_the_step_has_its_other_value(tmp_path, write):
    write(
        """
        inputs: {name: text}
        steps:
          - {id: c, use: llm, args: {prompt: Greet., otherwise: "Hello {{ inputs.name }}"}, outputs: [a.txt]}
        outputs: {c: "{{ steps.c.output }} ({{ steps.c.status }})"}
        """,
    )
    async with Bot(tmp_path / "home", [page], offline=True) as bot:
        answer = await bot.hears("/run p name=Ada", trusted=True)
        assert (bot.workspace / "a.txt").read_text() == "Hello Ada"

    assert answer.text == "Hello Ada (partial)"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ("{prompt: x, schema: {type: nubmer}}", "p.yaml:2:45: `schema` is no JSON Schema"),
        ("{prompt: x, schema: number}", "`schema` is no JSON Schema: it is a mapping"),
        ("{prompt: x, choices: [one]}", "p.yaml:2:45: `choices` is a list of at least 2"),
        ("{prompt: x, model: [a]}", "`model` is the name of a model"),
    ],
)
async def test_a_shape_that_cannot_be_is_told_before_anything_runs(bot, write, args, said):
    write(f"steps: [{{id: c, use: llm, args: {args}}}]")

    await bot.receives("/run p", trusted=True)

    assert said in (await bot.shown())[-1].payload["text"]
    assert bot.llm.requests == []
