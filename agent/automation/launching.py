"""How a fire becomes a run or a reminder: recorded with what it leads to, in one transaction."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.automation.mapping import terms
from agent.automation.times import NO_ZONE, zone
from agent.domain.event import OF_EVENT
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.plan import OnFailure, Pipe, PlanStep, StepType
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Origin, Run
from agent.domain.trigger import Fire, FireStatus, Trigger
from agent.errors import ConfigError, correlation_id
from agent.logs import correlated

if TYPE_CHECKING:
    from agent.domain.event import Event
    from agent.domain.messages import Destination
    from agent.domain.session import Session
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

SUBJECT = "{file}"
LATE = 90.0
APPROVAL = "trigger__approval"  # no step of a pipeline may have two `_` in its name
KINDS = ("request", "pipeline", "chain", "notice")
PLANNED = ("pipeline", "chain")


@dataclass(slots=True)
class Launcher:
    """Fires triggers. `pipelines` None means that pipelines and chains are refused.

    Each of `when_fired` is called with a trigger and its fire when that has begun a run or told something.
    """

    store: Store
    orchestrator: OrchestratorRunner
    pipelines: Pipelines | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    when_fired: list[Callable[[Trigger, Fire], None]] = field(default_factory=list)
    _touched: dict[str, Destination] = field(default_factory=dict)

    def check(self, trigger: Trigger) -> None:
        """Raise ConfigError when there is no way to carry out what the trigger is for."""
        kinds = [name for name in KINDS if trigger.target.get(name)]
        if len(kinds) != 1:
            raise ConfigError(
                f"The trigger {trigger.name!r} does not say what to do.",
                hint='Give exactly one of {"request": text}, {"pipeline": name}, {"chain": name} or {"notice": text}.',
            )
        inputs = trigger.target.get("inputs")
        if not isinstance(trigger.target[kinds[0]], str) or not isinstance(inputs, dict | None):
            raise ConfigError(
                f"What the trigger {trigger.name!r} should do cannot be {trigger.target!r}.",
                hint='Write the text or the name in quotes, and inputs as {"inputs": {name: value}}.',
            )
        if kinds[0] in PLANNED and self.pipelines is None:
            raise ConfigError(
                f"The trigger {trigger.name!r} names the {kinds[0]} {trigger.target[kinds[0]]!r}, "
                "but nothing here runs pipelines.",
                hint='Write what it should do as {"request": text}.',
            )
        if trigger.approval and kinds[0] not in PLANNED:
            raise ConfigError(
                f"The trigger {trigger.name!r} asks before it begins, which only pipelines and chains can.",
                hint="Make what it does a pipeline, or leave `approval` out.",
            )

    # --- firing -------------------------------------------------------------------------------------------------
    async def fire(
        self,
        trigger: Trigger,
        key: str,
        due: float,
        *,
        subject: str = "",
        event: Event | None = None,
        moved: tuple[float, float | None] | None = None,
        now: float | None = None,
    ) -> Fire | None:
        """Fire once for this key; None when it has fired before, or must not fire any more."""
        with correlated(_corr_id(trigger, key)):
            return await self._fire(trigger, Fire(trigger.id, key, due, subject=subject), event, moved, now or due)

    async def _fire(
        self,
        trigger: Trigger,
        fire: Fire,
        event: Event | None,
        moved: tuple[float, float | None] | None,
        now: float,
    ) -> Fire | None:
        trigger = await self.placed(trigger)
        run: Run | None = None
        message: OutboundMessage | None = None
        if "notice" in trigger.target:
            fire = replace(fire, status=FireStatus.TOLD, subject=fire.subject or (event.key if event else ""))
            message = reminder(trigger, fire, now)
        else:
            run = await self.run_of(trigger, fire, event)
        done = await self.store.fire(fire, run=run, message=message, moved=moved)
        return None if done is None else await self._begun(trigger, *done)

    async def go_on(self, trigger: Trigger, fire: Fire) -> bool:
        """Let a waiting fire begin if it may; False while it has to wait. Raises DirigentError when it cannot begin."""
        with correlated(_corr_id(trigger, fire.key)):
            return await self._go_on(trigger, fire)

    async def _go_on(self, trigger: Trigger, fire: Fire) -> bool:
        trigger = await self.placed(trigger)
        event = await self.store.get_event(fire.key.removeprefix(OF_EVENT)) if fire.key.startswith(OF_EVENT) else None
        trigger = trigger if event is None else await self.placed(terms(trigger, event))
        run = None if "notice" in trigger.target else await self.run_of(trigger, fire, event)
        done = await self.store.start_waiting(fire.id, run)
        if done is None:
            return False
        made, opened = done
        status = FireStatus.STARTED if opened is not None else FireStatus.PENDING
        await self._begun(trigger, replace(made, status=status), opened)
        return True

    async def _begun(self, trigger: Trigger, fire: Fire, opened: Run | None) -> Fire:
        if opened is not None:
            self.orchestrator.submit(opened)
            fire = replace(fire, run_id=opened.id, run_status=opened.status)
        elif fire.status is FireStatus.PENDING:
            fire = await self.tell(trigger, fire)
        if opened is not None or fire.status is FireStatus.TOLD:
            for listener in self.when_fired:
                listener(trigger, fire)
        return fire

    async def tell(self, trigger: Trigger, fire: Fire) -> Fire:
        """Post the reminder of a pending fire: one that was fired by hand from another process."""
        await self.store.post(reminder(trigger, fire, fire.due_at))
        await self.store.settle_fire(fire.id, FireStatus.TOLD)
        return replace(fire, status=FireStatus.TOLD)

    # --- where and what -----------------------------------------------------------------------------------------
    async def placed(self, trigger: Trigger) -> Trigger:
        """Return a trigger that reports where its project does; one without a known project reports as it says."""
        project = await self.store.get_project(trigger.project) if trigger.project else None
        return trigger if project is None else replace(trigger, session_id=project.session_id, dest=project.dest)

    async def session_of(self, trigger: Trigger) -> Session:
        """Return the session that the trigger's runs belong to."""
        placed = await self.placed(trigger)
        async with self.opening:  # many fires at once must not make a new session's files at the same time
            return await self.orchestrator.sessions.open(placed.session_id)

    @staticmethod
    def wants_file(trigger: Trigger) -> bool:
        """Tell whether an event is to be put into the workspace as a file: a request reads it there."""
        return "request" in trigger.target or SUBJECT in str(trigger.target.get("inputs"))

    async def run_of(self, trigger: Trigger, fire: Fire, event: Event | None = None) -> Run:
        """Return the run that a fire opens. What a file or an event brings with it is not the person's word.

        Raises DirigentError for a pipeline that is gone or wrong, or does not take its inputs.
        """
        session = await self.session_of(trigger)
        if self._touched.get(session.id) != trigger.dest:  # once: it would be a commit of its own with each fire
            await self.store.touch_session(session.id, session.folder, trigger.dest.to_json())
            self._touched[session.id] = trigger.dest
        return Run(
            trigger.session_id,
            request_text(trigger, fire.subject),
            trigger.dest,
            origin=Origin.TRIGGER,
            user_id=trigger.created_by,
            corr_id=_corr_id(trigger, fire.key),
            provenance=_label(trigger, fire.subject, event),
            priority=trigger.priority,
            project=trigger.project,
            budget=trigger.budget,
            **await self._plan(trigger, fire, event, session),
        )

    async def _plan(self, trigger: Trigger, fire: Fire, event: Event | None, session: Session) -> dict[str, Any]:
        """Return the fields of a run that carry the plan of a pipeline or chain; none for a request."""
        name = trigger.target.get("pipeline") or trigger.target.get("chain")
        if not name:
            return {}
        self.check(trigger)
        assert self.pipelines is not None
        seen = seen_by(trigger, fire, event)
        inputs = {key: _filled(value, fire.subject) for key, value in (trigger.target.get("inputs") or {}).items()}
        ready = await self.pipelines.ready(str(name), session.profile)
        await self.orchestrator.sessions.fetch(session)
        given = ready.given(await asyncio.to_thread(_made, inputs, seen), session.workspace)
        if trigger.approval:
            given = behind_checkpoint(given, str(await asyncio.to_thread(_made, trigger.approval, seen)))
        if event is not None:
            given["hops"] = event.hops + 1
        return {"given": given, "title": ready.name, "source": ready.source}


