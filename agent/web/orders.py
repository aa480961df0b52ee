"""What the REST API takes. Whatever else is sent is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Order(BaseModel):
    """What a pipeline is run with."""

    model_config = ConfigDict(extra="forbid")
    inputs: dict[str, Any] = Field(default_factory=dict)


class Request(BaseModel):
    """What is to be done, in words."""

    model_config = ConfigDict(extra="forbid")
    request: Text = Field(max_length=100_000)


class Decision(BaseModel):
    """A decision about the call that `digest` stands for; `comment` goes with `revise`."""

    model_config = ConfigDict(extra="forbid")
    decision: Literal["allow", "task", "deny", "revise"]
    digest: str
    comment: str = Field("", max_length=10_000)


class OtherCall(BaseModel):
    """Arguments that are to be others, by name, of the call that `digest` stands for."""

    model_config = ConfigDict(extra="forbid")
    digest: str
    args: dict[str, Any] = Field(min_length=1)


class Reply(BaseModel):
    """An answer to a question."""

    model_config = ConfigDict(extra="forbid")
    answer: Text = Field(max_length=100_000)


class Fact(BaseModel):
    """Something to remember."""

    model_config = ConfigDict(extra="forbid")
    text: Text = Field(max_length=400)
    tag: Literal["PREF", "DECISION", "CONFIG", "AGREEMENT", "FACT"] = "FACT"


class Line(BaseModel):
    """A remembered fact as it stands in the file."""

    model_config = ConfigDict(extra="forbid")
    line: str = Field(min_length=1, max_length=2_000)


class TriggerTerms(BaseModel):
    """How a trigger fires."""

    model_config = ConfigDict(extra="forbid")
    enabled: bool = True
    misfire: Literal["skip", "once", "all"] = "once"
    overlap: Literal["skip", "queue", "allow"] = "allow"
    priority: int = Field(5, ge=-1_000, le=1_000)
    project: str = Field("", max_length=64)
    budget: float | None = Field(None, gt=0, le=1e6)
    approval: str = Field("", max_length=1_000)


class NewTrigger(TriggerTerms):
    """A trigger to be made. `spec` says when, `target` what: see `GET /api/triggers` for examples of both."""

    name: Text = Field(max_length=100)
    kind: Literal["schedule", "file", "event", "manual"]
    spec: dict[str, Any] = Field(default_factory=dict)
    target: dict[str, Any] = Field(min_length=1)


class TriggerChange(TriggerTerms):
    """What is to be different about a trigger."""

    name: Text = Field("-", max_length=100)
    spec: dict[str, Any] = Field(default_factory=dict)
    target: dict[str, Any] = Field(default_factory=dict)


class NewEvent(BaseModel):
    """An event; its `key` makes it unique, so that sent twice it counts once."""

    model_config = ConfigDict(extra="forbid")
    type: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")
    payload: dict[str, Any] = Field(default_factory=dict)
    key: str = Field("", max_length=200)
    project: str = Field("", max_length=64)


class NewChain(BaseModel):
    """A chain: names of pipelines, in order."""

    model_config = ConfigDict(extra="forbid")
    name: Text = Field(max_length=100)
    workflows: list[str] = Field(min_length=1, max_length=50)


class Budget(BaseModel):
    """US dollars; null is no limit."""

    model_config = ConfigDict(extra="forbid")
    money: float | None = Field(gt=0, le=1e9)
