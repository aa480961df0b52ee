"""A plan while it is being written: every step is checked as it comes, and passed on when its dependencies are there.

A step whose dependencies are not all planned yet waits here, so what has been passed on is in topological order, can be
run at once, and never needs to be changed. What still waits at the end depends on nothing or on itself.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.domain.plan import PlanStep, StepType
from agent.domain.states import FINAL, Status
from agent.errors import LimitReached, ToolError, ToolUnknown
from agent.planning.lines import render_step
from agent.planning.prompting import MOST_LOADED
from agent.planning.reads import Unreadable, shortened
from agent.planning.references import (
    find_references,
    renamed_references,
    tidied_references,
    with_reference_dependencies,
)
from agent.planning.request import Note, Planned, PlanRequest, Refusal

if TYPE_CHECKING:
    from agent.catalogue import Catalogue
    from agent.skills import Skill
    from plugins.api import ToolSpec

_LOST = {Status.FAILED, Status.CANCELLED}
_UNDER_WAY = {Status.RUNNING, Status.WAITING_APPROVAL, Status.COMPLETED}


@dataclass(frozen=True, slots=True)
class _Waiting:
    step: PlanStep
    missing: set[str]


class Draft:
    """The plan so far. `refusals` are lines that still need a correction; `emitted` are the steps passed on."""

    def __init__(self, catalogue: Catalogue, request: PlanRequest) -> None:
        self._catalogue = catalogue
        self._request = request
        self._allowed = {spec.full_name for spec in request.tools}
        self._before = {record.step.id: record for record in request.progress}
        self._usable = {key for key, record in self._before.items() if record.status in _UNDER_WAY}
        self.emitted: dict[str, PlanStep] = {step.id: step for step in request.planned}
        self._waiting: dict[str, _Waiting] = {}
        self._waited_for: dict[str, list[str]] = defaultdict(list)
        self._renamed: dict[str, str] = {}
        self._ambiguous: set[str] = set()
        self._copies: dict[str, int] = {}
        self._count = len(self._before.keys() | self.emitted.keys())
        self.refusals: list[Refusal] = []
        self._uncorrected: list[Refusal] = []
        self._accepted = 0
        self.repairing = False

    @property
    def offered(self) -> dict[str, Skill]:
        """The skills that may be loaded and are not yet, by name."""
        known = {skill.name for skill in self._request.loaded}
        full = len(known) >= MOST_LOADED
        return {} if full else {skill.name: skill for skill in self._request.skills if skill.name not in known}

    @property
    def empty(self) -> bool:
        """True while nothing that was meant as a step has been read."""
        return not (self.emitted or self._waiting or self.refusals)

    def is_unfinished(self, step_id: str) -> bool:
        """Say whether a step of the plan so far has not come to an end."""
        before = self._before.get(step_id)
        return before is not None and before.status not in FINAL

    def refuse(self, line: str, reason: str, step_id: str = "") -> Refusal:
        """Note that a line cannot be run."""
        refusal = Refusal(shortened(line), reason, step_id)
        self.refusals.append(refusal)
        return refusal

    def start_repair(self) -> None:
        """Forget what was refused: corrected lines come now. Steps passed on stay as they are."""
        self._uncorrected, self.refusals = self.refusals, []
        self._accepted = 0
        self.repairing = True

    def add(self, step: PlanStep, line: str = "") -> list[Planned | Refusal | Note]:
        """Check a step and return what can be passed on with it. Raises LimitReached for one step too many."""
        if self.repairing and step.id in self.emitted:
            return []
        try:
            settled = self._settled(step)
            if settled is None:
                return []
            self._check(settled)
        except (Unreadable, ToolError) as problem:
            return [self.refuse(line or render_step(step), str(problem), step.id)]
        self._check_limit(settled.id)
        bounded, notes = self._within_limits(settled)
        return [*notes, *self._place(bounded)]

    def _settled(self, step: PlanStep) -> PlanStep | None:
        """Return the step under an id of its own, with its references in order; None when it is done already."""
        step = tidied_references(step, self._knows)
        step = with_reference_dependencies(renamed_references(step, self._renamed))
        before = self._before.get(step.id)
        if before is not None and before.status in _UNDER_WAY and _same_work(before.step, step):
            return None
        if before is not None and before.status in _LOST | _UNDER_WAY:
            return self._under_a_new_id(step, follow=before.status in _LOST)
        if before is not None and not self._is_kept(step):  # the journal has the step as it was
            return self._under_a_new_id(step, follow=True)
        taken = self.emitted.get(step.id) or (None if self.repairing else self._waiting_step(step.id))
        if taken is None:
            return step
        return None if _same_work(taken, step) else self._under_a_new_id(step, follow=False)

    def _knows(self, step_id: str) -> bool:
        return step_id in self._usable or step_id in self.emitted or step_id in self._waiting

    def _waiting_step(self, step_id: str) -> PlanStep | None:
        waiting = self._waiting.get(step_id)
        return waiting.step if waiting else None

    def _under_a_new_id(self, step: PlanStep, *, follow: bool) -> PlanStep:
        """Rename a step whose id is taken. A failed step has no result, so later references mean the new one."""
        number = self._copies.get(step.id, 1) + 1
        while self._is_taken(name := f"{step.id[:56]}_{number}"):
            number += 1
        self._copies[step.id] = number
        if follow:
            self._renamed[step.id] = name
        else:
            self._ambiguous.add(step.id)
        return step.model_copy(update={"id": name})

    def _is_taken(self, name: str) -> bool:
        return name in self._before or name in self.emitted or name in self._waiting

    def _check(self, step: PlanStep) -> None:
        if step.id in step.depends_on:
            raise Unreadable(f"{step.id} depends on itself")
        for needed in step.depends_on:
            self._check_dependency(needed)
        for name in step.allowed_tools:
            self._tool(name)
        if step.step_type is StepType.TOOL and step.tool:
            unresolved = [name for name, value in step.args.items() if find_references(value)]
            self._catalogue.validate(self._tool(step.tool), step.args, unresolved=unresolved)

    def _check_dependency(self, needed: str) -> None:
        if needed in self._ambiguous:
            raise Unreadable(f"two steps are called {needed}; give the second one another id and refer to that")
        record = self._before.get(needed)
        if record is not None and record.status in _LOST and needed not in self.emitted:
            raise Unreadable(f"{needed} is {record.status} and has no result")

    def _tool(self, name: str) -> ToolSpec:
        try:
            spec = self._catalogue.find(name)
        except ToolUnknown as unknown:
            raise ToolUnknown(unknown.message, hint=self._nearest(name)) from None
        if spec.full_name not in self._allowed:
            raise ToolUnknown(f"The tool '{name}' is not allowed here.", hint=self._nearest(name))
        return spec

    def _nearest(self, name: str) -> str:
        import difflib

        names = [self._catalogue.name_of(spec) for spec in self._request.tools]
        plain = re.sub(r"\W+", "_", name.lower())
        near = difflib.get_close_matches(plain, names, 3, 0.5) or [one for one in names if one in plain or plain in one]
        listed = near[:3] or names[:12]
        if not listed:
            return "There are no tools."
        more = ", …" if len(names) > len(listed) else ""
        return f"Did you mean {' or '.join(listed)}?" if near else f"There are {', '.join(listed)}{more}"

    def _check_limit(self, step_id: str) -> None:
        limit = self._request.limits.steps
        self._count += step_id not in self._before and step_id not in self._waiting
        if (used := self._count) > limit:
            raise LimitReached("steps of one run", value=limit, used=used, setting="limits.steps")

    def _within_limits(self, step: PlanStep) -> tuple[PlanStep, list[Note]]:
        longest = self._request.limits.seconds
        if step.timeout is None or step.timeout <= longest:
            return step, []
        note = Note(f"{step.id} asked for {step.timeout:g} s; a run has {longest:g} s (`limits.seconds`).")
        return step.model_copy(update={"timeout": longest}), [note]

    def _place(self, step: PlanStep) -> list[Planned | Refusal | Note]:
        self._accepted += 1
        missing = {needed for needed in step.depends_on if needed not in self.emitted and needed not in self._usable}
        if missing:
            self._waiting[step.id] = _Waiting(step, missing)
            for needed in missing:
                self._waited_for[needed].append(step.id)
            return []
        self._waiting.pop(step.id, None)
        return list(self._passed_on(step))

    def _passed_on(self, first: PlanStep) -> Iterable[Planned]:
        ready = [first]
        for step in ready:
            self.emitted[step.id] = step
            yield Planned(step, self._request.control, kept=self._is_kept(step))
            for waiting_id in self._waited_for.pop(step.id, ()):
                waiting = self._waiting.get(waiting_id)
                if waiting is None:
                    continue
                waiting.missing.discard(step.id)
                if not waiting.missing:
                    ready.append(self._waiting.pop(waiting_id).step)

    def _is_kept(self, step: PlanStep) -> bool:
        before = self._before.get(step.id)
        return before is not None and before.step.model_copy(update={"status": Status.PENDING}) == step

    def problems(self) -> list[str]:
        """Return what is wrong with the plan as a whole, a sentence each."""
        # A correction that corrects nothing leaves the first complaints standing.
        refusals = self.refusals or (self._uncorrected if not self._accepted else [])
        found = [f"`{refusal.line}`: {refusal.reason.rstrip('.')}." for refusal in refusals]
        refused = {refusal.step_id for refusal in refusals}
        for waiting in self._waiting.values():
            unknown = sorted(waiting.missing - self._waiting.keys() - refused)
            found += [f"{waiting.step.id} depends on {name}, which no line defines." for name in unknown]
        cycle = self._cycle()
        return [*found, f"{' → '.join(cycle)} depend on each other in a circle."] if cycle else found

    def _cycle(self) -> list[str]:
        """Return one cycle among the waiting steps, or nothing. Each step is visited once."""
        seen: set[str] = set()
        for start in self._waiting:
            path: dict[str, None] = {}
            name: str | None = start
            while name is not None and name not in seen:
                seen.add(name)
                path[name] = None
                inside = self._waiting[name].missing & self._waiting.keys()
                name = min(inside, default=None)
            if name in path:
                names = list(path)
                return [*names[names.index(name) :], name][:12] if name else []
        return []


def _same_work(one: PlanStep, other: PlanStep) -> bool:
    same = ("step_type", "tool", "args", "instruction", "question", "options", "allowed_tools")
    return all(getattr(one, name) == getattr(other, name) for name in same)
