"""What the buttons about calls that wait for consent do beyond deciding about one: look, decide about all, edit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.execution.together import EDIT, editable
from agent.texts import mark, say, say_n

if TYPE_CHECKING:
    from agent.deciding import Deciding
    from agent.domain.messages import InboundMessage
    from agent.domain.run import Approval
    from agent.store.protocol import Store

TOO_LATE = "Too late: this has been settled already."
NOT_YOURS = "Only an owner may decide this."
UNKNOWN = "This choice is no longer known."
CHANGED = mark("Too late: this has changed meanwhile. Read it again.")
WHICH = mark("Which argument?")
ONE_BY_ONE, ALL_CALLS = mark("One by one."), mark("All calls.")


async def one(deciding: Deciding, approval: Approval, choice: str, user_id: str) -> str:
    """Act on `a/ID/edit`, `a/ID/eN` (the argument at a place) or `a/ID/back`; "" for every other choice."""
    if choice == "back":
        await deciding.look_at(approval, editing="")
        return ALL_CALLS
    at = choice.removeprefix("e")
    if choice != EDIT and not (at != choice and at.isdecimal()):
        return ""
    if approval.decision is not None or not editable(approval):
        return TOO_LATE
    if choice == EDIT and len(approval.args) > 1:
        await deciding.look_at(approval, editing=approval.id)
        return WHICH
    asked = await deciding.ask_for_value(approval, 0 if choice == EDIT else int(at), user_id)
    return asked.text if asked is not None else TOO_LATE


async def together(deciding: Deciding, store: Store, message: InboundMessage, first: str, rest: str) -> str:
    """Act on `b/ID/PIN/VERB`, a button about all calls of a message: `allow`, `deny`, `each`, `all`, `pN` (a page)."""
    if not message.trusted:
        return NOT_YOURS
    pin, _, verb = rest.partition("/")
    approval = await store.get_approval(first)
    if approval is None or approval.session_id != message.dest.session_id:
        return TOO_LATE
    if verb not in {"allow", "deny"}:
        return await _looked(deciding, approval, verb, message.dest.language)
    decided = await deciding.decide_together(approval, pin, verb, message.user_id)
    if not decided:
        return CHANGED if decided is None else TOO_LATE
    return _said(message.dest.language, verb, len(decided))


async def _looked(deciding: Deciding, approval: Approval, verb: str, language: str) -> str:
    if verb in {"each", "all"}:
        await deciding.look_at(approval, each=verb == "each", editing="")
        return ONE_BY_ONE if verb == "each" else ALL_CALLS
    if verb[:1] == "p" and verb[1:].isdecimal():
        await deciding.look_at(approval, page=int(verb[1:]))
        return say(language, mark("Page {page}."), page=int(verb[1:]) + 1)
    return UNKNOWN


def _said(language: str, verb: str, n: int) -> str:
    if verb == "allow":
        return say_n(language, "{n} call allowed.", "{n} calls allowed.", n)
    return say_n(language, "{n} call denied.", "{n} calls denied.", n)
