"""A person's word about what waits: a decision, a changed argument, an answer. The API's and the pages' alike."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError, DirigentError, NotFound
from agent.execution.editing import edited_approval, options_of
from agent.execution.people import OWNERS_CHOICE
from agent.execution.together import after_edit, as_shown, editable, message_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.domain.run import Approval, Question
    from agent.web.rooms import Rooms
    from plugins.api import ToolSpec


class Changed(DirigentError):
    """What was to be decided is not what it was."""


ANYBODYS = frozenset({"ask", "argument"})  # kinds of questions that others than the owner may answer
TOO_LATE = "That came too late: it has been decided already, or has expired."


async def open_approval(rooms: Rooms, approval_id: str, digest: str) -> Approval:
    """Return an approval that may be decided. Raises NotFound, and Changed when it is not what was looked at."""
    found = await rooms.store.get_approval(approval_id)
    if found is None:
        raise NotFound("There is nothing like that to decide.")
    if digest != found.digest:
        raise Changed("What is asked has changed meanwhile.", hint="Look at it again.")
    return found


async def decide(rooms: Rooms, approval: Approval, decision: str, by: str, comment: str = "") -> Approval:
    """Record a decision. Raises NotFound for one that is no choice, Changed when it comes too late."""
    if decision not in approval.choices:
        raise NotFound("There is nothing like that to decide.", hint=f"The choices are {', '.join(approval.choices)}.")
    if decision == "revise" and not comment:
        raise ConfigError("What should be different?", hint="Say it with the decision to revise.")
    made = await rooms.orchestrator.decide_approval(approval.id, decision, by, comment=comment)
    if made is None:
        raise Changed(TOO_LATE)
    return made


async def decide_all(rooms: Rooms, approval: Approval, pin: str, decision: str, by: str) -> int:
    """Record one decision about all calls of a message; return how many there were. Raises Changed."""
    if decision not in {"allow", "deny"}:
        raise NotFound("There is nothing like that to decide.", hint="The choices are allow, deny.")
    decided = await rooms.orchestrator.decide_together(approval, pin, decision, by)
    if not decided:
        raise Changed("What is asked has changed meanwhile.", hint="Look at it again." if decided is None else "")
    return len(decided)


async def calls_with(rooms: Rooms, approval: Approval) -> list[Approval]:
    """Return the calls that are asked about in one message with this one, itself included."""
    asked = await rooms.store.approvals_of(approval.run_id)
    return as_shown(asked, message_of(approval.id))


# --- changing a call ------------------------------------------------------------------------------------------------
async def spec_of(rooms: Rooms, approval: Approval) -> ToolSpec:
    """Return the tool that an approval is about. Raises DirigentError when it is gone."""
    session = await rooms.orchestrator.sessions.open(approval.session_id)
    return rooms.catalogue.find(approval.tool, session.profile)


async def fields_of(rooms: Rooms, approval: Approval) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return (name, text, options) of the arguments that a person may change; none where nothing can be."""
    if not editable(approval):
        return []
    try:
        spec = await spec_of(rooms, approval)
    except DirigentError:
        return []
    return [(name, text_of(value), options_of(spec, name)) for name, value in approval.args.items()]


def text_of(value: Any) -> str:
    """Return an argument as a person types it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


async def change(rooms: Rooms, approval: Approval, wanted: Mapping[str, str], by: str) -> Approval:
    """Put the call with other arguments in the place of an open one; return the approval that asks about it.

    All are checked before anything is changed. Raises NotFound for an argument that is none, ToolArguments for a value
    that does not fit, Changed when it is too late.
    """
    differs = {name: text for name, text in wanted.items() if text != text_of(approval.args.get(name))}
    unknown = sorted(set(wanted) - set(approval.args))
    if unknown or not editable(approval):
        raise NotFound(f"{', '.join(unknown) or approval.tool!r} cannot be changed.")
    spec = await spec_of(rooms, approval)
    tried = approval
    for name, text in differs.items():
        tried = edited_approval(rooms.catalogue, spec, tried, name, text)
    for name, text in differs.items():
        approval = await _change_one(rooms, approval, name, text, by)
    return approval


async def _change_one(rooms: Rooms, approval: Approval, name: str, text: str, by: str) -> Approval:
    at = list(approval.args).index(name)
    question = await rooms.orchestrator.ask_for_value(approval, at, by)
    done = await rooms.orchestrator.answer_question(question.id, text, by) if question is not None else None
    edited = await rooms.store.get_approval(after_edit(approval.id))
    if done is None or edited is None:
        raise Changed(TOO_LATE)
    return edited


# --- questions ------------------------------------------------------------------------------------------------------
async def answer(rooms: Rooms, question_id: str, text: str, by: str) -> Question:
    """Record an answer. Raises ConfigError for one that cannot be, NotFound, and Changed when it comes too late."""
    question = await rooms.store.get_question(question_id)
    if question is None:
        raise NotFound("There is no such question.")
    if not text:
        raise ConfigError("The answer is empty.", hint="Write one, or choose one of the options.")
    if question.kind in OWNERS_CHOICE and text not in question.options:
        raise ConfigError(f"{text!r} is none of the choices.", hint=f"They are {', '.join(question.options)}.")
    answered = await rooms.orchestrator.answer_question(question_id, text, by)
    if answered is None:
        raise Changed("That came too late: it has been answered already.")
    return answered
