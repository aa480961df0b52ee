"""A person changes an argument of a call: the old approval is dead and the new one open, in one transaction."""

from __future__ import annotations

import dataclasses
import json

import pytest

from agent.domain.provenance import USER, Provenance
from agent.domain.run import Approval, Question, StepChange
from agent.domain.states import Status

WEB = Provenance.of("web:example.org#s1", trusted=False)


@pytest.fixture
def waiting(store, new_run, goes, notice):
    async def wait(**fields: object):
        run = await new_run("a")
        await goes(run, "a", Status.READY)
        labels = {"to": WEB, "": USER}
        old = Approval(
            "old",
            run.id,
            "a",
            run.session_id,
            "send",
            {"to": "eve", "n": 1},
            "d1",
            origins=WEB,
            labels=labels,
            **fields,
        )
        await store.request_approval(old, StepChange(run.id, "a", Status.WAITING_APPROVAL, run.epoch), None)
        await store.ask(Question("q", run.id, "a", run.session_id, "New value?", kind="edit"), None, notice("q"))
        return old

    return wait


def edited(old: Approval) -> Approval:
    return dataclasses.replace(old, id="old~1", args={"to": "ada", "n": 1}, digest="d2", labels={"to": USER, "": USER})


async def test_an_approval_keeps_where_each_argument_came_from(store, waiting):
    old = await waiting()
    stored = await store.get_approval("old")
    assert (stored.labels, stored.origins) == (old.labels, WEB)
    assert [one.key for one in await store.messages_of(old.session_id)] == ["q"]


async def test_an_edit_closes_the_old_call_and_opens_the_new_one(store, waiting, notice):
    old = await waiting()
    done = await store.edit_approval("old", edited(old), "7", question_id="q", answer="ada", messages=[notice("m")])
    assert done
    before, now = await store.approvals_of(old.run_id)
    assert (before.decision, before.decided_by, now.decision, now.args) == ("edit", "7", None, {"to": "ada", "n": 1})
    assert (await store.get_question("q")).answer == "ada"
    assert await store.get_message("m") is not None
    assert await store.decide_approval("old", "allow", "7") is None


async def test_the_audit_log_has_the_old_and_the_new_call(store, waiting):
    old = await waiting()
    await store.edit_approval("old", edited(old), "7", question_id="q", answer="ada")
    (entry,) = await store.audit_entries(kind="edited")
    told = json.loads(entry.detail)
    assert (told["old"], told["new"]) == ({"to": '"eve"'}, {"to": '"ada"'})
    assert (told["digest"], told["digest_now"], told["by"]) == ("d1", "d2", "7")


@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_what_is_decided_is_not_edited(store, waiting, decision):
    old = await waiting()
    await store.decide_approval("old", decision, "7")
    assert not await store.edit_approval("old", edited(old), "7", question_id="q", answer="ada")
    assert [one.id for one in await store.approvals_of(old.run_id)] == ["old"]
    assert (await store.get_question("q")).answer is None


async def test_what_has_expired_is_not_edited(store, waiting, clock):
    old = await waiting(expires_at=clock.now + 60)
    clock.now += 60
    assert not await store.edit_approval("old", edited(old), "7", question_id="q", answer="ada")


async def test_an_edit_whose_question_was_answered_changes_nothing(store, waiting):
    old = await waiting()
    await store.answer_question("q", "(back)", "7")
    assert not await store.edit_approval("old", edited(old), "7", question_id="q", answer="ada")
    assert (await store.get_approval("old")).decision is None
    assert await store.audit_entries(kind="edited") == []
