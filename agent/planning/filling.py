"""From a matched phrase to a step: its arguments from the words, from earlier steps, or from a question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agent.domain.plan import MAX_OPTIONS, MIN_OPTIONS, OnFailure, PlanStep, StepType
from agent.errors import ToolArguments
from agent.planning.phrases import content_words
from agent.planning.references import find_references, with_reference_dependencies
from agent.planning.slots import (
    TOKEN,
    Mentions,
    Slot,
    accepts,
    is_pronoun,
    quoted_texts,
    resolved_file,
    slots_of,
    value_of,
)
from agent.planning.vocabulary import LABELS
from agent.texts import mark, say

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from plugins.api import ToolSpec

MAX_QUESTIONS = 2
WHAT, WHICH, WHICH_OF = mark("What is the {what}?"), mark("Which file?"), mark("Which file ({kinds})?")
_URL = re.compile(r"https?://[^\s<>\"']+|www\.[^\s<>\"']+")
_WRITTEN = {"path", "to", "save", "output", "target", "filename"}


@dataclass(frozen=True, slots=True)
class Done:
    """An earlier step of this plan, with the tool that it calls."""

    step: PlanStep
    spec: ToolSpec

    @property
    def makes_files(self) -> tuple[str, ...]:
        """Suffixes of the files that it makes."""
        return tuple(kind for kind in self.spec.produces if kind.startswith("."))


@dataclass(slots=True)
class Filling:
    """The plan so far, and the files that are there."""

    catalogue: Catalogue
    files: tuple[str, ...]
    done: list[Done] = field(default_factory=list)
    questions: int = 0
    language: str = ""

    def step(
        self,
        spec: ToolSpec,
        raw: dict[str, str],
        mentions: Mentions,
        part: str,
        *,
        strict: bool = True,
    ) -> list[PlanStep] | None:
        """Return the step that calls `spec`, after the questions that it needs; None when the words do not fit.

        `strict` refuses a named file of a type that the tool does not take.
        """
        args: dict[str, Any] = {}
        slots = slots_of(spec)
        for name, words in raw.items():
            value = self._value(slots[name], words, mentions, strict=strict)
            if value is None:
                return None
            args[name] = value
        taken = {token for words in raw.values() for token in TOKEN.findall(words)}
        self._fill_files(slots, args, mentions, taken, strict=strict)
        self._fill_from_words(slots, args, raw, mentions, part)
        questions = self._ask_for_missing(slots, args, part)
        if questions is None or not self._valid(spec, args):
            return None
        return [*questions, self._made(spec, args, part)]

    def keep(self, steps: Sequence[PlanStep], spec: ToolSpec) -> None:
        """Take steps into the plan, so that later parts can build on them."""
        self.done.append(Done(steps[-1], spec))
        self.questions += len(steps) - 1

    # --- values ---------------------------------------------------------------------------------------------------

    def _value(self, slot: Slot, words: str, mentions: Mentions, *, strict: bool) -> Any:
        if slot.kind == "file":
            return self._files_value(slot, words, mentions, strict=strict)
        if slot.free and is_pronoun(words) and self.done:
            return f"{{{{ {self.done[-1].step.id}.text }}}}"
        value = value_of(slot, mentions.plain(words))
        return [value] if slot.many and value is not None else value

    def _files_value(self, slot: Slot, words: str, mentions: Mentions, *, strict: bool) -> Any:
        if is_pronoun(words):
            found = self._product(slot) or self._inherited_file(slot)
            return ([found] if slot.many else found) if found else None
        names = [resolved_file(mentions.files[int(token)], self.files) for token in TOKEN.findall(words)]
        if strict and not all(accepts(slot, name) for name in names):
            return None
        return names if slot.many else names[0]

    def _product(self, slot: Slot) -> str:
        """Return a reference to the newest file that an earlier step makes and that this parameter takes."""
        for done in reversed(self.done):
            made = done.makes_files
            if made and (not slot.suffixes or set(made) <= set(slot.suffixes) or made[0] in slot.suffixes):
                return f"{{{{ {done.step.id}.files[0] }}}}"
        return ""

    def _inherited_file(self, slot: Slot) -> str:
        for done in reversed(self.done):
            for name, other in slots_of(done.spec).items():
                value = done.step.args.get(name) if other.kind == "file" else None
                first = value[0] if isinstance(value, list) and value else value
                if isinstance(first, str) and (accepts(slot, first) or find_references(first)):
                    return first
        return ""

    def _fill_files(
        self,
        slots: dict[str, Slot],
        args: dict[str, Any],
        mentions: Mentions,
        taken: set[str],
        *,
        strict: bool,
    ) -> None:
        left = [resolved_file(name, self.files) for at, name in enumerate(mentions.files) if str(at) not in taken]
        for slot in slots.values():
            if slot.kind != "file" or slot.name in args:
                continue
            fitting = [name for name in left if accepts(slot, name) or (slot.required and not strict)]
            found = fitting if slot.many else fitting[:1]
            left = [name for name in left if name not in found]
            if not found and slot.required:
                # A statement that names its tables, such as SQL, names their files too.
                spoken = [name for name in map(self._resolved, mentions.files) if accepts(slot, name)]
                found = (
                    list(filter(None, [self._unnamed_file(slot, mentions.text)])) or spoken[: None if slot.many else 1]
                )
            if found:
                args[slot.name] = found if slot.many else found[0]

    def _resolved(self, name: str) -> str:
        return resolved_file(name, self.files)

    def _unnamed_file(self, slot: Slot, text: str) -> str:
        chained = (self._product(slot) if slot.suffixes else "") or self._inherited_file(slot) or self._product(slot)
        fitting = [name for name in self.files if accepts(slot, name)]
        words = content_words(text)
        named = [name for name in fitting if content_words(PurePosixPath(name).stem.replace("_", " ")) & words]
        if len(named) == 1:
            return named[0]
        return chained or (fitting[0] if len(fitting) == 1 else "")

    def _fill_from_words(
        self,
        slots: dict[str, Slot],
        args: dict[str, Any],
        raw: dict[str, str],
        mentions: Mentions,
        part: str,
    ) -> None:
        rest = mentions.text
        for words in raw.values():
            rest = rest.replace(words, " ", 1)
        quoted = quoted_texts(mentions.plain(rest)) if not raw else []
        for slot in slots.values():
            if slot.name in args or slot.kind == "file":
                continue
            value = _from_words(slot, rest) if slot.kind != "url" else _first_url(part)
            if value is None and slot.required:
                value = self._earlier(slot) or (quoted.pop(0) if quoted and slot.kind == "text" else None)
            if value is not None:
                args[slot.name] = [value] if slot.many and not isinstance(value, list) else value

    def _earlier(self, slot: Slot) -> Any:
        """Return what an earlier part gave to a parameter of this name: `… and tell me the best month`."""
        for done in reversed(self.done):
            if slot.name in done.step.args and slots_of(done.spec)[slot.name].kind == slot.kind:
                return done.step.args[slot.name]
        return None

    # --- questions ------------------------------------------------------------------------------------------------

    def _ask_for_missing(self, slots: dict[str, Slot], args: dict[str, Any], part: str) -> list[PlanStep] | None:
        missing = [slot for slot in slots.values() if slot.required and slot.name not in args]
        if len(missing) > MAX_QUESTIONS:
            return None
        asked = [self._question(slot, part, number) for number, slot in enumerate(missing, self.questions + 1)]
        for slot, step in zip(missing, asked, strict=True):
            answer = f"{{{{ {step.id}.output }}}}"
            args[slot.name] = [answer] if slot.many else answer
        return asked

    def _question(self, slot: Slot, part: str, number: int) -> PlanStep:
        options: tuple[str, ...] = slot.choices
        # The only part needs no quoting: the person has just said it.
        about = f"“{part[:120]}”: " if self.done else ""
        question = say(self.language, WHAT, what=say(self.language, LABELS.get(slot.name, slot.name.replace("_", " "))))
        if slot.kind == "file":
            options = tuple(name for name in self.files if accepts(slot, name))
            kinds = ", ".join(slot.suffixes)
            question = say(self.language, WHICH_OF, kinds=kinds) if kinds else say(self.language, WHICH)
        shown = options if MIN_OPTIONS <= len(options) <= MAX_OPTIONS else ()
        spoken = about + question[:1].lower() + question[1:] if about else question
        return PlanStep(id=f"q{number}", step_type=StepType.ASK, question=spoken, options=shown)

    # --- the step -------------------------------------------------------------------------------------------------

    def _valid(self, spec: ToolSpec, args: dict[str, Any]) -> bool:
        try:
            self.catalogue.validate(spec, args, unresolved=[name for name in args if find_references(args[name])])
        except ToolArguments:
            return False
        return True

    def _made(self, spec: ToolSpec, args: dict[str, Any], part: str) -> PlanStep:
        step = PlanStep(
            id=f"s{len(self.done) + 1}",
            title=(part[:1].upper() + part[1:])[:120],
            tool=self.catalogue.name_of(spec),
            args=args,
            depends_on=tuple(done.step.id for done in self.done if _shares_a_written_file(done, args, spec)),
            # There is nobody to plan anew: what does not need this step goes on.
            on_failure=OnFailure.CONTINUE,
        )
        return with_reference_dependencies(step)


def _from_words(slot: Slot, rest: str) -> Any:
    """Read an optional parameter from the words that the template left over."""
    if slot.kind == "choice":
        hits = {slot.words[word] for word in slot.words if re.search(rf"\b{re.escape(word)}\b", rest, re.IGNORECASE)}
        return hits.pop() if len(hits) == 1 else None
    if slot.kind in {"int", "number"}:
        name = re.escape(slot.name.replace("_", " ").rstrip("s"))
        match = re.search(rf"\b{name}s?\s*[:=]?\s*(\d[\d.]*)\b|\b(\d[\d.]*)\s+{name}s?\b", rest, re.IGNORECASE)
        return value_of(slot, match[1] or match[2]) if match else None
    return None


def _first_url(part: str) -> str | None:
    match = _URL.search(part)
    return match[0].rstrip(".,;)") if match else None


def _shares_a_written_file(done: Done, args: dict[str, Any], spec: ToolSpec) -> bool:
    """Say whether one of the two steps writes a file that the other names, so that their order matters."""
    return _names_any(args, _written(done.spec, done.step.args)) or _names_any(done.step.args, _written(spec, args))


def _written(spec: ToolSpec, args: dict[str, Any]) -> list[str]:
    if spec.effect in {"pure", "read"} and not any(kind.startswith(".") for kind in spec.produces):
        return []
    slots = slots_of(spec)
    makes_new = any(kind.startswith(".") for kind in spec.produces)
    return [
        value
        for name, value in args.items()
        if isinstance(value, str)
        and len(value) > 2
        and name in slots
        and (name in _WRITTEN if slots[name].kind != "file" else not makes_new)
        and not find_references(value)
    ]


def _names_any(args: dict[str, Any], written: Sequence[str]) -> bool:
    texts = [value for value in args.values() if isinstance(value, str)]
    return any(name in text for name in written for text in texts)
