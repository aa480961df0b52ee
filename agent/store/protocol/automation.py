"""What starts runs by itself: triggers, events, projects, chains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from agent.domain.chain import Chain
    from agent.domain.event import Event
    from agent.domain.messages import OutboundMessage
    from agent.domain.project import Project, ProjectStatus
    from agent.domain.run import Run
    from agent.domain.trigger import Fire, FireStatus, Trigger, TriggerKind


class Triggers(Protocol):
    """Triggers and their fires."""

    async def create_trigger(self, trigger: Trigger) -> bool:
        """Insert a trigger; False when its id is there already, which is left as it is."""

    async def get_trigger(self, trigger_id: str) -> Trigger | None:
        """Return a trigger."""

    async def triggers(self, session_id: str | None = None, kind: TriggerKind | None = None) -> list[Trigger]:
        """Return triggers, the oldest first."""

    async def update_trigger(self, trigger: Trigger, *, moved: bool) -> bool:
        """Replace a trigger but for its id, its history and its beginning; its next time too if it `moved`.

        False when there is none.
        """

    async def enable_trigger(self, trigger_id: str, next_fire: float | None) -> bool:
        """Switch a trigger on, with its next time; False when there is none."""

    async def disable_trigger(self, trigger_id: str) -> bool:
        """Switch a trigger off: it has no next time then. False when there is none."""

    async def delete_trigger(self, trigger_id: str) -> bool:
        """Delete a trigger and its fires; its runs stay. False when there is none."""

    async def due_triggers(self, limit: int = 100, channel: str = "") -> list[Trigger]:
        """Return enabled triggers (of a channel's chats) whose time has come, the earliest first."""

    async def next_due(self, channel: str = "") -> float | None:
        """Return the earliest time at which an enabled trigger (of a channel's chats) fires, in seconds since 1970."""

    async def fire(
        self,
        fire: Fire,
        *,
        run: Run | None = None,
        message: OutboundMessage | None = None,
        moved: tuple[float, float | None] | None = None,
    ) -> tuple[Fire, Run | None] | None:
        """Record a fire together with the run that it opens or the message that it posts; None when it must not be.

        It must not be when its key has fired, when the trigger is gone, or, with `moved` (the scheduled time that fires
        and the one after it), when the trigger is off or stands at another time. The trigger's overlap policy decides
        whether a fire becomes a run, waits or is skipped.
        """

    async def start_waiting(self, fire_id: int, run: Run | None) -> tuple[Fire, Run | None] | None:
        """Let a waiting fire begin, with its run or (None) as a pending one; None while it has to wait."""

    async def settle_fire(self, fire_id: int, status: FireStatus, *, run_id: int | None = None, why: str = "") -> None:
        """Note what a pending fire has led to."""

    async def unsettled_fires(self, status: FireStatus, limit: int = 1000) -> list[Fire]:
        """Return fires with this status, oldest first."""

    async def reschedule(self, trigger_id: str, expected: float, next_fire: float | None) -> bool:
        """Move a trigger to another time without a fire; False when it stands elsewhere by now."""

    async def fires_of(self, trigger_id: str, limit: int = 20) -> list[Fire]:
        """Return a trigger's newest fires with the status of their runs, newest first."""

    async def fires_with(self, key: str) -> list[Fire]:
        """Return the fires of all triggers for one key (`event:` and an event's), with their runs' status."""

    async def fired_keys(self, trigger_id: str, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that have fired."""


class Events(Protocol):
    """Events, each stored once by its key."""

    async def publish(self, event: Event) -> Event | None:
        """Store an event; None when one with its key is there already."""

    async def events(self, status: str, limit: int = 1000, *, project: str | None = None) -> list[Event]:
        """Return events with a status (`new`, `handled`, `dead`), oldest first.

        New events of a paused project are left out, unless that `project` is asked for.
        """

    async def newest_events(
        self, limit: int = 20, *, status: str = "", project: str = "", before: int = 0
    ) -> list[Event]:
        """Return events (with a status, of a project, `before` the one with this id), newest first.

        Those of paused projects are among them.
        """

    async def event_numbered(self, event_id: int) -> Event | None:
        """Return the event with this `id`."""

    async def requeue_event(self, event_id: int) -> bool:
        """Make a dead event new again; False when it is not dead."""

    async def get_event(self, key: str) -> Event | None:
        """Return the event with this key."""

    async def settle_event(self, event_id: int, status: str, error: str = "") -> None:
        """Note what became of an event."""


class Projects(Protocol):
    """Projects and chains."""

    async def put_project(self, project: Project) -> Project:
        """Insert a project, or change budget, warn_at and dest of the one with its name; return it as it is stored.

        With another budget it may warn again. What it has spent and whether it is paused stay as they are.
        """

    async def get_project(self, name: str) -> Project | None:
        """Return a project."""

    async def projects(self) -> list[Project]:
        """Return every project, oldest first."""

    async def pause_project(self, name: str, *, paused: bool) -> bool:
        """Pause a project or let it go on; False when there is none."""

    async def warn_project(self, name: str, message: OutboundMessage) -> bool:
        """Note that a project's warning was given and post it, in one transaction; False when it was given before."""

    async def project_status(self, name: str) -> ProjectStatus | None:
        """Return a project with its balance (account `project:NAME`), its runs and its events, counted by status."""

    async def create_chain(self, chain: Chain) -> bool:
        """Insert a chain; False when its id or its name is there already, which is left as it is."""

    async def get_chain(self, name: str) -> Chain | None:
        """Return the chain with this id or name."""

    async def chains(self) -> list[Chain]:
        """Return every chain, oldest first."""

    async def delete_chain(self, chain_id: str) -> bool:
        """Delete a chain; its runs stay. False when there is none."""
