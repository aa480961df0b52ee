"""Triggers in words: when they fire, when next, and how their runs ended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.automation.times import zone
from agent.domain.states import FINAL, Status
from agent.domain.trigger import FireStatus, TriggerKind

if TYPE_CHECKING:
    from agent.domain.trigger import Fire, Trigger


def is_alive(trigger: Trigger) -> bool:
    """False for a single moment, or a last day, that has passed."""
    if "until" in trigger.spec and trigger.enabled and trigger.next_fire is None:
        return False
    return trigger.enabled or "at" not in trigger.spec or trigger.last_fired is None


def described(trigger: Trigger) -> str:
    """Return when a trigger fires, in words."""
    spec = trigger.spec
    if spec.get("said"):
        return str(spec["said"])
    if trigger.kind is TriggerKind.FILE:
        return f"files {spec['pattern']} in {spec['folder']}"
    if trigger.kind in {TriggerKind.EVENT, TriggerKind.WEBHOOK}:
        return f"events {spec['type']}"
    if "every" in spec:
        return f"every {spec['every']:g} s"
    if "cron" in spec:
        return f"cron {spec['cron']} {spec.get('zone', '')}".rstrip() + _cycle(spec)
    return day(spec["at"], spec) if "at" in spec else "by hand"


def _cycle(spec: dict[str, Any]) -> str:
    """Return in which weeks or days a cron expression counts, in words; "" for all."""
    unit = next((name for name in ("weeks", "days") if spec.get(name, 1) > 1), "")
    return f", every {spec[unit]} {unit} from {spec['from']}" if unit else ""


def upcoming(trigger: Trigger) -> str:
    """Return when a trigger fires next, in words."""
    if not trigger.enabled:
        return "paused"
    return "ready" if trigger.next_fire is None else f"next {day(trigger.next_fire, trigger.spec)}"


def history(fires: list[Fire]) -> str:
    """Return how the newest fires ended, in words; "" when there were none."""
    ended = [fire.run_status for fire in fires if fire.run_status in FINAL]
    skipped = sum(fire.status in {FireStatus.SKIPPED, FireStatus.MISSED} for fire in fires)
    parts = [f"{ended.count(Status.COMPLETED)} of {len(ended)} runs succeeded"] if ended else []
    parts += [f"{skipped} skipped"] if skipped else []
    parts += [f"last one: {fires[0].subject}"] if fires and fires[0].status is FireStatus.FAILED else []
    return "".join(f" · {part}" for part in parts)


def day(moment: float | None, spec: dict[str, Any]) -> str:
    """Return a moment in the zone of a spec, in words; "never" for None."""
    if moment is None:
        return "never"
    there = datetime.fromtimestamp(moment, UTC).astimezone(zone(str(spec.get("zone") or "UTC")))
    return f"{there:%A, %d %B %Y, %H:%M}"
