"""What the owner can agree to before a pipeline runs by itself: found, and said exactly as it will be checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.pipelines import Ready
    from agent.store.protocol import Store


def what_it_says(given: Mapping[str, Any]) -> list[str]:
    """Return the lines that are shown: every call that a yes allows, and for how long."""
    from agent.policy.grants import DAYS, in_words

    calls = in_words(given)
    if not calls:
        return []
    head = f"The pipeline {given['pipeline']} may then do this without asking, for {DAYS} days or until it is changed:"
    return [head, *(f"  • {call}" for call in calls), "Anything else it wants to change asks first, as always."]


async def yet_to_agree(store: Store, ready: Ready, now: float) -> list[dict[str, Any]]:
    """Return what the runs that a pipeline's own triggers start are opened with, where a yes could still be given.

    A trigger whose inputs come from events is left out: what its runs may change is only known then, and asks then.
    Raises PlanError for a trigger's inputs that are wrong.
    """
    from agent.policy.grants import agreed

    found: dict[str, dict[str, Any]] = {}
    for trigger in ready.pipeline.triggers:
        if "{{" in str(trigger.inputs) or "{%" in str(trigger.inputs):
            continue
        given = ready.given(trigger.inputs)
        if what_it_says(given) and await agreed(store, given, now) is None:
            found[given["seal"]] = given
    return list(found.values())
