"""What waits for a person, over the API: approvals and questions. Only the owner's own token decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from agent.errors import NotFound
from agent.execution.people import answerer
from agent.web import orders, shapes, words
from agent.web.rest.taking import BODY, read, refusing, taking
from agent.web.tokens import REMEDY, Refused
from agent.web.waiting import all_that_waits

if TYPE_CHECKING:
    from agent.web.rooms import Rooms

BY = "api"
NOT_YOURS = "Only the owner may decide this."


def add(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    """Add the routes; `trusted` lets the caller decide what only an owner may."""
    _approvals(made, rooms, trusted=trusted)
    _questions(made, rooms, trusted=trusted)


def _approvals(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.get("/approvals")
    async def approvals() -> list[shapes.ApprovalShape]:
        """Calls that wait for a yes, the oldest first."""
        waits = await all_that_waits(rooms.store)
        return [shapes.ApprovalShape.of(one.run, one.approval) for one in waits if one.approval is not None]

    @made.get("/approvals/{approval_id}", responses=refusing(404))
    async def approval(approval_id: str) -> shapes.ApprovalShape:
        """A call that waits for a yes, or what became of it."""
        found = await rooms.store.get_approval(approval_id)
        if found is None:
            raise NotFound("There is no such approval.", hint="GET /api/approvals lists those that are open.")
        return shapes.ApprovalShape.of(await rooms.store.get_run(found.run_id), found)

    @made.post(
        "/approvals/{approval_id}", openapi_extra=taking(orders.Decision), responses={**BODY, **refusing(404, 409)}
    )
    async def decide(approval_id: str, request: Request) -> shapes.ApprovalShape:
        """Decide about exactly the call that `digest` stands for."""
        _check(trusted=trusted)
        said = await read(request, orders.Decision)
        found = await words.open_approval(rooms, approval_id, said.digest)
        decided = await words.decide(rooms, found, said.decision, BY, said.comment)
        return shapes.ApprovalShape.of(await rooms.store.get_run(decided.run_id), decided)

    @made.post(
        "/approvals/{approval_id}/change",
        openapi_extra=taking(orders.OtherCall),
        responses={**BODY, **refusing(404, 409)},
    )
    async def change(approval_id: str, request: Request) -> shapes.ApprovalShape:
        """Change arguments of a call; what comes back asks about the changed one, under an id of its own."""
        _check(trusted=trusted)
        said = await read(request, orders.OtherCall)
        found = await words.open_approval(rooms, approval_id, said.digest)
        wanted = {name: words.text_of(value) for name, value in said.args.items()}
        changed = await words.change(rooms, found, wanted, BY)
        return shapes.ApprovalShape.of(await rooms.store.get_run(changed.run_id), changed)


def _questions(made: APIRouter, rooms: Rooms, *, trusted: bool) -> None:
    @made.get("/questions")
    async def questions() -> list[shapes.QuestionShape]:
        """Questions that wait for an answer, the oldest first."""
        waits = await all_that_waits(rooms.store)
        return [shapes.QuestionShape.of(one.run, one.question) for one in waits if one.question is not None]

    @made.post("/questions/{question_id}", openapi_extra=taking(orders.Reply), responses={**BODY, **refusing(404, 409)})
    async def answer(question_id: str, request: Request) -> shapes.QuestionShape:
        """Answer a question. Unless web.token_decides, the answer is no word of the owner's."""
        said = await read(request, orders.Reply)
        found = await rooms.store.get_question(question_id)
        if found is not None and found.kind not in words.ANYBODYS:
            _check(trusted=trusted)
        answered = await words.answer(rooms, question_id, said.answer.strip(), answerer(BY, trusted=trusted))
        return shapes.QuestionShape.of(await rooms.store.get_run(answered.run_id), answered)


def _check(*, trusted: bool) -> None:
    if not trusted:
        raise Refused(403, NOT_YOURS, REMEDY)
