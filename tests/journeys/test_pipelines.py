"""Whole stories of pipelines: written as YAML, run from the chat, with lists, conditions, checkpoints and restarts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from agent.domain.messages import MessageKind
from agent.pipelines import going_on_from
from agent.testing import Bot, step
from plugins.api import ToolFailure, tool

Write = Callable[[str, str], None]
RAN: list[str] = []


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Put a pipeline into the home under a name."""
    folder = tmp_path / "home" / "pipelines"
    folder.mkdir(parents=True)

    def written(name: str, text: str) -> None:
        (folder / f"{name}.yaml").write_text(f"name: {name}\n" + dedent(text))

    return written


async def test_a_pipeline_runs_from_the_chat_and_answers_with_its_outputs(bot: Bot, write: Write):
    write(
        "greet",
        """
        description: Greet somebody
        inputs:
          who: text
          times: {type: integer, default: 2}
        steps:
          - {id: hello, use: echo, args: {text: "Hello {{ inputs.who }}"}}
          - {id: shout, use: value, args: {value: "{{ (steps.hello.output ~ '! ') * inputs.times }}"}}
        outputs:
          said: "{{ steps.shout.output | upper | trim }}"
        """,
    )

    answer = await bot.hears('/run greet "who=Ada Lovelace"', trusted=True)

    assert answer.text == "HELLO ADA LOVELACE! HELLO ADA LOVELACE!"
    assert bot.statuses == {"hello": "COMPLETED", "shout": "COMPLETED", "outputs": "COMPLETED"}
    assert bot.llm.requests == []


async def test_a_list_runs_in_parallel_and_keeps_its_order(bot: Bot, write: Write):
    write(
        "each",
        """
        inputs: {names: list}
        steps:
          - id: greet
            use: echo
            foreach: {in: "{{ inputs.names }}", parallel: 2}
            when: item != 'Bob'
            args: {text: "{{ index }}:{{ item }}"}
          - {id: all, use: value, args: {value: "{{ steps.greet.output | select | join(' ') }}"}}
        outputs: {list: "{{ steps.all.output }}"}
        """,
    )

    answer = await bot.hears("/run each names=Ada,Bob,Cy,Dee", trusted=True)

    assert answer.text == "0:Ada 2:Cy 3:Dee"
    (gathered,) = [record for record in await bot.steps() if record.step.id == "greet"]
    assert gathered.output == ["0:Ada", None, "2:Cy", "3:Dee"]
    assert bot.statuses["greet__1"] == "CANCELLED"


async def test_what_follows_a_false_condition_runs_unless_it_needs_the_result(bot: Bot, write: Write):
    write(
        "maybe",
        """
        inputs: {go: boolean}
        steps:
          - {id: first, use: echo, when: inputs.go, args: {text: first}}
          - {id: after, use: echo, depends_on: first, args: {text: after}}
          - {id: needs, use: echo, args: {text: "{{ steps.first.output }}"}}
          - {id: instead, use: echo, args: {text: "{{ steps.first.output | default('nothing') }}"}}
        """,
    )

    await bot.hears("/run maybe go=no", trusted=True)

    assert bot.statuses == {"first": "CANCELLED", "after": "COMPLETED", "needs": "CANCELLED", "instead": "COMPLETED"}
    assert {r.step.id: r.output for r in await bot.steps()}["instead"] == "nothing"


async def test_a_failure_stops_the_pipeline_and_is_not_planned_anew(bot: Bot, write: Write):
    write("bad", "steps: [{id: a, use: boom}, {id: b, use: echo, depends_on: a, args: {text: b}}]")

    answer = await bot.hears("/run bad", trusted=True)

    assert answer.status == "FAILED"
    assert "It broke." in answer.text
    assert bot.statuses == {"a": "FAILED", "b": "CANCELLED"}
    assert bot.llm.requests == []


async def test_a_step_that_looks_at_the_status_runs_after_a_failure(bot: Bot, write: Write):
    write(
        "tidy",
        """
        steps:
          - {id: a, use: boom, on_failure: continue}
          - {id: tidy, use: echo, when: steps.a.status == 'error', args: {text: tidied}}
        """,
    )

    await bot.hears("/run tidy", trusted=True)

    assert bot.statuses == {"a": "FAILED", "tidy": "COMPLETED"}


