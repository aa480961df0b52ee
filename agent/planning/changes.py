"""Changes of a plan that need no model: steps are dropped, the plan ends earlier, one thing is used instead of another.

The same words always mean the same. What is none of these forms is for a model, or for nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.references import renamed_references
from agent.texts import mark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from agent.domain.plan import PlanStep

UNDERSTOOD = mark("Without a model I understand: “drop 3”, “stop after 2”, “use b.csv instead of a.csv”.")
MOST = 100  # steps named at once
CHARS = 400  # of words that may still be one of the forms
_NUMBER = re.compile(r"(\d{1,4})\s*(?:(?:-|–|to|bis|à|по|到|至)\s*(?:step\s+|schritt\s+)?(\d{1,4}))?", re.IGNORECASE)
_STEP = r"(?:the\s+|den\s+|die\s+|l'|l’)?(?:steps?|schritte?n?|étapes?|шаги?|шага|第)?\s*"
_NUMBERS = r"(?P<numbers>\d[\d\s,&–-]*(?:(?:and|und|et|и|和|to|bis|à|по|到|至)[\d\s,&–-]+)*)"
_POLITE = r"(?:please\s+|bitte\s+|пожалуйста,?\s+|请)?"
_DROPS = (
    rf"{_POLITE}(?:drop|skip|remove|delete|omit|cancel|leave\s+out|leave|without|no)\s+{_STEP}{_NUMBERS}(?:out|away)?",
    rf"{_POLITE}(?:streiche?|überspringe?|lösche?|lass|ohne|entferne?)\s+{_STEP}{_NUMBERS}(?:weg|aus)?",
    rf"(?:saute|supprime|enlève|passe|sans)[rz]?\s+{_STEP}{_NUMBERS}",
    rf"{_POLITE}(?:пропусти|убери|удали|без)\s+{_STEP}{_NUMBERS}",
    rf"{_POLITE}(?:跳过|删除|去掉|不要)\s*{_STEP}{_NUMBERS}\s*步?",
)
_STOPS = (
    rf"{_POLITE}(?:stop|end|finish)\s+after\s+{_STEP}(?P<number>\d{{1,4}})",
    rf"{_POLITE}(?:only|just)\s+(?:do\s+)?(?:up\s+)?to\s+{_STEP}(?P<number>\d{{1,4}})",
    rf"{_POLITE}(?:höre?|mach)\s+nach\s+{_STEP}(?P<number>\d{{1,4}})\s+(?:auf|schluss)",
    rf"(?:arrête|termine)\s+après\s+{_STEP}(?P<number>\d{{1,4}})",
    rf"{_POLITE}(?:остановись|закончи)\s+после\s+{_STEP}(?P<number>\d{{1,4}})",
    rf"{_POLITE}(?:做完|到)\s*{_STEP}(?P<number>\d{{1,4}})\s*步?(?:后|就)*(?:停止|停)",
)
_INSTEADS = (
    rf"{_POLITE}(?:use|take)\s+(?P<new>.+?)\s+instead\s+of\s+(?P<old>.+)",
    rf"{_POLITE}(?:replace|change)\s+(?P<old>.+?)\s+(?:by|with|to)\s+(?P<new>.+)",
    rf"{_POLITE}(?:nimm|verwende?|benutze?)\s+(?P<new>.+?)\s+(?:statt|anstatt|anstelle\s+von)\s+(?P<old>.+)",
    r"(?:utilise|prends)\s+(?P<new>.+?)\s+au\s+lieu\s+de\s+(?P<old>.+)",
    rf"{_POLITE}(?:возьми|используй)\s+(?P<new>.+?)\s+вместо\s+(?P<old>.+)",
    rf"{_POLITE}用\s*(?P<new>.+?)\s*代替\s*(?P<old>.+)",
)
_QUOTES = "\"'`“”„«»‘’ "


@dataclass(frozen=True, slots=True)
class Drop:
    """Leave steps out; `numbers` are as the plan shows them."""

    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StopAfter:
    """Leave out everything after this step."""

    number: int


@dataclass(frozen=True, slots=True)
class Instead:
    """Use one text (a file, a name, a value) wherever a step that has not begun has another."""

    old: str
    new: str


Change = Drop | StopAfter | Instead


def read_change(words: str) -> Change | None:
    """Return the change that the words say, None when they are in no form that is known."""
    said = " ".join(words.split()).rstrip(".!。！").strip()
    if not said or len(said) > CHARS:
        return None
    if found := _first(_DROPS, said):
        numbers = _numbers(found["numbers"])
        return Drop(numbers) if numbers else None
    if found := _first(_STOPS, said):
        return StopAfter(int(found["number"]))
    if found := _first(_INSTEADS, said):
        old, new = found["old"].strip(_QUOTES), found["new"].strip(_QUOTES)
        return Instead(old, new) if old and new and old != new else None
    return None


def _first(forms: Iterable[str], said: str) -> re.Match[str] | None:
    tried = (re.fullmatch(form, said, re.IGNORECASE) for form in forms)
    return next((found for found in tried if found is not None), None)


def _numbers(text: str) -> tuple[int, ...]:
    numbers: dict[int, None] = {}
    for first, last in _NUMBER.findall(text):
        for number in range(int(first), min(int(last or first), int(first) + MOST) + 1):
            numbers[number] = None
    return tuple(numbers)[:MOST]


def holds(step: PlanStep, text: str) -> bool:
    """Say whether a step's arguments, instruction or question hold the text."""
    return any(text in part for part in _parts([step.args, step.instruction, step.question, list(step.options)]))


def with_instead(steps: Sequence[PlanStep], change: Instead, taken: Collection[str]) -> list[tuple[str, PlanStep]]:
    """Return (old id, new step) for every step that the change concerns, or that needs one that it concerns.

    `steps` are those that have not begun, in the order of the plan. The new steps have ids that are not `taken`.
    """
    used = set(taken)
    names: dict[str, str] = {}
    made: list[tuple[str, PlanStep]] = []
    for step in steps:
        changed = renamed_references(_with(step, change), names)
        if changed != step:
            names[step.id] = _free(step.id, used)
            used.add(names[step.id])
            made.append((step.id, changed.model_copy(update={"id": names[step.id]})))
    return made


def _with(step: PlanStep, change: Instead) -> PlanStep:
    if not holds(step, change.old):
        return step
    texts = ("title", "instruction", "question")
    updated: dict[str, Any] = {name: getattr(step, name).replace(change.old, change.new) for name in texts}
    updated["args"] = _replaced(step.args, change)
    updated["options"] = tuple(_replaced(list(step.options), change))
    return step.model_copy(update=updated)


def _free(name: str, used: Collection[str]) -> str:
    number = 2
    while f"{name[:56]}_{number}" in used:
        number += 1
    return f"{name[:56]}_{number}"


def _replaced(value: Any, change: Instead) -> Any:
    if isinstance(value, str):
        return value.replace(change.old, change.new)
    if isinstance(value, dict):
        return {key: _replaced(one, change) for key, one in value.items()}
    return [_replaced(one, change) for one in value] if isinstance(value, list) else value


def _parts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _parts(one)
