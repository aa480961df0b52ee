"""Checkpoints of pipelines: what a person sees, approves, rejects, and has revised until it is right."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from agent.domain.messages import MessageKind, OutboundMessage
from agent.errors import ModelUnavailable
from agent.policy import grants
from agent.testing import Bot
from plugins.api import tool

Write = Callable[[str], None]
FILM = """
    inputs: {about: text}
    steps:
      - {id: facts, use: echo, args: {text: "{{ inputs.about }}"}}
      - {id: scene, use: llm, args: {prompt: Write a scene., about: "{{ steps.facts.output }}"}}
      - {id: shots, use: echo, args: {text: "Shots of {{ steps.scene.output }}"}}
      - id: film
        use: echo
        approval: {text: "Shall I film it?", name: SCENE_WRITTEN, show: [scene, shots], revise: scene}
        args: {text: "{{ steps.shots.output }} by {{ steps.scene.output }}"}
    outputs: {film: "{{ steps.film.output }}", scene: "{{ steps.scene.output }}"}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "home" / "pipelines").mkdir(parents=True)

    def written(text: str, name: str = "p") -> None:
        (tmp_path / "home" / "pipelines" / f"{name}.yaml").write_text(f"name: {name}\n{dedent(text)}")

    return written


async def asked(bot: Bot) -> OutboundMessage:
    """Return the newest approval that is open."""
    await bot.answer()
    return [m for m in await bot.shown(MessageKind.APPROVAL) if "decided" not in m.payload][-1]


async def press(bot: Bot, choice: str, **fields) -> str:
    said = await bot.presses(f"a/{(await asked(bot)).payload['id']}/{choice}", **fields)
    await bot.idle()
    return said


async def outputs(bot: Bot) -> dict[str, object]:
    return {record.step.id: record.output for record in await bot.steps()}


async def test_a_checkpoint_shows_what_is_to_be_approved(bot: Bot, write: Write):
    write(FILM)
    bot.llm.will_say("step", "A door opens.")

    await bot.hears("/run p about=doors", trusted=True)
    shown = (await asked(bot)).payload

    assert shown["title"] == "SCENE_WRITTEN"
    assert shown["choices"] == ["allow", "revise", "deny"]
    assert shown["details"] == {
        "before": "film",
        "text": "Shall I film it?",
        "scene": "A door opens.",
        "shots": "Shots of A door opens.",
    }
    assert shown["because"] == "your message"
    await press(bot, "allow")
    assert (await bot.answer()).text == "film: Shots of A door opens. by A door opens.\nscene: A door opens."


async def test_a_revision_carries_out_anew_what_the_comment_is_for_and_all_in_between(bot: Bot, write: Write):
    write(FILM)
    for text in ("A door opens.", "A red door opens."):
        bot.llm.will_say("step", text)

    await bot.hears("/run p about=doors", trusted=True)
    first = (await asked(bot)).payload["id"]
    assert await press(bot, "revise") == "What should be different?"
    assert (await bot.question()).kind == "revision"
    await bot.hears("The door should be red", trusted=True)

    assert bot.statuses == {
        "facts": "COMPLETED",
        "scene": "COMPLETED",
        "shots": "COMPLETED",
        "film": "WAITING_APPROVAL",
        "outputs": "PENDING",
        "scene-r2": "COMPLETED",
        "shots-r2": "COMPLETED",
    }
    prompt = bot.llm.requests[1].messages[-1].content
    assert "The door should be red" in prompt
    assert "<data>\nA door opens.\n</data>" in prompt
    again = (await asked(bot)).payload
    assert again["details"]["shots"] == "Shots of A red door opens."
    decided = await bot.app.store.get_approval(first)
    assert (decided.decision, decided.comment, decided.decided_by) == ("revise", "The door should be red", "1")
    await press(bot, "allow")
    answer = await bot.answer()
    assert answer.text == "film: Shots of A red door opens. by A red door opens.\nscene: A red door opens."
    assert (await outputs(bot))["scene"] == "A door opens."


