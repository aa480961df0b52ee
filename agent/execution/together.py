"""Calls that wait for consent as a person is shown them: one alone, or several that were ready together in one message.

Each call keeps an approval of its own, so that one decision is one execution of exactly its arguments. The approvals'
ids say what belongs together: `ID` is the first call, `ID.1`, `ID.2`, … are the others, and `ID.1~1` is the second call
after a person has changed an argument of it. The message is made of the rows alone; how it is looked at (one by one,
which page) lies in its payload. What the buttons about all calls decide is pinned by a digest of what was shown.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.domain.messages import MessageKind, OutboundMessage
from agent.texts import mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from agent.domain.messages import Destination
    from agent.domain.run import Approval
    from agent.store.protocol import Store

EXPIRED = mark("(expired)")
CHECKPOINT, REVISE, EDIT = "checkpoint", "revise", "edit"
PAGE = 8  # calls on a page of a message
NUMBERED = re.compile(r"([^.~]+)(?:\.(\d+))?(?:~(\d+))?")
ALLOW_ALL, ONE_BY_ONE, DENY_ALL = mark("✅ Allow all"), mark("🔎 One by one"), mark("❌ Deny all")
ALL_CALLS, EDIT_IT, BACK_TO_CALL = mark("↩ All calls"), mark("✏️ Edit"), mark("↩ Back")
WORDS = {"allow": "✅ Allow", "task": mark("✅ For this task"), "deny": "❌ Deny"}


# --- ids ------------------------------------------------------------------------------------------------------------
def new_id() -> str:
    """Return a new id for the first call of a message; it is short and random: buttons carry it."""
    return secrets.token_urlsafe(6)


def numbered(first: str, number: int) -> str:
    """Return the id of a call of a message, the first being 0."""
    return f"{first}.{number}" if number else first


def after_edit(approval_id: str) -> str:
    """Return the id of the call that takes this one's place when a person changes an argument."""
    place, _, version = approval_id.partition("~")
    return f"{place}~{int(version or 0) + 1}"


def message_of(approval_id: str) -> str:
    """Return the id of the message that a call is shown in: that of its first call."""
    return _parts(approval_id)[0]


def key_of(approval_id: str) -> str:
    """Return the outbox key of the message that a call is shown in."""
    return f"approval:{message_of(approval_id)}"


def _parts(approval_id: str) -> tuple[str, int, int]:
    found = NUMBERED.fullmatch(approval_id)
    return (found[1], int(found[2] or 0), int(found[3] or 0)) if found else (approval_id, 0, 0)


def as_shown(approvals: Iterable[Approval], approval_id: str = "") -> list[Approval]:
    """Return the calls of one message (of all, without an id) in their order, each as it was changed last."""
    newest: dict[tuple[str, int], Approval] = {}
    for one in approvals:
        first, number, version = _parts(one.id)
        if approval_id and first != message_of(approval_id):
            continue
        known = newest.get((first, number))
        if known is None or version >= _parts(known.id)[2]:
            newest[first, number] = one
    return [newest[place] for place in sorted(newest, key=lambda place: place[1])]


def original(approvals: Iterable[Approval], approval: Approval) -> Approval:
    """Return what was asked about before a person changed anything; the approval itself when nothing was changed."""
    place = _parts(approval.id)[:2]
    return min((one for one in approvals if _parts(one.id)[:2] == place), key=lambda one: _parts(one.id)[2])


def pinned(calls: Iterable[Approval]) -> str:
    """Return 8 letters that stand for exactly these open calls, to be carried by a button about all of them."""
    exact = "\n".join(f"{one.id} {one.digest}" for one in calls if one.decision is None)
    return hashlib.sha256(exact.encode()).hexdigest()[:8]


# --- messages -------------------------------------------------------------------------------------------------------
def asked_message(
    dest: Destination, calls: Sequence[Approval], looked: Mapping[str, Any] | None = None
) -> OutboundMessage:
    """Return the message that asks about these calls, or says what became of them.

    Made from the exact values, never by a model. `looked` is the payload of the message as it is now: how a person
    looks at it (`each`: one by one, `page`, `editing`: the id of a call whose argument is being chosen) stays.
    """
    first, shown = calls[0], _all_past(calls)
    looked = looked or {}
    payload = _alone(shown[0], looked) if len(calls) == 1 else _together(shown, pinned(calls), looked)
    return OutboundMessage(
        dest,
        MessageKind.APPROVAL,
        key_of(first.id),
        payload,
        session_id=first.session_id,
        run_id=first.run_id,
    )


def asked_messages(dest: Destination, approvals: Iterable[Approval]) -> list[OutboundMessage]:
    """Return the messages that show these approvals, all of a run, in their order."""
    by_message: dict[str, list[Approval]] = {}
    for one in approvals:
        by_message.setdefault(message_of(one.id), []).append(one)
    return [asked_message(dest, as_shown(calls)) for calls in by_message.values()]


def closing_messages(dest: Destination, approvals: Iterable[Approval], said: str) -> list[OutboundMessage]:
    """Return what is still asked of a run as it looks when nothing is to be decided any more, and why."""
    asked = list(approvals)
    still_open = {message_of(one.id) for one in asked if one.decision is None}
    closed = [replace(one, decision=said) if one.decision is None else one for one in _all_past(asked)]
    return asked_messages(dest, (one for one in closed if message_of(one.id) in still_open))