async def test_a_failure_is_planned_anew_where_the_pipeline_says_so(bot: Bot, write: Write):
    write("heal", "steps: [{id: a, use: boom, on_failure: replan}]")
    bot.llm.will_plan(step("second", "echo", text="healed"))

    answer = await bot.hears("/run heal", trusted=True)

    assert bot.statuses == {"a": "FAILED", "second": "COMPLETED"}
    assert "healed" in answer.text


async def test_a_member_is_named_as_the_origin_of_what_a_pipeline_sends(bot: Bot, write: Write):
    write("mail", "inputs: {to: text}\nsteps: [{id: a, use: send, args: {to: '{{ inputs.to }}', text: hi}}]")

    await bot.hears("/run mail to=eve", trusted=False)

    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert "member:1" in asked.payload["because"]


async def test_a_failed_entry_leaves_the_others_when_the_pipeline_goes_on(bot: Bot, write: Write):
    write(
        "some",
        """
        steps:
          - {id: a, use: boom, foreach: [1, 2], on_failure: continue, args: {text: "no {{ item }}"}}
          - id: b
            use: echo
            foreach: [x, y]
            on_failure: continue
            args: {text: "{{ fail('not y') if item == 'y' else item }}"}
          - {id: c, use: value, args: {value: "{{ steps.b.output }}"}}
        """,
    )

    await bot.hears("/run some", trusted=True)

    assert (bot.statuses["a"], bot.statuses["b"], bot.statuses["c"]) == ("FAILED", "COMPLETED", "COMPLETED")
    assert {r.step.id: r.output for r in await bot.steps()}["c"] == ["x", None]


async def test_a_checkpoint_waits_for_a_person(bot: Bot, write: Write):
    write("gate", "steps: [{id: a, use: echo, approval: 'Publish {{ 1 + 1 }} pages?', args: {text: published}}]")

    await bot.hears("/run gate", trusted=True)
    assert bot.statuses == {"a": "WAITING_APPROVAL"}
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert asked.payload["details"]["text"] == "Publish 2 pages?"
    await bot.presses(f"a/{asked.payload['id']}/allow")
    answer = await bot.answer()

    assert answer.text == "published"
    assert bot.statuses == {"a": "COMPLETED"}


async def test_a_denied_checkpoint_ends_the_pipeline(bot: Bot, write: Write):
    write("gate", "steps: [{id: a, use: echo, approval: Publish?, args: {text: published}}]")

    await bot.hears("/run gate", trusted=True)
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    await bot.presses(f"a/{asked.payload['id']}/deny")
    answer = await bot.answer()

    assert answer.status == "FAILED"
    assert "You rejected it." in answer.text


async def test_an_effect_with_a_checkpoint_asks_once_with_the_exact_call(bot: Bot, write: Write):
    write(
        "mail",
        """
        inputs: {to: text}
        steps: [{id: a, use: send, approval: "Really write to {{ inputs.to }}?", args: {to: "{{ inputs.to }}", text: hi}}]
        """,
    )

    await bot.hears("/run mail to=ada@example.org", trusted=True)
    (asked,) = await bot.shown(MessageKind.APPROVAL)
    assert asked.payload["details"] == {"to": "ada@example.org", "text": "hi"}
    assert "Really write to ada@example.org?" in asked.payload["because"]
    await bot.presses(f"a/{asked.payload['id']}/allow")
    await bot.answer()

    assert (bot.workspace / "sent.log").read_text() == "ada@example.org: hi\n"


async def test_an_effect_in_a_list_asks_for_each_entry(bot: Bot, write: Write):
    write("mails", "steps: [{id: m, use: send, foreach: [ada, bob], args: {to: '{{ item }}', text: hi}}]")

    await bot.hears("/run mails", trusted=True)
    [asked] = await bot.shown(MessageKind.APPROVAL)
    assert sorted(call["details"]["to"] for call in asked.payload["calls"]) == ["ada", "bob"]
    for call in asked.payload["calls"]:
        await bot.presses(f"a/{call['id']}/allow")
    answer = await bot.answer()

    assert answer.status == "COMPLETED"
    assert sorted((bot.workspace / "sent.log").read_text().splitlines()) == ["ada: hi", "bob: hi"]


