"""What a plan would do, without doing any of it: levels, what it reads, writes and sends, and what it should cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.domain.copies import copied, renaming
from agent.domain.messages import Destination
from agent.domain.plan import EACH, PlanStep, StepType
from agent.domain.run import Run
from agent.planning.pipeline_plan import levels
from agent.policy.estimate import model_calls, model_tokens, step_cost
from agent.policy.forecast import Situation, foretell, in_words

if TYPE_CHECKING:
    from pathlib import Path

    from plugins.api import ToolSpec

DOES = {"pure": "computes", "read": "reads", "write_inside": "writes here", "effect": "changes something outside"}
COLOURS = {"computes": "#e8eef7", "reads": "#e3f3e6", "writes here": "#fdf3d8", "changes something outside": "#fbe0dd"}
Price = Callable[[int, int], float | None]
NO_SETTINGS: Mapping[str, Mapping[str, str]] = {}
AT_YOUR_WORD = Situation(Run("", "", Destination("terminal", "main")))


@dataclass(frozen=True, slots=True)
class StepView:
    """One step as it would run: `does` in words, `asks` when a person must agree or answer."""

    id: str
    level: int
    use: str
    does: str
    asks: bool
    when: str
    foreach: str
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """A plan looked at. `cost` in US dollars is None when the price of the model is unknown.

    `tools_cost` is the part of it that tools take; what those steps take that are `unpriced` is not known before.
    `words` says what it reads, writes, sends and spends, in a few sentences.
    """

    steps: tuple[StepView, ...]
    model_calls: int
    tokens: int
    cost: float | None
    tools_cost: float = 0.0
    unpriced: tuple[str, ...] = ()
    words: str = ""

    @property
    def sends(self) -> tuple[str, ...]:
        """The steps that change something outside."""
        return tuple(step.id for step in self.steps if step.does == DOES["effect"])

    def to_json(self) -> dict[str, Any]:
        """Return the preview as plain data."""
        rows = [{name: getattr(step, name) for name in StepView.__slots__} for step in self.steps]
        sums = {name: getattr(self, name) for name in Preview.__slots__ if name != "steps"}
        return {"steps": rows, **sums}


def look_at(
    steps: Sequence[PlanStep],
    find: Callable[[str], ToolSpec],
    price: Price,
    settings: Mapping[str, Mapping[str, str]] = NO_SETTINGS,
    situation: Situation = AT_YOUR_WORD,
) -> Preview:
    """Return what the steps would do, and cost by the same estimate as a run's budget is checked against.

    A list counts once: how long it is, is not known before. `settings` are those of the plugins, by their names.
    `situation` is what is known of the run: what it could ask is judged by the rule of consent.
    """
    steps = [shown for step in steps for shown in _with_body(step)]
    known = {step.id for step in steps}
    needs = {step.id: frozenset(_needs(step)) & known for step in steps}
    place = {name: n for n, level in enumerate(levels(needs), start=1) for name in level}
    foretold = foretell(steps, find, situation)
    views = tuple(
        _view(step, place[step.id], sorted(needs[step.id]), find, asks=foretold[step.id].asks) for step in steps
    )
    costs = {step.id: step_cost(step, find, price, settings) for step in steps}
    asking = {step.id for step in steps if model_calls(step)}
    asked = [costs[name] for name in asking]
    tools = sum(cost or 0.0 for name, cost in costs.items() if name not in asking)
    cost = None if None in asked else tools + sum(cost or 0.0 for cost in asked)
    return Preview(
        views,
        model_calls=sum(map(model_calls, steps)),
        tokens=sum(sum(model_tokens(step)) for step in steps),
        cost=cost,
        tools_cost=tools,
        unpriced=tuple(name for name, cost in costs.items() if cost is None and name not in asking),
        words=in_words(foretold, find, cost),
    )


def _with_body(step: PlanStep) -> list[PlanStep]:
    """Return a step and, before it, the steps of the nested pipeline that is carried out for each of its entries."""
    if step.pipe is None or not step.pipe.body:
        return [step]
    rename = renaming({EACH: f"{step.id}__{EACH}"})
    entry, *rest = [copied(PlanStep.model_validate(one), rename) for one in step.pipe.body]
    inner = [entry.model_copy(update={"depends_on": step.depends_on}), *rest]
    shown = [made for one in inner for made in _with_body(one)]
    return [*shown, step.model_copy(update={"depends_on": (*step.depends_on, inner[-1].id)})]


def _needs(step: PlanStep) -> tuple[str, ...]:
    return (*step.depends_on, *(step.pipe.after if step.pipe else ()))


def _view(step: PlanStep, level: int, needs: list[str], find: Callable[[str], ToolSpec], *, asks: bool) -> StepView:
    pipe = step.pipe
    does = _does(step, find)
    return StepView(
        id=step.id,
        level=level,
        use=step.tool or step.step_type.value,
        does=does,
        asks=asks or bool(pipe and pipe.approval),
        when="" if pipe is None or pipe.when is None else str(pipe.when),
        foreach="" if pipe is None or pipe.foreach is None else str(pipe.foreach),
        needs=tuple(needs),
    )


def _does(step: PlanStep, find: Callable[[str], ToolSpec]) -> str:
    if step.step_type is StepType.ASK:
        return "asks"
    if step.step_type is StepType.VALUE:
        return DOES["pure"]
    if step.step_type is StepType.PUBLISH:
        return "publishes an event"
    if step.step_type is StepType.LLM:
        return "asks the model"
    if step.step_type is StepType.TASK:
        effects = [find(name).effect for name in step.allowed_tools]
        return DOES["effect"] if "effect" in effects else "lets the model work"
    return DOES[find(step.tool or "").effect]


def lines(preview: Preview, title: str) -> list[str]:
    """Return the preview as a tree of levels for a terminal."""
    made = [title]
    last = max((step.level for step in preview.steps), default=0)
    for level in range(1, last + 1):
        here = [step for step in preview.steps if step.level == level]
        made.append(f"{'└' if level == last else '├'}─ {level}")
        bar = " " if level == last else "│"
        made += [f"{bar}  {'└' if n == len(here) else '├'}─ {_line(step)}" for n, step in enumerate(here, start=1)]
    return [*made, "", preview.words, f"Outside: {', '.join(preview.sends) or 'nothing is changed'}", _cost(preview)]


def _line(step: StepView) -> str:
    parts = [f"{step.id}: {step.use}, {step.does}"]
    if step.foreach:
        parts.append(f"for each of {step.foreach}")
    if step.when:
        parts.append(f"when {step.when}")
    if step.asks and step.does != "asks":
        parts.append("asks you first")
    if step.needs:
        parts.append(f"after {', '.join(step.needs)}")
    return " · ".join(parts)


def _cost(preview: Preview) -> str:
    parts = []
    if preview.model_calls:
        calls = "call" if preview.model_calls == 1 else "calls"
        parts.append(f"{preview.model_calls} model {calls}, about {preview.tokens:,} tokens")
    if preview.tools_cost:
        parts.append(f"tools ${preview.tools_cost:.4f}")
    if preview.unpriced:
        parts.append(f"and what {', '.join(preview.unpriced)} will take, which depends on earlier steps")
    if not parts:
        return "Expected cost: nothing, no model is asked"
    money = "price of the model unknown" if preview.cost is None else f"about ${preview.cost:.4f}"
    return f"Expected cost: {money} ({'; '.join(parts)})"


def draw(preview: Preview, title: str, file: Path) -> None:
    """Draw the plan as a graph into a PNG (or SVG, PDF) file, levels from top to bottom. Raises OSError, ValueError."""
    from matplotlib.figure import Figure

    levels_of: dict[int, list[StepView]] = {}
    for step in preview.steps:
        levels_of.setdefault(step.level, []).append(step)
    widest = max(map(len, levels_of.values()))
    figure = Figure(figsize=(max(4.0, 2.6 * widest), 1.2 + 1.1 * len(levels_of)), dpi=120)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.9))
    axes.set_axis_off()
    axes.set_title(title)
    at: Mapping[str, tuple[float, float]] = {
        step.id: ((n + 0.5) / len(row), -float(level)) for level, row in levels_of.items() for n, step in enumerate(row)
    }
    for step in preview.steps:
        for need in step.needs:
            axes.annotate(
                "", at[step.id], at[need], arrowprops={"arrowstyle": "-|>", "color": "#888888", "shrinkB": 16}
            )
    for step in preview.steps:
        box = {"boxstyle": "round,pad=0.5", "facecolor": COLOURS.get(step.does, "#eeeeee"), "edgecolor": "#555555"}
        mark = " ✓?" if step.asks else ""
        axes.text(*at[step.id], f"{step.id}{mark}\n{step.use}", ha="center", va="center", fontsize=8, bbox=box)
    axes.set_xlim(0, 1)
    axes.set_ylim(-len(levels_of) - 0.6, -0.4)
    figure.savefig(file)
