"""Projects, events, chains and pipelines in a chat: lists with buttons, for owners."""

from __future__ import annotations

import hashlib
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from agent.automation.agreeing import what_it_says, yet_to_agree
from agent.automation.chat import OWNERS_ONLY
from agent.automation.overview import chain_line, event_line, pipeline_lines, pipeline_rows, project_line
from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.errors import DirigentError
from agent.policy.grants import agree, take_back

if TYPE_CHECKING:
    from agent.automation.chains import Chains
    from agent.automation.pipelines import PipelineOrchestrator
    from agent.automation.scheduler import AutomationScheduler
    from agent.domain.messages import Destination, InboundMessage
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

SHOWN = 10
Rows = list[list[dict[str, str]]]


def tag(name: str) -> str:
    """Return what stands for a name in a button, which holds few letters."""
    return hashlib.sha256(name.encode()).hexdigest()[:16]


class ListDesk(Door, ABC):
    """A command that lists things with buttons; a press changes one of them and the list is shown anew.

    A button's action is `<letter>/<verb>/<name of the thing>`.
    """

    commands: frozenset[str]
    actions: frozenset[str]
    letter: ClassVar[str]

    def __init__(self, store: Store) -> None:
        self._store = store

    async def obey(self, message: InboundMessage) -> None:
        """Show the list."""
        if not message.trusted:
            await self._post(message.dest, message.reply_key, OWNERS_ONLY, [])
            return
        key = f"{self.letter}:{message.channel}:{message.update_id}"
        await self._store.set_value(self._newest(message.dest), key)
        await self._show_again(message.dest)

    async def press(self, message: InboundMessage) -> str:
        """Act on a button and show the list as it is now."""
        if not message.trusted:
            return "Only an owner may do that."
        _, _, rest = message.action.partition("/")
        verb, _, name = rest.partition("/")
        try:
            said = await self.act(message, verb, name)
        except DirigentError as error:
            said = str(error)
        await self._show_again(message.dest)
        return said

    @abstractmethod
    async def listed(self) -> tuple[str, Rows]:
        """Return what is shown: the text, and the buttons."""

    @abstractmethod
    async def act(self, message: InboundMessage, verb: str, name: str) -> str:
        """Do what a button says and return what to show for it. May raise DirigentError."""

    def button(self, label: str, verb: str, name: str) -> dict[str, str]:
        """Return a button of this list."""
        return {"label": label, "action": f"{self.letter}/{verb}/{name}"}

    def _newest(self, dest: Destination) -> str:
        return f"list:{self.letter}:{dest.session_id}"

    async def _show_again(self, dest: Destination) -> None:
        key = await self._store.get_value(self._newest(dest))
        if key:
            await self._post(dest, key, *await self.listed())

    async def _post(self, dest: Destination, key: str, text: str, buttons: Rows) -> None:
        payload = {"text": text, "buttons": buttons}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))


class ProjectsDesk(ListDesk):
    """/projects: budgets, what goes on, and [Pause] or [Resume]."""

    commands = frozenset({"/projects"})
    actions = frozenset({"j"})
    letter = "j"

    def __init__(self, store: Store, automation: AutomationScheduler) -> None:
        super().__init__(store)
        self._automation = automation

    async def listed(self) -> tuple[str, Rows]:
        lines, rows = [], []
        known = await self._store.projects()
        for number, project in enumerate(known[:SHOWN], 1):
            status = await self._store.project_status(project.name)
            if status is None:
                continue
            lines.append(f"{number}. {project_line(status)}")
            verb, label = ("resume", "⏵ Resume") if project.paused else ("pause", "⏸ Pause")
            rows.append([self.button(f"{label} {number}", verb, tag(project.name))])
        if len(known) > SHOWN:
            lines.append(f"… and {len(known) - SHOWN} more: `dirigent projects` lists them.")
        return "\n".join(lines) or "There are no projects: `dirigent projects create NAME` makes one.", rows

    async def act(self, message: InboundMessage, verb: str, name: str) -> str:  # noqa: ARG002 - as others need it
        meant = next((one.name for one in await self._store.projects() if tag(one.name) == name), "")
        if not await self._automation.pause_project(meant, paused=verb == "pause"):
            return "This project is no longer there."
        return "Paused: its events are kept" if verb == "pause" else "Goes on"