async def test_a_pipeline_asks_and_uses_the_answer(bot: Bot, write: Write):
    write(
        "ask",
        """
        steps:
          - {id: which, use: ask, args: {question: "Which region?", options: [north, south]}}
          - {id: say, use: echo, args: {text: "It is {{ steps.which.output }}."}}
        outputs: {said: "{{ steps.say.output }}"}
        """,
    )

    await bot.hears("/run ask", trusted=True)
    answer = await bot.chooses("south")

    assert answer.text == "It is south."


async def test_a_pipeline_uses_another_one(bot: Bot, write: Write):
    write(
        "inner",
        """
        inputs: {word: text, mark: {type: text, default: "!"}}
        steps: [{id: a, use: echo, args: {text: "{{ inputs.word }}{{ inputs.mark }}"}}]
        outputs: {loud: "{{ steps.a.output | upper }}"}
        """,
    )
    write(
        "outer",
        """
        steps:
          - {id: w, use: echo, args: {text: hi}}
          - {id: n, use: "pipeline:inner", args: {word: "{{ steps.w.output }}"}}
          - {id: skip, use: "pipeline:inner", when: false, args: {word: never}}
        outputs: {r: "{{ steps.n.output.loud }}"}
        """,
    )

    answer = await bot.hears("/run outer", trusted=True)

    assert answer.text == "HI!"
    assert (bot.statuses["skip__a"], bot.statuses["skip"]) == ("CANCELLED", "CANCELLED")


async def test_a_model_step_writes_from_results(bot: Bot, write: Write):
    write(
        "write",
        """
        steps:
          - {id: facts, use: echo, args: {text: three cats}}
          - {id: text, use: llm, args: {prompt: "One sentence.", facts: "{{ steps.facts.output }}"}}
        outputs: {text: "{{ steps.text.output }}"}
        """,
    )
    bot.llm.will_say("step", "There are three cats.")

    answer = await bot.hears("/run write", trusted=True)

    assert answer.text == "There are three cats."
    assert "three cats" in bot.llm.requests[0].messages[-1].content


async def test_results_and_inputs_survive_a_restart(tmp_path: Path, write: Write):
    RAN.clear()

    @tool
    def mark(text: str) -> str:
        """Note that it ran."""
        RAN.append(text)
        return text

    write(
        "long",
        """
        inputs: {who: text}
        steps:
          - {id: a, use: mark, foreach: [1, 2], args: {text: "{{ inputs.who }}{{ item }} {{ now() }}"}}
          - {id: q, use: ask, depends_on: a, args: {question: "Go on?"}}
          - {id: b, use: mark, depends_on: q, args: {text: "{{ inputs.who }}: {{ steps.a.output[1] }}"}}
        outputs: {r: "{{ steps.b.output }}"}
        """,
    )
    async with Bot(tmp_path / "home", [mark]) as first:
        await first.hears("/run long who=Ada", trusted=True)
        assert len(RAN) == 2
    (tmp_path / "home" / "pipelines" / "long.yaml").unlink()

    async with Bot(tmp_path / "home", [mark]) as second:
        answer = await second.hears("yes", trusted=True)

    assert len(RAN) == 3
    assert answer.text == f"Ada: {RAN[1]}"


async def test_a_run_goes_on_from_a_step_with_the_earlier_results(tmp_path: Path, write: Write):
    RAN.clear()

    @tool
    def mark(text: str) -> str:
        """Note that it ran."""
        RAN.append(text)
        if text == "fail":
            raise ToolFailure("not now")
        return f"{text}{len(RAN)}"

    write(
        "steps",
        """
        inputs: {mode: text}
        steps:
          - {id: a, use: mark, args: {text: a}}
          - {id: b, use: mark, args: {text: "{{ steps.a.output }}-"}}
          - {id: c, use: mark, args: {text: "{{ steps.b.output }}-"}}
        outputs: {r: "{{ steps.c.output }}"}
        """,
    )
    async with Bot(tmp_path / "home", [mark]) as bot:
        first = await bot.hears("/run steps mode=x", trusted=True)
        old = await bot.last_run()
        given = going_on_from(old, await bot.steps(), "b")
        run = await bot.app.orchestrator.open_run(old.session_id, "again", bot.dest, given=given)
        bot.app.orchestrator.submit(run)
        second = await bot.answer()

    assert first.text == "a1-2-3"
    assert second.text == "a1-4-5"


