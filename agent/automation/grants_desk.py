"""/grants: every yes that stands (for a task under way, for a pipeline, by the owner's rules), each with a way back."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.automation.desks import ListDesk, Rows, tag
from agent.execution.standing import standing_for_task, take_back_for_task
from agent.policy import own_rules
from agent.policy.grants import grants_of, take_back
from agent.texts import mark

if TYPE_CHECKING:
    from agent.domain.messages import InboundMessage
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

SHOWN = 20
VALUE_CHARS = 60
NONE = mark("No yes of yours stands: each call asks, or is allowed by the rule of consent.")
MORE = mark("… and {n} more: take some back to see them.")
FOR_TASK = mark("{number}. {call} — until this task ends: {task}")
FOR_PIPELINE = mark("{number}. The pipeline {name} by itself — until {day}")
BY_RULE = mark("{number}. Your rule: {rule}")
TAKEN_BACK, GONE = mark("Taken back."), mark("That is over already.")
IN_PRIVATE = mark("Ask me that in a private chat.")


@dataclass(frozen=True, slots=True)
class Standing:
    """One yes: the sentence that tells it, its values, and what takes it back (`verb` and a name)."""

    sentence: str
    values: dict[str, str]
    verb: str
    name: str


class GrantsDesk(ListDesk):
    """Lists what has been agreed to beforehand, with [Take back] for each; in a private chat, for owners."""

    commands = frozenset({"/grants"})
    actions = frozenset({"n"})
    letter = "n"

    def __init__(self, store: Store, pipelines: Pipelines) -> None:
        super().__init__(store)
        self._pipelines = pipelines

    async def obey(self, message: InboundMessage) -> None:
        """Show the list; not where others read it."""
        if message.trusted and message.dest.chat_type != "private":
            await self._post(message.dest, message.reply_key, IN_PRIVATE, [])
            return
        await super().obey(message)

    async def listed(self) -> tuple[str, Rows]:
        lines, rows = [], []
        standing = await self._standing()
        for number, one in enumerate(standing[:SHOWN], 1):
            lines.append(one.sentence.format(number=number, **one.values))
            rows.append([self.button(f"🗑 {number}", one.verb, one.name)])
        if len(standing) > SHOWN:
            lines.append(MORE.format(n=len(standing) - SHOWN))
        return "\n".join(lines) or NONE, rows

    async def act(self, message: InboundMessage, verb: str, name: str) -> str:
        by = f"{message.channel}:{message.user_id}"
        if verb == "task":
            return TAKEN_BACK if await take_back_for_task(self._store, name, by) else GONE
        if verb == "rule" and name.isdecimal():
            await own_rules.remove(self._store, int(name), by)
            return TAKEN_BACK
        meant = next((one for one in self._pipelines.names() if tag(one) == name), "")
        return TAKEN_BACK if meant and await take_back(self._store, meant) else GONE

    async def _standing(self) -> list[Standing]:
        tasks, pipelines, rules = await asyncio.gather(self._tasks(), self._of_pipelines(), self._rules())
        return [*tasks, *pipelines, *rules]

    async def _tasks(self) -> list[Standing]:
        found = []
        for run in await self._store.unfinished_runs():
            for one in await standing_for_task(self._store, run.id):
                task = _short(run.title or run.request)
                found.append(Standing(FOR_TASK, {"call": _call(one.tool, one.args), "task": task}, "task", one.id))
        return found

    async def _of_pipelines(self) -> list[Standing]:
        now, found = time.time(), []
        for name in await asyncio.to_thread(self._pipelines.names):
            ends = [one.until for one in await grants_of(self._store, name) if one.until > now]
            if ends:
                found.append(Standing(FOR_PIPELINE, {"name": name, "day": _day(max(ends))}, "pipe", tag(name)))
        return found

    async def _rules(self) -> list[Standing]:
        rules = (await own_rules.rules_of(self._store)).rules
        standing = [one for one in rules if one.kind == "allow" and (one.until or 0) > time.time()]
        return [Standing(BY_RULE, {"rule": _short(one.in_words(), 200)}, "rule", str(one.number)) for one in standing]


def _call(tool: str, args: dict[str, object]) -> str:
    """Return a call in a line; long values are cut, visibly."""
    given = ", ".join(f"{name}={_short(json.dumps(value, ensure_ascii=False))}" for name, value in args.items())
    return f"{tool}({_short(given, 200)})"


def _short(text: str, chars: int = VALUE_CHARS) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= chars else f"{plain[: chars - 1]}…"


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))
