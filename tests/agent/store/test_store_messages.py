"""Contract: the outbox, questions, approvals, files, the ledger."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from agent.domain.artifacts import Artifact
from agent.domain.ledger import Usage
from agent.domain.messages import Destination, MessageKind, OutboundMessage
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Approval, Question, StepChange
from agent.domain.states import Status
from agent.errors import DirigentError, IllegalTransition, NotFound, StaleLease
from agent.store.rows import short_id

DEST = Destination("telegram", "4711", thread_id="5", reply_to="99")
WEB = Provenance.of("web:x", trusted=False)


async def due(store) -> list[OutboundMessage]:
    return await store.due_messages("telegram")


# --- outbox -------------------------------------------------------------------------------------------------------
async def test_a_posted_message_is_due(store):
    message = OutboundMessage(DEST, MessageKind.ANSWER, "run:1:answer", {"text": "42", "buttons": [[{"a": 1}]]})
    await store.post(message)

    [stored] = await due(store)
    assert stored == dataclasses.replace(message, id=stored.id, session_id=DEST.session_id)
    assert (stored.version, stored.sent_version, stored.state) == (1, 0, "pending")
    assert await store.due_messages("terminal") == []
    assert await store.get_message("run:1:answer") == stored
    assert await store.get_message("nobody") is None


async def test_an_equal_payload_changes_nothing(store, notice):
    await store.post(notice())
    store.outbox_changed.clear()
    await store.post(notice())

    assert [m.version for m in await due(store)] == [1]
    assert not store.outbox_changed.is_set()


async def test_a_changed_payload_is_a_new_version(store, notice):
    await store.post(notice(text="1"))
    store.outbox_changed.clear()
    await store.post(notice(text="2"))

    [message] = await due(store)
    assert (message.version, message.payload) == (2, {"text": "2"})
    assert store.outbox_changed.is_set()


async def test_a_sent_message_is_due_again_only_when_it_changes(store, notice):
    await store.post(notice(text="1"))
    [message] = await due(store)
    await store.mark_sending([message.id])
    await store.mark_sent(message.id, 1, "m77")
    assert await due(store) == []

    await store.post(notice(text="2"))
    [changed] = await due(store)
    assert (changed.version, changed.sent_version, changed.message_id) == (2, 1, "m77")
    await store.mark_sent(changed.id, 2, "m77")
    assert await due(store) == []
    assert (await store.get_message("k")).state == "sent"


async def test_a_message_that_changed_while_it_was_sent_is_due_as_an_edit(store, notice):
    await store.post(notice(text="1"))
    [message] = await due(store)
    await store.mark_sending([message.id])
    await store.post(notice(text="2"))
    assert [m.state for m in await due(store)] == ["sending"]
    await store.mark_sent(message.id, 1, "m77")

    [edit] = await due(store)
    assert (edit.state, edit.version, edit.sent_version, edit.message_id) == ("pending", 2, 1, "m77")


async def test_a_send_that_was_cut_off_is_returned_as_such(store, notice):
    await store.post(notice())
    [message] = await due(store)
    await store.mark_sending([message.id])

    [again] = await due(store)
    assert (again.state, again.attempts) == ("sending", 1)


async def test_a_delayed_message_is_due_when_its_time_has_come(store, notice, clock):
    await store.post(notice())
    [message] = await due(store)
    await store.mark_sending([message.id])
    await store.mark_failed(message.id, "slow down", retry_at=clock.now + 30)
    assert await due(store) == []
    clock.now += 30
    [again] = await due(store)
    assert (again.state, again.error, again.attempts) == ("pending", "slow down", 1)


async def test_what_comes_later_in_a_chat_does_not_overtake_what_is_soon_tried_again(store, notice, clock):
    for key in ("a", "b"):
        await store.post(notice(key))
    elsewhere = dataclasses.replace(notice("c"), dest=Destination("telegram", "22"), session_id="telegram:22")
    await store.post(elsewhere)
    first, second, _ = await due(store)
    await store.mark_failed(first.id, "busy", retry_at=clock.now + 30)
    assert [message.key for message in await due(store)] == ["c"]
    assert await store.delayed_messages("telegram") == {first.id: clock.now + 30}

    await store.mark_sent(second.id, 1, "77")
    await store.post(notice("b", text="changed"))
    assert [message.key for message in await due(store)] == ["b", "c"]  # what is seen already may change
    clock.now += 30
    assert [message.key for message in await due(store)] == ["a", "b", "c"]
    await store.mark_failed(first.id, "unknown", retry_at=clock.now + 300)
    await store.post(notice("d"))
    assert [message.key for message in await due(store)] == ["b", "c", "d"]  # nobody waits for that long


async def test_what_was_sent_lately_is_known_to_the_next_process(store, notice, clock):
    await store.post(notice("a"))
    await store.post(notice("b"))
    first, second = await due(store)
    await store.mark_sent(first.id, 1, "1")
    clock.now += 5
    await store.mark_sent(second.id, 1, "2")
    found = await store.sent_lately("telegram", 60)
    assert [(message.key, at) for message, at in found] == [("a", clock.now - 5), ("b", clock.now)]
    assert [message.key for message, _ in await store.sent_lately("telegram", 4)] == ["b"]


async def test_a_message_that_was_given_up_comes_back_only_with_another_payload(store, notice):
    await store.post(notice(text="1"))
    [message] = await due(store)
    await store.mark_failed(message.id, "refused", retry_at=None)
    await store.post(notice(text="1"))
    assert await due(store) == []
    assert (await store.get_message("k")).state == "failed"

    await store.post(notice(text="2"))
    [again] = await due(store)
    assert (again.state, again.error, again.version) == ("pending", "", 2)


async def test_messages_are_due_oldest_first_and_bounded(store, notice):
    for i in range(5):
        await store.post(notice(f"k{i}"))
    assert [m.key for m in await store.due_messages("telegram", limit=3)] == ["k0", "k1", "k2"]
    assert [m.key for m in await store.messages_of("telegram:4711", limit=2)] == ["k4", "k3"]


async def test_an_unknown_message_is_not_found(store):
    with pytest.raises(NotFound):
        await store.mark_sent(9, 1, "m")
    with pytest.raises(NotFound):
        await store.mark_failed(9, "e", retry_at=None)
    await store.mark_sending([])


# --- questions ----------------------------------------------------------------------------------------------------
@pytest.fixture
def ask(store, notice):
    async def ask(run, step_id: str = "a", **fields: object) -> Question:
        question = Question(short_id(), run.id, step_id, run.session_id, "Which?", ("x", "y"), **fields)
        change = StepChange(run.id, step_id, Status.WAITING_APPROVAL, run.epoch)
        await store.ask(question, change, notice(f"q:{question.id}"))
        return question

    return ask


async def test_a_question_waits_with_its_step_and_its_message(store, new_run, goes, ask, clock):
    run = await new_run("a")
    await goes(run, "a", Status.READY, Status.RUNNING)
    asked = await ask(run, user_id="7")

    [question] = await store.open_questions(run.session_id)
    assert question == dataclasses.replace(asked, asked_at=clock.now)
    assert await store.get_question(asked.id) == question
    assert await store.questions_of(run.id) == [question]
    assert [r.status for r in await store.get_steps(run.id)] == [Status.WAITING_APPROVAL]
    assert [m.key for m in await due(store)] == [f"q:{asked.id}"]


async def test_nothing_of_a_refused_question_is_kept(store, new_run, ask):
    run = await new_run("a")
    with pytest.raises(IllegalTransition):
        await ask(run)  # the step is still PENDING

    assert await store.questions_of(run.id) == []
    assert await due(store) == []


async def test_a_question_may_belong_to_no_step(store, new_run, notice):
    run = await new_run()
    question = Question("id", run.id, "", run.session_id, "How many?", kind="argument")
    await store.ask(question, None, notice())
    assert [q.kind for q in await store.open_questions(run.session_id)] == ["argument"]
    with pytest.raises(DirigentError, match="refused a record"):
        await store.ask(question, None, notice("other"))
    assert await store.get_message("other") is None


async def test_a_question_needs_its_id(store, new_run, notice):
    run = await new_run()
    with pytest.raises(ValueError, match="short_id"):
        await store.ask(Question("", run.id, "", run.session_id, "?"), None, notice())


async def test_the_first_answer_wins(store, new_run, goes, ask, clock):
    run = await new_run("a")
    await goes(run, "a", Status.READY)
    asked = await ask(run)
    answers = await asyncio.gather(*(store.answer_question(asked.id, text, by) for text, by in ["x7", "y8"]))

    assert [a.answer if a else None for a in answers] == ["x", None]
    stored = await store.get_question(asked.id)
    assert (stored.answer, stored.answered_by, stored.answered_at) == ("x", "7", clock.now)
    assert await store.open_questions(run.session_id) == []
    assert await store.answer_question("nobody", "x", "7") is None


async def test_questions_of_finished_runs_are_not_open(store, new_run, goes, ask):
    run = await new_run("a")
    await goes(run, "a", Status.READY)
    await ask(run)
    await store.finish_run(run.id, run.epoch, status=Status.CANCELLED)
    assert await store.open_questions(run.session_id) == []


async def test_a_finished_run_takes_no_answer_and_no_decision(store, new_run, goes, ask, request_approval):
    run = await new_run("a", "b")
    await goes(run, "a", Status.READY)
    asked, wanted = await ask(run), await request_approval(run, "b")
    await store.finish_run(run.id, run.epoch, status=Status.CANCELLED)
    assert await store.answer_question(asked.id, "x", "7") is None
    assert await store.decide_approval(wanted.id, "allow", "7") is None
    assert (await store.get_approval(wanted.id)).decision is None


async def test_a_zombie_cannot_ask(store, new_run, goes, ask):
    run = await new_run("a")
    await goes(run, "a", Status.READY)
    await store.lease_run(run.id, "me", 60)
    with pytest.raises(StaleLease):
        await ask(run)
    assert await store.questions_of(run.id) == []


# --- approvals ----------------------------------------------------------------------------------------------------
@pytest.fixture
def request_approval(store, goes, notice):
    async def request(run, step_id: str = "a", **fields: object) -> Approval:
        await goes(run, step_id, Status.READY)
        approval = Approval(short_id(), run.id, step_id, run.session_id, "send", {"to": "bob"}, "d1g", "web", **fields)
        change = StepChange(run.id, step_id, Status.WAITING_APPROVAL, run.epoch)
        await store.request_approval(approval, change, notice(f"a:{approval.id}"))
        return approval

    return request


async def test_an_approval_keeps_the_exact_arguments(store, new_run, request_approval, clock):
    run = await new_run("a")
    asked = await request_approval(run, expires_at=clock.now + 60)

    stored = await store.get_approval(asked.id)
    assert stored == dataclasses.replace(asked, asked_at=clock.now)
    assert await store.approvals_of(run.id) == [stored]
    assert await store.get_approval("nobody") is None


async def test_the_first_decision_wins(store, new_run, request_approval):
    run = await new_run("a")
    asked = await request_approval(run)
    decided = await store.decide_approval(asked.id, "deny", "7")

    assert (decided.decision, decided.decided_by) == ("deny", "7")
    assert await store.decide_approval(asked.id, "allow", "8") is None
    assert (await store.get_approval(asked.id)).decision == "deny"
    assert await store.decide_approval("nobody", "allow", "8") is None


async def test_an_expired_approval_cannot_be_given(store, new_run, request_approval, clock):
    run = await new_run("a")
    asked = await request_approval(run, expires_at=clock.now + 60)
    clock.now += 60
    assert await store.decide_approval(asked.id, "allow", "7") is None
    assert (await store.get_approval(asked.id)).decision is None


# --- files --------------------------------------------------------------------------------------------------------
async def test_the_newest_record_of_a_path_is_its_label(store, new_run):
    run = await new_run("a")
    files = [Artifact("a.txt", 1, "aa", "text/plain", "A", USER), Artifact("b.txt", provenance=USER)]
    await store.add_artifacts(run.session_id, run.id, "a", files)
    await store.add_artifacts(run.session_id, run.id, "a", [Artifact("a.txt", 2, provenance=WEB)])
    await store.add_artifacts("other", None, "", [Artifact("a.txt", provenance=USER)])
    await store.add_artifacts(run.session_id, None, "", [])

    assert await store.labels(run.session_id) == {"a.txt": WEB, "b.txt": USER}
    made = await store.artifacts_of(run.id)
    assert [(f.path, f.size) for f in made] == [("a.txt", 1), ("b.txt", 0), ("a.txt", 2)]
    assert made[0] == files[0]


async def test_a_path_twice_in_one_record_has_the_last_label(store):
    await store.add_artifacts("s", None, "", [Artifact("a", provenance=USER), Artifact("a", provenance=WEB)])
    assert await store.labels("s") == {"a": WEB}


async def test_a_file_of_an_unknown_run_is_refused(store):
    with pytest.raises(NotFound, match="names a run"):
        await store.add_artifacts("s", 77, "a", [Artifact("a")])
    assert await store.labels("s") == {}


# --- ledger -------------------------------------------------------------------------------------------------------
async def test_the_ledger_adds_up_by_run_session_and_time(store, new_run, clock):
    run = await new_run("a")
    await store.spend("s", run.id, "a", [Usage("model", "m", 10, 5, 0.5), Usage("tool", money=None, estimated=True)])
    clock.now += 100
    await store.spend("s", None, "", [Usage("model", "m", 1, 1, 0.25)])
    await store.spend("t", None, "", [Usage("model", "m", 100, 100, 1.0)])
    await store.spend("t", None, "", [])

    of_run = {"money": 0.5, "prompt_tokens": 10, "completion_tokens": 5, "calls": 2, "unpriced_calls": 1}
    assert await store.spent(run_id=run.id) == of_run
    assert (await store.spent(session_id="s"))["money"] == 0.75
    assert (await store.spent(session_id="s", since=clock.now))["calls"] == 1
    assert (await store.spent())["prompt_tokens"] == 111
    assert await store.spent(run_id=run.id, since=clock.now) == dict.fromkeys(of_run, 0)


async def test_the_audit_log_takes_anything(store):
    await store.audit("consent", "s", {"tool": "send", "args": {"to": "bob"}})
    with pytest.raises(TypeError):
        await store.audit("consent", "s", {"x": object()})