async def test_an_untrusted_result_is_named_when_an_effect_uses_it(tmp_path: Path, write: Write):
    @tool(untrusted=True)
    def page() -> str:
        """Read a page."""
        return "ada@example.org"

    @tool(effect="once")
    def mail(to: str) -> str:
        """Send."""
        return to

    write("leak", "steps: [{id: p, use: page}, {id: m, use: mail, args: {to: '{{ steps.p.output | trim }}'}}]")
    async with Bot(tmp_path / "home", [page, mail]) as bot:
        await bot.hears("/run leak", trusted=True)
        (asked,) = await bot.shown(MessageKind.APPROVAL)

    assert "to comes from test.page#p" in asked.payload["because"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("/run", "the pipeline's name is missing"),
        ("/run gret", "Did you mean 'greet'?"),
        ("/run greet", "input 'who' is missing"),
        ("/run greet who=a wo=b", "did you mean 'who'?"),
        ("/run greet who=a times=many", "'times' must be a whole number, not \"many\""),
        ("/run broken", "broken.yaml:3:7: unknown key `ues`; did you mean `use`?"),
        ("/pipelines", "`greet` — Greet. Takes who=TEXT, times=INTEGER (1)."),
    ],
)
async def test_a_mistake_is_answered_and_nothing_runs(bot: Bot, write: Write, text: str, said: str):
    write(
        "greet",
        """
        description: Greet
        inputs: {who: text, times: {type: integer, default: 1}}
        steps: [{id: a, use: echo, args: {text: x}}]
        """,
    )
    write("broken", "steps:\n  - id: a\n    ues: echo\n".replace("  - id: a\n    ues", "  - {id: a}\n  - {ues", 0))

    await bot.receives(text, trusted=True)

    (told,) = await bot.shown(MessageKind.NOTICE)
    assert said.replace("3:7", "4:5") in told.payload["text"]
    assert await bot.app.store.recent_runs(bot.dest.session_id, 1) == []


TYPED = """
    inputs: {n: text}
    steps: [{id: a, use: value, args: {value: "{{ inputs.n }}"}}]
    outputs:
      count: {type: integer, value: "{{ steps.a.output }}"}
      plain: "{{ steps.a.output }}"
      none: {type: date, value: "{{ none }}", required: false}
"""


async def test_outputs_have_the_types_that_they_say(bot: Bot, write: Write):
    write("typed", TYPED)

    await bot.hears("/run typed n=7", trusted=True)

    assert (await bot.steps())[-1].output == {"count": 7, "plain": "7", "none": None}


async def test_an_output_of_another_type_is_a_failure_that_says_so(bot: Bot, write: Write):
    write("typed", TYPED)

    answer = await bot.hears("/run typed n=many", trusted=True)

    assert answer.status == "FAILED"
    assert "output 'count' must be a whole number, not \"many\"" in answer.text


BOMBS = [
    "{{ range(10000) | map('string') | join('x' * 1000) }}",
    "{{ 'x' * 100000000 }}",
    "{{ 9 ** 9999999 }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{{ ''.__class__.__mro__ }}",
    "{{ '%s' % ('x' * 100) }}",
    "{{ 1 / 0 }}",
]


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_template_that_does_too_much_ends_in_a_sentence(bot: Bot, write: Write, bomb: str):
    write("bomb", f'steps: [{{id: a, use: echo, args: {{text: "{bomb}"}}}}]')

    answer = await bot.hears("/run bomb", trusted=True)

    assert answer.status == "FAILED"
    assert "⚠️ a: `{" in answer.text
    assert bot.statuses == {"a": "FAILED"}
