"""What people say to a run that waits for them: answers, decisions, and what should be different."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.states import FINAL
from agent.errors import DirigentError
from agent.execution import comments, together
from agent.execution.editing import edited_approval, options_of
from agent.execution.people import BACK, CHANGE, REVISION, SETTLED, question_message
from agent.execution.sealing import held_by, seal
from agent.execution.together import EDIT, REVISE
from agent.lifecycle import RunLifecycle
from agent.spending import woken
from agent.texts import mark

if TYPE_CHECKING:
    from agent.domain.run import Approval, Question, Run
    from plugins.api import ToolSpec

ANOTHER = mark("{wrong} Type another value, or press Back.")


class Deciding(RunLifecycle):
    """The part of a run's life that hears people. Everything is committed before it is acted on."""

    async def answer_question(
        self, question_id: str, answer: str, by: str, *, inbox_id: int | None = None
    ) -> Question | None:
        """Record a person's answer (committed when this returns) and let the run go on; None when it is too late.

        With `inbox_id` the message counts as heard in the same transaction: heard again, it can't become a request.
        """
        asked = await self._store.get_question(question_id)
        if asked is not None and asked.kind == EDIT and answer not in {BACK, SETTLED}:
            return await self._edit(asked, answer, by, inbox_id)
        budget = await self._granted(question_id, answer)
        question = await self._store.answer_question(question_id, answer, by, inbox_id=inbox_id, budget=budget)
        self._open_questions.discard(question_id)
        if question is not None:
            run = await self._store.get_run(question.run_id)
            await self._store.post(question_message(run.dest, question))
            if question.kind == REVISION:
                await self._revise(run, question)
                return question
            if question.kind == EDIT:
                return question
            if question.kind == CHANGE:
                self._change_wanted(run)
            elif not woken(self._live.get(run.id), question):
                self._go_on(run, question.step_id)
        return question

    def _change_wanted(self, run: Run) -> None:
        """Have the plan of a run changed: at once where it is being carried out, else when it is worked on again."""
        scheduler = self._live.get(run.id)
        if scheduler is not None:
            scheduler.want_change()
        else:
            self._look_elsewhere(run)

    async def decide_approval(self, approval_id: str, decision: str, by: str, *, comment: str = "") -> Approval | None:
        """Record a person's decision (committed when this returns) and let the run go on; None when it is too late.

        `comment` goes with the decision `revise`.
        """
        approval = await self._store.decide_approval(approval_id, decision, by, comment=comment)
        if approval is None:
            late = await self._store.get_approval(approval_id)
            if late is not None and late.decision is None:  # it has expired, which is a denial: nothing waits for it
                self._go_on(await self._store.get_run(late.run_id), late.step_id)
            return None
        run = await self._store.get_run(approval.run_id)
        await together.show(self._store, run.dest, approval)
        await comments.close_revision(self._store, run, approval)
        self._go_on(run, approval.step_id)
        return approval

    async def decide_together(self, approval: Approval, pin: str, decision: str, by: str) -> list[Approval] | None:
        """Record one decision about every open call of a message; return those that it was recorded for.

        None, with nothing decided, when they are not exactly the calls that `pin` stands for: one was decided, changed
        or added since the button was shown.
        """
        run = await self._store.get_run(approval.run_id)
        calls = together.as_shown(await self._store.approvals_of(run.id), approval.id)
        if together.pinned(calls) != pin:
            await together.show(self._store, run.dest, approval)
            return None
        still_open = [one for one in calls if one.decision is None]
        # Requested at once, they share a commit.
        said = await asyncio.gather(*(self._store.decide_approval(one.id, decision, by) for one in still_open))
        decided = [one for one in said if one is not None]
        await together.show(self._store, run.dest, approval)
        for one in still_open:
            await comments.close_revision(self._store, run, one)
            self._go_on(run, one.step_id)
        return decided

    async def look_at(self, approval: Approval, **looked: Any) -> None:
        """Have the message of a call looked at in another way: `each`, `page`, `editing` (see `asked_message`)."""
        run = await self._store.get_run(approval.run_id)
        if run.status not in FINAL:
            await together.show(self._store, run.dest, approval, **looked)

    async def ask_for_revision(self, approval: Approval, user_id: str) -> Question | None:
        """Ask an owner what should be different; None when there is nothing to decide any more."""
        run = await self._store.get_run(approval.run_id)
        question = None if run.status in FINAL else await comments.ask_for_revision(self._store, run, approval, user_id)
        if question is not None:
            self._open_questions.add(question.id)
        return question

    async def ask_for_value(self, approval: Approval, at: int, user_id: str) -> Question | None:
        """Ask an owner what an argument should be instead; None when there is nothing to decide any more."""
        run = await self._store.get_run(approval.run_id)
        if run.status in FINAL or not (together.editable(approval) and at < len(approval.args)):
            return None
        spec = await self._spec_of(run, approval)
        options = options_of(spec, list(approval.args)[at])
        question = await comments.ask_for_value(self._store, run, approval, at, options, user_id)
        if question is not None:
            self._open_questions.add(question.id)
        return question

    async def _edit(self, question: Question, answer: str, by: str, inbox_id: int | None) -> Question | None:
        """Put the call as the person wants it in the place of the one that was asked about; say what does not fit."""
        run = await self._store.get_run(question.run_id)
        approval = await self._store.get_approval(comments.edits(question))
        if question.answer is not None or approval is None:
            return None
        name = comments.argument_of(question, approval)
        try:
            spec = await self._spec_of(run, approval)
            edited = edited_approval(self._catalogue, spec, approval, name, answer)
            await self._seal(run, spec, edited)
        except DirigentError as error:
            await self._say_unfit(run, question, str(error), inbox_id)
            return question
        messages = [question_message(run.dest, replace(question, answer=answer))]
        done = await self._store.edit_approval(
            approval.id, edited, by, question_id=question.id, answer=answer, inbox_id=inbox_id, messages=messages
        )
        self._open_questions.discard(question.id)
        if not done:
            await self._store.post(comments.too_late(run, question))
            await comments.close_revision(self._store, run, approval)
            if inbox_id is not None:
                await self._store.heard(inbox_id)
            return question
        await together.show(self._store, run.dest, edited, editing="")
        return question

    async def _seal(self, run: Run, spec: ToolSpec, edited: Approval) -> None:
        """Note what the files of a changed call hold now: the yes will be for these."""
        session = await self.sessions.open(run.session_id)
        await self.sessions.fetch(session)
        held = await held_by(session, spec, edited.args)
        if held:
            await seal(self._store, edited.id, held)

    async def _spec_of(self, run: Run, approval: Approval) -> ToolSpec:
        session = await self.sessions.open(run.session_id)
        return self._catalogue.find(approval.tool, self._profiles.get(run.id) or session.profile)

    async def _say_unfit(self, run: Run, question: Question, wrong: str, inbox_id: int | None) -> None:
        """Say why a value does not fit; the question stays open."""
        text = ANOTHER.format(wrong=wrong)
        key = f"question:{question.id}:unfit:{inbox_id or 0}"
        told = OutboundMessage(
            run.dest, MessageKind.NOTICE, key, {"text": text}, session_id=run.session_id, run_id=run.id
        )
        await self._store.post(told)
        if inbox_id is not None:
            await self._store.heard(inbox_id)

    async def _revise(self, run: Run, question: Question) -> None:
        """Take what somebody wants to be different as the decision; say so when it comes too late."""
        if question.answer in {BACK, SETTLED}:
            return
        for approval in await self._store.approvals_of(run.id):
            open_here = approval.step_id == question.step_id and approval.decision is None
            if open_here and await self.decide_approval(
                approval.id, REVISE, question.answered_by, comment=str(question.answer)
            ):
                return
        await self._store.post(comments.too_late(run, question))

    def resolve_question(self, question_id: str, answer: str) -> bool:
        """Answer an open question; False when it is unknown or answered already.

        Usable without awaiting: the answer is committed by a task that this object owns. Questions asked before a
        restart are known again after `start`.
        """
        if question_id not in self._open_questions:
            return False
        self._open_questions.discard(question_id)
        self._in_background(self.answer_question(question_id, answer, "person"))
        return True
