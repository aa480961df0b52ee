"""Lists of pipelines: nested pipelines for each entry, and which entries failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from agent.domain.messages import MessageKind
from agent.testing import Bot

Write = Callable[[str, str], None]
INNER = """
    inputs: {word: text, n: {type: integer, default: 1}}
    steps:
      - {id: a, use: echo, args: {text: "{{ fail('no ' ~ inputs.word) if inputs.word == 'bad' else inputs.word }}"}}
      - {id: b, use: echo, when: "inputs.n > 0", args: {text: "{{ steps.a.output }}{{ inputs.n }}"}}
    outputs: {said: "{{ steps.b.output | default('none') }}"}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)

    def written(name: str, text: str) -> None:
        (tmp_path / "home" / "pipelines" / f"{name}.yaml").write_text(f"name: {name}\n{dedent(text)}")

    return written


async def output_of(bot: Bot, step_id: str) -> object:
    return next(record.output for record in await bot.steps() if record.step.id == step_id)


async def test_a_nested_pipeline_runs_for_each_entry_in_order(bot: Bot, write: Write):
    write("inner", INNER)
    write(
        "p",
        """
        inputs: {words: list}
        steps:
          - {id: pre, use: echo, args: {text: "<"}}
          - id: each
            use: pipeline:inner
            foreach: {in: "{{ inputs.words }}", parallel: 2}
            args: {word: "{{ steps.pre.output }}{{ item }}", n: "{{ index }}"}
        outputs: {all: "{{ steps.each.output | map(attribute='said') | join(',') }}"}
        """,
    )

    answer = await bot.hears("/run p words=x,y,z,w", trusted=True)

    assert answer.text == "none,<y1,<z2,<w3"
    assert bot.statuses["each__0__b"] == "CANCELLED"
    assert {bot.statuses[f"each__{n}"] for n in range(4)} == {"COMPLETED"}
    waits = {record.step.id: record.step.pipe.after for record in await bot.steps()}
    assert waits["each__2__inputs"] == ("each__0",)


async def test_a_condition_leaves_out_single_entries_of_a_nested_pipeline(bot: Bot, write: Write):
    write("inner", INNER)
    write(
        "p", "steps: [{id: e, use: 'pipeline:inner', foreach: [a, b], when: item != 'a', args: {word: '{{ item }}'}}]"
    )

    await bot.hears("/run p", trusted=True)

    assert await output_of(bot, "e") == [None, {"said": "b1"}]
    assert bot.statuses["e__0__a"] == "CANCELLED"


async def test_entries_of_a_nested_pipeline_that_fail_are_named_and_the_others_stay(bot: Bot, write: Write):
    write("inner", INNER)
    write(
        "p",
        """
        steps:
          - {id: e, use: "pipeline:inner", foreach: [a, bad, c], on_failure: continue, args: {word: "{{ item }}"}}
          - {id: lost, use: value, args: {value: "{{ steps.e.failed }}"}}
        outputs: {r: "{{ steps.e.output }}", lost: "{{ steps.lost.output | map(attribute='item') | list }}"}
        """,
    )

    answer = await bot.hears("/run p", trusted=True)

    assert await output_of(bot, "e") == [{"said": "a1"}, None, {"said": "c1"}]
    assert await output_of(bot, "lost") == [{"index": 1, "item": "bad", "error": "no bad"}]
    assert answer.status == "COMPLETED"


async def test_a_failed_entry_of_a_nested_pipeline_stops_the_run_by_default(bot: Bot, write: Write):
    write("inner", INNER)
    write(
        "p",
        "steps: [{id: e, use: 'pipeline:inner', foreach: [bad, a], args: {word: '{{ item }}'}}, {id: z, use: echo, depends_on: e, args: {text: z}}]",
    )

    answer = await bot.hears("/run p", trusted=True)

    assert answer.status == "FAILED"
    assert "no bad" in answer.text
    assert bot.statuses["z"] == "CANCELLED"


