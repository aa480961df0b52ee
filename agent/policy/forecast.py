"""What a plan will do and ask, said before it runs: the labels are joined as they will be, without any values.

The same rule is applied to labels that can only be wider than the real ones: a reference that is not known yet counts
as whatever its step could carry, a file as whatever any step could write. So what is asked was foretold; not
everything that was foretold is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.domain.copies import INSIDE
from agent.domain.plan import PlanStep, StepType
from agent.domain.provenance import NOTHING, Provenance
from agent.domain.references import find_references
from agent.domain.run import Run
from agent.policy import consent
from agent.policy.gate import UNATTENDED
from agent.policy.provenance import source_name
from agent.policy.rule import leaves
from agent.policy.words import typed
from agent.texts import mark, say, say_n

if TYPE_CHECKING:
    from agent.policy.rule import Mode
    from plugins.api import ToolSpec

Find = Callable[[str], "ToolSpec"]
UNKNOWN = Provenance.of("unknown", trusted=False)
TEMPLATE = ("{{", "{%")
READS, WRITES, SENDS = mark("Reads: {what}."), mark("Writes here: {what}."), mark("Sends: {what}.")
SPENDS, ASKS_FIRST = mark("Spends about {money}."), mark("asks first")
NOTHING_OUTSIDE = mark("Changes and sends nothing outside.")
SHOWN = 3
VALUE_CHARS = 60


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known before: the run, the labels of its files, what chose each step, and the mode."""

    run: Run
    files: Mapping[str, Provenance] = field(default_factory=dict)
    control: Mapping[str, Provenance] = field(default_factory=dict)
    mode: Mode = "normal"


@dataclass(frozen=True, slots=True)
class Foretold:
    """What one step will do: `asks` with the reason; `label` is what its result could carry."""

    step: PlanStep
    label: Provenance = NOTHING
    asks: bool = False
    because: str = ""


def foretell(steps: Sequence[PlanStep], find: Find, situation: Situation) -> dict[str, Foretold]:
    """Return for each step what it could carry and whether it could ask; `find` raises ToolError for unknown tools."""
    return _Join(steps, find, situation).made()


