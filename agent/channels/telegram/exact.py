"""Exact values as a person reads them before consenting: nothing in them hides, poses as a line of ours, or is a link.

Used for what came from others as well as for what the person typed; the bytes themselves go into a file when they are
long.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from agent.channels.telegram.texts import LIMIT, Document, Text, Writer, cut, plain_words, width
from agent.channels.visible import visible
from agent.policy.reasons import retold
from agent.texts import mark, retell, say, say_n

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DETAILS = 2400
BECAUSE = 500
TITLE = 600
TITLE_IN_LIST = 120
FRAME = 500  # units that a list's own words may take
LEAST_DETAILS = 60
LINKS = re.compile(
    r"\b[a-z][a-z0-9+.-]{1,15}://[^\s<>\"]+|(?<![@\w./-])(?:www\.|(?:[\w-]+\.)+[a-z]{2,24}/)[^\s<>\"]*", re.IGNORECASE
)
STATES = {"allow": "✅", "task": "✅", "deny": "❌", None: "▫️"}


def defanged(text: str) -> str:
    """Return the text with its links so that nobody follows one by a slip: `hxxps://example[.]org/a`."""
    return LINKS.sub(lambda found: _dead(found[0]), text)


def _dead(link: str) -> str:
    scheme, between, rest = link.rpartition("://")
    host, slash, path = rest.partition("/")
    dead = re.sub("http", lambda found: "hxxp" if found[0].islower() else "HXXP", scheme, flags=re.IGNORECASE)
    between = between if dead != scheme else between.replace(":", "[:]")  # a chat knows other schemes than the web's
    return dead + between + host.replace(".", "[.]") + slash + path


def on_a_line(text: str) -> str:
    """Return a text that others may have a hand in as one line, with nothing in it that hides or can be followed."""
    return defanged(plain_words(" ".join(text.split())))


def exact_text(details: Any, tainted: Sequence[str] = ()) -> str:
    """Return what is asked for, one argument a line; the lines of a longer text are set in, so that none can pose.

    The links of the arguments in `tainted` are dead; what can't be seen is written out.
    """
    if not isinstance(details, dict):
        return str(details or "")
    lines = []
    for name, value in details.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        text = visible(defanged(text) if name in tainted else text)
        lines.append(f"{' '.join(str(name).split())}: " + "\n    ".join(text.splitlines() or [""]))
    return "\n".join(lines)


def because_line(language: str, because: Any) -> str:
    """Return why a person is asked, as one line."""
    return cut(on_a_line(retold(language, str(because))), BECAUSE)


def expiry(language: str, expires: Any) -> str:
    """Return until when it may be decided."""
    if not expires:
        return ""
    known = isinstance(expires, (int, float))
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(expires)) if known else expires
    return say(language, "Expires {when}.", when=when)


def whole(language: str, exact: str) -> Document:
    """Return the file that holds what is too long for the chat."""
    return Document("request.txt", exact.encode("utf-8", "replace"), say(language, "The whole request"))


# --- several calls --------------------------------------------------------------------------------------------------
def several(payload: Mapping[str, Any], language: str) -> tuple[Text, Document | None]:
    """Return how several calls look: one by one, as a page of a list, or, when all is decided, what was."""
    calls: list[dict[str, Any]] = payload["calls"]
    if not payload.get("open"):
        return _decided(calls, language), None
    if payload.get("each"):
        return _one_of(payload, calls, language)
    return _page(payload, calls, language)


def _decided(calls: Sequence[Mapping[str, Any]], language: str) -> Text:
    writer = Writer().add("🔐 ").add(say_n(language, "{n} call", "{n} calls", len(calls)), "bold")
    for at, call in enumerate(calls):
        line = _decision(call, language)
        if writer.size + width(line) > LIMIT - FRAME:
            writer.line(say_n(language, "… and {n} more", "… and {n} more", len(calls) - at))
            break
        writer.line(line)
    return writer.build()


def _decision(call: Mapping[str, Any], language: str) -> str:
    decided = str(call.get("decided"))
    said = {"allow": mark("✅ Allowed"), "task": mark("✅ Allowed for this task"), "deny": mark("❌ Denied")}
    told = retell(language, said.get(decided, decided))
    return f"{call['number']}. {cut(on_a_line(str(call['title'])), TITLE_IN_LIST)} — {cut(told, TITLE_IN_LIST)}"


def _one_of(
    payload: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], language: str
) -> tuple[Text, Document | None]:
    """Return the call that is to be decided now, and where the others stand."""
    number = int(payload["now"])
    call = calls[number - 1]
    writer = Writer().add("🔐 ").add(cut(on_a_line(str(call["title"])), TITLE), "bold")
    writer.add("  " + say(language, "({number} of {of})", number=number, of=len(calls)))
    exact = exact_text(call["details"], call.get("tainted") or ())
    details = plain_words(exact)
    writer.line(cut(details, DETAILS) if details.strip() else "", "expandable_blockquote")
    file = whole(language, exact) if width(details) > DETAILS else None
    writer.line(say(language, "Shortened … the whole is in request.txt.") if file else "", "italic")
    writer.line(say(language, "Because:") + " " + because_line(language, call.get("because") or ""))
    marks = [f"{one['number']} {'▶' if one is call else STATES.get(one.get('decided'), '⏹')}" for one in calls]
    writer.line(cut(" · ".join(marks), FRAME))
    writer.line(say(language, mark("Which argument?")) if payload.get("editing") else "", "italic")
    return writer.line(expiry(language, call.get("expires"))).build(), file


def _page(
    payload: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], language: str
) -> tuple[Text, Document | None]:
    """Return the calls of one page, and a file with all that are open when the page does not show them whole."""
    pages, page = int(payload.get("pages") or 1), int(payload.get("page") or 0)
    size = int(payload.get("size") or len(calls))
    here = calls[page * size : (page + 1) * size]
    head = say_n(language, "{n} call waits for your word", "{n} calls wait for your word", int(payload["open"]))
    writer = Writer().add("🔐 ").add(head, "bold").add(f"  ({page + 1}/{pages})" if pages > 1 else "")
    room = (LIMIT - FRAME) // max(len(here), 1)
    shortened = pages > 1
    for call in here:
        shortened |= _listed(writer, call, room, language)
    writer.line(say(language, "Shortened … the whole is in request.txt.") if shortened else "", "italic")
    ends = [call["expires"] for call in calls if call.get("decided") is None and call.get("expires")]
    writer.line(expiry(language, min(ends, default=None)))
    return writer.build(), whole(language, _all(calls, language)) if shortened else None


def _listed(writer: Writer, call: Mapping[str, Any], room: int, language: str) -> bool:
    """Write one call of a list into so many units; return whether something of it had to be left out."""
    if call.get("decided") is not None:
        writer.line(_decision(call, language))
        return False
    title = f"{call['number']}. {cut(on_a_line(str(call['title'])), TITLE_IN_LIST)}"
    because = cut(
        f"{say(language, 'Because:')} {because_line(language, call.get('because') or '')}", max(room // 3, 80)
    )
    details = plain_words(exact_text(call["details"], call.get("tainted") or ()))
    left = max(room - width(title) - width(because) - 4, LEAST_DETAILS)
    shown = cut(details, left)
    writer.line(title, "bold")
    writer.line(shown if shown.strip() else "", "blockquote")
    writer.line(because)
    return shown != details


def _all(calls: Sequence[Mapping[str, Any]], language: str) -> str:
    """Return every open call with its exact arguments."""
    parts = [
        f"{call['number']}. {' '.join(str(call['title']).split())}\n{exact_text(call['details'])}\n"
        f"{say(language, 'Because:')} {' '.join(retold(language, str(call.get('because') or '')).split())}\n"
        for call in calls
        if call.get("decided") is None
    ]
    return "\n".join(parts)
