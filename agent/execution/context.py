"""What the carrying-out of one run's steps shares: the run, its session, its model, results, labels and statuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.domain.provenance import NOTHING, Provenance
from agent.domain.states import Status
from agent.execution.gathering import Gathering

if TYPE_CHECKING:
    from agent.domain.execution import ExecutorResponse
    from agent.domain.messages import Bot
    from agent.domain.plan import PlanStep
    from agent.domain.run import Run, StepRecord
    from agent.domain.session import Session
    from agent.llm.protocol import LLM
    from agent.policy.budget import Budget
    from plugins.api import Memory

OnProgress = Callable[[str, str, float | None, float | None], None]


def _silent(_step_id: str, _text: str, _done: float | None, _total: float | None) -> None:
    """Show no progress."""


async def _kept_already(_step_id: str) -> None:
    """Files are where everybody has them."""


def _untold(_what: str, _window: int) -> None:
    """Tell nobody."""


def _no_money() -> float | None:
    """Without a model nothing is spent."""
    return None


@dataclass(slots=True)
class RunContext:
    """The state of one run while it is carried out; everything in it can be rebuilt from the journal.

    `revisions` are the steps that were made because a person wanted something different. `status` is where each step
    stands; `control` labels the choice of each step, `guards` what decided whether it happens, where a condition did;
    `file_labels` are the files'. `plan_control` is what a step planned now would carry; `direct_answer` is the
    planner's, when no step is needed. `on_progress(step_id, text, done, total)` feeds the live plan. `said` labels what
    people have wanted to be different, `wished` are all those wishes, `heard` those that the planner was told last,
    `dropped` the steps that it left out by name. `budget` is charged for what costs money; `estimates` are what steps
    should cost, in US dollars. `paused` is "open" while the run waits for the person's word about money and "stopped"
    when there is none to come.
    """

    run: Run
    session: Session
    bot: Bot
    llm: LLM | None = None
    memory: Memory | None = None
    summary: str = ""
    results: dict[str, ExecutorResponse] = field(default_factory=dict)
    status: dict[str, Status] = field(default_factory=dict)
    records: dict[str, StepRecord] = field(default_factory=dict)
    control: dict[str, Provenance] = field(default_factory=dict)
    guards: dict[str, Provenance] = field(default_factory=dict)
    revisions: list[PlanStep] = field(default_factory=list)
    file_labels: dict[str, Provenance] = field(default_factory=dict)
    gathering: Gathering = field(default_factory=Gathering)
    on_progress: OnProgress = _silent
    on_shortened: Callable[[str, int], None] = _untold
    """Told what a prompt had to do without, and the model's context in tokens."""
    questions_asked: int = 0
    plan_control: Provenance = NOTHING
    said: Provenance = NOTHING
    heard: tuple[str, ...] = ()
    wished: set[str] = field(default_factory=set)
    dropped: tuple[str, ...] = ()
    direct_answer: str = ""
    money: Callable[[], float | None] = _no_money
    budget: Budget | None = None
    estimates: dict[str, float] = field(default_factory=dict)
    paused: str = ""
    keep: Callable[[str], Awaitable[None]] = _kept_already
    """Has the session's files everywhere, before anything that names them is journalled; told for which step."""

    def price(self, prompt_tokens: int, completion_tokens: int) -> float | None:
        """Return what a call of the run's model costs, in US dollars; None when that is unknown."""
        from agent.llm.protocol import Priced

        return self.llm.price(prompt_tokens, completion_tokens) if isinstance(self.llm, Priced) else None

    def told_shortened(self, what: str, window: int) -> None:
        """Pass on what a prompt had to do without to whoever shows the run now."""
        self.on_shortened(what, window)

    def state_of(self, step: PlanStep) -> Status:
        """Return where the step stands."""
        return self.status.get(step.id, Status.PENDING)

    def control_of(self, step_id: str) -> Provenance:
        """Return the label of the choice of a step."""
        return self.control.get(step_id, NOTHING)
