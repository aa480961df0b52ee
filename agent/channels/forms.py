"""/tools: the menus and forms of the plugins. A form asks for one field after the other in one message.

What was filled in is in the journal after each field, so a form is filled on after a restart. At its end the command is
run with those values, as the person's own words; so is what a menu's button stands for.
"""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from agent.channels.form_values import Given, Unfit, value_of
from agent.channels.form_view import DOOR, Filling, Rows, button, in_rows, view
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.errors import ToolArguments, ToolUnknown
from agent.texts import say
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from agent.catalogue import Catalogue
    from agent.domain.messages import Destination, InboundMessage
    from agent.domain.session import Session
    from agent.memory.session_file import SessionFolders
    from agent.store.protocol import Store

COMMAND = "/tools"
OWN = "menu:"  # how the names of messages begin that a menu's button stands for
SECONDS = 3600.0
FILES_OFFERED = 8
DIGEST = 12
GONE = "This button is no longer known."
NOT_YOURS = "Only the person who opened this form may fill it in."


class FormsDesk(Door):
    """The command /tools, its buttons `f/…`, and the messages that fill in a form."""

    commands = frozenset({COMMAND})
    actions = frozenset({DOOR})

    def __init__(  # what it stands between
        self,
        store: Store,
        catalogue: Catalogue,
        sessions: SessionFolders,
        hear: Callable[[InboundMessage], Awaitable[None]],
        zone_name: str = "",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._sessions = sessions
        self._hear = hear
        self._zone_name = zone_name
        self._clock = clock

    async def obey(self, message: InboundMessage) -> None:
        """Show the plugins that have menus or forms."""
        key = message.reply_key
        await self._store.set_value(_newest(message.dest), key)
        await self._show_plugins(message.dest)

    # --- menus --------------------------------------------------------------------------------------------------
    async def _show_plugins(self, dest: Destination) -> None:
        ui = await self._ui(dest)
        buttons = [button(name.replace("_", " ").capitalize(), f"p/{_digest(name)}") for name in sorted(ui)]
        text = say(dest.language, "What would you like to do?") if ui else say(dest.language, "No plugin has any.")
        await self._show_menu(dest, text, in_rows(buttons))

    async def _show_plugin(self, dest: Destination, name: str, shown: dict[str, Any]) -> None:
        buttons = [button(label, f"{verb}/{digest}") for verb, digest, label, _ in _choices(name, shown)]
        rows = [*in_rows(buttons), [button(f"‹ {say(dest.language, 'Back')}", "top")]]
        await self._show_menu(dest, shown["summary"] or name, rows)

    async def _show_menu(self, dest: Destination, text: str, rows: Rows) -> None:
        key = await self._store.get_value(_newest(dest))
        if key:
            await self._post(dest, key, text, rows)

    async def _ui(self, dest: Destination) -> dict[str, Any]:
        session = await self._sessions.open(dest.session_id)
        return self._catalogue.get_plugin_ui(session.profile)

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on `f/top`, `f/p/PLUGIN`, `f/do/BUTTON`, `f/open/FORM`, and a form's `f/ID/back|skip|cancel|NUMBER`."""
        first, _, rest = message.action.partition("/")[2].partition("/")
        if first == "top":
            await self._show_plugins(message.dest)
            return ""
        if first in {"p", "do", "open"}:
            return await self._chosen(message, first, rest)
        filling = await self._filling(first)
        if filling is None:
            return say(message.dest.language, GONE)
        if filling.user_id != message.user_id:
            return say(message.dest.language, NOT_YOURS)
        return await self._pressed(message, filling, rest)

    async def _chosen(self, message: InboundMessage, verb: str, digest: str) -> str:
        """Show a plugin's menu, say what a button stands for, or open a form."""
        for name, shown in (await self._ui(message.dest)).items():
            if verb == "p" and _digest(name) == digest:
                await self._show_plugin(message.dest, name, shown)
                return ""
            for kind, its, _, what in _choices(name, shown):
                if (kind, its) != (verb, digest):
                    continue
                if kind == "do":
                    await self._said(message, f"{OWN}{message.update_id}", what["action"])
                    return ""
                await self._open(message, what)
                return ""
        return say(message.dest.language, GONE)

    async def _pressed(self, message: InboundMessage, filling: Filling, verb: str) -> str:
        language = message.dest.language
        if filling.by == _name(message):  # pressed again by a restart
            await self._finish_if_done(message, filling)
            return ""
        if filling.state != "open":
            return say(language, "Too late: this has been settled already.")
        if verb in {"cancel", "back"}:
            state, at = ("cancelled", filling.at) if verb == "cancel" else ("open", max(0, filling.at - 1))
            await self._keep(message, replace(filling, state=state, at=at, trouble=""))
            return say(language, "Nothing was done") if verb == "cancel" else ""
        if verb == "skip" and not filling.fields[filling.at]["required"]:
            skipped = filling.fields[filling.at]["name"]
            values = {name: value for name, value in filling.values.items() if name != skipped}
            await self._go_on(message, replace(filling, values=values))
            return ""
        where, _, number = verb.partition("-")
        if where != str(filling.at) or not number.isdecimal() or int(number) >= len(filling.offered):
            return say(language, "This choice is no longer known.")
        await self._take(message, filling, Given(filling.offered[int(number)]))
        return ""

    # --- filling in ---------------------------------------------------------------------------------------------
    async def _open(self, message: InboundMessage, form: dict[str, Any]) -> None:
        """Ask for the first field. The message that a person presses twice in a crash opens one form."""
        form_id = _digest(f"{message.channel}:{message.update_id}")
        if await self._filling(form_id) is None:
            opened = Filling(form_id, form, message.user_id)
            await self._store.set_value(_open_one(message), form_id)
            await self._keep(message, opened)

    async def answer(self, message: InboundMessage, files: Sequence[str]) -> bool:
        """Take a message as what the open form's field asks for; False when it is none. `files` came along with it.

        In a group it has to be a reply to the form; in a private chat any text or file that is no reply to another.
        """
        filling = await self._filling(await self._store.get_value(_open_one(message)) or "")
        if filling is None or message.update_id.startswith(OWN):  # a menu's button says something else
            return False
        if filling.by == _name(message):  # heard again after a crash
            await self._finish_if_done(message, filling)
            return True
        if filling.state != "open" or filling.until < self._clock() or not await self._meant(message, filling):
            return False
        is_file = filling.fields[filling.at]["kind"] == "file"
        if not message.text.strip() and not (files and is_file):
            return False
        if files and not is_file:  # then the files are what it is about
            return False
        fitting = tuple(name for name in files if self._takes(filling, name))
        await self._take(message, filling, Given(message.text, fitting))
        return True

    async def _meant(self, message: InboundMessage, filling: Filling) -> bool:
        if not message.reply_to:
            return message.dest.chat_type == "private"
        shown = await self._store.get_message(filling.key)
        return shown is not None and shown.message_id == message.reply_to

    async def _take(self, message: InboundMessage, filling: Filling, given: Given) -> None:
        asked = filling.fields[filling.at]
        offered = await self._files(message.dest, filling) if asked["kind"] == "file" else filling.offered
        try:
            value = value_of(asked, given, offered, await self._today(message.dest), message.dest.language)
        except Unfit as problem:
            await self._keep(message, replace(filling, trouble=problem.message))
            return
        await self._go_on(message, replace(filling, values={**filling.values, asked["name"]: value}))

    async def _go_on(self, message: InboundMessage, filling: Filling) -> None:
        """Ask for the next field; after the last one, run the command, unless its tool finds fault with the values."""
        if filling.at + 1 < len(filling.fields):
            await self._keep(message, replace(filling, at=filling.at + 1, trouble=""))
            return
        trouble = self._fault(filling)
        done = replace(filling, trouble=trouble, state="open" if trouble else "done")
        await self._keep(message, done)
        await self._finish_if_done(message, done)

    def _fault(self, filling: Filling) -> str:
        """Return what the tool says about the values, "" when they will do."""
        try:
            spec = self._catalogue.find(filling.form["command"])
            self._catalogue.validate(spec, dict(filling.values))
        except (ToolArguments, ToolUnknown) as problem:
            return str(problem)
        return ""

    async def _finish_if_done(self, message: InboundMessage, filling: Filling) -> None:
        if filling.state == "done":
            await self._said(message, filling.key, filling.line)

    async def _said(self, message: InboundMessage, name: str, text: str) -> None:
        """Store words as a message of the person's own, and hear them; the same name again changes nothing."""
        own = replace(message, update_id=name, action="", text=text, attachments=(), quoted="", reply_to="", id=0)
        for fresh in await self._store.receive([own]):
            await self._hear(fresh)

    # --- what is kept, and shown ----------------------------------------------------------------------------------
    async def _keep(self, message: InboundMessage, filling: Filling) -> None:
        """Write down how the form stands, and show it."""
        offered: Sequence[str] = ()
        if filling.state == "open":
            offered = await self._offers(message.dest, filling)
        until = self._clock() + SECONDS
        kept = replace(filling, offered=tuple(offered), by=_name(message), until=until)
        await self._store.set_value(kept.key, json.dumps(asdict(kept)))
        text, rows = view(kept, message.dest.language)
        await self._post(message.dest, kept.key, text, rows)

    async def _filling(self, form_id: str) -> Filling | None:
        stored = await self._store.get_value(f"form:{form_id}") if form_id else None
        if not stored:
            return None
        fields = json.loads(stored)
        return Filling(**{**fields, "offered": tuple(fields["offered"])})

    async def _offers(self, dest: Destination, filling: Filling) -> Sequence[str]:
        """Return the values that the present field offers as buttons."""
        asked = filling.fields[filling.at]
        if asked["kind"] == "choice":
            return tuple(asked["choices"])
        if asked["kind"] == "date":
            return ("today", "tomorrow")
        return (await self._files(dest, filling))[:FILES_OFFERED] if asked["kind"] == "file" else ()

    async def _files(self, dest: Destination, filling: Filling) -> list[str]:
        """Return the files of the workspace that the command's parameter takes."""
        session = await self._sessions.open(dest.session_id)
        await self._sessions.fetch(session)
        return [name for name in _listed(session) if self._takes(filling, name)]

    def _takes(self, filling: Filling, name: str) -> bool:
        try:
            spec = self._catalogue.find(filling.form["command"])
        except ToolUnknown:
            return True
        suffixes = spec.file_parameters.get(filling.fields[filling.at]["name"], ())
        return not suffixes or any(fnmatch(name.casefold(), f"*{suffix.casefold()}") for suffix in suffixes)

    async def _today(self, dest: Destination) -> Any:
        session = await self._sessions.open(dest.session_id)
        name = str((await self._sessions.file_of(session)).settings.get("time_zone") or self._zone_name or "UTC")
        try:
            zone = ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            zone = ZoneInfo("UTC")
        return datetime.fromtimestamp(self._clock(), UTC).astimezone(zone).date()

    async def _post(self, dest: Destination, key: str, text: str, rows: Rows) -> None:
        payload = {"text": text, "buttons": rows}
        session_id = dest.session_id
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=session_id))


def _choices(plugin: str, shown: dict[str, Any]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield what a plugin's buttons are: `do` or `open`, a digest that names it, the label, and what it stands for."""
    for element in shown["elements"]:
        if element["type"] == "form":
            yield "open", _digest(f"{plugin}/{element['title']}/{element['command']}"), element["title"], element
            continue
        for one in element["buttons"]:
            digest = _digest(f"{plugin}/{one['label']}/{one['action']}")
            yield "do", digest, one["label"], one


def _listed(session: Session) -> tuple[str, ...]:
    with Workspace(session.workspace) as workspace:
        return workspace.list_files()


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()[:DIGEST]


def _newest(dest: Destination) -> str:
    return f"tools:newest:{dest.session_id}"


def _open_one(message: InboundMessage) -> str:
    return f"form:open:{message.dest.session_id}:{message.user_id}"


def _name(message: InboundMessage) -> str:
    return f"{message.channel}:{message.update_id}"
