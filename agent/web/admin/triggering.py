"""Triggers as a form has them: read out of one, and put back into one."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.trigger import Misfire, Overlap, Trigger, TriggerKind
from agent.errors import ConfigError

if TYPE_CHECKING:
    from agent.domain.messages import Destination

Form = Mapping[str, str]
DOES = {"request": "a request in words", "pipeline": "a pipeline", "chain": "a chain", "notice": "a reminder"}
WHEN = {
    "cron": "at times (cron)",
    "every": "every so many seconds",
    "event": "when an event comes",
    "file": "when a file appears",
    "manual": "only by hand",
    "json": "as it says in JSON",
}
KINDS = {"event": TriggerKind.EVENT, "file": TriggerKind.FILE, "manual": TriggerKind.MANUAL}


@dataclass(frozen=True, slots=True)
class Fields:
    """What the fields of the form hold."""

    name: str = ""
    when: str = "cron"
    value: str = ""
    zone: str = ""
    pattern: str = ""
    does: str = "request"
    what: str = ""
    inputs: str = ""
    misfire: str = "once"
    overlap: str = "allow"
    project: str = ""
    budget: str = ""
    approval: str = ""
    kind: str = ""


def fields_of(trigger: Trigger) -> Fields:
    """Return the fields that show a trigger; times that the form has no fields for are shown as JSON."""
    does = next((kind for kind in DOES if kind in trigger.target), "request")
    inputs = trigger.target.get("inputs")
    when, value, zone, pattern = _when_of(trigger)
    return Fields(
        name=trigger.name,
        when=when,
        value=value,
        zone=zone,
        pattern=pattern,
        does=does,
        what=str(trigger.target.get(does, "")),
        inputs=json.dumps(inputs, ensure_ascii=False) if inputs else "",
        misfire=trigger.misfire.value,
        overlap=trigger.overlap.value,
        project=trigger.project,
        budget="" if trigger.budget is None else f"{trigger.budget:g}",
        approval=trigger.approval,
        kind=trigger.kind.value,
    )


def _when_of(trigger: Trigger) -> tuple[str, str, str, str]:
    spec = trigger.spec
    plain = {TriggerKind.SCHEDULE: {"cron", "zone"}, TriggerKind.FILE: {"folder", "pattern"}}
    known = plain.get(trigger.kind, {"type"})
    if trigger.kind is TriggerKind.SCHEDULE and "cron" in spec and set(spec) <= known:
        return "cron", str(spec["cron"]), str(spec.get("zone", "")), ""
    if trigger.kind is TriggerKind.SCHEDULE and set(spec) == {"every"}:
        return "every", f"{spec['every']:g}", "", ""
    if trigger.kind is TriggerKind.EVENT and set(spec) == known:
        return "event", str(spec["type"]), "", ""
    if trigger.kind is TriggerKind.FILE and set(spec) <= known:
        return "file", str(spec.get("folder", "")), "", str(spec.get("pattern", ""))
    if trigger.kind is TriggerKind.MANUAL:
        return "manual", "", "", ""
    return "json", json.dumps(spec, ensure_ascii=False, indent=1), "", ""


def new_trigger(form: Form, dest: Destination) -> Trigger:
    """Return the trigger that a form describes. Raises ConfigError naming what is wrong."""
    when = form.get("when", "cron")
    return Trigger(
        id=f"w{secrets.token_hex(4)}",
        kind=KINDS.get(when, TriggerKind.SCHEDULE),
        session_id=dest.session_id,
        dest=dest,
        created_by=dest.chat_id,
        **changes_of(form),
    )


def changes_of(form: Form) -> dict[str, Any]:
    """Return what a form says of a trigger, by the names of its fields. Raises ConfigError naming what is wrong."""
    what, does = form.get("what", "").strip(), form.get("does", "request")
    if not what or does not in DOES:
        raise ConfigError("What should it do?", hint="A request in words, or the name of a pipeline.")
    target: dict[str, Any] = {does: what}
    if inputs := form.get("inputs", "").strip():
        target["inputs"] = _json(inputs, "The inputs")
    return {
        "name": form.get("name", "").strip() or what[:60],
        "spec": _spec(form),
        "target": target,
        "misfire": _one_of(Misfire, form.get("misfire", "once")),
        "overlap": _one_of(Overlap, form.get("overlap", "allow")),
        "project": form.get("project", "").strip(),
        "budget": money_of(form.get("budget", "")),
        "approval": form.get("approval", "").strip(),
    }


def _spec(form: Form) -> dict[str, Any]:
    when, value = form.get("when", "cron"), form.get("value", "").strip()
    if when == "manual":
        return {}
    if not value:
        raise ConfigError("When should it fire?", hint="Such as `0 9 * * 1-5`, `3600` seconds, or `order.*`.")
    if when == "every":
        return {"every": _seconds(value)}
    if when == "event":
        return {"type": value}
    if when == "file":
        return {"folder": value, "pattern": form.get("pattern", "").strip() or "*"}
    if when == "json":
        return _json(value, "When it fires")
    return {"cron": value, "zone": form.get("zone", "").strip() or "UTC"}


def _seconds(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{value!r} is no number of seconds.", hint="3600 is every hour.") from None


def money_of(text: str) -> float | None:
    """Return US dollars that were typed; None for nothing. Raises ConfigError."""
    plain = text.strip().removeprefix("$").replace(",", ".")
    if not plain:
        return None
    try:
        found = float(plain)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e9:
        raise ConfigError(f"{text!r} is no budget.", hint="Give US dollars such as 2.50, or nothing for no limit.")
    return found


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{what} must be JSON, and this is not: {error}.", hint='Such as {"who": "Ada"}.') from None
    if not isinstance(found, dict):
        raise ConfigError(f"{what} must be an object.", hint='Such as {"who": "Ada"}.')
    return found


def _one_of(kind: type[Misfire | Overlap], name: str) -> Misfire | Overlap:
    try:
        return kind(name)
    except ValueError:
        raise ConfigError(f"{name!r} is no choice.", hint=f"There are {', '.join(kind)}.") from None