async def test_a_rejection_ends_the_run_and_says_who_rejected(bot: Bot, write: Write):
    write(FILM)
    bot.llm.will_say("step", "A door opens.")

    await bot.hears("/run p about=doors", trusted=True)
    assert await press(bot, "deny") == "Rejected"
    answer = await bot.answer()

    assert answer.status == "FAILED"
    assert "You rejected it." in answer.text
    assert (bot.statuses["film"], bot.statuses["outputs"]) == ("FAILED", "CANCELLED")


async def test_another_owner_who_rejects_is_named_and_the_run_goes_on_where_it_says_so(bot: Bot, write: Write):
    write(
        """
        steps:
          - {id: a, use: echo, approval: Go?, on_failure: continue, args: {text: a}}
          - {id: b, use: echo, when: "steps.a.status == 'blocked'", args: {text: without a}}
        """,
    )

    await bot.hears("/run p", trusted=True)
    run = await bot.last_run()
    await bot.app.orchestrator.decide_approval((await asked(bot)).payload["id"], "deny", "4712")
    answer = await bot.answer()

    assert run.user_id == "1"
    assert bot.statuses == {"a": "FAILED", "b": "COMPLETED"}
    assert "4712 rejected it." in answer.text


async def test_templates_see_the_revision(bot: Bot, write: Write):
    write(
        """
        steps:
          - id: a
            use: value
            args: {value: "{{ revision.number }}:{{ revision.comment }}:{{ revision.previous | default('-', true) }}"}
          - {id: b, use: echo, approval: Good?, args: {text: "{{ steps.a.output }}"}}
        outputs: {r: "{{ steps.b.output }}"}
        """,
    )

    await bot.hears("/run p", trusted=True)
    for comment in ("one", "two"):
        await press(bot, "revise")
        await bot.hears(comment, trusted=True)
    await press(bot, "allow")

    assert (await bot.answer()).text == "3:two:2:one:1::-"


async def test_only_what_takes_a_comment_can_be_revised(bot: Bot, write: Write):
    write(
        "steps: [{id: a, use: echo, args: {text: x}}, {id: b, use: echo, depends_on: a, approval: Go?, args: {text: y}}]"
    )

    await bot.hears("/run p", trusted=True)
    shown = await asked(bot)

    assert shown.payload["choices"] == ["allow", "deny"]
    assert await bot.presses(f"a/{shown.payload['id']}/revise") == "This choice is no longer known."


async def test_revisions_are_bounded(tmp_path: Path, write: Write):
    write(FILM)
    async with Bot(tmp_path / "home", [echo_()], limits={"replans": 1}) as bot:
        for text in ("one", "two"):
            bot.llm.will_say("step", text)
        await bot.hears("/run p about=x", trusted=True)
        await press(bot, "revise")
        await bot.hears("better", trusted=True)

        assert (await asked(bot)).payload["choices"] == ["allow", "deny"]


def echo_():
    @tool
    def echo(text: str) -> str:
        """Return the text."""
        return text

    return echo


async def test_one_can_go_back_from_a_revision(bot: Bot, write: Write):
    write(FILM)
    bot.llm.will_say("step", "A door opens.")
    await bot.hears("/run p about=doors", trusted=True)
    await press(bot, "revise")
    question = await bot.question()

    assert await bot.presses(f"q/{question.id}/back") == "✓ (back)"
    assert await bot.question() is None
    await press(bot, "allow")

    assert (await bot.answer()).status == "COMPLETED"


async def test_what_is_decided_otherwise_closes_the_question_what_should_be_different(bot: Bot, write: Write):
    write(FILM)
    bot.llm.will_say("step", "A door opens.")
    await bot.hears("/run p about=doors", trusted=True)
    await press(bot, "revise")
    assert await press(bot, "revise") == "What should be different?"  # the same question
    await press(bot, "allow")

    assert await bot.question() is None
    (told,) = await bot.shown(MessageKind.QUESTION)
    assert told.payload["answered"] == "(no longer needed)"


async def test_only_an_owner_decides_and_says_what_should_be_different(bot: Bot, write: Write):
    write(FILM)
    bot.llm.will_say("step", "A door opens.")
    await bot.hears("/run p about=doors", trusted=True)

    assert await press(bot, "revise", trusted=False) == "Only an owner may decide this."
    await press(bot, "revise")
    question = await bot.question()
    assert await bot.presses(f"q/{question.id}/back", trusted=False) == "Only an owner may decide this."
    bot.llm.will_plan()
    await bot.hears("make it about me", trusted=False)

    assert (await bot.app.store.get_question(question.id)).answer is None