async def test_a_failure_inside_a_nested_pipeline_ends_only_that_when_its_step_goes_on(bot: Bot, write: Write):
    write("inner", INNER)
    write(
        "p",
        """
        steps:
          - {id: n, use: "pipeline:inner", on_failure: continue, args: {word: bad}}
          - {id: z, use: echo, when: steps.n.status != 'ok', args: {text: went on}}
        outputs: {z: "{{ steps.z.output }}"}
        """,
    )

    answer = await bot.hears("/run p", trusted=True)

    assert (bot.statuses["n__a"], bot.statuses["n"], bot.statuses["z"]) == ("FAILED", "CANCELLED", "COMPLETED")
    assert answer.text == "went on"


async def test_lists_of_nested_pipelines_within_lists_of_nested_pipelines(bot: Bot, write: Write):
    write("inner", INNER)
    write(
        "middle",
        """
        inputs: {words: list}
        steps: [{id: e, use: "pipeline:inner", foreach: "{{ inputs.words }}", args: {word: "{{ item }}"}}]
        outputs: {o: "{{ steps.e.output | map(attribute='said') | join('+') }}"}
        """,
    )
    write(
        "p",
        """
        steps: [{id: m, use: "pipeline:middle", foreach: [[a, b], [c]], args: {words: "{{ item }}"}}]
        outputs: {o: "{{ steps.m.output | map(attribute='o') | join(' ') }}"}
        """,
    )

    answer = await bot.hears("/run p", trusted=True)

    assert answer.text == "a1+b1 c1"
    assert bot.statuses["m__0__e__1__b"] == "COMPLETED"


async def test_a_checkpoint_inside_a_nested_pipeline_asks_for_each_entry_and_revises_its_own(bot: Bot, write: Write):
    write(
        "inner",
        """
        inputs: {w: text}
        steps:
          - {id: text, use: llm, args: {prompt: "Write about {{ inputs.w }}."}}
          - {id: done, use: echo, approval: Good?, args: {text: "{{ steps.text.output }}"}}
        outputs: {o: "{{ steps.done.output }}"}
        """,
    )
    write(
        "p",
        """
        steps: [{id: e, use: "pipeline:inner", foreach: {in: [a, b], parallel: 1}, args: {w: "{{ item }}"}}]
        outputs: {o: "{{ steps.e.output | map(attribute='o') | join(' ') }}"}
        """,
    )
    for text in ("one", "two", "three"):
        bot.llm.will_say("step", text)

    async def open_approval():
        await bot.idle()
        (found,) = [m for m in await bot.shown(MessageKind.APPROVAL) if "decided" not in m.payload]
        return found.payload

    await bot.hears("/run p", trusted=True)
    await bot.presses(f"a/{(await open_approval())['id']}/revise")
    await bot.hears("another", trusted=True)
    assert (await open_approval())["details"]["text (result)"] == "two"
    await bot.presses(f"a/{(await open_approval())['id']}/allow")
    await bot.presses(f"a/{(await open_approval())['id']}/allow")
    answer = await bot.answer()

    assert answer.text == "two three"
    assert bot.statuses["e__0__text-r2"] == "COMPLETED"
    assert "Write about b." in bot.llm.requests[2].messages[-1].content


async def test_a_list_of_nested_pipelines_is_bounded_by_the_steps_of_a_run(tmp_path: Path, write: Write):
    from tests.conftest import echo

    write("inner", INNER)
    write("p", "steps: [{id: e, use: 'pipeline:inner', foreach: '{{ range(20) | list }}', args: {word: x}}]")
    async with Bot(tmp_path / "home", [echo], limits={"steps": 50}) as bot:
        answer = await bot.hears("/run p", trusted=True)

    assert answer.status == "FAILED"
    assert "The limit on steps of one run is 50, and 81 would be used." in answer.text
    assert len(bot.statuses) == 1
