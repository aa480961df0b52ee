"""What people decide, and who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.domain.messages import OutboundMessage
    from agent.domain.people import Pairing, Person
    from agent.domain.run import Approval, Question, StepChange


class Answers(Protocol):
    """Questions and approvals: the first answer counts."""

    async def ask(self, question: Question, change: StepChange | None, message: OutboundMessage) -> None:
        """Insert a question, put its step into WAITING_APPROVAL and post the message, in one transaction."""

    async def answer_question(
        self, question_id: str, answer: str, by: str, *, inbox_id: int | None = None, budget: float | None = None
    ) -> Question | None:
        """Record the first answer and return the question; None when unknown or already answered.

        In the same transaction, if it is the answer: with `inbox_id` the message that answers counts as heard, and
        with `budget` the question's run may spend that much in all, in US dollars.
        """

    async def get_question(self, question_id: str) -> Question | None:
        """Return a question."""

    async def open_questions(self, session_id: str) -> list[Question]:
        """Return unanswered questions of unfinished runs, oldest first."""

    async def request_approval(self, approval: Approval, change: StepChange, message: OutboundMessage | None) -> None:
        """Insert an approval, put its step into WAITING_APPROVAL and post the message, in one transaction.

        None posts nothing: the call is shown together with others, by a message of its own.
        """

    async def edit_approval(
        self,
        approval_id: str,
        edited: Approval,
        by: str,
        *,
        question_id: str,
        answer: str,
        inbox_id: int | None = None,
        messages: Sequence[OutboundMessage] = (),
    ) -> bool:
        """Put another approval, of a call with a changed argument, in the place of an open one, in one transaction.

        With it the question is answered, the message `inbox_id` is heard, the messages are posted, and the audit log
        has the old and the new call. False, with nothing changed, when the approval is not open or the question is
        answered.
        """

    async def decide_approval(self, approval_id: str, decision: str, by: str, *, comment: str = "") -> Approval | None:
        """Record the first decision; None when unknown, decided, expired, or none of the approval's choices.

        A decision and its entry in the audit log are one transaction.
        """

    async def get_approval(self, approval_id: str) -> Approval | None:
        """Return an approval."""

    async def approvals_of(self, run_id: int) -> list[Approval]:
        """Return a run's approvals, oldest first."""

    async def questions_of(self, run_id: int) -> list[Question]:
        """Return a run's questions, oldest first."""


class People(Protocol):
    """Who was let in or blocked, and the codes that let people in."""

    async def people(self, channel: str = "") -> list[Person]:
        """Return everybody who was let in or blocked ("" means on every channel), the earliest first."""

    async def put_person(self, person: Person) -> None:
        """Insert a person, or change the name, role and language of the one who is there."""

    async def remove_person(self, channel: str, user_id: str) -> bool:
        """Forget a person; False when there is none."""

    async def add_pairing_code(self, digest: str, role: str, seconds: float) -> None:
        """Note the hash of a code that lets one person in, with a role, within so many seconds."""

    async def pair(self, person: Person, digest: str) -> Pairing:
        """Let a person in by a code, which is used up with it; their role is the code's.

        Every try counts: five of one person and thirty of all within ten minutes, then `Pairing.wait`. An owner stays
        one, and somebody who is blocked stays blocked.
        """
