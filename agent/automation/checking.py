"""What a trigger must be before it is stored, whoever made it: a form, a chat, a pipeline's file."""

from __future__ import annotations

import difflib
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.automation import times
from agent.automation.files import check_files
from agent.domain.trigger import Misfire, Overlap, Trigger, TriggerKind
from agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PRIORITIES = range(-1000, 1001)
CHANGEABLE = frozenset(
    {"name", "target", "spec", "enabled", "misfire", "misfire_cap", "overlap", "priority", "project", "budget"}
    | {"approval", "session_id", "dest", "created_by", "trusted", "source"},
)
TIME = ("every", "cron", "zone", "at", "until", "weeks", "days", "from")


def checked(trigger: Trigger, now: float) -> Trigger:
    """Return a trigger with its spec complete and its next time set. Raises ConfigError, naming what is wrong.

    `next_fire` is None while it is off, and for everything but schedules.
    """
    check_terms(trigger)
    if trigger.kind is TriggerKind.SCHEDULE:
        times.check(trigger.spec)
        upcoming = times.following(trigger.spec, trigger.created_at, now)
        if upcoming is None:
            raise ConfigError(f"The time of {trigger.name!r} is in the past.", hint="Give a time to come.")
        return replace(trigger, next_fire=upcoming if trigger.enabled else None)
    if trigger.kind is TriggerKind.FILE:
        return replace(trigger, spec=check_files(trigger.spec), next_fire=None)
    if trigger.kind in {TriggerKind.EVENT, TriggerKind.WEBHOOK}:
        _check_event(trigger)
    return replace(trigger, next_fire=None)


def _check_event(trigger: Trigger) -> None:
    wanted, conditions = trigger.spec.get("type"), trigger.spec.get("conditions")
    if not wanted or not isinstance(wanted, str):
        raise ConfigError(f"The trigger {trigger.name!r} names no type of event.", hint='Give {"type": "order.*"}.')
    if not isinstance(conditions, dict | None):
        raise ConfigError(
            f"The conditions of the trigger {trigger.name!r} cannot be {conditions!r}.",
            hint='Give {"conditions": {"total": {"ge": 100}}}.',
        )


def check_terms(trigger: Trigger) -> None:
    """Raise ConfigError for a priority, budget or cap that cannot be."""
    if trigger.priority not in PRIORITIES:
        raise ConfigError(f"The priority {trigger.priority!r} cannot be.", hint="Use a whole number, 5 is usual.")
    if trigger.budget is not None and not (math.isfinite(trigger.budget) and trigger.budget > 0):
        raise ConfigError(f"A budget of {trigger.budget!r} cannot be.", hint="Give US dollars, more than 0.")
    if trigger.misfire_cap < 1:
        raise ConfigError(f"At most {trigger.misfire_cap!r} missed times cannot be.", hint="Give 1 or more.")


def changed(trigger: Trigger, changes: Mapping[str, Any]) -> Trigger:
    """Return the trigger with some fields as they are to be. Raises ConfigError for one that is unknown or wrong."""
    for name in changes:
        if name not in CHANGEABLE:
            near = difflib.get_close_matches(name, sorted(CHANGEABLE), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(CHANGEABLE))}."
            raise ConfigError(f"A trigger has no {name!r} that can be changed.", hint=hint)
    made = dict(changes)
    words: tuple[tuple[str, Callable[[str], Any]], ...] = (("misfire", Misfire), ("overlap", Overlap))
    for name, kind in words:
        if name in made:
            try:
                made[name] = kind(made[name])
            except ValueError:
                known = ", ".join(Misfire if name == "misfire" else Overlap)
                raise ConfigError(f"{name} {made[name]!r} is not known.", hint=f"There are {known}.") from None
    return replace(trigger, **made)


def same_time(one: Trigger, other: Trigger) -> bool:
    """Tell whether two schedules fire at the same times."""
    return all(one.spec.get(name) == other.spec.get(name) for name in TIME)
