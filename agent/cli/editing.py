"""`dirigent schedules edit`: another time in words, another text, another name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse

    from agent.app import App
    from agent.domain.trigger import Trigger


async def edit(app: App, trigger: Trigger, arguments: argparse.Namespace) -> str:
    """Change a schedule and return what it is now. Raises ConfigError for a time that is not understood."""
    from agent.automation.chat import change_of, described, upcoming
    from agent.domain.trigger import TriggerKind

    changes: dict[str, Any] = {}
    if arguments.text:
        changes |= change_of(trigger, "text", arguments.text)
    if arguments.name:
        changes |= change_of(trigger, "name", arguments.name)
    if arguments.time:
        if trigger.kind is not TriggerKind.SCHEDULE:
            raise ConfigError(
                f"“{trigger.name}” has no time: it waits for something else.", hint="Give --name or --text."
            )
        changes["spec"] = _spec(app, trigger, arguments.time)
    if not changes:
        raise ConfigError("Nothing is to be changed.", hint='Give --time "every Friday at 9", --text or --name.')
    made = await app.automation.update(trigger.id, **changes)
    return f"{made.id}  {described(made)}: {made.name}\n{upcoming(made)}"


def _spec(app: App, trigger: Trigger, text: str) -> dict[str, Any]:
    """Return the spec of a time in words, in the schedule's own zone unless another is named."""
    import time
    from datetime import UTC, datetime

    from agent.automation.chat import HOW_TO_SAY, NOT_UNDERSTOOD
    from agent.automation.times import persons_zone, zone
    from agent.automation.wording import time_of

    name = str(trigger.spec.get("zone") or persons_zone(app.config.plugins.get("time", {}).get("time_zone", "")))
    made = time_of(text, datetime.fromtimestamp(time.time(), UTC).astimezone(zone(name)), name)
    if made is None:
        raise ConfigError(NOT_UNDERSTOOD, hint=HOW_TO_SAY)
    return {**made[0], "said": made[1]}