async def test_a_reply_to_the_checkpoint_is_the_comment(bot: Bot, write: Write):
    write(FILM)
    for text in ("A door opens.", "A red door opens."):
        bot.llm.will_say("step", text)
    await bot.hears("/run p about=doors", trusted=True)
    shown = await asked(bot)
    await bot.app.store.mark_sent(shown.id, shown.version, "[77, 78]")

    await bot.hears("Red, please", trusted=True, reply_to="77")

    assert bot.statuses["scene-r2"] == "COMPLETED"
    assert "Red, please" in bot.llm.requests[1].messages[-1].content
    shown = await asked(bot)
    await bot.app.store.mark_sent(shown.id, shown.version, "79")
    await bot.hears("Approve", trusted=True, reply_to="79")
    assert (await bot.answer()).status == "COMPLETED"


async def test_a_comment_that_comes_too_late_is_told_and_changes_nothing(bot: Bot, write: Write, monkeypatch):
    write(FILM.replace("revise: scene", "revise: scene, timeout: 600"))
    bot.llm.will_say("step", "A door opens.")
    await bot.hears("/run p about=doors", trusted=True)
    await press(bot, "revise")
    assert await bot.question() is not None

    later = time.time() + 601
    monkeypatch.setattr(time, "time", lambda: later)
    bot.app.orchestrator.submit(await bot.last_run())  # what the clock does when the time has come
    answer = await bot.answer()

    assert answer.status == "FAILED"
    assert "Nobody approved it in time." in answer.text
    assert await bot.question() is None


async def test_an_effect_with_a_checkpoint_may_be_revised_too_and_asks_with_the_new_call(bot: Bot, write: Write):
    write(
        """
        steps:
          - {id: text, use: llm, args: {prompt: Write.}}
          - {id: mail, use: send, approval: Really send?, args: {to: ada, text: "{{ steps.text.output }}"}}
        """,
    )
    for text in ("Hi", "Dear Ada"):
        bot.llm.will_say("step", text)

    await bot.hears("/run p", trusted=True)
    assert (await asked(bot)).payload["details"] == {"to": "ada", "text": "Hi"}
    await press(bot, "revise")
    await bot.hears("more polite", trusted=True)
    assert (await asked(bot)).payload["details"] == {"to": "ada", "text": "Dear Ada"}
    await press(bot, "allow")
    await bot.answer()

    assert (bot.workspace / "sent.log").read_text() == "ada: Dear Ada\n"


async def test_lists_nested_pipelines_and_checkpoints_in_between_are_revised_with_the_rest(bot: Bot, write: Write):
    write(
        "inputs: {t: text}\nsteps: [{id: a, use: echo, args: {text: '<{{ inputs.t }}>'}}]\noutputs: {o: '{{ steps.a.output }}'}",
        "inner",
    )
    write(
        """
        steps:
          - {id: words, use: llm, args: {prompt: Two words., schema: {type: array, items: {type: string}}}}
          - {id: each, use: echo, foreach: "{{ steps.words.output }}", args: {text: "{{ item }}!"}}
          - {id: n, use: "pipeline:inner", args: {t: "{{ steps.each.output | join(' ') }}"}}
          - {id: between, use: echo, approval: {text: First?, revise: []}, args: {text: "{{ steps.n.output.o }}"}}
          - {id: last, use: echo, approval: {text: Good?, revise: words}, args: {text: "{{ steps.between.output }}"}}
        outputs: {r: "{{ steps.last.output }}"}
        """,
    )
    for words in ('{"result": ["a", "b"]}', '{"result": ["c"]}'):
        bot.llm.will_say("step", words)

    await bot.hears("/run p", trusted=True)
    await press(bot, "allow")
    assert (await asked(bot)).payload["details"]["between"] == "<a! b!>"
    await press(bot, "revise")
    await bot.hears("only c", trusted=True)
    assert (await asked(bot)).payload["details"]["text"] == "First?"
    await press(bot, "allow")
    assert (await asked(bot)).payload["details"]["between"] == "<c!>"
    await press(bot, "allow")
    answer = await bot.answer()

    assert answer.text == "<c!>"
    found = await outputs(bot)
    assert (found["each"], found["each-r2"]) == (["a!", "b!"], ["c!"])
    assert {"n-r2__inputs", "n-r2__a", "n-r2", "between-r2", "each-r2__0"} <= found.keys()