def _all_past(approvals: Iterable[Approval]) -> list[Approval]:
    now = time.time()
    return [_past(one, now) for one in approvals]


def _past(approval: Approval, now: float) -> Approval:
    """Return an approval as it is shown: what nobody decided in time says so."""
    expired = approval.decision is None and (approval.expires_at or now) < now
    return replace(approval, decision=EXPIRED) if expired else approval


def _alone(approval: Approval, looked: Mapping[str, Any]) -> dict[str, Any]:
    payload = _call(approval)
    if not editable(approval) or approval.decision is not None:
        return payload
    if looked.get("editing") == approval.id:
        return {**payload, "editing": approval.id, "buttons": _arguments(approval)}
    return {**payload, "editable": True}


def _together(calls: Sequence[Approval], pin: str, looked: Mapping[str, Any]) -> dict[str, Any]:
    """Return several calls: all of them in pages, or the first that is open by itself; `pin` is for their buttons."""
    still_open = [one for one in calls if one.decision is None]
    pages = -(-len(calls) // PAGE)
    page = min(max(int(looked.get("page") or 0), 0), pages - 1)
    shown = [{**_call(one), "number": number} for number, one in enumerate(calls, start=1)]
    payload: dict[str, Any] = {"id": message_of(calls[0].id), "calls": shown, "open": len(still_open)}
    payload |= {"set": pin, "page": page, "pages": pages, "size": PAGE, "buttons": []}
    if not still_open:
        return payload
    now = still_open[0]
    about_all = f"b/{payload['id']}/{payload['set']}"
    if looked.get("each"):
        payload |= {"each": True, "now": calls.index(now) + 1}
        if looked.get("editing") == now.id:
            return {**payload, "editing": now.id, "buttons": _arguments(now)}
        more = [_button(EDIT_IT, f"a/{now.id}/edit")] if editable(now) else []
        return {**payload, "buttons": [*_choices(now), [*more, _button(ALL_CALLS, f"{about_all}/all")]]}
    said = [_button(ALLOW_ALL, f"{about_all}/allow"), _button(DENY_ALL, f"{about_all}/deny")]
    turn = [_button(f"{'◀' if other < page else '▶'} {other + 1}/{pages}", f"{about_all}/p{other}")
            for other in (page - 1, page + 1) if 0 <= other < pages]  # fmt: skip
    payload["buttons"] = [row for row in (said, [_button(ONE_BY_ONE, f"{about_all}/each")], turn) if row]
    return payload


def _choices(approval: Approval) -> list[list[dict[str, str]]]:
    """Return the buttons that decide about a call, two in a row."""
    buttons = [_button(WORDS[choice], f"a/{approval.id}/{choice}") for choice in approval.choices if choice in WORDS]
    return [buttons[:2], buttons[2:]] if len(buttons) > 2 else [buttons]


def _arguments(approval: Approval) -> list[list[dict[str, str]]]:
    """Return a button for each argument that may be changed, and one that leads back."""
    names = [[_button(f"✏️ {name}", f"a/{approval.id}/e{at}")] for at, name in enumerate(approval.args)]
    return [*names, [_button(BACK_TO_CALL, f"a/{approval.id}/back")]]


def editable(approval: Approval) -> bool:
    """Say whether a person may change an argument: of a call that has some, and that is not revised as a whole."""
    return bool(approval.args) and approval.tool != CHECKPOINT and REVISE not in approval.choices


def _button(label: str, action: str) -> dict[str, str]:
    return {"label": label, "action": action}


def _call(approval: Approval) -> dict[str, Any]:
    payload: dict[str, Any] = {
        "id": approval.id,
        "title": approval.tool,
        "details": approval.args,
        "because": approval.because,
        "expires": approval.expires_at,
        "choices": list(approval.choices),
    }
    if any(not label.trusted for label in approval.labels.values()):
        payload["tainted"] = sorted(name for name, label in approval.labels.items() if name and not label.trusted)
    if approval.tool == CHECKPOINT:
        payload |= _at_checkpoint(approval.args)
    if approval.decision is not None:
        payload |= {"decided": approval.decision, "by": approval.decided_by, "at": approval.decided_at}
        payload |= {"comment": approval.comment} if approval.comment else {}
    return payload


def _at_checkpoint(args: dict[str, Any]) -> dict[str, Any]:
    """Return how a checkpoint looks: its name, the step that waits, the pipeline's words, what is to be approved."""
    details = {"before": args.get("before", ""), "text": args.get("text", "")}
    shown = args.get("shown") or {}
    details |= {f"{name} (result)" if name in details else name: text for name, text in shown.items()}
    if args.get("files"):
        details["files"] = ", ".join(map(str, args["files"]))
    return {"title": str(args.get("name") or "Checkpoint"), "details": details, "checkpoint": True}


# --- the journal ----------------------------------------------------------------------------------------------------
async def show(store: Store, dest: Destination, approval: Approval, **looked: Any) -> None:
    """Post the message of a call as the journal has it now; `looked` changes how a person looks at it.

    The rows are read again afterwards: whoever posts an older state also posts the newer one.
    """
    while True:
        calls = as_shown(await store.approvals_of(approval.run_id), approval.id)
        now = await store.get_message(key_of(approval.id))
        payload = {**(now.payload if now is not None else {}), **looked}
        await store.post(asked_message(dest, calls, payload))
        if calls == as_shown(await store.approvals_of(approval.run_id), approval.id):
            return
