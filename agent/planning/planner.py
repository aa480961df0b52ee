"""The model's planner: asks for a plan, reads it while it streams, checks every step, and asks once for corrections."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from loguru import logger

from agent.config import Limits, Model
from agent.domain.ledger import Usage
from agent.domain.plan import PlanStep
from agent.errors import LimitReached, ModelRubbish, ModelUnavailable, PlanError
from agent.llm.protocol import LLM, ChatMessage, Finished, LLMRequest, Notice, TextDelta
from agent.planning.draft import Draft
from agent.planning.notation import PlanReader
from agent.planning.prompting import plan_messages, repair_messages
from agent.planning.reads import AnswerText, End, Prose, Read, ReadStep, Refused, Signatures, Title
from agent.planning.references import REFERENCE
from agent.planning.request import (
    Answering,
    Direct,
    Dropped,
    Loading,
    Note,
    PlanEvent,
    Planned,
    PlanRequest,
    Titled,
    Used,
)
from agent.texts import mark
from plugins.api import PluginError, ToolSpec

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.skills import Skill

MAX_REFUSALS = 50
"""Wrong lines after which a stream is not worth reading on."""
MAX_AFTER_END = 2_000
"""Characters that a model may go on writing after the end of its plan before it is cut off."""
AFTER_END_SECONDS = 0.5
"""How long the last words of the model (its usage) are waited for once its plan has ended: steps may be waiting."""
MAX_ANSWER = 200_000
MAX_DROP_LINE = 400
SHOWN_PROBLEMS = 8
SHOWN_TO_PERSON = 3
NO_PLAN = mark("The model wrote no plan that can be carried out: {problems}")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_DROP = re.compile(r"[-*\s`]*drop\s+([A-Za-z][\w-]*(?:(?:\s*,\s*|\s+)[A-Za-z][\w-]*)*)[`.\s]*", re.IGNORECASE)
_SKILL = re.compile(r"[-*\s`]*skill[\s:(`\"']+([a-z0-9]+(?:-[a-z0-9]+)*)[)`\"'.\s]*")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ufffd]")


@dataclass(slots=True)
class _Turn:
    """What one answer of the model held, apart from its steps."""

    raw: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    prose: list[str] = field(default_factory=list)
    ended: bool = False
    reason: str = ""
    size: int = 0
    after_end: int = 0
    limit: LimitReached | None = None
    skill: Skill | None = None

    @property
    def text(self) -> str:
        return "".join(self.raw)

    @property
    def broke_off(self) -> bool:
        """True when the plan has no end and the model did not stop by itself."""
        return not self.ended and self.reason != "stop"

    def direct_answer(self) -> str:
        """Return the answer given instead of a plan, or "" where there is none that a person could read."""
        text = "".join(self.answer).strip() or "\n".join(self.prose).strip()
        if text[:20].lower().startswith(("<!doctype html", "<html")):
            return ""  # the page of some server in between
        readable = bool(_WORDS.search(REFERENCE.sub("", text))) or any(char.isalnum() for char in "".join(self.answer))
        return text if readable and len(_CONTROL.findall(text)) * 20 <= len(text) and not self.broke_off else ""


class Planner:
    """Plans with a model. `settings.notation` says which form is asked for; both are understood."""

    def __init__(self, llm: LLM, catalogue: Catalogue, settings: Model | None = None) -> None:
        self._llm = llm
        self._catalogue = catalogue
        self._notation = (settings or Model()).notation

    async def stream(self, request: PlanRequest) -> AsyncGenerator[PlanEvent]:
        """Plan, and yield each step the moment that it is complete, valid, and after all that it depends on.

        A greeting ends in Direct instead of steps. On a replan no step at all means that nothing is left to do. Wrong,
        missing and circular lines are asked for once more; steps already yielded stay. Raises PlanError with every
        problem, LimitReached for too many steps, and the model's errors.
        """
        while True:
            draft = Draft(self._catalogue, request)
            messages = plan_messages(request, self._catalogue, self._llm, self._notation)
            turn = _Turn()
            async with contextlib.aclosing(self._read(request, messages, draft, turn)) as events:
                async for event in events:
                    yield event
            if turn.skill is None:
                break
            yield Loading(turn.skill)  # whoever carries the plan out notes it before it is loaded
            request = _with_skill(request, turn.skill)
        if draft.empty and (answer := turn.direct_answer()):
            yield Direct(answer)
            return
        problems = _problems(request, draft, turn)
        if problems:
            logger.info("the plan needs a correction: {}", problems[:SHOWN_PROBLEMS])
            async with contextlib.aclosing(self._corrected(request, messages, draft, turn, problems)) as events:
                async for event in events:
                    yield event

    async def _corrected(
        self,
        request: PlanRequest,
        messages: Sequence[ChatMessage],
        draft: Draft,
        first: _Turn,
        problems: list[str],
    ) -> AsyncGenerator[PlanEvent]:
        again = repair_messages(messages, first.text, problems, list(draft.emitted))
        had_steps = not draft.empty
        draft.start_repair()
        turn = _Turn()
        async with contextlib.aclosing(self._read(request, again, draft, turn)) as events:
            async for event in events:
                yield event
        if not had_steps and draft.empty and (answer := turn.direct_answer()):
            yield Direct(answer)
            return
        left = _problems(request, draft, turn)
        if left:
            raise _plan_error(left)

    async def _read(
        self,
        request: PlanRequest,
        messages: Sequence[ChatMessage],
        draft: Draft,
        turn: _Turn,
    ) -> AsyncGenerator[PlanEvent]:
        """Read one answer of the model into the draft and the turn."""
        reader = PlanReader(_signatures(request.tools, self._catalogue))
        asked = LLMRequest(purpose="plan", messages=tuple(messages), model=request.model)
        stream = self._llm.stream(asked)
        try:
            async with contextlib.AsyncExitStack() as stack:
                if (close := getattr(stream, "aclose", None)) is not None:
                    stack.push_async_callback(close)
                items = await stack.enter_async_context(contextlib.aclosing(_until_settled(stream, turn)))
                async for item in items:
                    for event in _taken(item, reader, draft, turn):
                        yield event
                    if isinstance(item, Finished) or self._enough(turn, draft):
                        break
        except (ModelUnavailable, ModelRubbish) as failure:
            # What has been read stays; only a stream that brought nothing is the model's error alone.
            if not turn.raw or (draft.empty and draft.repairing):
                raise
            turn.reason = "lost"
            yield Note(failure.message)
        if not turn.reason:
            turn.reason = "cut"
            yield Used(self._estimated(messages, turn))
        for event in _events(reader.close(), draft, turn):
            yield event
        if turn.limit is not None:
            raise turn.limit

    @staticmethod
    def _enough(turn: _Turn, draft: Draft) -> bool:
        return (
            turn.limit is not None
            or turn.skill is not None
            or turn.after_end > MAX_AFTER_END
            or turn.size > MAX_ANSWER * 10
            or len(draft.refusals) > MAX_REFUSALS
        )

    def _estimated(self, messages: Sequence[ChatMessage], turn: _Turn) -> Usage:
        prompt = sum(self._llm.count(message.content) for message in messages)
        prompt += sum(picture.tokens for message in messages for picture in message.images)
        return Usage("plan", self._llm.name, prompt, self._llm.count(turn.text), estimated=True)


async def _until_settled(
    stream: AsyncIterator[TextDelta | Notice | Finished],
    turn: _Turn,
) -> AsyncGenerator[TextDelta | Notice | Finished]:
    """Yield what the model says; once its plan has ended, only what still comes within a moment."""
    clock = asyncio.get_running_loop().time
    deadline: float | None = None
    while True:
        if turn.ended and deadline is None:
            deadline = clock() + AFTER_END_SECONDS
        try:
            async with asyncio.timeout_at(deadline):
                item = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            if deadline is None:
                raise
            return
        yield item


def _taken(item: TextDelta | Notice | Finished, reader: PlanReader, draft: Draft, turn: _Turn) -> list[PlanEvent]:
    if isinstance(item, Notice):
        return [Note(item.text)]
    if isinstance(item, Finished):
        turn.reason = item.reason
        rest = item.text if not turn.raw else ""
        return [*_fed(rest, reader, draft, turn), Used(item.usage)]
    return _fed(item.text, reader, draft, turn)


def _fed(text: str, reader: PlanReader, draft: Draft, turn: _Turn) -> list[PlanEvent]:
    if not text:
        return []
    if turn.ended:
        turn.after_end += len(text)
        return []
    turn.raw.append(text)
    turn.size += len(text)
    return _events(reader.feed(text), draft, turn)


def _events(reads: list[Read], draft: Draft, turn: _Turn) -> list[PlanEvent]:
    events: list[PlanEvent] = []
    for read in reads:
        if len(draft.refusals) > MAX_REFUSALS or turn.limit is not None or turn.skill is not None:
            break
        try:
            events += _event(read, draft, turn)
        except LimitReached as limit:
            # What came before it in the same piece of text is passed on first.
            turn.limit = limit
    return events


def _event(read: Read, draft: Draft, turn: _Turn) -> Sequence[PlanEvent]:
    match read:
        case ReadStep(step, line):
            return draft.add(step, line)
        case Refused(line, reason, step_id):
            return [draft.refuse(line, reason, step_id)]
        case Title(text):
            return [] if draft.repairing else [Titled(text)]
        case AnswerText(text):
            turn.answer.append(text)
            return [Answering(text)]
        case Prose(text):
            dropped = _dropped(text, draft)
            if dropped:
                return [Dropped(dropped)]
            turn.skill = _wanted(text, draft)
            if turn.skill is None:
                turn.prose.append(text)
        case End():
            turn.ended = True
    return []


def _dropped(line: str, draft: Draft) -> tuple[str, ...]:
    """Return the steps that a line `drop s3` names, none for any other line."""
    found = _DROP.fullmatch(line) if len(line) <= MAX_DROP_LINE else None
    names = re.findall(r"[A-Za-z][\w-]*", found[1]) if found else []
    return tuple(names) if names and all(draft.is_unfinished(name) for name in names) else ()


def _wanted(line: str, draft: Draft) -> Skill | None:
    """Return the skill that a line `skill NAME` asks for before the plan has begun, None for any other line."""
    found = _SKILL.fullmatch(line) if len(line) <= MAX_DROP_LINE and draft.empty and not draft.repairing else None
    return draft.offered.get(found[1]) if found else None


def _with_skill(request: PlanRequest, skill: Skill) -> PlanRequest:
    """Return the request with a skill loaded: the plan is made of what it says as well."""
    loaded = (*request.loaded, skill)
    words = None if request.words is None else request.words | skill.label
    return replace(request, loaded=loaded, control=request.control | skill.label, words=words)


def _problems(request: PlanRequest, draft: Draft, turn: _Turn) -> list[str]:
    found = draft.problems()
    if turn.broke_off:
        last = list(draft.emitted)[-1:] or ["the beginning"]
        found.append(f"The plan breaks off after {last[0]} without its end.")
    elif draft.empty and not found and not (turn.ended and request.progress):
        found.append("The answer held no step and no text for the person.")
    return found


def _plan_error(problems: list[str]) -> PlanError:
    different = list(dict.fromkeys(problems))
    shown = [one.rstrip(".") for one in different[:SHOWN_TO_PERSON]]
    if len(different) > SHOWN_TO_PERSON:
        shown.append(f"and {len(different) - SHOWN_TO_PERSON} more")
    shown[-1] += "."
    hint = "The model was asked to correct its plan and did not. Say it in other words, or set a stronger `model`."
    return PlanError(shown, hint=hint, lead=NO_PLAN.partition("{")[0].rstrip())


def _signatures(tools: Sequence[ToolSpec], catalogue: Catalogue) -> Signatures:
    found: dict[str, Sequence[str]] = {}
    for spec in tools:
        try:
            names = list(spec.hints)
        except PluginError:
            # The call will be refused with this plugin's own message.
            continue
        found[spec.full_name] = found[catalogue.name_of(spec)] = names
    return found


@dataclass(frozen=True, slots=True)
class PlannerConfig:
    """What `plan_steps` plans with. Without a model the request's own words decide."""

    catalogue: Catalogue
    tools: tuple[ToolSpec, ...]
    llm: LLM | None = None
    settings: Model = field(default_factory=Model)
    limits: Limits = field(default_factory=Limits)
    language: str = "en"


async def plan_steps(config: PlannerConfig, user_text: str, context: str) -> list[PlanStep]:
    """Return the steps that carry out `user_text`, in topological order; none when a direct answer is enough.

    `context` is earlier conversation or results, and only material to the planner. Raises PlanError.
    """
    request = PlanRequest(
        user_text=user_text,
        tools=config.tools,
        context=context,
        limits=config.limits,
        language=config.language,
    )
    if config.llm is None:
        from agent.planning.offline import OfflinePlanner

        return [event.step for event in OfflinePlanner(config.catalogue).plan(request) if isinstance(event, Planned)]
    planner = Planner(config.llm, config.catalogue, config.settings)
    async with contextlib.aclosing(planner.stream(request)) as events:
        return [event.step async for event in events if isinstance(event, Planned)]