async def test_a_revision_that_fails_blocks_what_waited_for_it(bot: Bot, write: Write):
    write(FILM.replace("id: scene, use: llm,", "id: scene, use: llm, on_failure: continue,"))
    bot.llm.will_say("step", "A door opens.")
    bot.llm.will_fail("step", ModelUnavailable("The server is gone."))
    await bot.hears("/run p about=doors", trusted=True)
    await press(bot, "revise")
    answer = await bot.hears("red", trusted=True)

    assert answer.status == "FAILED"
    assert bot.statuses["scene-r2"] == "FAILED"
    assert "step 'scene-r2', which it needs, did not succeed" in answer.text


async def test_long_results_are_shown_up_to_a_bound_and_come_as_a_file_with_the_pictures(bot: Bot, write: Write):
    write(
        """
        steps:
          - {id: long, use: echo, args: {text: "{{ 'word ' * 2000 }}"}}
          - {id: picture, use: note, args: {name: p.png}}
          - {id: done, use: echo, approval: {text: Ok?, show: [long, picture, "*.txt"]}, args: {text: x}}
        """,
    )
    bot.workspace.mkdir(parents=True, exist_ok=True)
    (bot.workspace / "more.txt").write_text("more")

    await bot.hears("/run p", trusted=True)
    shown = (await asked(bot)).payload["details"]
    (files,) = await bot.shown(MessageKind.FILES)

    assert len(shown["long"]) < 5000
    assert "in long.txt" in shown["long"]
    assert shown["files"] == "p.png, more.txt"
    paths = [Path(path) for path in files.payload["paths"]]
    assert [path.name for path in paths] == ["p.png", "more.txt", "long.txt"]
    assert paths[2].read_text() == "word " * 2000


async def test_what_is_shown_names_its_origin(tmp_path: Path, write: Write):
    @tool(untrusted=True)
    def page() -> str:
        """Read a page."""
        return "a stranger's words"

    write("steps: [{id: p, use: page}, {id: v, use: value, approval: Use it?, args: {value: '{{ steps.p.output }}'}}]")
    async with Bot(tmp_path / "home", [page]) as bot:
        await bot.hears("/run p", trusted=True)
        assert "p comes from test.page#p" in (await asked(bot)).payload["because"]


async def test_a_run_goes_on_from_a_step_with_the_revised_result(bot: Bot, write: Write):
    from agent.pipelines import going_on_from

    write(FILM)
    for text in ("A door opens.", "A red door opens."):
        bot.llm.will_say("step", text)
    await bot.hears("/run p about=doors", trusted=True)
    await press(bot, "revise")
    await bot.hears("red", trusted=True)
    await press(bot, "allow")
    await bot.answer()
    old = await bot.last_run()

    given = going_on_from(old, await bot.steps(), "film")
    bot.app.orchestrator.submit(await bot.app.orchestrator.open_run(old.session_id, "again", bot.dest, given=given))

    assert (await asked(bot)).payload["details"]["scene"] == "A red door opens."


async def test_a_checkpoint_asks_also_where_the_call_was_agreed_to_beforehand(tmp_path: Path, write: Write):
    @tool(effect="idempotent", standing=True)
    def move(queue: str) -> str:
        """Move it."""
        return queue

    write(
        """
        steps:
          - {id: a, use: move, args: {queue: A}, consent: {}}
          - {id: b, use: move, depends_on: a, approval: Really?, args: {queue: B}, consent: {}}
        """,
    )
    async with Bot(tmp_path / "home", [move]) as bot:
        reception = bot.app.reception
        ready = await reception._pipelines.ready("p")
        await grants.agree(bot.app.store, ready.given({}), "1", time.time())
        await bot.hears("/run p", trusted=True)

        assert bot.statuses == {"a": "COMPLETED", "b": "WAITING_APPROVAL"}
        assert "Really?" in (await asked(bot)).payload["because"]
