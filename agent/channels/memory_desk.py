"""/memory: what is remembered of a chat, a page at a time in one message; owners edit, endorse, delete and export it.

The file is the truth and a person may edit it at any time, so a fact's buttons name it by a digest of its line: what
has changed meanwhile is not changed again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent import commands
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.memory.entries import Entry, clean
from agent.memory.memory import FILE_NAME, MAX_FACT_CHARS, SessionMemory
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from agent.domain.messages import Destination, InboundMessage
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store

COMMAND, ACTION = "/memory", "x"
PAGE = 6
SECONDS = 600.0
NOT_YOURS = "Only an owner may decide this."
UNKNOWN = "This button is no longer known."
NOTHING = "I remember nothing yet."
GONE = mark("This fact is no longer there.")
Rows = list[list[dict[str, str]]]


class MemoryDesk(Door):
    """The command, its buttons `x/<digest>/<verb>`, `x/page/<n>`, `x/all/<verb>` and `x/file/export`, and new words."""

    commands = frozenset({COMMAND})
    actions = frozenset({ACTION})

    def __init__(self, store: Store, sessions: SessionFolders, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._sessions = sessions
        self._clock = clock

    async def obey(self, message: InboundMessage) -> None:
        """Show the first page, or carry out `/memory forget WORDS`."""
        command = commands.parse(message.text)
        word, _, query = (command.rest if command is not None else "").partition(" ")
        key = message.reply_key
        if word == "forget":
            await self._post(message.dest, key, await self._forget(message, query), [])
            return
        await self._store.set_value(_newest(message.dest), key)
        await self._show(message.dest, 0)

    async def _forget(self, message: InboundMessage, query: str) -> str:
        language = message.dest.language
        if not message.trusted:
            return say(language, NOT_YOURS)
        gone = await (await self._memory(message.dest)).forget(query)
        if not gone:
            return say(language, "Nothing matches “{query}”.", query=query)
        return say(language, "Forgotten:") + "\n" + "\n".join(entry.line() for entry in gone)

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on a button; see the class."""
        language = message.dest.language
        _, what, verb = [*message.action.split("/"), "", ""][:3]
        if what == "page" and verb.isdecimal():
            await self._show(message.dest, int(verb))
            return ""
        if not message.trusted:
            return say(language, NOT_YOURS)
        if what == "file":
            return await self._export(message)
        if what == "all":
            return await self._about_all(message, verb)
        found = next((one for one in await self._entries(message.dest) if digest(one) == what), None)
        if found is None:
            await self._show(message.dest, 0)
            return say(language, GONE)
        return await self._about_one(message, found, verb)

    async def _about_one(self, message: InboundMessage, entry: Entry, verb: str) -> str:
        language = message.dest.language
        if verb == "edit":
            return await self._ask(message, entry)
        if verb == "drop":
            await self._change(message.dest, entry, None)
            return say(language, mark("Forgotten."))
        if verb == "own":
            await self._change(message.dest, entry, replace(entry, source="user", trusted=True))
            return say(language, mark("Now it counts as your own word."))
        return say(language, UNKNOWN)

    async def _about_all(self, message: InboundMessage, verb: str) -> str:
        """Ask first; forgetting everything takes a second press."""
        language = message.dest.language
        if verb == "ask":
            count = len(await self._entries(message.dest))
            rows = [[_button(say(language, mark("🗑 Yes, all of it")), "all/yes")]]
            rows[0].append(_button(say(language, mark("Keep them")), "page/0"))
            key = await self._store.get_value(_newest(message.dest)) or ""
            await self._post(message.dest, key, say(language, mark("Forget everything? Facts: {n}"), n=count), rows)
            return ""
        if verb != "yes":
            return say(language, UNKNOWN)
        await (await self._memory(message.dest)).forget("*")
        await self._show(message.dest, 0)
        return say(language, mark("Forgotten."))

    async def _export(self, message: InboundMessage) -> str:
        """Send the file as it is now."""
        session = await self._sessions.open(message.dest.session_id)
        text = await self._sessions.memory(session).text()
        if not text:
            return say(message.dest.language, NOTHING)
        place = session.folder / "delivered" / f"memory-{_named(message)}" / FILE_NAME
        await asyncio.to_thread(_written, place, text)
        await self._sessions.keep(session)
        payload = {"paths": [str(place)], "caption": ""}
        key = f"memory:export:{message.channel}:{message.update_id}"
        await self._store.post(
            OutboundMessage(message.dest, MessageKind.FILES, key, payload, session_id=message.dest.session_id)
        )
        return ""

    # --- new words ----------------------------------------------------------------------------------------------
    async def _ask(self, message: InboundMessage, entry: Entry) -> str:
        """Ask what a fact should say; the person's next message is the answer, in a group a reply."""
        text = say(message.dest.language, mark("What should it say instead?")) + f"\n“{entry.text}”"
        prompt = f"memory:edit:{message.channel}:{message.update_id}"
        kept = {"entry": digest(entry), "prompt": prompt, "until": self._clock() + SECONDS}
        await self._store.set_value(_asked(message), json.dumps(kept))
        await self._post(message.dest, prompt, text, [])
        return ""

    async def answer(self, message: InboundMessage, files: Sequence[str]) -> bool:
        """Take a message as what a fact should say; False when it is none. Heard twice it is the same answer."""
        kept = json.loads(await self._store.get_value(_asked(message)) or "{}")
        by = f"{message.channel}:{message.update_id}"
        if not kept or files or not message.trusted or commands.parse(message.text) is not None:
            return False
        if kept.get("by"):
            return bool(kept["by"] == by)
        fact = clean(message.text)[:MAX_FACT_CHARS]
        if not fact or kept["until"] < self._clock() or not await self._meant(message, str(kept["prompt"])):
            return False
        await self._store.set_value(_asked(message), json.dumps({**kept, "by": by}))
        entry = next((one for one in await self._entries(message.dest) if digest(one) == kept["entry"]), None)
        said = say(message.dest.language, mark("Changed.") if entry is not None else GONE)
        if entry is not None:
            await self._change(message.dest, entry, replace(entry, text=fact, source="user", trusted=True))
        await self._post(message.dest, str(kept["prompt"]), said, [])
        return True

    async def _meant(self, message: InboundMessage, prompt: str) -> bool:
        if not message.reply_to:
            return message.dest.chat_type == "private"
        shown = await self._store.get_message(prompt)
        return shown is not None and shown.message_id == message.reply_to

    # --- the list -----------------------------------------------------------------------------------------------
    async def _show(self, dest: Destination, page: int) -> None:
        key = await self._store.get_value(_newest(dest))
        if key:
            entries = await self._entries(dest)
            await self._post(dest, key, *listed(entries, page, dest.language))

    async def _change(self, dest: Destination, entry: Entry, new: Entry | None) -> None:
        """Put an entry in the place of another, or take it away, and show the page that it stands on."""
        memory = await self._memory(dest)
        entries = await memory.entries()
        at = entries.index(entry)
        entries[at : at + 1] = [new] if new is not None else []
        await memory.write(entries)
        await self._show(dest, at // PAGE)

    async def _entries(self, dest: Destination) -> list[Entry]:
        return await (await self._memory(dest)).entries()

    async def _memory(self, dest: Destination) -> SessionMemory:
        return self._sessions.memory(await self._sessions.open(dest.session_id))

    async def _post(self, dest: Destination, key: str, text: str, rows: Rows) -> None:
        payload: dict[str, Any] = {"text": text, **({"buttons": rows} if rows else {})}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))


