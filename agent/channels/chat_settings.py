"""What a chat may set for itself beside the language: its time zone, its model, whether answers show while they grow.

It is kept in the chat's SESSION.json, so it can be read and changed there too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent.domain.session import LIVE
from agent.errors import ConfigError, DirigentError
from agent.texts import say

if TYPE_CHECKING:
    from agent.domain.messages import Destination, InboundMessage
    from agent.domain.session import SessionFile
    from agent.memory.session_file import SessionFolders

ACTION = "k"
ZONE, DRAFTS = "time_zone", "drafts"
ZONES = ("Europe/London", "Europe/Berlin", "Europe/Moscow", "America/New_York", "America/Los_Angeles", "Asia/Shanghai")
MOST = 10
WITH_DRAFTS = frozenset({"telegram"})  # channels with drafts of their own, in private chats
OWNERS_ONLY = "Only an owner may change this."
Rows = list[list[dict[str, str]]]
Models = Callable[[], Awaitable[tuple[str, ...]]]
"""Returns the names of the models that the server has. Raises ModelError."""


class ChatSettings:
    """Shows and changes the settings of chats. `zone_name` is the time zone of a chat that has none of its own."""

    def __init__(self, sessions: SessionFolders, zone_name: str, model: str, models: Models) -> None:
        self._sessions = sessions
        self._zone_name = zone_name
        self._model = model
        self._models = models

    async def shown(self, message: InboundMessage, language: str) -> tuple[str, Rows]:
        """Return what stands under the language: the settings in words, and the buttons that change them.

        A press that asks for choices is answered with those instead.
        """
        verb = message.action.partition("/")[2]
        if verb == "zone":
            return say(language, "Time zone: choose one, or type `/settings zone Europe/Vienna`."), self._zones(
                language
            )
        if verb == "model":
            return say(language, "Model: choose one."), await self._model_rows(message, language)
        file = await self._file(message)
        zone = str(file.settings.get(ZONE) or self._zone_name)
        drafts = _state(file, message.dest)
        lines = [
            say(language, "Time zone: {zone} (now {time})", zone=zone, time=f"{datetime.now(_zone(zone)):%H:%M}"),
            say(language, "Model: {model}", model=file.model or self._model or say(language, "none")),
            say(language, "Answers show while they are written: {state}", state=_in_words(language, drafts)),
        ]
        rows = [
            [_button(f"🕘 {say(language, 'Time zone')}", "zone"), _button(f"🧠 {say(language, 'Model')}", "model")],
            [_button(f"✍️ {say(language, 'Drafts')}: {_in_short(language, drafts)}", "drafts")],
        ]
        return "\n".join(lines), rows

    async def press(self, message: InboundMessage) -> str:
        """Act on `k/zone/NAME`, `k/model/NUMBER`, `k/drafts`; return what to show for it."""
        verb, _, value = message.action.partition("/")[2].partition("/")
        language = message.dest.language
        if verb == "back" or (verb in {"zone", "model"} and not value):
            return ""
        if not message.trusted and (verb == "model" or message.dest.chat_type != "private"):
            return say(language, OWNERS_ONLY)
        change = {"zone": self.set_zone, "model": self._set_model, "drafts": self._switch_drafts}.get(verb)
        try:
            return await change(message, value) if change else say(language, "This button is no longer known.")
        except DirigentError as error:
            return str(error)

    async def _switch_drafts(self, message: InboundMessage, _value: str) -> str:
        file = await self._file(message)
        states: list[bool | str] = [True, False, LIVE] if _has_drafts(message.dest) else [True, False]
        state = states[(states.index(_state(file, message.dest)) + 1) % len(states)]
        await self._change(message, settings={**file.settings, DRAFTS: state})
        return _in_short(message.dest.language, state)

    async def typed(self, message: InboundMessage, rest: str) -> str:
        """Act on `/settings zone NAME`; "" for nothing typed. Raises ConfigError for what cannot be."""
        word, _, value = rest.partition(" ")
        if not word:
            return ""
        if word.lower() != "zone" or not value.strip():
            raise ConfigError(f"“{rest}” is no setting.", hint="Type `/settings`, or `/settings zone Europe/Vienna`.")
        if not message.trusted and message.dest.chat_type != "private":
            raise ConfigError(OWNERS_ONLY)
        return await self.set_zone(message, value.strip())

    async def set_zone(self, message: InboundMessage, name: str) -> str:
        """Set the chat's time zone, "" for the usual one. Raises ConfigError with the nearest names."""
        name = "" if name == self._zone_name else name
        if name:
            _check(name)
        file = await self._file(message)
        await self._change(message, settings={**file.settings, ZONE: name})
        return name or self._zone_name

    async def _set_model(self, message: InboundMessage, number: str) -> str:
        known = await self._known()
        if number == "usual":
            await self._change(message, model=None)
            return self._model
        if not number.isdecimal() or int(number) >= len(known):
            return say(message.dest.language, "This choice is no longer known.")
        await self._change(message, model=known[int(number)])
        return known[int(number)]

    async def _known(self) -> tuple[str, ...]:
        return tuple(sorted(await self._models()))[: MOST * 2]

    async def _model_rows(self, message: InboundMessage, language: str) -> Rows:
        now = (await self._file(message)).model
        try:
            known = await self._known()
        except DirigentError:
            known = ()
        rows = [[_button(_marked(self._model, chosen=now is None), "model/usual")]] if self._model else []
        rows += [[_button(_marked(name, chosen=name == now), f"model/{n}")] for n, name in enumerate(known)]
        return [*rows, [_button(f"‹ {say(language, 'Back')}", "back")]]

    def _zones(self, language: str) -> Rows:
        names = dict.fromkeys([self._zone_name, "UTC", *ZONES])
        rows = [[_button(name, f"zone/{name}")] for name in names]
        return [*rows, [_button(f"‹ {say(language, 'Back')}", "back")]]

    async def _file(self, message: InboundMessage) -> SessionFile:
        return await self._sessions.file_of(await self._sessions.open(message.dest.session_id))

    async def _change(self, message: InboundMessage, **fields: object) -> None:
        await self._sessions.change(await self._sessions.open(message.dest.session_id), **fields)


