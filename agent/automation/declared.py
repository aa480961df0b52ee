"""The triggers that a pipeline's file declares, as the journal holds them. Their ids stay the same while they do."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.automation import times
from agent.automation.wording import time_of
from agent.domain.trigger import Overlap, Trigger, TriggerKind
from agent.errors import ConfigError, DirigentError

if TYPE_CHECKING:
    from agent.domain.messages import Destination
    from agent.planning.pipeline import Pipeline
    from agent.planning.pipeline_reading import Source
    from agent.planning.pipeline_triggers import Files, PipelineTrigger, Schedule

CRON = re.compile(r"^\s*[\d*][\d*/,-]*\s+(?:[\d*/,LW#?a-zA-Z-]+\s+){3}[\d*/,LW#?a-zA-Z-]+\s*$")  # minutes have no names
DECLARED_OFF = "declared_off"
TICKET = "ticket_id"
ID_CHARS = 11
WORDS = "Write it as “every 5 minutes”, “every Friday at 9”, or with `every` or `cron`."
KINDS = {
    "schedule": TriggerKind.SCHEDULE,
    "file": TriggerKind.FILE,
    "event": TriggerKind.EVENT,
    "webhook": TriggerKind.WEBHOOK,
}


@dataclass(frozen=True, slots=True)
class Declarer:
    """What the triggers of files have in common: where they report, in which time zone, and the home's folder."""

    dest: Destination
    zone: str
    home: Path
    now: float

    def triggers(self, name: str, pipeline: Pipeline, source: Source) -> tuple[list[Trigger], list[str]]:
        """Return the triggers of the pipeline that lies under `name`, and every mistake with its place."""
        made: list[Trigger] = []
        problems: list[str] = []
        seen: Counter[str] = Counter()
        for n, one in enumerate(pipeline.triggers):
            try:
                spec = self._spec(name, one)
            except (DirigentError, ValueError) as error:
                problems.append(f"{source.at(('triggers', n, one.waits_for[0]))}: {error}")
                continue
            identity = _identity(name, one, spec)
            seen[identity] += 1
            made.append(self._trigger(name, pipeline, one, spec, f"{identity}|{seen[identity]}"))
        return made, problems

    def _trigger(
        self, name: str, pipeline: Pipeline, one: PipelineTrigger, spec: dict[str, Any], identity: str
    ) -> Trigger:
        kind = KINDS[one.waits_for[0]]
        inputs = dict(one.inputs)
        if kind is TriggerKind.SCHEDULE and TICKET in pipeline.inputs:
            inputs.setdefault(TICKET, "")  # a schedule is about no ticket in particular
        usual = Overlap.SKIP if kind is TriggerKind.SCHEDULE else Overlap.ALLOW
        return Trigger(
            id="p" + hashlib.sha256(identity.encode()).hexdigest()[:ID_CHARS],
            name=one.name or name,
            kind=kind,
            target={"pipeline": name, "inputs": inputs},
            session_id=self.dest.session_id,
            dest=self.dest,
            spec=spec if one.enabled else {**spec, DECLARED_OFF: True},
            enabled=one.enabled,
            misfire=one.misfire,
            misfire_cap=one.misfire_cap,
            overlap=one.overlap or usual,
            created_by=self.dest.chat_id,
            priority=one.priority,
            project=one.project,
            budget=one.budget,
            approval=one.approval,
            source=name,
        )

    def _spec(self, name: str, one: PipelineTrigger) -> dict[str, Any]:
        """Return what the trigger waits for, as `Trigger.spec` has it. Raises ConfigError or ValueError."""
        if one.schedule is not None:
            return self._times(one.schedule)
        if one.file is not None:
            return self._files(one.file)
        if one.event is not None:
            return {"type": one.event.type, "conditions": one.event.conditions}
        assert one.webhook is not None
        called = one.webhook.name or name
        return {"type": f"webhook.{called}", "conditions": one.webhook.conditions, "name": called}

    def _times(self, schedule: Schedule) -> dict[str, Any]:
        zone = times.zone(schedule.zone).key if schedule.zone else self.zone
        seconds = schedule.seconds
        if seconds is not None:
            spec: dict[str, Any] = {"every": seconds, "zone": zone}
        elif schedule.cron or CRON.match(schedule.say):
            spec = {"cron": schedule.cron or schedule.say.strip(), "zone": zone}
        else:
            now = datetime.fromtimestamp(self.now, UTC).astimezone(times.zone(zone))
            found = time_of(schedule.say, now, zone)
            if found is None or "at" in found[0]:
                raise ConfigError(f"“{schedule.say}” is no time that comes again and again.", hint=WORDS)
            spec = {**found[0], "said": found[1]}
        times.check(spec)
        return spec

    def _files(self, file: Files) -> dict[str, Any]:
        folder = Path(file.folder).expanduser()
        spec: dict[str, Any] = {
            "folder": str((self.home / folder).resolve()),
            "pattern": file.pattern,
            "afterwards": file.afterwards,
            "settle": file.settle,
        }
        spec |= {"move_to": file.move_to} if file.move_to else {}
        return spec | ({"trusted": True} if file.trusted else {})


def _identity(name: str, one: PipelineTrigger, spec: dict[str, Any]) -> str:
    """Return what makes it the same trigger as before: its name, or what it waits for; of a schedule only its place.

    So files that have fired stay known while the rest of the entry changes, and a schedule may get another time.
    """
    if one.name:
        return f"{name}|named|{one.name}"
    kind = one.waits_for[0]
    told = {
        "schedule": "",
        "file": f"{spec.get('folder')}|{spec.get('pattern')}",
        "event": f"{spec.get('type')}|{json.dumps(spec.get('conditions'), sort_keys=True)}",
        "webhook": str(spec.get("name")),
    }
    return f"{name}|{kind}|{told[kind]}"


def steady(stored: Trigger, declared: Trigger) -> Trigger:
    """Return what a file declares with the first day that it had: "every other Monday" goes on as it was begun."""
    first = stored.spec.get("from")
    if first is None or {**stored.spec, "from": ""} != {**declared.spec, "from": ""}:
        return declared
    return replace(declared, spec={**declared.spec, "from": first})


def same(stored: Trigger, declared: Trigger) -> bool:
    """Tell whether a stored trigger is as its file declares it; whether it is on is not looked at."""
    return all(getattr(stored, name) == value for name, value in fields_of(declared).items())


def fields_of(declared: Trigger) -> dict[str, Any]:
    """Return the fields that a file decides about."""
    names = ("name", "target", "spec", "misfire", "misfire_cap", "overlap", "priority", "project", "budget")
    return {name: getattr(declared, name) for name in (*names, "approval", "session_id", "dest", "created_by")}
