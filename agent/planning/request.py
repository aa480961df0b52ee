"""What planning takes and what it yields."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.config import Limits
from agent.domain.ledger import Usage
from agent.domain.plan import PlanStep
from agent.domain.provenance import USER, Provenance
from agent.domain.run import StepRecord
from agent.llm.protocol import Picture
from agent.skills import Skill
from plugins.api import ToolSpec


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What is to be planned, and all that the planner may read.

    `tools` are those that the profile allows, and nothing else can be planned. `context` is earlier conversation,
    `memory` what is remembered, `files` the workspace's paths, `now` the date and time in words. On a replan `progress`
    holds the run's steps so far, `reason` why it is planned anew, `answers` the questions asked and their answers.
    `wishes` are what the person said while the plan was carried out. `planned` holds the journalled steps of a plan
    whose stream broke off: it is continued from there. `control` is the
    union of everything above; every step planned carries it. `skills` are those that may be loaded, `loaded` those
    that are: their instructions are the owner's, and trusted.
    """

    user_text: str
    tools: tuple[ToolSpec, ...] = ()
    context: str = ""
    memory: str = ""
    files: tuple[str, ...] = ()
    progress: tuple[StepRecord, ...] = ()
    reason: str = ""
    answers: tuple[tuple[str, str], ...] = ()
    wishes: tuple[str, ...] = ()
    planned: tuple[PlanStep, ...] = ()
    instructions: str = ""
    skills: tuple[Skill, ...] = ()
    loaded: tuple[Skill, ...] = ()
    language: str = "en"
    now: str = ""
    limits: Limits = field(default_factory=Limits)
    control: Provenance = USER
    model: str | None = None
    pictures: tuple[Picture, ...] = ()
    """Pictures of the person's own that came with the words; `control` says that they were looked at."""
    told_in: str = ""
    """The language that the person is told things in by us, "" for English; the model's answers follow `language`."""
    words: Provenance | None = None
    """The label of the request's own words, for a planner that reads nothing else; None gives `control` to all."""


@dataclass(frozen=True, slots=True)
class Titled:
    """The plan has a title."""

    title: str


@dataclass(frozen=True, slots=True)
class Planned:
    """A step, valid, all of whose dependencies were planned before it. It is never changed afterwards.

    `kept` is True on a replan for a step that was pending and has come back exactly as it was.
    """

    step: PlanStep
    control: Provenance = USER
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Dropped:
    """Steps that are under way or planned are not wanted any more."""

    step_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line that cannot be run; one correction is asked for at the end of the stream."""

    line: str
    reason: str
    step_id: str = ""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that the person should see, such as a wait for the model's server."""

    text: str


@dataclass(frozen=True, slots=True)
class Answering:
    """A piece of a direct answer while it is written; the whole comes as Direct."""

    text: str


@dataclass(frozen=True, slots=True)
class Direct:
    """The answer itself: no step is needed."""

    text: str


@dataclass(frozen=True, slots=True)
class Used:
    """What one call of the model used."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Loading:
    """A skill is about to be loaded: the plan is written with its instructions."""

    skill: Skill


PlanEvent = Titled | Planned | Dropped | Refusal | Note | Answering | Direct | Used | Loading