class EventsDesk(ListDesk):
    """/events: what waits, and what could not be handled, with [Retry] and [Drop]."""

    commands = frozenset({"/events"})
    actions = frozenset({"v"})
    letter = "v"

    def __init__(self, store: Store, automation: AutomationScheduler, zone_name: str) -> None:
        super().__init__(store)
        self._automation = automation
        self._zone = zone_name

    async def listed(self) -> tuple[str, Rows]:
        dead = await self._store.newest_events(SHOWN, status="dead")
        waiting = await self._store.newest_events(SHOWN, status="new")
        done = await self._store.newest_events(5, status="handled")
        lines = [f"⚠️ {event_line(event, self._zone)}" for event in dead]
        lines += [f"⏳ {event_line(event, self._zone)}" for event in waiting]
        lines += [event_line(event, self._zone) for event in done]
        rows = [
            [self.button(f"↻ Retry {event.id}", "retry", str(event.id)), self.button("🗑 Drop", "drop", str(event.id))]
            for event in dead
        ]
        return "\n".join(lines) or "No events yet.", rows

    async def act(self, message: InboundMessage, verb: str, name: str) -> str:  # noqa: ARG002 - as others need it
        event = await self._automation.find_event(name)
        if verb == "retry":
            return "It is tried again" if await self._automation.retry(event) else "It is not dead any more."
        return "Dropped" if await self._automation.drop(event) else "It is handled already."


class ChainsDesk(ListDesk):
    """/chains: how each has gone, with [Run]."""

    commands = frozenset({"/chains"})
    actions = frozenset({"c"})
    letter = "c"

    def __init__(self, store: Store, chains: Chains, zone_name: str) -> None:
        super().__init__(store)
        self._chains = chains
        self._zone = zone_name

    async def listed(self) -> tuple[str, Rows]:
        lines, rows = [], []
        for number, chain in enumerate((await self._chains.list())[:SHOWN], 1):
            history = await self._chains.history(chain.id, 1)
            lines.append(f"{number}. {chain_line(chain, history, self._zone)}")
            rows.append([self.button(f"▶ Run {number}", "run", chain.id)])
        return "\n".join(lines) or "There are no chains: `dirigent chains create NAME PIPELINE …` makes one.", rows

    async def act(self, message: InboundMessage, verb: str, name: str) -> str:  # noqa: ARG002 - there is one verb
        await self._chains.run(name, message.dest, user_id=message.user_id)
        return "Started"


class PipelinesDesk(ListDesk):
    """/pipelines: what each does and how it has gone, with [On] or [Off] for those that start by themselves.

    [On] first asks for the owner's yes to what such a run may change, exactly as the command line does.
    """

    commands = frozenset({"/pipelines"})
    actions = frozenset({"y"})
    letter = "y"

    def __init__(self, store: Store, pipelines: Pipelines, scheduled: PipelineOrchestrator) -> None:
        super().__init__(store)
        self._pipelines = pipelines
        self._scheduled = scheduled

    async def listed(self) -> tuple[str, Rows]:
        lines, buttons = [], []
        for row in await pipeline_rows(self._pipelines, self._scheduled, self._store):
            first, *more = pipeline_lines(row)
            lines += [f"`{row.name}`{first.removeprefix(row.name)}", *(f"   {line}" for line in more)]
            if row.declares:
                label, verb = ("⏸ Off", "off") if row.on else ("⏵ On", "on")
                buttons.append([self.button(f"{label}: {row.name}", verb, tag(row.name))])
        none = "There are no pipelines: put a YAML file into `pipelines/` of the home."
        return "\n".join(lines[:60]) or none, buttons[:SHOWN]

    async def act(self, message: InboundMessage, verb: str, name: str) -> str:
        named, _, seals = name.partition("/")
        meant = next((one for one in self._pipelines.names() if tag(one) == named), "")
        if not meant:
            return "This pipeline is no longer there."
        if verb == "off":
            await take_back(self._store, meant)
        else:
            open_ = await yet_to_agree(self._store, await self._pipelines.ready(meant), time.time())
            if open_ and verb == "on":
                return await self._ask(message, meant, open_)
            if verb == "agree" and tag(_sealed(open_)) != seals:
                return "It has changed since: tap On again."
            for given in open_ if verb == "agree" else ():
                await agree(self._store, given, f"{message.channel}:{message.user_id}", time.time())
        await self._scheduled.switch(meant, on=verb != "off")
        return "Its triggers are off" if verb == "off" else "Its triggers are on"

    async def _ask(self, message: InboundMessage, name: str, wanted: list[dict[str, Any]]) -> str:
        """Show what a yes allows: it is given, or each change asks, before anything starts by itself."""
        text = "\n".join(line for given in wanted for line in what_it_says(given))
        pinned = f"{tag(name)}/{tag(_sealed(wanted))}"
        rows = [
            [self.button("✅ Agree, and switch on", "agree", pinned)],
            [self.button("⏵ Switch on; each change asks", "each", tag(name))],
        ]
        await self._post(message.dest, f"agree:{message.channel}:{message.update_id}", text, rows)
        return "It asks for your yes first"


def _sealed(wanted: list[dict[str, Any]]) -> str:
    return " ".join(sorted(given["seal"] for given in wanted))