def _corr_id(trigger: Trigger, key: str) -> str:
    """Return the correlation id of a fire, and of the run that it opens: always the same one."""
    return correlation_id("fire", trigger.id, key)


def _label(trigger: Trigger, subject: str, event: Event | None) -> Provenance:
    """Return where a run comes from: whoever made the trigger, and what caused the fire unless that is vouched for."""
    label = USER if trigger.trusted else Provenance.of(f"member:{trigger.created_by}", trusted=False)
    trusted = bool(trigger.spec.get("trusted", False))
    if event is not None:
        return label if trusted else label | event.label
    return label | Provenance.of(f"file:{subject}", trusted=trusted) if subject else label


def seen_by(trigger: Trigger, fire: Fire, event: Event | None) -> dict[str, Any]:
    """Return what the templates of a trigger's inputs see: `trigger`, and `event` or `file`."""
    due = datetime.fromtimestamp(fire.due_at, zone(str(trigger.spec.get("zone") or NO_ZONE)))
    seen: dict[str, Any] = {"trigger": {"id": trigger.id, "name": trigger.name, "due": due.isoformat()}}
    if event is not None:
        happened = datetime.fromtimestamp(event.at, UTC).isoformat()
        seen["event"] = {
            "type": event.type,
            "source": event.source,
            "key": event.key,
            "project": event.project,
            "priority": event.priority,
            "at": happened,
            "payload": event.payload,
        }
    elif fire.subject:
        seen["file"] = {"name": fire.subject, "path": fire.subject}
    return seen


