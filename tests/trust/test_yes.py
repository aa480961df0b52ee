"""What a yes is: the owner's, in the chat that was asked, in time, to one call with exactly its arguments."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from agent.policy import consent, grants
from agent.testing import step
from tests.trust.attacks import MAIL, SINKS, Sink
from tests.trust.modes import write
from tests.trust.puppet import Script
from tests.trust.stage import OWNER, Case, Stage, breaches, numbered, played, prepared, stage_in
from tests.trust.world import Act

MAILING = SINKS[0]
ADA = MAILING.wanted


# --- buttons ------------------------------------------------------------------------------------------------------------
async def test_no_press_but_the_owner_s_own_in_the_chat_of_the_question_allows(tmp_path: Path):
    cases = numbered([_from_mail()])
    world, puppet = prepared(cases)
    async with stage_in(tmp_path / "home", world, puppet) as bot:
        stage = Stage(bot, world, puppet)
        await stage.begin(cases[0])
        await bot.app.engine.idle()
        (run,) = await bot.app.store.unfinished_runs("test:c0001")
        (approval,) = await bot.app.store.approvals_of(run.id)
        elsewhere = replace(cases[0], id="c0666")
        allow = f"a/{approval.id}/allow"
        for case, action, fields in (
            (cases[0], allow, {"trusted": False}),
            (elsewhere, allow, {}),
            (cases[0], f"a/{approval.id}x/allow", {}),
            (cases[0], f"a/{approval.id}/revise", {}),
            (cases[0], f"a/{approval.id}/Allow", {}),
            (cases[0], f"q/{approval.id}/0", {}),
            (cases[0], f"a/{approval.id}", {}),
        ):
            assert await stage.press(case, action, **fields)
            await bot.app.engine.idle()
        kept = await bot.app.store.get_approval(approval.id)
        assert kept is not None
        assert (kept.decision, world.acts) == (None, {})
        await stage.press(cases[0], f"a/{approval.id}/deny")
        await bot.app.engine.idle()
        await stage.press(cases[0], allow)
        await bot.app.engine.idle()
    assert world.acts == {}


async def test_one_yes_is_one_execution_however_often_it_is_pressed(tmp_path: Path):
    task = step("s1", task="Read, then mail", tools=("inbox", "send_mail"))
    calls = (("inbox", {}), ("send_mail", dict(MAIL)), ("send_mail", dict(MAIL)))
    case = Case("twice", benign=Script(((task,),), calls=calls), evil=Script(calls=calls), wanted=(ADA,))
    cases = numbered([case])
    world, puppet = prepared(cases)
    async with stage_in(tmp_path / "home", world, puppet) as bot:
        stage = Stage(bot, world, puppet)
        await stage.begin(cases[0])
        await bot.app.engine.idle()
        (run,) = await bot.app.store.unfinished_runs("test:c0001")
        (first,) = await bot.app.store.approvals_of(run.id)
        await asyncio.gather(*(stage.press(cases[0], f"a/{first.id}/allow") for _ in range(5)))
        await bot.app.engine.idle()
        again = await bot.app.store.approvals_of(run.id)
        assert [one.decision for one in again] == ["allow", None]
    assert world.acts["c0001"] == Counter([ADA])


async def test_an_expired_yes_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("agent.sharing.EXPIRY_GRACE", 60.0)
    cases, stage = numbered([_from_mail()]), None
    world, puppet = prepared(cases)
    async with stage_in(tmp_path / "home", world, puppet, limits={"approval_seconds": 0.001}) as bot:
        stage = Stage(bot, world, puppet)
        await stage.begin(cases[0])
        await bot.app.engine.idle()
        (run,) = await bot.app.store.unfinished_runs("test:c0001")
        (approval,) = await bot.app.store.approvals_of(run.id)
        await stage.press(cases[0], f"a/{approval.id}/allow")
        await bot.app.engine.idle()
    assert world.acts == {}


def _from_mail() -> Case:
    """Return a case in which an address comes out of the mail."""
    found = step("s2", llm="Whom?", about="{{ s1.text }}")
    return Case("asked", benign=Script(((step("s1", "inbox"), found, MAILING.step("s3", "{{ s2.output }}")),)))


@pytest.mark.parametrize("sink", SINKS, ids=lambda sink: sink.name)
def test_a_yes_names_the_tool_and_every_argument(sink: Sink):
    said = consent.digest(sink.tool, sink.args)
    assert consent.digest(f"{sink.tool}s", sink.args) != said
    for name, value in sink.args.items():
        for other in (f"{value} ", f"{value}\u200b", str(value).upper() + "!", [value], None):
            assert consent.digest(sink.tool, {**sink.args, name: other}) != said
        assert consent.digest(sink.tool, {left: sink.args[left] for left in sink.args if left != name}) != said


AGREED = {
    "id": "m",
    "use": "send_mail",
    "args": {**MAIL, "text": "{{ steps.t.output[0].mail }}"},
    "consent": {"to": [MAIL["to"]], "subject": [""], "text": ["all is well", "come home"]},
}


async def _agreed(tmp_path: Path, words: str, at: float, *wanted: Act) -> tuple[list[Case], Stage]:
    """Carry out a pipeline whose mail the owner has agreed to at a time, with one of two texts."""

    async def begin(stage: Stage, case: Case) -> None:
        write(stage, case.id, [{"id": "t", "use": "tickets"}, AGREED])
        ready = await stage.bot.app.pipelines.ready(case.id)
        await grants.agree(stage.bot.app.store, ready.given({}), OWNER, at)
        await stage.says(case, f"/run {case.id}")

    return await played(tmp_path, Case("agreed", begin=begin, wanted=wanted, words=words))


async def test_what_was_agreed_to_beforehand_is_done_and_nothing_else(tmp_path: Path):
    well = Act.of("send_mail", **{**MAIL, "text": "all is well"})
    cases, stage = await _agreed(tmp_path / "1", "all is well", time.time(), well)
    assert (stage.world.acts["c0001"], stage.asked) == (Counter([well]), {})
    cases, stage = await _agreed(tmp_path / "2", "all is lost", time.time())
    assert breaches(cases, stage) == []


async def test_what_was_agreed_to_long_ago_is_asked_about(tmp_path: Path):
    cases, stage = await _agreed(tmp_path, "all is well", time.time() - 100 * 86_400)
    assert breaches(cases, stage) == []
