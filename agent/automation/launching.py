"""How a fire becomes a run, a reminder or a pipeline: recorded with what it leads to, in one transaction."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.automation.times import NO_ZONE, zone
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Origin, Run
from agent.domain.trigger import Fire, FireStatus, Trigger
from agent.errors import ConfigError, reference_id

if TYPE_CHECKING:
    from agent.domain.session import Session
    from agent.orchestrator import OrchestratorRunner
    from agent.store.protocol import Store

PlanPipeline = Callable[[str, dict[str, Any], "Session"], Awaitable[dict[str, Any]]]
"""Returns what a pipeline's run is opened with (`Run.given`), from its name and inputs. Raises DirigentError."""
SUBJECT = "{file}"
LATE = 90.0


@dataclass(slots=True)
class Launcher:
    """Fires triggers. `plan_pipeline` None means that pipelines are refused."""

    store: Store
    orchestrator: OrchestratorRunner
    plan_pipeline: PlanPipeline | None = None
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    def check(self, trigger: Trigger) -> None:
        """Raise ConfigError when there is no way to carry out what the trigger is for."""
        kinds = [name for name in ("request", "pipeline", "notice") if trigger.target.get(name)]
        if len(kinds) != 1:
            raise ConfigError(
                f"The trigger {trigger.name!r} does not say what to do.",
                hint='Give exactly one of {"request": text}, {"pipeline": name} or {"notice": text}.',
            )
        if kinds == ["pipeline"] and self.plan_pipeline is None:
            raise ConfigError(
                f"The trigger {trigger.name!r} names the pipeline {trigger.target['pipeline']!r}, "
                "but nothing here runs pipelines.",
                hint='Write what it should do as {"request": text}.',
            )

    async def fire(
        self,
        trigger: Trigger,
        key: str,
        due: float,
        *,
        subject: str = "",
        moved: tuple[float, float | None] | None = None,
        now: float | None = None,
    ) -> Fire | None:
        """Fire once for this key; None when it has fired before, or must not fire any more."""
        fire = Fire(trigger.id, key, due, subject=subject)
        run: Run | None = None
        message: OutboundMessage | None = None
        if "notice" in trigger.target:
            fire = replace(fire, status=FireStatus.TOLD)
            message = reminder(trigger, fire, now or due)
        else:
            run = await self.run_of(trigger, subject)
        done = await self.store.fire(fire, run=run, message=message, moved=moved)
        return None if done is None else await self._begun(trigger, *done)

    async def go_on(self, trigger: Trigger, fire: Fire) -> bool:
        """Let a waiting fire begin if it may; False while it has to wait."""
        run = None if "notice" in trigger.target else await self.run_of(trigger, fire.subject)
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
            return replace(fire, run_id=opened.id, run_status=opened.status)
        return await self.tell(trigger, fire) if fire.status is FireStatus.PENDING else fire

    async def tell(self, trigger: Trigger, fire: Fire) -> Fire:
        """Post the reminder of a pending fire: one that was fired by hand from another process."""
        await self.store.post(reminder(trigger, fire, fire.due_at))
        await self.store.settle_fire(fire.id, FireStatus.TOLD)
        return replace(fire, status=FireStatus.TOLD)

    async def session_of(self, trigger: Trigger) -> Session:
        """Return the trigger's session."""
        async with self.opening:  # many fires at once must not make a new session's files at the same time
            return await self.orchestrator.sessions.open(trigger.session_id)

    async def run_of(self, trigger: Trigger, subject: str) -> Run:
        """Return the run that a fire opens. What a file or an event brings with it is not the person's word.

        Raises DirigentError for a pipeline that is gone or wrong, or does not take its inputs.
        """
        session = await self.session_of(trigger)
        await self.store.touch_session(session.id, session.folder, trigger.dest.to_json())
        label = USER if trigger.trusted else Provenance.of(f"member:{trigger.created_by}", trusted=False)
        if subject:
            label |= Provenance.of(f"file:{subject}", trusted=bool(trigger.spec.get("trusted", False)))
        return Run(
            trigger.session_id,
            request_text(trigger, subject),
            trigger.dest,
            origin=Origin.TRIGGER,
            user_id=trigger.created_by,
            corr_id=reference_id(),
            provenance=label,
            **await self._plan(trigger, subject, session),
        )

    async def _plan(self, trigger: Trigger, subject: str, session: Session) -> dict[str, Any]:
        """Return the fields of a run that carry a pipeline's plan; none for a request."""
        name = trigger.target.get("pipeline")
        if not name:
            return {}
        self.check(trigger)
        assert self.plan_pipeline is not None
        given = {key: _filled(value, subject) for key, value in (trigger.target.get("inputs") or {}).items()}
        return {"given": await self.plan_pipeline(str(name), given, session), "title": str(name)}


def request_text(trigger: Trigger, subject: str) -> str:
    """Return what is asked: the trigger's request with the file's name in it."""
    if trigger.target.get("pipeline"):
        return f"/run {trigger.target['pipeline']}"
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
