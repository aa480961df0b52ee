"""AutomationScheduler: sleeps until the next fire or a change, fires what is due, each time exactly once.

The journal's index of next times is the heap; nothing is scanned while nothing is due, however many triggers there are.
A fire, the run that it opens and the trigger's next time are one transaction with a unique key: a crash loses and
doubles nothing, and two processes that see the same fire make one of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.automation import times
from agent.automation.attempts import Attempts
from agent.automation.bell import until
from agent.automation.checking import changed, check_terms, checked, same_time
from agent.automation.events import EventDesk
from agent.automation.files import FileWatch
from agent.automation.launching import Launcher, by_hand
from agent.automation.switch import Switch
from agent.automation.webhook import Came
from agent.domain.trigger import Fire, FireStatus, Trigger, TriggerKind
from agent.errors import ConfigError, DirigentError, NotFound, may_pass

if TYPE_CHECKING:
    from agent.automation.bell import Rings
    from agent.automation.webhook import Hooks
    from agent.domain.event import Event
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

LONGEST_SLEEP = 30.0  # the wall clock may jump while we sleep: then this is how late we notice
AFTER_AN_ERROR = 1.0
AT_ONCE = 50

Wait = Callable[[asyncio.Event, float], Awaitable[None]]


class AutomationScheduler:
    """Fires triggers from `start()` to `stop()`. `channel` limits it to the chats of one channel, "" means all.

    `clock` gives seconds since 1970 and must be the store's; `wait` sleeps. `bell` rings when another process changed
    triggers.
    """

    def __init__(
        self,
        store: Store,
        orchestrator: OrchestratorRunner,
        clock: Callable[[], float] = time.time,
        *,
        pipelines: Pipelines | None = None,
        bell: Rings | None = None,
        hooks: Hooks | None = None,
        channel: str = "",
        wait: Wait = until,
        longest_sleep: float = LONGEST_SLEEP,
    ) -> None:
        self._store = store
        self._clock = clock
        self._wait = wait
        self._longest = longest_sleep
        self._bell = bell
        self.switch = Switch(store, clock, self.wake_others)
        self.hooks = hooks
        self.launcher = Launcher(store, orchestrator, pipelines)
        self._files = FileWatch(store, self.launcher, clock)
        self._events = EventDesk(store, self.launcher, clock)
        self._attempts = Attempts(clock)
        self.channel = channel
        self._changed = asyncio.Event()
        self._waiting = True
        self._still = False
        self._task: asyncio.Task[None] | None = None
        self._fired = 0
        self._error = ""
        self.preparations: list[Callable[[], Coroutine[Any, Any, None]]] = []  # done before anything fires
        self.companions: list[Callable[[], Coroutine[Any, Any, None]]] = []  # what else works while this does
        orchestrator.when_finished.append(self._run_ended)
        orchestrator.when_published.append(self.events_came)

    @property
    def channel(self) -> str:
        """The channel whose chats this is for; "" for all."""
        return self._channel

    @channel.setter
    def channel(self, name: str) -> None:
        self._channel = self._files.channel = self._events.channel = name

    # --- life ---------------------------------------------------------------------------------------------------
    async def start(self) -> None:
        """Begin to fire. What was missed follows each trigger's policy. Starting twice changes nothing."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self.run(), name="automation")

    async def stop(self) -> None:
        """End in good order; what is due meanwhile follows each trigger's policy at the next start."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def run(self) -> None:
        """Fire until cancelled, whenever the switch is on."""
        with self._bell.listening(self.changed) if self._bell else contextlib.nullcontext():
            await self.switch.hold(self._work)

    async def _work(self) -> None:
        self._waiting = self._events.news = True
        for prepare in self.preparations:
            await prepare()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live(), name="schedules")
            for companion in self.companions:
                group.create_task(companion())
            group.create_task(self._files.run(), name="watched folders")

    async def status(self) -> dict[str, Any]:
        """Return running, halted_since, triggers, enabled, next_fire, fired (here), dead_events, error, folders."""
        known = await self._store.triggers()
        return {
            "running": self.switch.working.is_set(),
            "halted_since": await self.switch.off_since(),
            "triggers": len(known),
            "enabled": sum(trigger.enabled for trigger in known),
            "next_fire": await self._store.next_due(self.channel),
            "fired": self._fired,
            "dead_events": len(await self._store.events("dead")),
            "error": self._error,
            "folders": self._files.status(),
        }

    def changed(self) -> None:
        """Look at triggers, events and waiting fires again: something about them has changed."""
        self._waiting = self._events.news = True
        self._files.look()
        self._changed.set()
        self.switch.turned.set()

    # --- triggers -----------------------------------------------------------------------------------------------
    async def create(self, trigger: Trigger) -> Trigger:
        """Check and store a trigger (the same id twice changes nothing) and return it as it is stored.

        Raises ConfigError, naming what is wrong.
        """
        self.launcher.check(trigger)
        now = self._clock()
        await self._store.create_trigger(checked(replace(trigger, created_at=trigger.created_at or now), now))
        self._tell()
        return await self.get(trigger.id)

    async def update(self, trigger_id: str, **changes: Any) -> Trigger:
        """Change a trigger and return it as it is stored: checked as a new one, with its history and its beginning.

        Its next time stays as it is unless its times change or it is switched on. Raises NotFound, ConfigError.
        """
        before = await self.get(trigger_id)
        after = changed(before, changes)
        self.launcher.check(after)
        if after.enabled or after.spec != before.spec:
            after = checked(after, self._clock())
        else:  # one that is off, also when its time has passed
            check_terms(after)
            after = replace(after, next_fire=None)
        moved = before.enabled is not after.enabled or not same_time(before, after)
        await self._store.update_trigger(after, moved=moved)
        self._tell()
        return await self.get(trigger_id)

    async def get(self, trigger_id: str) -> Trigger:
        """Return a trigger. Raises NotFound."""
        found = await self._store.get_trigger(trigger_id)
        if found is None:
            raise NotFound(f"There is no schedule or trigger {trigger_id!r}.", hint="/schedules lists them.")
        return found

    async def enable(self, trigger_id: str) -> Trigger:
        """Switch a trigger on; its next time is counted from now. Raises NotFound, ConfigError."""
        trigger = await self.get(trigger_id)
        upcoming = None
        if trigger.kind is TriggerKind.SCHEDULE:
            upcoming = times.following(trigger.spec, trigger.created_at, self._clock())
            if upcoming is None:
                raise ConfigError(f"The time of {trigger.name!r} has passed.", hint="Make a new one.")
        if not trigger.enabled:
            await self._store.enable_trigger(trigger_id, upcoming)
            self._tell()
        return await self.get(trigger_id)

    async def disable(self, trigger_id: str) -> Trigger:
        """Switch a trigger off. Raises NotFound."""
        await self.get(trigger_id)
        await self._store.disable_trigger(trigger_id)
        self._tell()
        return await self.get(trigger_id)

    async def delete(self, trigger_id: str) -> None:
        """Delete a trigger with its history of fires. Raises NotFound."""
        await self.get(trigger_id)
        await self._store.delete_trigger(trigger_id)
        if self.hooks is not None:
            self.hooks.forget(trigger_id)
        self._tell()

    async def fire(self, trigger_id: str) -> Fire:
        """Fire by hand, also a trigger that is off. Raises NotFound."""
        now = self._clock()
        made = await self.launcher.fire(await self.get(trigger_id), by_hand(), now)
        assert made is not None, "a fire by hand has a key of its own"
        self._note(made)
        return made

    async def fire_elsewhere(self, trigger_id: str) -> int:
        """Fire by hand in the process that is at work; return how many were reached. With none, the next one does it.

        Raises NotFound.
        """
        await self.get(trigger_id)
        await self._store.fire(Fire(trigger_id, by_hand(), self._clock(), FireStatus.WAITING))
        return self._bell.ring() if self._bell is not None else 0

    async def publish(self, event: Event) -> bool:
        """Store an event and have its triggers fire; False when an event with its key is known already."""
        stored = await self._store.publish(event)
        if stored is not None:
            self.events_came()
        return stored is not None

    async def receive(self, trigger_id: str, headers: Mapping[str, str], body: bytes) -> Came:
        """Take a call to a webhook: what is accepted is an event in the journal, for exactly this trigger.

        Raises NotFound when the trigger is no webhook, ConfigError when it is off or the body cannot be read.
        """
        trigger = await self._store.get_trigger(trigger_id)
        if trigger is None or trigger.kind is not TriggerKind.WEBHOOK or self.hooks is None:
            raise NotFound(f"There is no webhook {trigger_id!r}.", hint="`dirigent schedules` lists them.")
        event = await asyncio.to_thread(self.hooks.event_of, trigger, headers, body)
        if event is None:
            logger.warning("a call to the webhook {} ({}) was refused", trigger.id, trigger.name)
            return Came.REFUSED
        if not trigger.enabled:
            raise ConfigError(f"The webhook {trigger.name!r} is paused.", hint="`dirigent schedules resume` it.")
        return Came.ACCEPTED if await self.publish(event) else Came.DUPLICATE

    def events_came(self) -> None:
        """Handle events that were stored: also those for which only another process may be at work."""
        self._events.news = True
        self._changed.set()
        if not self.switch.working.is_set() or self.channel:
            self.wake_others()

    def wake_others(self) -> int:
        """Have the other processes of this home look at triggers and events; return how many there are."""
        return self._bell.ring() if self._bell is not None else 0

    async def find_event(self, wanted: str) -> Event:
        """Return an event by its number or its key. Raises NotFound."""
        found = await self._store.event_numbered(int(wanted)) if wanted.isdecimal() and len(wanted) < 16 else None
        found = found or await self._store.get_event(wanted)
        if found is None:
            raise NotFound(
                f"There is no event {wanted!r}.", hint="`dirigent events` lists the newest with their numbers."
            )
        return found

    async def retry(self, event: Event) -> bool:
        """Have a dead event handled again; what it has led to before is not done twice. False when it isn't dead."""
        again = await self._store.requeue_event(event.id)
        self.events_came()
        return again

    async def drop(self, event: Event) -> bool:
        """Do nothing any more about an event that is dead or has yet to be handled; False when it is handled."""
        if event.status == "handled":
            return False
        await self._store.settle_event(event.id, "handled", f"Dropped by hand. {event.error}".strip())
        return True

    async def pause_project(self, name: str, *, paused: bool) -> bool:
        """Keep a project's events as they are, or go on with them in order; False when there is no such project."""
        known = await self._store.pause_project(name, paused=paused)
        if known and not paused:
            self.events_came()
        return known

    def _tell(self) -> None:
        self._files.look()
        self._changed.set()
        if self._bell is not None:
            self._bell.ring()

    # --- the loop -----------------------------------------------------------------------------------------------
    async def _live(self) -> None:
        while True:
            self._changed.clear()
            try:
                pause = await self._round()
                self._error = ""
            except Exception as error:
                self._error = str(error)
                logger.opt(exception=error).error("The scheduler could not go on; it tries again")
                pause = AFTER_AN_ERROR
            if pause > 0:
                await self._wait(self._changed, pause)

    async def _round(self) -> float:
        """Do all there is to do now; return the seconds until there may be more."""
        if self._waiting or self._attempts.come_due():
            await self._take_up()
        await self._events.handle()
        while due := await self._store.due_triggers(AT_ONCE, self.channel):
            await asyncio.gather(*(self._fire_due(trigger) for trigger in due))
        upcoming = [await self._store.next_due(self.channel), self._events.next_try, self._attempts.next_try]
        return min([self._longest, *(moment - self._clock() for moment in upcoming if moment is not None)])

    async def _fire_due(self, trigger: Trigger) -> None:
        """Fire a schedule for the times that have come, as its misfire policy says, and move it to the next one."""
        now = self._clock()
        at = trigger.next_fire
        assert at is not None
        wanted = times.to_fire(trigger, at, now)
        after = times.following(trigger.spec, trigger.created_at, now)
        if not wanted:
            missed = Fire(trigger.id, str(at), at, FireStatus.MISSED, "nobody was there, and it skips missed times")
            await self._store.fire(missed, moved=(at, after))
            return
        for number, due in enumerate(wanted):
            then = wanted[number + 1] if number + 1 < len(wanted) else after
            await self._fire_at(trigger, due, (at, then), now)
            at = then if then is not None else at

    async def _fire_at(self, trigger: Trigger, due: float, moved: tuple[float, float | None], now: float) -> None:
        try:
            made = await self.launcher.fire(trigger, str(due), due, moved=moved, now=now)
        except Exception as error:
            await self._put_off(trigger, due, moved, error)
            return
        if made is not None:
            self._note(made)

    async def _put_off(self, trigger: Trigger, due: float, moved: tuple[float, float | None], error: Exception) -> None:
        """Note a fire that could not begin: it waits if it may still work, and the trigger moves on in any case.

        One that can't be fired must not hold up the others.
        """
        logger.opt(exception=error).error("trigger {} could not be fired", trigger.id)
        waits = may_pass(error) or not isinstance(error, DirigentError)
        put_off = Fire(trigger.id, str(due), due, FireStatus.WAITING if waits else FireStatus.FAILED)
        kept = await self._store.fire(put_off if waits else replace(put_off, subject=str(error)), moved=moved)
        if kept is not None and waits:
            self._still |= self._attempts.failed(kept[0].id, [error])

    def _note(self, fire: Fire) -> None:
        self._fired += 1
        self._still |= fire.status is FireStatus.WAITING

    async def _take_up(self) -> None:
        """Start what waited for an earlier run, and what was fired by hand from elsewhere."""
        self._waiting = False
        for trigger, fire in await self._unsettled(FireStatus.PENDING):
            await self.launcher.tell(trigger, fire)
        self._still = False
        for trigger, fire in await self._unsettled(FireStatus.WAITING):
            self._still |= self._attempts.is_early(fire.id) or not await self._gone_on(trigger, fire)

    async def _gone_on(self, trigger: Trigger, fire: Fire) -> bool:
        """Let a waiting fire begin; False while it waits. What goes wrong with it must not hold up the others."""
        try:
            gone_on = await self.launcher.go_on(trigger, fire)
        except Exception as error:
            logger.warning("a waiting fire of trigger {} could not begin: {}", trigger.id, error)
            if self._attempts.failed(fire.id, [error]):
                return False
            await self._store.settle_fire(fire.id, FireStatus.FAILED, why=str(error))
            return True
        self._attempts.forget(fire.id)
        return gone_on

    async def _unsettled(self, status: FireStatus) -> list[tuple[Trigger, Fire]]:
        fires = await self._store.unsettled_fires(status)
        known = {fire.trigger_id: await self._store.get_trigger(fire.trigger_id) for fire in fires}
        found = [(trigger, fire) for fire in fires if (trigger := known[fire.trigger_id]) is not None]
        return [(trigger, fire) for trigger, fire in found if self.channel in {"", trigger.dest.channel}]

    def _run_ended(self, _run_id: int) -> None:
        if self._still:
            self._waiting = True
            self._changed.set()
