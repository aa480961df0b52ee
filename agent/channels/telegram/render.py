"""Payloads of outgoing messages → what the chat shows: parts, buttons, and whether a reply is asked for.

No I/O and no Telegram library: everything here is a function of the message.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent.channels.telegram.exact import (
    DETAILS,
    because_line,
    defanged,
    exact_text,
    expiry,
    on_a_line,
    several,
    whole,
)
from agent.channels.telegram.formatting import formatted
from agent.channels.telegram.texts import CONTINUES, LIMIT, Part, Text, Writer, cut, plain_words, width
from agent.domain.messages import MessageKind
from agent.domain.states import Status
from agent.texts import mark, retell, say, say_n

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.domain.messages import OutboundMessage

DATA_BYTES = 64
LABEL = 60
ROW = 34
STEP_LINE = 160
NOTE = 200
REMARK = 300
MARKS: dict[str, str] = {
    Status.COMPLETED: "✅",
    Status.RUNNING: "⏳",
    Status.WAITING_APPROVAL: "❓",
    Status.FAILED: "❌",
    Status.CANCELLED: "⏭",
}
STATES = {"stopped": mark("stopped"), "failed": mark("failed"), "waiting": mark("waiting for you")}
DECISIONS = {"allow": mark("✅ Allowed"), "task": mark("✅ Allowed for this task"), "deny": mark("❌ Denied")}
DECIDED_AT_CHECKPOINT = {"allow": "✅ Approved", "revise": "✏️ To be different", "deny": "❌ Rejected"}
CONSENT = {"allow": "✅ Allow", "task": mark("✅ For this task"), "revise": "✏️ Revise", "deny": "❌ Deny"}
CHECKPOINT = {"allow": "✅ Approve", "revise": "✏️ Revise", "deny": "❌ Reject"}
AGAIN = mark("(Asked again after an interruption.)")

Rows = tuple[tuple[tuple[str, str], ...], ...]


@dataclass(frozen=True, slots=True)
class View:
    """What the chat shows. `buttons` are rows of (label, action) under the last text; an answer starts as a preview."""

    parts: tuple[Part, ...]
    buttons: Rows = ()
    force_reply: bool = False

    @property
    def buttons_at(self) -> int:
        """The index of the part that carries the buttons."""
        return max((i for i, part in enumerate(self.parts) if isinstance(part, Text)), default=0)


def view(message: OutboundMessage) -> View:
    """Return what a message of any kind but `files` looks like, in the language of the place that it goes to."""
    look = VIEWS[message.kind](message)
    language = message.dest.language
    if not language:
        return look
    rows = tuple(tuple((retell(language, label)[:LABEL], action) for label, action in row) for row in look.buttons)
    return replace(look, buttons=rows)


def _buttons(payload: dict[str, Any], default: Rows = ()) -> Rows:
    """Return the payload's buttons, or the default ones; what Telegram would refuse is left out."""
    if "buttons" not in payload:
        return default
    rows = [[(str(b["label"])[:LABEL].strip() or "…", str(b["action"])) for b in row] for row in payload["buttons"]]
    kept = (tuple(b for b in row if 0 < len(b[1].encode()) <= DATA_BYTES) for row in rows)
    return tuple(row for row in kept if row)


def _rows(choices: list[tuple[str, str]]) -> Rows:
    """Lay choices out: side by side while they fit the width of a phone."""
    rows: list[list[tuple[str, str]]] = []
    used = ROW
    for label, action in choices:
        needed = len(label) + 4
        if used + needed > ROW:
            rows.append([])
            used = 0
        rows[-1].append((label, action))
        used += needed
    return tuple(tuple(row) for row in rows)


