"""Events until something has been done about them: each fires its rules once, whatever happens in between.

Within a project they are handled strictly in order: one that has to be tried again holds up those behind it, until it
is handled or dead. Dead is only what a person has to put right, or a fault of ours that comes again and again; while
the machine is in the way, events wait. Those of a paused project stay as they are. Runs are only started here, never
awaited.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from loguru import logger

from agent.automation.attempts import Attempts
from agent.automation.mapping import EventMapper
from agent.domain.artifacts import Artifact
from agent.domain.trigger import TriggerKind
from agent.errors import DirigentError
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from agent.automation.launching import Launcher
    from agent.domain.event import Event
    from agent.domain.trigger import Trigger
    from agent.store.protocol import Store

AT_ONCE = 200
UNTAKEN = "No rule takes it."


class EventDesk:
    """Hands stored events to the rules that they meet. `news` says that there may be new ones.

    `channel` leaves to others what concerns the chats of another channel; "" takes all.
    """

    def __init__(self, store: Store, launcher: Launcher, clock: Callable[[], float], channel: str = "") -> None:
        self._store = store
        self._launcher = launcher
        self._clock = clock
        self.channel = channel
        self._attempts = Attempts(clock)
        self.news = True

    @property
    def next_try(self) -> float | None:
        """When the next event is due that could not be handled so far, in seconds since 1970."""
        return self._attempts.next_try

    async def handle(self) -> None:
        """Fire the rules of every event that nothing has been done about; what can't be handled is dead."""
        self.news |= self._attempts.come_due()
        limit = AT_ONCE
        while self.news:
            self.news = False
            events = await self._store.events("new", limit)
            if not events:
                return
            settled = await self._go_through(events, await self._rules())
            if len(events) == limit:
                self.news = True
                limit = limit if settled else limit * 2  # so many that are held up must not hide those behind them

    async def _rules(self) -> EventMapper:
        found = await self._store.triggers(kind=TriggerKind.EVENT)
        return EventMapper([*found, *await self._store.triggers(kind=TriggerKind.WEBHOOK)])

    async def _go_through(self, events: Iterable[Event], rules: EventMapper) -> int:
        """Handle events in order; return how many are settled."""
        held: set[str] = set()
        settled = 0
        for event in events:
            if event.project in held:
                continue
            if await self._may_be_handled(event, rules) and await self._handle(event, rules):
                settled += 1
            elif event.project:
                held.add(event.project)
        return settled

    async def _may_be_handled(self, event: Event, rules: EventMapper) -> bool:
        if self._attempts.is_early(event.id):
            return False
        project = await self._store.get_project(event.project) if event.project else None
        if project is not None and project.paused:  # it may have been paused since the events were read
            return False
        return not self.channel or await self._is_ours(event, rules)

    async def _is_ours(self, event: Event, rules: EventMapper) -> bool:
        places = [await self._launcher.placed(rule) for rule in rules.map_event(event)]
        return all(rule.dest.channel == self.channel for rule in places)

    async def _handle(self, event: Event, rules: EventMapper) -> bool:
        """Fire all that an event leads to; False when it is to be tried again."""
        faults: list[Exception] = []
        taking = rules.map_event(event)
        for rule in taking:
            try:
                await self._fire(rule, event)
            except Exception as error:
                faults.append(error)
                unforeseen = None if isinstance(error, DirigentError) else error
                logger.opt(exception=unforeseen).warning("event {}: rule {} failed: {}", event.key, rule.id, error)
        if faults:
            return await self._failed(event, faults)
        self._attempts.forget(event.id)
        await self._store.settle_event(event.id, "handled", "" if taking else _untaken(rules.asleep(event)))
        return True

    async def _failed(self, event: Event, faults: list[Exception]) -> bool:
        """Have an event tried again later, or call it dead; True when it is dead. Either way it says why.

        What a person has to put right (a pipeline that is gone, a value that is missing) no further try puts right.
        """
        said = "; ".join(dict.fromkeys(str(error) or type(error).__name__ for error in faults))
        if self._attempts.failed(event.id, faults):
            await self._store.settle_event(event.id, "new", said)
            return False
        logger.error("event {} ({}) could not be handled: {}", event.key, event.type, said)
        await self._store.settle_event(event.id, "dead", said)
        return True

    async def _fire(self, rule: Trigger, event: Event) -> None:
        rule = await self._launcher.placed(rule)
        subject = await self._put(rule, event) if self._launcher.wants_file(rule) else ""
        await self._launcher.fire(rule, f"event:{event.key}", event.at, subject=subject, event=event)

    async def _put(self, rule: Trigger, event: Event) -> str:
        """Write the event into the session's workspace, labelled; return the file's name."""
        name = f"event-{event.id}.json"
        written = {"type": event.type, "source": event.source, "at": event.at, "payload": event.payload}
        data = json.dumps(written, ensure_ascii=False, indent=1).encode()
        session = await self._launcher.session_of(rule)
        async with self._launcher.orchestrator.sessions.writing(session):
            with Workspace(session.workspace) as workspace:
                workspace.write_bytes(name, data)
        digest = hashlib.sha256(data).hexdigest()
        file = Artifact(name, len(data), digest, "application/json", provenance=event.label)
        await self._store.add_artifacts(session.id, None, "", [file])
        return name


def _untaken(asleep: list[Trigger]) -> str:
    """Return why nothing was done about an event: no rule is for it, or those that are have been switched off."""
    if not asleep:
        return UNTAKEN
    return f"{UNTAKEN} Switched off: {', '.join(dict.fromkeys(rule.name or rule.id for rule in asleep))}."
