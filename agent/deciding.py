"""What people say to a run that waits for them: answers, decisions, and what should be different."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.domain.states import FINAL
from agent.execution import people
from agent.execution.people import CHANGE, REVISION, approval_message, question_message
from agent.lifecycle import RunLifecycle
from agent.spending import woken

if TYPE_CHECKING:
    from agent.domain.run import Approval, Question, Run


class Deciding(RunLifecycle):
    """The part of a run's life that hears people. Everything is committed before it is acted on."""

    async def answer_question(
        self, question_id: str, answer: str, by: str, *, inbox_id: int | None = None
    ) -> Question | None:
        """Record a person's answer (committed when this returns) and let the run go on; None when it is too late.

        With `inbox_id` the message counts as heard in the same transaction: heard again, it can't become a request.
        """
        budget = await self._granted(question_id, answer)
        question = await self._store.answer_question(question_id, answer, by, inbox_id=inbox_id, budget=budget)
        self._open_questions.discard(question_id)
        if question is not None:
            run = await self._store.get_run(question.run_id)
            await self._store.post(question_message(run.dest, question))
            if question.kind == REVISION:
                await self._revise(run, question)
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
            self.submit(run)

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
        await self._store.post(approval_message(run.dest, approval))
        await people.close_revision(self._store, run, approval)
        self._go_on(run, approval.step_id)
        return approval

    async def ask_for_revision(self, approval: Approval, user_id: str) -> Question | None:
        """Ask an owner what should be different; None when there is nothing to decide any more."""
        run = await self._store.get_run(approval.run_id)
        question = None if run.status in FINAL else await people.ask_for_revision(self._store, run, approval, user_id)
        if question is not None:
            self._open_questions.add(question.id)
        return question

    async def _revise(self, run: Run, question: Question) -> None:
        """Take what somebody wants to be different as the decision; say so when it comes too late."""
        if question.answer in {people.BACK, people.SETTLED}:
            return
        for approval in await self._store.approvals_of(run.id):
            open_here = approval.step_id == question.step_id and approval.decision is None
            if open_here and await self.decide_approval(
                approval.id, people.REVISE, question.answered_by, comment=str(question.answer)
            ):
                return
        await self._store.post(people.too_late(run, question))

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
