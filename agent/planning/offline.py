"""Plans without any model: the request's words are matched with the tools' example phrases.

A request is split into parts (`… and tell me …`). Each part is matched with the templates of all tools; files,
addresses, numbers and choices are read by the parameters' types; what a part leaves out comes from the parts before it,
by reference to what they make, or from a question. What matches nothing is said, with examples of what works. The same
request always gives the same plan.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from agent.domain.plan import OnFailure, PlanStep
from agent.errors import DirigentError, ToolArguments, ToolUnknown
from agent.planning.filling import Filling
from agent.planning.modifiers import TARGETS, without_modifiers
from agent.planning.phrases import (
    Match,
    content_words,
    example_words,
    match_phrases,
    mended_words,
    split_request,
    without_asking,
    without_file,
)
from agent.planning.references import find_references
from agent.planning.request import Direct, Note, PlanEvent, Planned, PlanRequest, Titled
from agent.planning.slots import Mentions, Slot, mentioned_files, slots_of
from agent.planning.suggestions import examples_for, help_without_model, small_talk
from agent.texts import mark, retell, say

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.domain.provenance import Provenance
    from plugins.api import ToolSpec

NOT_UNDERSTOOD = mark("Without a model I did not understand {quoted}; the rest is planned.")
ONLY_SHOWN = mark("Without a model I can't follow a skill; here is what it says.")
SKILL = "/skill "
MAX_TEXT = 8_000
MAX_PARTS = 40
MAX_TITLE = 60
MODIFIER_BONUS = 6.0
ASKED_LESS, MENDED_LESS, ASKING_LESS = 3.0, 1.0, 8.0
TRIED = 16
_SAVING = re.compile(
    r"(?:save|store|write|put|export|speichere)\s+"
    r"(?:it|that|this|them|es|sie|the (?:result|rows|chart|picture|text)s?)\s+"
    r"(?:as|to|in|into|als|unter)\s",
    re.IGNORECASE,
)
_SUMMARY = re.compile(r"(?:please\s+)?(?:summari[sz]e|sum up|fasse|résume)\b", re.IGNORECASE)
_READING = frozenset({"read_file", "extract_text"})
_NAME_WEIGHT, _WORD_WEIGHT = 3, 1
_ENOUGH = 3
_COMMAND_WORD = re.compile(
    r"(?P<key>(?:--)?[A-Za-z_][\w-]*=)?(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')(?=\s|$)|\S+",
)
_ASSIGNMENT = re.compile(r"(?:--)?([A-Za-z_][\w-]*)=(.*)", re.DOTALL)


class OfflinePlanner:
    """Plans from the catalogue alone: slash commands, and requests that resemble the tools' examples."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    async def stream(self, request: PlanRequest) -> AsyncGenerator[PlanEvent]:
        """Yield the events of `plan`."""
        for event in self.plan(request):
            yield event

    def plan(self, request: PlanRequest) -> list[PlanEvent]:
        """Return the plan's events; Direct with what would work when nothing is understood.

        A replan has nothing to add: without a model the same words give the same plan.
        """
        if request.progress:
            return []
        text = request.user_text.strip()[:MAX_TEXT]
        if request.loaded and text.startswith(SKILL):
            shown = "\n\n".join(skill.instructions for skill in request.loaded)
            return [Direct(f"{say(request.told_in, ONLY_SHOWN)}\n\n{shown}")]
        events = self._command(text, request) if text.startswith("/") else self._phrases(text, request)
        known = {step.id for step in request.planned}
        return [event for event in events if not (isinstance(event, Planned) and event.step.id in known)]

    # --- plain words ----------------------------------------------------------------------------------------------

    def _phrases(self, text: str, request: PlanRequest) -> list[PlanEvent]:
        language, filling = request.told_in, Filling(self._catalogue, request.files, language=request.told_in)
        steps: list[PlanStep] = []
        unclear: list[str] = []
        parts = split_request(text, request.tools)[:MAX_PARTS]
        if len(parts) <= 1 and (spoken := small_talk(text, examples_for(request), language)):
            return [Direct(spoken)]
        at = 0
        while at < len(parts):
            part, joined = parts[at], self._with_saving(parts[at : at + 2], request.tools, filling)
            found = joined or self._part(part, request.tools, filling)
            at += 2 if joined else 1
            steps += found
            if not found:
                unclear.append(part)
        if not steps:
            shown = examples_for(request)
            return [Direct(help_without_model(text, unclear, shown, request.files, language=language))]
        events: list[PlanEvent] = [Titled(_title(text))]
        events += [Planned(step, self._control(step, request)) for step in steps[: request.limits.steps]]
        if unclear:
            quoted = ", ".join(f"“{part[:80]}”" for part in unclear)
            events.append(Note(say(language, NOT_UNDERSTOOD, quoted=quoted)))
        if _SUMMARY.match(text) and any(step.tool in _READING for step in steps):
            events.append(Note(say(language, "Without a model I can't sum a text up; here it is as it stands.")))
        return events

    def _part(self, part: str, tools: Sequence[ToolSpec], filling: Filling) -> list[PlanStep]:
        mentions = mentioned_files(part, filling.files)
        matches = self._matches(mentions, tools)
        for strict in (True, False):
            found = _most_fitting(matches, filling, part, strict=strict)
            if found:
                return found
        return self._by_words(part, mentions, tools, filling)

    def _with_saving(self, parts: Sequence[str], tools: Sequence[ToolSpec], filling: Filling) -> list[PlanStep]:
        """Plan `chart …` and `save it as out.png` as one step, if the first part's tool can name what it makes."""
        if len(parts) < 2 or not _SAVING.match(parts[1]):
            return []
        joined = f"{parts[0]} and {parts[1]}"
        mentions = mentioned_files(joined, filling.files)
        target = mentions.files[-1] if mentions.files else ""
        naming = [
            (match, seen)
            for match, seen in self._matches(mentions, tools)
            if target and any(mentions.plain(raw) == target and name in TARGETS for name, raw in match.raw.items())
        ]
        return _most_fitting(naming, filling, joined, strict=True)

    def _matches(self, mentions: Mentions, tools: Sequence[ToolSpec]) -> list[tuple[Match, Mentions]]:
        """Match the text as it is, without `show me`, and with slips of the keyboard mended; the best first."""
        bare = replace(mentions, text=without_asking(mentions.text))
        mended = replace(bare, text=mended_words(bare.text, tools))
        found = self._matched(mentions, tools)
        for variant, less in ((bare, ASKED_LESS), (mended, MENDED_LESS)):
            if variant.text not in {mentions.text, bare.text if variant is mended else ""}:
                found += [
                    (replace(match, score=match.score - less), seen) for match, seen in self._matched(variant, tools)
                ]
        # Of tools that fit alike, that one is taken which does the least and is ready the soonest.
        return sorted(found, key=lambda pair: (-pair[0].score, pair[0].spec.effect != "pure", pair[0].spec.data))

    @staticmethod
    def _matched(mentions: Mentions, tools: Sequence[ToolSpec]) -> list[tuple[Match, Mentions]]:
        """Match the text as it is, and for each tool without the modifiers that set its parameters."""
        found = [(match, mentions) for match in match_phrases(mentions, tools)]
        # `in March in sales.csv` ends with a modifier as well.
        unfiled = without_file(mentions.text)
        unfiled = "" if unfiled == mentions.text else unfiled
        for spec in tools:
            slots = slots_of(spec)
            for modified in (*without_modifiers(mentions.text, slots), *without_modifiers(unfiled, slots)):
                shorter = replace(mentions, text=modified.text)
                for match in match_phrases(shorter, [spec]):
                    raw = {**match.raw, **{k: v for k, v in modified.raw.items() if k not in match.raw}}
                    score = match.score + MODIFIER_BONUS * len(modified.raw)
                    found.append((Match(spec, raw, score, match.pronoun), shorter))
        return found

    def _by_words(
        self,
        part: str,
        mentions: Mentions,
        tools: Sequence[ToolSpec],
        filling: Filling,
    ) -> list[PlanStep]:
        """Take the tool that most words point to, if it clearly is the one and can do no harm."""
        words = content_words(mentions.text)
        scored = sorted(((_pointing(words, spec), spec) for spec in tools), key=lambda pair: -pair[0])
        if not scored or scored[0][0] < _ENOUGH or (len(scored) > 1 and scored[1][0] == scored[0][0]):
            return []
        spec = scored[0][1]
        makes_files = any(kind.startswith(".") for kind in spec.produces)
        if spec.effect not in {"pure", "read"} and not makes_files:
            return []
        known = content_words(spec.name.replace("_", " ")) | example_words(spec)
        if len(words & known) * 3 < len(words) * 2:
            return []
        left = _left_over(mentions.text, known)
        required = [slot.name for slot in slots_of(spec).values() if slot.required and slot.kind == "text"]
        raw = {required[0]: left} if left and required else {}
        steps = filling.step(spec, raw, mentions, part)
        if steps is None:
            return []
        filling.keep(steps, spec)
        return steps

    def _control(self, step: PlanStep, request: PlanRequest) -> Provenance:
        """Return the label of what chose the step: the words alone, unless a file was found that they do not name.

        Neither the conversation nor the memory is read here, so a page that was read before decides nothing.
        """
        if request.words is None:
            return request.control
        spec = self._catalogue.find(step.tool) if step.tool else None
        found = [step.args.get(name) for name in spec.file_parameters] if spec else []
        names = [str(name) for value in found if value for name in (value if isinstance(value, list) else [value])]
        said = request.user_text.lower()
        named = all(find_references(name) or name.lower() in said for name in names)
        return request.words if named else request.control

    # --- commands -------------------------------------------------------------------------------------------------

    def _command(self, text: str, request: PlanRequest) -> list[PlanEvent]:
        word, _, rest = text[1:].partition(" ")
        name = word.partition("@")[0]
        try:
            spec = self._catalogue.find(name)
            if all(spec.full_name != allowed.full_name for allowed in request.tools):
                raise ToolUnknown(f"/{name} is not allowed here.")
            args = self._catalogue.validate(spec, command_arguments(rest, spec))
        except DirigentError as problem:
            usage = [f"/{one.command}" for one in request.tools if one.command]
            said = _in_language(problem, request.told_in)
            if usage and isinstance(problem, ToolUnknown):
                said += "\n\n" + say(request.told_in, "Commands: {names}", names=", ".join(usage))
            return [Direct(said)]
        step = PlanStep(
            id="s1",
            title=text[:120],
            tool=self._catalogue.name_of(spec),
            args=args,
            on_failure=OnFailure.STOP,
        )
        return [Titled(_title(text)), Planned(step, self._control(step, request))]