# --- the plan ---------------------------------------------------------------------------------------------------------
def _plan(message: OutboundMessage) -> View:
    payload = message.payload
    steps = payload.get("steps", ())
    total = payload.get("total", len(steps))
    facts = [f"{payload.get('done', 0)}/{total}"] if total else []
    facts += [text for text in (_clock(payload.get("seconds")), _money(payload.get("money"))) if text]
    language = message.dest.language
    writer = Writer().add("🗺 ").add(cut(str(payload.get("title") or say(language, "Plan")), 200), "bold")
    facts += [say(language, STATES[state])] if (state := str(payload.get("state"))) in STATES else []
    writer.add(f"  {' · '.join(facts)}")
    details = [on_a_line(str(one)) for one in payload.get("details") or ()]
    note = cut(retell(language, str(payload.get("note") or "")), NOTE) if payload.get("state") == "running" else ""
    told = on_a_line(str(payload.get("foretold") or ""))
    ahead = cut(told, REMARK) if payload.get("asks_first") and not details else ""
    shown = 0
    for number, step in enumerate(steps, start=1):
        line = _step_line(number, step)
        if writer.size + width(line) > LIMIT - 40 - width(note) - width(ahead) - REMARK:
            break
        writer.line(line)
        shown += 1
    hidden = int(payload.get("hidden") or 0) + len(steps) - shown
    if hidden:
        writer.line(say_n(language, "… and {n} more", "… and {n} more", hidden))
    writer.line(ahead, "italic")
    room = LIMIT - 60 - writer.size - width(note) - REMARK
    if details and room > STEP_LINE:
        numbers = [step.get("number", number) for number, step in enumerate(steps, start=1)]
        lines = [f"{number} {detail}" for number, detail in zip(numbers, details, strict=False)]
        text = "\n".join(filter(None, [told, *lines]))
        writer.line(cut(text, min(DETAILS, room)), "expandable_blockquote")
    remark = cut(str(payload.get("remark") or ""), REMARK)
    return View((writer.line(remark, "italic").line(note, "italic").build(),), _buttons(payload))


def _step_line(number: int, step: dict[str, Any]) -> str:
    note = f" — {step['note']}" if step.get("note") else ""
    text = on_a_line(f"{step.get('number', number)} {step.get('label') or step.get('id', '')}{note}")
    return f"{MARKS.get(str(step.get('status')), '▫️')} {cut(text, STEP_LINE)}"


def _clock(seconds: Any) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _money(money: Any) -> str:
    if not money:
        return ""
    return f"${float(money):.2f}" if float(money) >= 0.005 else "<$0.01"


# --- questions and approvals ------------------------------------------------------------------------------------------
def _question(message: OutboundMessage) -> View:
    payload = message.payload
    group = message.dest.chat_type != "private"
    asked = str(payload.get("question") or "?")
    if payload.get("answered") is not None:
        name = str(payload.get("label") or asked.strip().rstrip("?？:").strip())
        answered = retell(message.dest.language, str(payload["answered"]))
        return View((Writer().add(f"{cut(name, 1000)}: ").add(cut(answered, 2000), "bold").build(),))
    of = int(payload.get("of") or 1)
    language = message.dest.language
    asked = plain_words(retell(language, asked))
    writer = Writer().add("❓ ").add(cut(defanged(asked) if payload.get("tainted") else asked, 3000), "bold")
    writer.add("  " + say(language, "({number} of {of})", number=payload.get("number", 1), of=of) if of > 1 else "")
    options = [str(option) for option in payload.get("options") or ()]
    long = [option for option in options if len(option) > LABEL]
    for number, option in enumerate(options if long else (), start=1):
        writer.line(f"{number}. {cut(option, 200)}")
    private = mark("Just type an answer, or:") if options else mark("Just type an answer.")
    writer.line(say(language, mark("Reply to this message to answer.") if group else private))
    writer.line(say(language, AGAIN if payload.get("again") else ""), "italic")
    # A message that forces a reply cannot carry buttons, so it is kept for questions that need words.
    free = group and not options and "buttons" not in payload
    return View((writer.build(),), () if free else _buttons(payload, _choices(payload, options)), force_reply=free)


def _choices(payload: dict[str, Any], options: list[str]) -> Rows:
    name = f"q/{payload.get('id', '')}"
    labels = [str(i + 1) for i in range(len(options))] if any(len(o) > LABEL for o in options) else options
    chosen = _rows([(label.strip() or str(i + 1), f"{name}/{i}") for i, label in enumerate(labels)])
    return (*chosen, ((mark("You decide"), f"{name}/you"), (mark("Skip"), f"{name}/skip")))


