"""EventMapper: which rules an event meets, and on which terms their runs are opened. It reads and writes nothing."""

from __future__ import annotations

import fnmatch
import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.domain.trigger import Trigger, TriggerKind

if TYPE_CHECKING:
    from agent.domain.event import Event

USUAL = 5
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


class EventMapper:
    """The rules: triggers of the kinds event and webhook that are on."""

    def __init__(self, triggers: Iterable[Trigger]) -> None:
        kinds = {TriggerKind.EVENT, TriggerKind.WEBHOOK}
        known = [trigger for trigger in triggers if trigger.kind in kinds]
        self.rules = [trigger for trigger in known if trigger.enabled]
        self._off = [trigger for trigger in known if not trigger.enabled]

    def map_event(self, event: Event) -> list[Trigger]:
        """Return the rules that an event meets, with the terms of the runs that it opens; the highest priority first.

        A rule's priority counts unless it is the usual one (5): then the event's does. An event's project counts more
        than the rule's.
        """
        met = [terms(rule, event) for rule in self.rules if meets(rule, event)]
        return sorted(met, key=lambda rule: -rule.priority)

    def asleep(self, event: Event) -> list[Trigger]:
        """Return the rules that would meet an event if they were on."""
        return [rule for rule in self._off if meets(rule, event)]


def meets(rule: Trigger, event: Event) -> bool:
    """Tell whether an event meets a rule; a webhook's is met by the calls to it, and by nothing else."""
    if rule.kind is TriggerKind.WEBHOOK and event.source != source_of(rule):
        return False
    return concerns(rule.spec, event)


def source_of(webhook: Trigger) -> str:
    """Return the source of the events that a webhook's calls become."""
    return f"webhook:{webhook.id}"


def terms(rule: Trigger, event: Event) -> Trigger:
    """Return a rule with the priority and the project that a run has which this event opens."""
    priority = event.priority if rule.priority == USUAL else rule.priority
    return replace(rule, priority=priority, project=event.project or rule.project)


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
