"""The planner's messages: constant beginning first, then tools, then what is known, cut to fit the model's window."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING

from agent.domain.states import Status
from agent.llm.protocol import LLM, ChatMessage, Frugal, Seeing
from agent.planning.lines import render_step
from agent.planning.notation import render
from agent.planning.progress import progress_context, was_denied
from agent.planning.request import PlanRequest
from agent.skills.shelf import narrowed
from agent.texts import mark

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from plugins.api import ToolSpec

SMALL_WINDOW = 16_000
FEW_TOOLS, MANY_TOOLS = 10, 24
MEMORY_CHARS = 2_000
CONTEXT_CHARS = 6_000
FILES_CHARS = 2_000
RAW_CHARS = 6_000
SHOWN_PROBLEMS = 12
_ANSWER_ROOM = 2_000
# Number and preview of results, from generous to the least that helps.
_PROGRESS_SIZES = ((25, 400), (25, 150), (12, 120), (6, 80), (3, 60))
_FENCE = re.compile(r"<(?=/?\s*data\b)", re.IGNORECASE)
_PENDING = {Status.PENDING, Status.READY}
_UNDER_WAY = {Status.RUNNING, Status.WAITING_APPROVAL}
REFUSED = "The person refused the calls marked `denied`: plan without them, and without others that do the same."
LOOK = 'llm looks at pictures of the workspace: llm("What does it show?", picture="photo.jpg")'
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
WISHES_CHARS = 4_000
MOST_LOADED = 3
"""Skills that are loaded for one plan."""
SKILL_CHARS = 240
# What a small model's prompt may have to do without, as people are told.
DETAILS, RESULTS, ANSWERS = mark("details of the task"), mark("results so far"), mark("your answers")
SKILLS = mark("instructions of a skill")
FILES, MEMORY, EARLIER = mark("the list of files"), mark("my memory"), mark("earlier requests")


@functools.cache
def prompt(name: str) -> str:
    """Return one of the texts in `prompts/`."""
    return (resources.files("agent.planning") / "prompts" / f"{name}.md").read_text(encoding="utf-8").strip()


def plan_messages(request: PlanRequest, catalogue: Catalogue, llm: LLM, notation: str) -> tuple[ChatMessage, ...]:
    """Return the messages that ask for a plan; together with the answer they fit `llm.window`.

    A model that is `Frugal` is told what did not fit.
    """
    window = llm.window or 8_000
    budget = window - min(_ANSWER_ROOM, window // 4)
    system = _system(request, catalogue, llm, notation, budget)
    left = budget - llm.count(system)
    asked = f"Request: {_fitted(request.user_text, max(left * 3 // 4, 100), llm)}"
    left -= llm.count(asked) + sum(picture.tokens for picture in request.pictures)
    sections = []
    for section, what in _sections(request, llm, left):
        cost = llm.count(section)
        if section and cost <= left:
            sections.append(section)
            left -= cost
        elif section and isinstance(llm, Frugal):
            llm.left_out(what)
    user = ChatMessage("user", "\n\n".join([*reversed(sections), asked]), images=request.pictures)
    return (ChatMessage("system", system), user, *_continuation(request))


def repair_messages(
    messages: Sequence[ChatMessage],
    raw: str,
    problems: Sequence[str],
    accepted: Sequence[str],
) -> tuple[ChatMessage, ...]:
    """Return the messages that ask once for corrected lines. `accepted` are the ids of the steps that stay."""
    named = [f"- {problem}" for problem in problems[:SHOWN_PROBLEMS]]
    if len(problems) > SHOWN_PROBLEMS:
        named.append(f"- … and {len(problems) - SHOWN_PROBLEMS} more like these")
    kept = f" These steps are accepted, do not repeat them: {', '.join(accepted[-60:])}." if accepted else ""
    text = prompt("repair").format(problems="\n".join(named), accepted=kept)
    wrote = raw if len(raw) <= RAW_CHARS else "…" + raw[-RAW_CHARS:]
    return (*messages, ChatMessage("assistant", wrote or "(nothing)"), ChatMessage("user", text))


def fenced(kind: str, text: str) -> str:
    """Return material as data; it cannot close its own fence."""
    return f'<data kind="{kind}">\n{_FENCE.sub("‹", text)}\n</data>'


def _system(request: PlanRequest, catalogue: Catalogue, llm: LLM, notation: str, budget: int) -> str:
    head = prompt("plan_json" if notation == "json" else "plan")
    limit = FEW_TOOLS if llm.window <= SMALL_WINDOW else MANY_TOOLS
    while True:
        specs = catalogue.narrow(_about(request), request.tools, limit)
        text = f"{head}\n{_described(specs, catalogue)}"
        if limit == 1 or llm.count(text) <= budget * 2 // 3:
            return text
        limit = max(limit * 2 // 3, 1)


def _about(request: PlanRequest) -> str:
    return f"{request.user_text[:2000]} {request.reason[:200]}"


def _described(specs: Sequence[ToolSpec], catalogue: Catalogue) -> str:
    return catalogue.describe(specs) if specs else "(none: only ask, llm and task)"


def _fitted(text: str, tokens: int, llm: LLM) -> str:
    """Return the text cut in the middle to about `tokens`."""
    used = llm.count(text)
    if used <= tokens:
        return text
    keep = max(int(len(text) * tokens / used * 0.9) // 2, 1)
    return f"{text[:keep]}\n[… {len(text) - 2 * keep} characters left out …]\n{text[-keep:]}"


def _sections(request: PlanRequest, llm: LLM, left: int) -> Iterator[tuple[str, str]]:
    """Yield what is known, the most needed first, and what it is; each is left out if it does not fit."""
    language = request.language or "en"
    yield "\n".join(filter(None, [f"Now: {request.now}" if request.now else "", f"Language: {language}"])), DETAILS
    if request.wishes:
        yield _wishes(request), DETAILS
    if request.reason:
        yield f"Plan anew, because: {fenced('reason', request.reason[:1000])}", DETAILS
    pending = [record.step for record in request.progress if record.status in _PENDING]
    if pending:
        lines = "\n".join(render_step(step) for step in pending)
        yield f"Still planned; write a line again exactly as it is to keep it:\n{lines[:CONTEXT_CHARS]}", DETAILS
    if request.progress:
        yield _progress(request, llm, left // 2), RESULTS
    if request.answers:
        answers = "\n".join(f"{question[:400]} → {answer[:1000]}" for question, answer in request.answers[-10:])
        yield f"The person answered:\n{answers}", ANSWERS
    for text in _skills(request, llm, left):
        yield text, SKILLS
    if request.files:
        yield _how_to_look(request, llm), DETAILS
        yield fenced("workspace files", _listed(request.files)), FILES
    if request.memory:
        yield fenced("memory", request.memory[:MEMORY_CHARS]), MEMORY
    if request.context:
        yield fenced("earlier", _earlier(request, llm, max(left // 3, 50))), EARLIER


def _earlier(request: PlanRequest, llm: LLM, tokens: int) -> str:
    """Return the conversation before, cut in the middle to what it may take."""
    context = request.context[-CONTEXT_CHARS:]
    fitted = _fitted(context, tokens, llm)
    if fitted != context and isinstance(llm, Frugal):
        llm.left_out(EARLIER)
    return fitted


def _skills(request: PlanRequest, llm: LLM, left: int) -> Iterator[str]:
    """Yield the instructions of each skill that is loaded, then which others there are, cut to what they may take."""
    if request.instructions:
        yield request.instructions[:CONTEXT_CHARS]
    for skill in request.loaded:
        yield _fitted(skill.instructions, max(left // (len(request.loaded) + 1), 50), llm)
    if offered := _offered(request):
        yield _fitted(offered, max(left // 5, 50), llm)


def _offered(request: PlanRequest) -> str:
    """Return the skills that may still be loaded, a line each; nothing once there is a plan or enough is loaded."""
    known = {skill.name for skill in request.loaded}
    there = [skill for skill in request.skills if skill.name not in known]
    if not there or len(known) >= MOST_LOADED or request.planned:
        return ""
    lines = "\n".join(
        f"- {skill.name}: {skill.description[:SKILL_CHARS]}" for skill in narrowed(there, _about(request))
    )
    return f"{prompt('skills')}\n{lines}"


def _wishes(request: PlanRequest) -> str:
    """Return what the person has said about the plan, the newest last, and what can still be done about its steps."""
    said = "\n".join(f"- {' '.join(wish.split())}" for wish in request.wishes)[-WISHES_CHARS:]
    running = [record.step for record in request.progress if record.status in _UNDER_WAY]
    lines = "\n".join(render_step(step) for step in running)[:CONTEXT_CHARS]
    under_way = f"\nUnder way, do not repeat; a line `drop ID` ends one:\n{lines}" if running else ""
    return f"The person wants the plan changed; write all that is still to be done, in this sense:\n{said}{under_way}"


def _progress(request: PlanRequest, llm: LLM, tokens: int) -> str:
    refused = f"\n{REFUSED}" if any(was_denied(record) for record in request.progress) else ""
    for place, (results, preview) in enumerate(_PROGRESS_SIZES):
        text = progress_context(request.progress, results=results, preview=preview)
        section = f"Results so far:\n{fenced('results', text)}{refused}" if text else ""
        if place and isinstance(llm, Frugal):
            llm.left_out(RESULTS)
        if llm.count(section) <= tokens:
            return section
    return ""


def _how_to_look(request: PlanRequest, llm: LLM) -> str:
    """Return how a step looks at pictures, where there are any and the model may be able to."""
    there = any(name.casefold().endswith(PICTURES) for name in request.files)
    return LOOK if there and isinstance(llm, Seeing) and llm.sees(request.model) else ""


def _listed(files: Sequence[str]) -> str:
    shown: list[str] = []
    room = FILES_CHARS
    for name in files:
        room -= len(name) + 1
        if room < 0:
            shown.append(f"… and {len(files) - len(shown)} more")
            break
        shown.append(" ".join(name.split()))
    return "\n".join(shown)


def _continuation(request: PlanRequest) -> tuple[ChatMessage, ...]:
    """Ask for the rest of a plan whose stream broke off, from the steps that were journalled."""
    if not request.planned:
        return ()
    written = render("", request.planned).removesuffix("\nend")
    text = "Your plan broke off here. These lines are accepted. Write only the lines that are missing, then end."
    return (ChatMessage("assistant", written[-RAW_CHARS:]), ChatMessage("user", text))
