"""What the REST API takes. Whatever else is sent is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, RootModel, Tag

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]
Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f]*$")]
Whole = Annotated[int, BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)]
LATEST = 32_503_680_000.0  # the year 3000
Moment = Annotated[float, Field(ge=0, le=LATEST, description="In seconds since 1970.")]


class Taken(BaseModel):
    """Something that is sent: of exactly the types that the OpenAPI document names."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Order(Taken):
    """What a pipeline is run with."""

    inputs: dict[str, Any] = Field(default_factory=dict)


class Request(Taken):
    """What is to be done, in words."""

    request: Text = Field(max_length=100_000)


class PipelineText(Taken):
    """A pipeline as YAML."""

    text: str = Field(max_length=200_000, examples=["name: hello\nsteps:\n  - {id: a, use: value, args: {value: 1}}\n"])


class Decision(Taken):
    """A decision about the call that `digest` stands for; `comment` goes with `revise`."""

    decision: Literal["allow", "task", "deny", "revise"]
    digest: str
    comment: str = Field("", max_length=10_000)


class OtherCall(Taken):
    """Arguments that are to be others, by name, of the call that `digest` stands for."""

    digest: str
    args: dict[str, Any] = Field(min_length=1)


class Reply(Taken):
    """An answer to a question."""

    answer: Text = Field(max_length=100_000)


class Fact(Taken):
    """Something to remember."""

    text: Text = Field(max_length=400)
    tag: Literal["PREF", "DECISION", "CONFIG", "AGREEMENT", "FACT"] = "FACT"


class Line(Taken):
    """A remembered fact as it stands in the file."""

    line: str = Field(min_length=1, max_length=2_000)


# --- triggers: when, what, how ---------------------------------------------------------------------------------------
class Times(Taken):
    """What all schedules may say. `said` is how the owner said it, if they did."""

    zone: Name = Field("", max_length=100, description="Such as Europe/Vienna; UTC where there is none.")
    until: Moment = LATEST
    said: str = Field("", max_length=1_000)


class Every(Times):
    """Every so many seconds. With a `zone` whole days keep their time of day."""

    every: float = Field(ge=1, le=LATEST)


class Cron(Times):
    """Minute, hour, day, month, weekday: `0 9 * * 5`. With `weeks` or `days` one in so many, counted from `from`."""

    cron: Text = Field(max_length=1_000, examples=["0 9 * * 5"])
    weeks: Whole = Field(1, ge=1, le=520)
    days: Whole = Field(1, ge=1, le=520)
    begins: str = Field("", alias="from", pattern=r"^(\d{4}-\d{2}-\d{2})?$", examples=["2026-11-23"])


class At(Times):
    """Once."""

    at: Moment


class Folder(Taken):
    """Files that come into a folder of the machine, each once. `trusted`: only people whom the owner trusts do."""

    folder: Text = Field(max_length=4_000)
    pattern: Name = Field("*", min_length=1, max_length=1_000)
    afterwards: Literal["keep", "move", "ignore"] = "keep"
    move_to: str = Field("", max_length=4_000)
    settle: float = Field(1.0, ge=0, le=3_600)
    trusted: bool = False


class Happens(Taken):
    """Events of a type, or of a pattern such as `order.*`, that meet all conditions: `{"total": {"ge": 100}}`."""

    type: Text = Field(max_length=200, examples=["order.*"])
    conditions: dict[str, Any] = Field(default_factory=dict)
    trusted: bool = False


class ByHand(Taken):
    """Nothing: it fires by hand alone."""


class ToAsk(Taken):
    """A request in words."""

    request: Text = Field(max_length=100_000)


class ToRun(Taken):
    """A pipeline with its inputs, which may be templates over `event`, `file` and `trigger`."""

    pipeline: Text = Field(max_length=100)
    inputs: dict[str, Any] = Field(default_factory=dict)


class ToRunChain(Taken):
    """A chain, by name or id."""

    chain: Text = Field(max_length=100)
    inputs: dict[str, Any] = Field(default_factory=dict)


