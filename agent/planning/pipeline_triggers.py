"""What starts a pipeline by itself, as its file says it under `triggers:`.

One entry says one thing that it waits for: `schedule`, `file`, `event` or `webhook`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from agent.domain.trigger import Misfire, Overlap

WEBHOOK = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
LENGTH = re.compile(r"^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$", re.IGNORECASE)
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400, "week": 604_800}
SHORT = {"": "second", "s": "second", "sec": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}
SHORT |= {"w": "week", "hr": "hour"}


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def seconds_of(length: float | str) -> float:
    """Return the seconds of a length of time: a number of them, `5 minutes`, `1d`. Raises ValueError."""
    if isinstance(length, (int, float)) and not isinstance(length, bool):
        return float(length)
    found = LENGTH.match(str(length))
    unit = found[2].lower() if found else ""
    unit = SHORT.get(unit, unit.removesuffix("s"))
    if found is None or unit not in SECONDS:
        raise ValueError(f"{length!r} is no length of time; write seconds, or one such as `5 minutes` or `1d`")
    return float(found[1]) * SECONDS[unit]


class Schedule(_Record):
    """Times: in words, every so often, or as cron has them."""

    say: str = ""
    """In words: `every Friday at 9`, `every other Monday at 9`. `schedule: every Friday at 9` is short for this."""
    every: float | str | None = None
    """Seconds, or a length such as `5 minutes`, `1d` or `2 weeks`; whole days keep their time of day."""
    interval: Annotated[float, Field(gt=0)] | None = None
    """A number of units, with `unit`."""
    unit: Literal["seconds", "minutes", "hours", "days", "weeks"] | None = None
    """What `interval` counts."""
    cron: str = ""
    """Minute, hour, day, month, weekday: `0 9 * * 5`."""
    zone: str = ""
    """The time zone of words and cron, such as Europe/Vienna; by default the person's."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Schedule:
        given = [self.say, self.cron, self.every is not None, self.interval is not None]
        if sum(map(bool, given)) != 1:
            raise ValueError("a schedule is one of: words, `every`, `interval` with `unit`, or `cron`")
        if (self.interval is None) != (self.unit is None):
            raise ValueError("`interval` and `unit` go together")
        _ = self.seconds
        return self

    @property
    def seconds(self) -> float | None:
        """The interval in seconds, None for words and cron. Raises ValueError."""
        if self.interval is not None and self.unit is not None:
            return self.interval * SECONDS[self.unit.removesuffix("s")]
        return None if self.every is None else seconds_of(self.every)


class Files(_Record):
    """Files that come into a folder: each fires once, when it has arrived whole."""

    folder: str
    """The folder; a relative one lies in the home."""
    pattern: str = "*"
    """Which files, such as `*.csv` or `**/*.pdf`."""
    afterwards: Literal["keep", "move", "ignore"] = "keep"
    """keep: again when the file changes; ignore: once for each name; move: into `move_to`."""
    move_to: str = ""
    """The folder for `move`; by default `processed` in the folder."""
    settle: Annotated[float, Field(ge=0, le=3600)] = 1.0
    """Seconds that a file has to stay the same before it counts as whole."""
    trusted: bool = False
    """True when only people whom you trust can put files there."""


class OnEvent(_Record):
    """Events that happen elsewhere, or that other pipelines publish."""

    type: Annotated[str, Field(min_length=1)]
    """Its type, or a pattern such as `order.*`. `event: order.*` is short for this."""
    conditions: dict[str, Any] = Field(default_factory=dict)
    """Place in the payload → value, or comparisons: `total: {ge: 100}`. Also `source` and `project`."""


class Webhook(_Record):
    """Signed calls over HTTP."""

    name: str = ""
    """Its name; by default the pipeline's. `webhook: NAME` is short for this. The event's type is `webhook.NAME`."""
    conditions: dict[str, Any] = Field(default_factory=dict)
    """What the call's JSON must say, as for events."""

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if value and not WEBHOOK.match(value):
            raise ValueError(f"the webhook's name {value!r} must be letters, digits, '-' and '_' (at most 64)")
        return value


def _short(key: str) -> BeforeValidator:
    """Let one text stand for the record with that text under `key`."""
    return BeforeValidator(
        lambda value: {key: value} if isinstance(value, str) else value, json_schema_input_type=str | dict[str, Any]
    )


class PipelineTrigger(_Record):
    """One thing that starts the pipeline, and how its runs are then carried out."""

    name: str = ""
    """What lists show; it also keeps the trigger's history when the rest of the entry changes."""
    schedule: Annotated[Schedule, _short("say")] | None = None
    """Times: `every 5 minutes`, `every Friday at 9`, or a record with `every` or `cron`, and `zone`."""
    file: Annotated[Files, _short("folder")] | None = None
    """Files that come into a folder."""
    event: Annotated[OnEvent, _short("type")] | None = None
    """Events by type and conditions."""
    webhook: Annotated[Webhook, _short("name")] | None = None
    """Signed calls over HTTP."""
    inputs: dict[str, Any] = Field(default_factory=dict)
    """The pipeline's inputs; templates over `event`, `file` and `trigger`, such as `{{ event.payload.project }}`."""
    misfire: Misfire = Misfire.ONCE
    """Times that passed while nobody was there: skip, once (the newest), or all."""
    misfire_cap: Annotated[int, Field(ge=1, le=10_000)] = 10
    """The most that `misfire: all` makes up for."""
    overlap: Overlap | None = None
    """While an earlier run is unfinished: skip, queue or allow. By default schedules skip, the others allow."""
    priority: Annotated[int, Field(ge=-1000, le=1000)] = 5
    """Higher ones come first. With 5, an event's own priority counts."""
    project: str = ""
    """The project that the runs belong to; an event's own counts more."""
    budget: Annotated[float, Field(gt=0)] | None = None
    """US dollars that one run may spend."""
    approval: str = ""
    """A text that a person must agree to before such a run begins; templates as in `inputs`."""
    enabled: bool = True
    """False: it is there, but does not fire."""

    @model_validator(mode="after")
    def _waits_for_one_thing(self) -> PipelineTrigger:
        if len(self.waits_for) != 1:
            found = f", not {' and '.join(self.waits_for)}" if self.waits_for else ""
            raise ValueError(f"a trigger waits for one thing: `schedule`, `file`, `event` or `webhook`{found}")
        return self

    @property
    def waits_for(self) -> list[str]:
        """The names of what it waits for: one of them, in a valid entry."""
        kinds = ("schedule", "file", "event", "webhook")
        return [kind for kind in kinds if getattr(self, kind) is not None]