class _Join:
    """Labels are joined again and again until they grow no more: a file may be written by any step before any other."""

    def __init__(self, steps: Sequence[PlanStep], find: Find, situation: Situation) -> None:
        self._steps = {step.id: step for step in steps}
        self._find = find
        self._now = situation
        self._lists = {s.id: s for s in steps if s.pipe is not None and s.pipe.foreach is not None}
        self._labels: dict[str, Provenance] = dict.fromkeys(self._steps, NOTHING)
        self._files = Provenance.union(situation.files.values())
        self._before = {step.id: self._ancestors(step) for step in steps}

    def made(self) -> dict[str, Foretold]:
        while True:
            found = {name: self._step(step) for name, step in self._steps.items()}
            labels = {name: one.label for name, one in found.items()}
            written = (labels[name] for name, step in self._steps.items() if self._writes(step))
            files = Provenance.union([self._files, *written])
            if labels == self._labels and files == self._files:
                return found
            self._labels, self._files = labels, files

    def _ancestors(self, step: PlanStep) -> set[str]:
        seen: set[str] = set()
        queue = list(_needs(step))
        while queue:
            name = queue.pop()
            if name in self._steps and name not in seen:
                seen.add(name)
                queue += _needs(self._steps[name])
        return seen

    def _control(self, step: PlanStep) -> Provenance:
        """Return what chose a step; how often one for a list runs, or one inside of it, depends on the list."""
        chosen = self._now.control.get(step.id, self._now.run.provenance)
        if step.pipe is None:
            return chosen
        around = (one for name, one in self._lists.items() if step.id == name or step.id.startswith(name + INSIDE))
        return Provenance.union([chosen, *(self._all_before(one) for one in around)])

    def _all_before(self, step: PlanStep) -> Provenance:
        return Provenance.union(self._labels[name] for name in self._before[step.id])

    def _value(self, step: PlanStep, value: Any) -> Provenance:
        control = self._control(step)
        if step.pipe is not None:  # a template may look at anything before it, and at the environment
            return control | self._all_before(step) if _is_template(value) else control
        return Provenance.union([control, *(self._labels.get(name, UNKNOWN) for name in find_references(value))])

    def _guard(self, step: PlanStep) -> Provenance:
        family = [step, *(self._steps[name] for name in self._before[step.id])]
        decided = (one for one in family if one.pipe is not None and one.pipe.when is not None)
        return Provenance.union(self._all_before(one) for one in decided)

    def _step(self, step: PlanStep) -> Foretold:
        args = {name: self._value(step, value) for name, value in step.args.items()}
        words = self._value(step, [step.instruction, step.question, list(step.options)])
        all_of_it = Provenance.union([*args.values(), words])
        if step.step_type is StepType.TOOL:
            return self._tool(step, step.tool or "", args, self._control(step))
        if step.step_type is StepType.LLM:
            return Foretold(step, all_of_it | self._files)  # it may be shown pictures
        if step.step_type is StepType.TASK:
            return self._task(step, all_of_it)
        asks = step.step_type is StepType.ASK
        return Foretold(step, all_of_it | self._control(step), asks=asks, because=step.question if asks else "")

    def _task(self, step: PlanStep, read: Provenance) -> Foretold:
        """Judge a task by all of its tools, after it has read what each of them could return."""
        specs = [self._find(name) for name in step.allowed_tools]
        everything = [read, self._files, *self._labels.values()]
        everything += [_own(spec, {}, step.id) for spec in specs] or [UNKNOWN]  # without a list it has all that read
        label = Provenance.union(everything)
        judged = [self._tool(step, spec.full_name, dict.fromkeys(_names(spec), label), label) for spec in specs]
        return next((one for one in judged if one.asks), Foretold(step, label))

    def _tool(self, step: PlanStep, tool: str, args: Mapping[str, Provenance], control: Provenance) -> Foretold:
        spec = self._find(tool)
        named = [name for name in args if name in spec.file_parameters]
        labels = {name: label | self._files if name in named else label for name, label in args.items()}
        reads = not spec.host and (spec.reads_all or not named)
        verdict = consent.decide(
            spec,
            labels,
            control,
            guard=self._guard(step),
            files=Provenance(self._files.sources) if reads else NOTHING,
            typed=self._typed(step) if leaves(spec) else (),
            mode=self._now.mode,
            unattended=self._now.run.origin in UNATTENDED,
        )
        asks = verdict.decision == "ask" or bool(step.pipe and step.pipe.approval)
        seen = self._files if reads or named else NOTHING
        label = Provenance.union([*labels.values(), seen, _own(spec, step.args, step.id)])
        return Foretold(step, label, asks=asks, because=verdict.because)

    def _typed(self, step: PlanStep) -> set[str]:
        run = self._now.run
        if step.step_type is not StepType.TOOL or not run.provenance.trusted:
            return set()
        return {name for name, value in step.args.items() if not _is_template(value) and typed(value, run.request)}

    def _writes(self, step: PlanStep) -> bool:
        if step.step_type is not StepType.TOOL:
            return step.step_type is StepType.TASK or bool(step.outputs)
        spec = self._find(step.tool or "")
        says = spec.produces and not any(kind.startswith(".") for kind in spec.produces)
        return not spec.host or not says or bool(step.outputs)


def _needs(step: PlanStep) -> tuple[str, ...]:
    pipe = step.pipe
    more = (*pipe.after, pipe.parent, pipe.given) if pipe is not None else ()
    return (*step.depends_on, *(name for name in more if name))


def _names(spec: ToolSpec) -> tuple[str, ...]:
    return tuple(spec.arguments.model_fields)