class ToTell(Taken):
    """A reminder."""

    notice: Text = Field(max_length=100_000)


def _by_key(*keys: str) -> Discriminator:
    """Tell alternatives apart by the key that only they have, so that mistakes are told of the one that is meant."""

    def tag(value: Any) -> str | None:
        there = value if isinstance(value, dict) else getattr(value, "model_fields_set", ())
        return next((key for key in keys if key in there), None)

    said = f"it needs one of the keys {', '.join(keys)}"
    return Discriminator(tag, custom_error_type="no_such_kind", custom_error_message=said)


Schedule = Annotated[
    Annotated[Every, Tag("every")] | Annotated[Cron, Tag("cron")] | Annotated[At, Tag("at")],
    _by_key("every", "cron", "at"),
]
Target = Annotated[
    Annotated[ToAsk, Tag("request")]
    | Annotated[ToRun, Tag("pipeline")]
    | Annotated[ToRunChain, Tag("chain")]
    | Annotated[ToTell, Tag("notice")],
    _by_key("request", "pipeline", "chain", "notice"),
]


class TriggerTerms(Taken):
    """How a trigger fires."""

    enabled: bool = True
    misfire: Literal["skip", "once", "all"] = "once"
    overlap: Literal["skip", "queue", "allow"] = "allow"
    priority: Whole = Field(5, ge=-1_000, le=1_000)
    project: Name = Field("", max_length=64)
    budget: float | None = Field(None, gt=0, le=1e6)
    approval: str = Field("", max_length=1_000)


class _NewTrigger(TriggerTerms):
    name: Text = Field(max_length=100)
    target: Target


class OnTime(_NewTrigger):
    """A trigger that fires at times."""

    kind: Literal["schedule"]
    spec: Schedule


class OnFile(_NewTrigger):
    """A trigger that fires for files."""

    kind: Literal["file"]
    spec: Folder


class OnEvent(_NewTrigger):
    """A trigger that fires for events."""

    kind: Literal["event"]
    spec: Happens


class OnCall(_NewTrigger):
    """A trigger that fires by hand."""

    kind: Literal["manual"]
    spec: ByHand = Field(default_factory=ByHand)


class NewTrigger(RootModel[Annotated[OnTime | OnFile | OnEvent | OnCall, Field(discriminator="kind")]]):
    """A trigger to be made: `spec` says when, `target` what."""


class Webhook(Happens):
    """Signed calls, which the command line sets up."""

    name: Name = Field(max_length=100)
    signature: str = Field("", max_length=100)


Spec = Annotated[
    Annotated[Every, Tag("every")]
    | Annotated[Cron, Tag("cron")]
    | Annotated[At, Tag("at")]
    | Annotated[Folder, Tag("folder")]
    | Annotated[Webhook, Tag("name")]
    | Annotated[Happens, Tag("type")],
    _by_key("every", "cron", "at", "folder", "name", "type"),
]


class TriggerChange(TriggerTerms):
    """What is to be different about a trigger; its kind stays."""

    name: Text = Field("-", max_length=100)
    spec: Spec = Field(default_factory=lambda: At(at=0))
    target: Target = Field(default_factory=lambda: ToTell(notice="-"))


# --- events, chains, money -------------------------------------------------------------------------------------------
class NewEvent(Taken):
    """An event; its `key` makes it unique, so that sent twice it counts once."""

    type: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")
    payload: dict[str, Any] = Field(default_factory=dict)
    key: Name = Field("", max_length=200)
    project: Name = Field("", max_length=64)


class NewChain(Taken):
    """A chain: names of pipelines, in order."""

    name: Text = Field(max_length=100)
    workflows: list[Name] = Field(min_length=1, max_length=50)


class Budget(Taken):
    """US dollars; null is no limit."""

    money: float | None = Field(gt=0, le=1e9)


def all_taken() -> list[type[BaseModel]]:
    """Return what the OpenAPI document describes."""
    there = [one for one in globals().values() if isinstance(one, type) and issubclass(one, BaseModel)]
    return [one for one in there if one.__module__ == __name__ and not one.__name__.startswith("_")]