def _in_language(problem: DirigentError, language: str) -> str:
    """Return an error with its way on; of one about arguments, which begins with the tool's name, each part."""
    if isinstance(problem, ToolArguments):
        name, _, parts = problem.message.rstrip(".").partition(": ")
        return f"{name}: {retell(language, parts)}. {retell(language, problem.hint)}"
    return f"{retell(language, problem.message)} {retell(language, problem.hint)}".strip()


def _most_fitting(
    matches: Sequence[tuple[Match, Mentions]], filling: Filling, part: str, *, strict: bool
) -> list[PlanStep]:
    """Return the steps of the best match that can be filled; one that must ask comes after those that need not."""
    best: tuple[float, list[PlanStep], ToolSpec] | None = None
    for match, seen in matches[:TRIED]:
        steps = filling.step(match.spec, match.raw, seen, part, strict=strict)
        if steps is None:
            continue
        rank = match.score - ASKING_LESS * (len(steps) - 1)
        if best is None or rank > best[0]:
            best = rank, steps, match.spec
    if best is None:
        return []
    filling.keep(best[1], best[2])
    return best[1]


def command_arguments(rest: str, spec: ToolSpec) -> dict[str, Any]:
    """Read `sides=20 times=2`, `20 2`, or free text for the last text parameter, as a command's arguments."""
    slots = slots_of(spec)
    args: dict[str, Any] = {}
    words: list[str] = []
    for word in _words(rest):
        match = _ASSIGNMENT.fullmatch(word)
        name = match[1].replace("-", "_") if match else ""
        if match and name in slots:
            args[name] = match[2]
        else:
            words.append(word)
    free = [slot for slot in slots.values() if slot.name not in args]
    for slot in free:
        if words:
            args[slot.name], words = _positional(slot, words, takes_all=_takes_all(slot, free))
    if words:
        # One word too many: validation names it and lists the parameters.
        args[" ".join(words)[:40]] = ""
    return args