def _made(value: Any, seen: dict[str, Any]) -> Any:
    """Fill in templates; Jinja is loaded only when there are some."""
    if "{{" not in str(value) and "{%" not in str(value):
        return value
    from agent.execution.trigger_values import fill

    return fill(value, seen)


def behind_checkpoint(given: dict[str, Any], text: str) -> dict[str, Any]:
    """Return a plan that begins when a person has agreed to a text."""
    said = text.replace("{{", "{ {").replace("{%", "{ %")  # it is filled in already
    first = PlanStep(
        id=APPROVAL,
        title="Approval",
        step_type=StepType.VALUE,
        args={"value": ""},
        on_failure=OnFailure.STOP,
        pipe=Pipe(approval=said, scope="trigger__"),
    )
    behind = [{**step, "depends_on": [APPROVAL, *step.get("depends_on", ())]} for step in given["steps"]]
    return {**given, "steps": [first.model_dump(mode="json", exclude={"status"}), *behind]}


def request_text(trigger: Trigger, subject: str) -> str:
    """Return what is asked: the trigger's request with the file's name in it."""
    name = trigger.target.get("pipeline") or trigger.target.get("chain")
    if name:
        return f"/run {name}"
    text = str(trigger.target.get("request", ""))
    if not subject:
        return text
    return text.replace(SUBJECT, subject) if SUBJECT in text else f"{text}\n\nThe file is `{subject}`."


def _filled(value: Any, subject: str) -> Any:
    """Return a pipeline's input with the file's name in it."""
    return value.replace(SUBJECT, subject) if isinstance(value, str) else value


def reminder(trigger: Trigger, fire: Fire, now: float) -> OutboundMessage:
    """Return the notice of a trigger that only tells something; a late one says when it was due."""
    text = f"⏰ {trigger.target['notice']}"
    if now - fire.due_at > LATE:
        due = datetime.fromtimestamp(fire.due_at, UTC).astimezone(zone(str(trigger.spec.get("zone") or NO_ZONE)))
        text += f"\n(This was due on {due:%A, %d %B at %H:%M}; I was not running.)"
    return OutboundMessage(
        trigger.dest,
        MessageKind.NOTICE,
        f"trigger:{trigger.id}:{fire.key}",
        {"text": text},
        session_id=trigger.session_id,
    )


def by_hand() -> str:
    """Return the key of a fire by hand: each is one of its own."""
    return f"manual:{secrets.token_urlsafe(8)}"