def _own(spec: ToolSpec, args: Mapping[str, Any], step_id: str) -> Provenance:
    others = spec.untrusted or bool(spec.network or spec.reaches)
    if not (others or spec.private):
        return NOTHING
    return Provenance.of(f"{source_name(spec, args)}#{step_id}", trusted=not others, private=spec.private)


def _is_template(value: Any) -> bool:
    if isinstance(value, str):
        return any(mark in value for mark in TEMPLATE)
    parts: Iterable[Any] = (
        value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    )
    return any(_is_template(part) for part in parts)


# --- in words -------------------------------------------------------------------------------------------------------
def in_words(foretold: Mapping[str, Foretold], find: Find, money: float | None = 0.0, language: str = "en") -> str:
    """Return what a plan does, such as `Reads: … Writes: … Sends: … (asks first). Spends: about $0.04.`."""
    groups: dict[str, list[tuple[str, bool]]] = {READS: [], WRITES: [], SENDS: []}
    for one in foretold.values():
        for group, said in _acts(one.step, find):
            groups[group].append((said, one.asks))
    parts = [say(language, group, what=_gathered(acts, language)) for group, acts in groups.items() if acts]
    asking = sum(one.step.step_type is StepType.ASK for one in foretold.values())
    if asking:
        parts.append(say_n(language, "Asks you {n} question.", "Asks you {n} questions.", asking))
    if money:
        parts.append(say(language, SPENDS, money=f"${money:.4f}".rstrip("0").rstrip(".")))
    return " ".join(parts) or say(language, NOTHING_OUTSIDE)


def sends(step: PlanStep, find: Find) -> bool:
    """Say whether a step changes or sends something outside."""
    return any(group == SENDS for group, _ in _acts(step, find))


def _gathered(acts: Sequence[tuple[str, bool]], language: str) -> str:
    """Return acts in words, equal ones once; of many the first, those that ask before others."""
    counted: dict[tuple[str, bool], int] = {}
    for act in sorted(acts, key=lambda act: not act[1]):
        counted[act] = counted.get(act, 0) + 1
    said = [
        (f"{name} ×{number}" if number > 1 else name) + (f" ({say(language, ASKS_FIRST)})" if asks else "")
        for (name, asks), number in counted.items()
    ]
    hidden = len(said) - SHOWN
    more = [say_n(language, "{n} more", "{n} more", hidden)] if hidden > 0 else []
    return ", ".join(said[:SHOWN] + more)


def _acts(step: PlanStep, find: Find) -> list[tuple[str, str]]:
    if step.step_type is StepType.TASK:
        specs = [find(name) for name in step.allowed_tools]
        return [(SENDS, spec.name) for spec in specs if spec.effect == "effect"]
    written = [(WRITES, name) for name in step.outputs]
    if step.step_type is not StepType.TOOL:
        return written
    spec = find(step.tool or "")
    if spec.effect == "effect":
        return [*written, (SENDS, _named(spec, step))]
    if spec.effect == "read":
        return [*written, (READS, _named(spec, step))]
    files = [str(step.args[name]) for name in spec.file_parameters if step.args.get(name)]
    own = [(READS, _shortened(path)) for path in files if not _is_template(path)]
    inside = spec.effect == "write_inside" and spec.host
    return [*own, *written, *([(WRITES, _named(spec, step))] if inside else [])]


def _named(spec: ToolSpec, step: PlanStep) -> str:
    """Return a call in a few words: the tool, and to whom or what, where that is known."""
    names = spec.egress if spec.effect == "read" else [name for name in step.args if name not in spec.content_args]
    first = next((step.args[name] for name in names if isinstance(step.args.get(name), str)), "")
    if not first or _is_template(first):
        return spec.name
    return f"{spec.name} {_shortened(first)}"


def _shortened(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= VALUE_CHARS else f"{plain[:VALUE_CHARS]}…"