def listed(entries: Sequence[Entry], page: int, language: str) -> tuple[str, Rows]:
    """Return a page of the facts and its buttons; what others said is named with its source."""
    if not entries:
        return say(language, NOTHING), []
    pages = -(-len(entries) // PAGE)
    page = min(page, pages - 1)
    lines = [say(language, mark("🧠 What I remember:"))]
    buttons: list[dict[str, str]] = []
    for number, entry in list(enumerate(entries, start=1))[page * PAGE : (page + 1) * PAGE]:
        others = "" if entry.trusted else say(language, mark(" (said by {source})"), source=entry.source)
        lines.append(f"{number}. {entry.text}{others}")
        buttons += [_button(f"✏️ {number}", f"{digest(entry)}/edit"), _button(f"🗑 {number}", f"{digest(entry)}/drop")]
        if not entry.trusted:
            buttons.append(_button(f"👍 {number}", f"{digest(entry)}/own"))
    turn = [_button(f"{'◀' if other < page else '▶'} {other + 1}/{pages}", f"page/{other}")
            for other in (page - 1, page + 1) if 0 <= other < pages]  # fmt: skip
    whole = [_button(say(language, mark("📄 As a file")), "file/export")]
    whole.append(_button(say(language, mark("🗑 Forget all")), "all/ask"))
    return "\n".join(lines), [
        *(buttons[at : at + 4] for at in range(0, len(buttons), 4)),
        *([turn] if turn else []),
        whole,
    ]


def digest(entry: Entry) -> str:
    """Return what names a fact in a button."""
    return hashlib.sha256(entry.line().encode()).hexdigest()[:12]


def _button(label: str, action: str) -> dict[str, str]:
    return {"label": label, "action": f"{ACTION}/{action}"}


def _written(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def _named(message: InboundMessage) -> str:
    return hashlib.sha256(f"{message.channel}:{message.update_id}".encode()).hexdigest()[:12]


def _newest(dest: Destination) -> str:
    return f"memory:newest:{dest.session_id}"


def _asked(message: InboundMessage) -> str:
    return f"memory:asked:{message.dest.session_id}:{message.user_id}"