def _approval(message: OutboundMessage) -> View:
    payload = message.payload
    language = message.dest.language
    if payload.get("calls"):
        text, file = several(payload, language)
        return View((text, *([file] if file is not None else [])), _buttons(payload))
    title = on_a_line(retell(language, str(payload.get("title") or mark("May I?"))))
    writer = Writer().add("🔐 ").add(cut(title, 600), "bold")
    if payload.get("asker"):
        writer.line(say(language, "Asked by {name}.", name=cut(plain_words(str(payload["asker"])), 100)))
    if payload.get("decided") is not None:
        private = message.dest.chat_type == "private" and str(payload.get("by") or "") in {"", message.dest.chat_id}
        return View((_decided(writer, payload, language, private=private),))
    exact = exact_text(payload.get("details"), payload.get("tainted") or ())
    details = plain_words(exact)
    files: tuple[Part, ...] = ()
    if details.strip():
        # A quote is drawn by Telegram: nothing inside it can pose as a line of ours.
        writer.line(cut(details, DETAILS), "expandable_blockquote")
    if width(details) > DETAILS:
        files = (whole(language, exact_text(payload.get("details"))),)
        writer.line(say(language, "Shortened … the whole is in request.txt."), "italic")
    if payload.get("because"):
        writer.line(say(language, "Because:") + " ").add(because_line(language, payload["because"]))
    writer.line(say(language, mark("Which argument?")) if payload.get("editing") else "", "italic")
    writer.line(expiry(language, payload.get("expires")))
    writer.line(say(language, AGAIN if payload.get("again") else ""), "italic")
    name = f"a/{payload.get('id', '')}"
    words = CHECKPOINT if payload.get("checkpoint") else CONSENT
    choices = payload.get("choices") or ("allow", "deny")
    asked = _rows([(words[choice], f"{name}/{choice}") for choice in choices if choice in words])
    asked += (((mark("✏️ Edit"), f"{name}/edit"),),) if payload.get("editable") else ()
    return View((writer.build(), *files), _buttons(payload, asked))


def _decided(writer: Writer, payload: dict[str, Any], language: str, *, private: bool) -> Text:
    """Return what was decided, and of a revision what should be different."""
    words = DECIDED_AT_CHECKPOINT if payload.get("checkpoint") else DECISIONS | {"revise": "✏️ To be different"}
    decided = str(payload["decided"])
    told = retell(language, words.get(decided, decided))
    if decided == "task" and private and payload.get("at"):
        when = time.strftime("%H:%M", time.localtime(float(payload["at"])))
        told = say(language, "✅ Allowed for this task by you, {when}", when=when)
    writer.line(cut(told, 600))
    if payload.get("comment"):
        writer.line(cut(plain_words(str(payload["comment"])), 1000), "expandable_blockquote")
    return writer.build()


# --- words ------------------------------------------------------------------------------------------------------------
def _answer(message: OutboundMessage) -> View:
    payload = message.payload
    text = str(payload.get("text") or "")
    if not payload.get("final", True):
        return View(tuple(part for part in formatted(text + CONTINUES) if isinstance(part, Text)))
    return View(tuple(formatted(text)), _buttons(payload))


def _notice(message: OutboundMessage) -> View:
    payload = message.payload
    text = retell(message.dest.language, str(payload.get("text") or ""))
    if payload.get("markdown"):
        return View(tuple(formatted(text)), _buttons(payload))
    return View((Writer().add(text).build(),), _buttons(payload))


def _error(message: OutboundMessage) -> View:
    payload = message.payload
    language = message.dest.language
    what = retell(language, str(payload.get("text") or mark("Something went wrong.")))
    writer = Writer().add(f"⚠️ {cut(what, 3000)}")
    if payload.get("hint"):
        writer.line(cut(retell(language, str(payload["hint"])), 800))
    if payload.get("ref"):
        writer.line("ref ").add(str(payload["ref"])[:40], "code")
    return View((writer.build(),), _buttons(payload))


VIEWS: dict[MessageKind, Callable[[OutboundMessage], View]] = {
    MessageKind.PLAN: _plan,
    MessageKind.QUESTION: _question,
    MessageKind.APPROVAL: _approval,
    MessageKind.ANSWER: _answer,
    MessageKind.NOTICE: _notice,
    MessageKind.ERROR: _error,
}
