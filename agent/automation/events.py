"""Which triggers an event concerns, and firing them: once per event and trigger, whatever happens in between."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.artifacts import Artifact
from agent.domain.trigger import Trigger, TriggerKind
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from agent.automation.launching import Launcher
    from agent.domain.event import Event
    from agent.store.protocol import Store

AT_ONCE = 200
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "in": lambda value, among: value in among,
    "contains": lambda value, part: part in value,
}


class EventDesk:
    """Hands stored events to the triggers that they concern. `news` says that there may be new ones."""

    def __init__(self, store: Store, launcher: Launcher) -> None:
        self._store = store
        self._launcher = launcher
        self.news = True

    async def handle(self) -> None:
        """Fire the triggers of every event that nothing has been done about; what can't be handled is dead."""
        while self.news:
            self.news = False
            events = await self._store.events("new", AT_ONCE)
            if not events:
                return
            self.news = len(events) == AT_ONCE
            triggers = [*await self._store.triggers(kind=TriggerKind.EVENT)]
            triggers += await self._store.triggers(kind=TriggerKind.WEBHOOK)
            for event in events:
                await self._handle(event, [trigger for trigger in triggers if trigger.enabled])

    async def _handle(self, event: Event, triggers: list[Trigger]) -> None:
        try:
            for trigger in triggers:
                if concerns(trigger.spec, event):
                    subject = await self._put(trigger, event) if "notice" not in trigger.target else event.key
                    await self._launcher.fire(trigger, f"event:{event.key}", event.at, subject=subject)
        except Exception as error:
            logger.opt(exception=error).error("event {} ({}) could not be handled", event.key, event.type)
            await self._store.settle_event(event.id, "dead", str(error))
        else:
            await self._store.settle_event(event.id, "handled")

    async def _put(self, trigger: Trigger, event: Event) -> str:
        """Write the event into the session's workspace, labelled; return the file's name."""
        name = f"event-{event.id}.json"
        written = {"type": event.type, "source": event.source, "at": event.at, "payload": event.payload}
        data = json.dumps(written, ensure_ascii=False, indent=1).encode()
        session = await self._launcher.session_of(trigger)
        with Workspace(session.workspace) as workspace:
            workspace.write_bytes(name, data)
        digest = hashlib.sha256(data).hexdigest()
        file = Artifact(name, len(data), digest, "application/json", provenance=event.label)
        await self._store.add_artifacts(session.id, None, "", [file])
        return name


def concerns(spec: Mapping[str, Any], event: Event) -> bool:
    """Tell whether an event has the type (`order.*`) and meets every condition of a trigger's spec.

    A condition names a place in the payload (`customer.country`), or `source` or `project`, and gives its value or
    comparisons such as `{"ge": 100}`. What can't be compared does not meet it.
    """
    if not fnmatch.fnmatchcase(event.type, str(spec.get("type", ""))):
        return False
    return all(_meets(_found(event, place), wanted) for place, wanted in (spec.get("conditions") or {}).items())


def _found(event: Event, place: str) -> Any:
    if place in {"source", "project"}:
        return getattr(event, place)
    value: Any = event.payload
    for part in place.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _meets(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, Mapping):
        return bool(value == wanted)
    try:
        return all(COMPARE[name](value, other) for name, other in wanted.items())
    except (TypeError, KeyError):
        return False