def _takes_all(slot: Slot, free: Sequence[Slot]) -> bool:
    """Say whether a text parameter takes all words that are left: the only one that must be given, or the last."""
    required = [other for other in free if other.required]
    return slot.kind == "text" and not slot.many and (required == [slot] or free[-1] == slot)


def _positional(slot: Slot, words: list[str], *, takes_all: bool) -> tuple[Any, list[str]]:
    if takes_all:
        return " ".join(words), []
    return [words[0]] if slot.many else words[0], words[1:]


def _words(rest: str) -> list[str]:
    """Split at blanks, but not within quotes around a whole word; an apostrophe is no quote."""
    words = []
    for match in _COMMAND_WORD.finditer(rest):
        quoted = next((part for part in (match["double"], match["single"]) if part is not None), None)
        words.append(match[0] if quoted is None else (match["key"] or "") + quoted)
    return words


def _pointing(words: frozenset[str], spec: ToolSpec) -> int:
    """Count how much the words point to a tool: those of its name, and those of its examples."""
    named = content_words(spec.name.replace("_", " "))
    score = _NAME_WEIGHT * len(words & named) if named <= words else len(words & named)
    return score + _WORD_WEIGHT * len(words & (example_words(spec) - named))


def _left_over(text: str, known: frozenset[str]) -> str:
    """Return the few words that say something of their own."""
    words = [word for word in re.findall(r"[^\W_]+", text) if content_words(word) - known]
    return " ".join(words) if len(words) <= 3 else ""


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_TITLE else line[: MAX_TITLE - 1].rstrip() + "…"