def _check(name: str) -> None:
    import difflib
    from zoneinfo import available_timezones

    known = available_timezones()
    if name in known:
        return
    cities = {one.rpartition("/")[2].replace("_", " ").lower(): one for one in sorted(known)}
    wanted = name.rpartition("/")[2].replace("_", " ").lower()
    near = [cities[city] for city in difflib.get_close_matches(wanted, cities, n=3)]
    hint = f"Did you mean {' or '.join(near)}?" if near else "Use a name such as Europe/Vienna."
    raise ConfigError(f"There is no time zone {name!r}.", hint=hint)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _has_drafts(dest: Destination) -> bool:
    return dest.channel in WITH_DRAFTS and dest.chat_type == "private"


def _state(file: SessionFile, dest: Destination) -> bool | str:
    """Return how answers show there while they are written: True by edits, False not at all, LIVE in drafts."""
    kept = file.settings.get(DRAFTS, True)
    return LIVE if kept == LIVE and _has_drafts(dest) else bool(kept)


def _in_short(language: str, state: bool | str) -> str:  # noqa: FBT001 — it is a choice of three
    if state == LIVE:
        return say(language, "live")
    return say(language, "on") if state else say(language, "off")


def _in_words(language: str, state: bool | str) -> str:  # noqa: FBT001 — it is a choice of three
    return say(language, "live, in Telegram’s own drafts") if state == LIVE else _in_short(language, state)


def _marked(name: str, *, chosen: bool) -> str:
    return f"{'✓ ' if chosen else ''}{name}"


def _button(label: str, verb: str) -> dict[str, str]:
    return {"label": label, "action": f"{ACTION}/{verb}"}
