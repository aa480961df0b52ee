"""The journal's methods about what runs by itself: triggers, events, projects, chains."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from agent.store import events, outbox, projects, triggers
from agent.store.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.domain.chain import Chain
    from agent.domain.event import Event
    from agent.domain.messages import OutboundMessage
    from agent.domain.project import Project, ProjectStatus
    from agent.domain.run import Run
    from agent.domain.trigger import Fire, FireStatus, Trigger, TriggerKind


class Automation(Journal):
    """What `SqlStore` does about triggers, events, projects and chains; see `Store`."""

    # --- triggers and events ------------------------------------------------------------------------------------
    async def create_trigger(self, trigger: Trigger) -> bool:
        return await self._do(triggers.create, triggers.trigger_row(trigger, self._clock()))

    async def get_trigger(self, trigger_id: str) -> Trigger | None:
        return await self._read(triggers.get, trigger_id)

    async def triggers(self, session_id: str | None = None, kind: TriggerKind | None = None) -> list[Trigger]:
        return await self._read(triggers.listed, session_id, kind)

    async def update_trigger(self, trigger: Trigger, *, moved: bool) -> bool:
        return await self._do(partial(triggers.replace, moved=moved), triggers.trigger_row(trigger, self._clock()))

    async def enable_trigger(self, trigger_id: str, next_fire: float | None) -> bool:
        return await self._do(partial(triggers.set_enabled, enabled=True), trigger_id, next_fire)

    async def disable_trigger(self, trigger_id: str) -> bool:
        return await self._do(partial(triggers.set_enabled, enabled=False), trigger_id, None)

    async def delete_trigger(self, trigger_id: str) -> bool:
        return await self._do(triggers.remove, trigger_id)

    async def due_triggers(self, limit: int = 100, channel: str = "") -> list[Trigger]:
        return await self._read(triggers.due, self._clock(), limit, channel)

    async def next_due(self, channel: str = "") -> float | None:
        return await self._read(triggers.next_due, channel)

    async def fire(
        self,
        fire: Fire,
        *,
        run: Run | None = None,
        message: OutboundMessage | None = None,
        moved: tuple[float, float | None] | None = None,
    ) -> tuple[Fire, Run | None] | None:
        posted = None if message is None else outbox.posted(message)
        row = triggers.fire_row(fire)
        return await self._do(triggers.fire, row, (run, posted), moved, self._clock(), rings=message is not None)

    async def start_waiting(self, fire_id: int, run: Run | None) -> tuple[Fire, Run | None] | None:
        return await self._do(triggers.start_waiting, fire_id, run, self._clock())

    async def settle_fire(self, fire_id: int, status: FireStatus, *, run_id: int | None = None, why: str = "") -> None:
        await self._do(triggers.settle, fire_id, status, run_id, why)

    async def unsettled_fires(self, status: FireStatus, limit: int = 1000) -> list[Fire]:
        return await self._read(triggers.unsettled, status, limit)

    async def reschedule(self, trigger_id: str, expected: float, next_fire: float | None) -> bool:
        return await self._do(triggers.reschedule, trigger_id, expected, next_fire)

    async def fires_of(self, trigger_id: str, limit: int = 20) -> list[Fire]:
        return await self._read(triggers.fires_of, trigger_id, limit)

    async def fires_with(self, key: str) -> list[Fire]:
        return await self._read(triggers.fires_with, key)

    async def fired_keys(self, trigger_id: str, keys: Sequence[str]) -> set[str]:
        return await self._read(triggers.fired_keys, trigger_id, tuple(keys))

    async def publish(self, event: Event) -> Event | None:
        return await self._do(events.publish, events.event_row(event, self._clock()))

    async def events(self, status: str, limit: int = 1000, *, project: str | None = None) -> list[Event]:
        return await self._read(events.listed, status, limit, project)

    async def newest_events(
        self, limit: int = 20, *, status: str = "", project: str = "", before: int = 0
    ) -> list[Event]:
        return await self._read(events.newest, limit, status, project, before)

    async def event_numbered(self, event_id: int) -> Event | None:
        return await self._read(events.numbered, event_id)

    async def requeue_event(self, event_id: int) -> bool:
        return await self._do(events.requeue, event_id)

    async def get_event(self, key: str) -> Event | None:
        return await self._read(events.by_key, key)

    async def settle_event(self, event_id: int, status: str, error: str = "") -> None:
        await self._do(events.settle, event_id, status, error, self._clock())

    # --- projects and chains ------------------------------------------------------------------------------------
    async def put_project(self, project: Project) -> Project:
        return await self._do(projects.put, projects.project_row(project, self._clock()))

    async def get_project(self, name: str) -> Project | None:
        return await self._read(projects.get, name)

    async def projects(self) -> list[Project]:
        return await self._read(projects.listed)

    async def pause_project(self, name: str, *, paused: bool) -> bool:
        return await self._do(partial(projects.set_paused, paused=paused), name)

    async def warn_project(self, name: str, message: OutboundMessage) -> bool:
        return await self._do(projects.warn, name, outbox.posted(message), self._clock(), rings=True)

    async def project_status(self, name: str) -> ProjectStatus | None:
        return await self._read(projects.status, name)

    async def create_chain(self, chain: Chain) -> bool:
        return await self._do(projects.create_chain, projects.chain_row(chain, self._clock()))

    async def get_chain(self, name: str) -> Chain | None:
        return await self._read(projects.chain, name)

    async def chains(self) -> list[Chain]:
        return await self._read(projects.all_chains)

    async def delete_chain(self, chain_id: str) -> bool:
        return await self._do(projects.delete_chain, chain_id)
