"""The live plan: one message that shows what is going on, changed as things happen, never more often than it helps."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from loguru import logger

from agent.domain.execution import ExecutorResponse, ResponseStatus
from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.states import FINAL, Status
from agent.execution.details import Timing, details_of
from agent.execution.foretelling import NOTHING_SAID
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.domain.messages import Bot
    from agent.domain.plan import PlanStep
    from agent.domain.run import Run, StepRecord
    from agent.execution.foretelling import Saying

SHOWN_STEPS = 20
PAUSE_SECONDS = 0.3
HEARTBEAT_SECONDS = 10.0
SHOW_AFTER = 2.0  # seconds without a first step or a word of the answer, until the plan is shown without steps
LONG_SECONDS = 30.0  # of a step that says nothing of itself
PLANNING = mark("I'm working out the steps.")
STILL = mark("still working, {clock}")
NOTE_CHARS = 80
LABEL_CHARS = 200  # a model may write any title; the message is posted again with each change
SHORTENED = mark("I had to shorten what I remember of this task: {what}. The model takes {window} tokens at once.")
AFTER: dict[ResponseStatus, Status] = {
    ResponseStatus.OK: Status.COMPLETED,
    ResponseStatus.PARTIAL: Status.COMPLETED,
    ResponseStatus.NEEDS_INPUT: Status.WAITING_APPROVAL,
    ResponseStatus.BLOCKED: Status.CANCELLED,
    ResponseStatus.CANCELLED: Status.CANCELLED,
    ResponseStatus.SKIPPED: Status.CANCELLED,
}


class LivePlan:
    """What the person sees of a run. Changes are gathered and posted by one task that this object owns."""

    def __init__(self, bot: Bot, run: Run, money: Any, *, quiet: bool = False) -> None:
        self.quiet = quiet  # nothing is shown unless the run fails or is stopped
        self._bot = bot
        self._run = run
        self._money = money
        self._started = time.monotonic()
        self.seconds_before = 0.0
        self._steps: dict[str, PlanStep] = {}
        self._status: dict[str, Status] = {}
        self._notes: dict[str, str] = {}
        self._timing: dict[str, Timing] = {}
        self._done = 0
        self.detailed = False  # the person has unfolded tools, arguments, times and costs
        self.foretell: Callable[[Sequence[PlanStep]], Saying] = lambda _: NOTHING_SAID  # what they will do and ask
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.title = run.title or run.request[:60]
        self.state = "running"
        self.note = ""
        self.remark = ""  # what stays under the plan: that something had to be shortened
        self._shortened: dict[str, None] = {}
        self._soon = None if quiet else asyncio.get_running_loop().call_later(SHOW_AFTER, self._touch)

    def add(self, step: PlanStep, status: Status = Status.PENDING, note: str = "") -> None:
        """Show a step."""
        self._steps[step.id] = step
        self._set(step.id, status, note[:NOTE_CHARS])

    def take(self, record: StepRecord) -> None:
        """Show a step as the journal has it."""
        self._timing[record.step.id] = Timing.of(record)
        self.add(record.step, record.status, record.error if record.status is Status.FAILED else "")

    def numbered(self, number: int) -> str:
        """Return the id of the step that is shown with this number, "" when there is none."""
        names = list(self._steps)
        return names[number - 1] if 1 <= number <= len(names) else ""

    def number_of(self, step_id: str) -> int:
        """Return the number with which a step is shown, 0 when it is not."""
        return list(self._steps).index(step_id) + 1 if step_id in self._steps else 0

    def unfold(self, *, details: bool) -> None:
        """Show or hide the details."""
        self.detailed = details
        self._touch()

    def changed(self, step: PlanStep, response: ExecutorResponse | None) -> None:
        """Show that a step has started (None) or ended; one made meanwhile, for an entry of a list, is added."""
        self._steps.setdefault(step.id, step)
        self._timing.setdefault(step.id, Timing()).note(response)
        if response is None:
            self._set(step.id, Status.RUNNING)
            return
        self._set(step.id, AFTER.get(response.status, Status.FAILED), response.error[:NOTE_CHARS])

    def progress(self, step_id: str, text: str, done: float | None = None, total: float | None = None) -> None:
        """Show where the work of a step is."""
        share = f" {done:g} of {total:g}" if done is not None and total else ""
        self._notes[step_id] = f"{text}{share}"[:NOTE_CHARS]
        self._touch()

    def say(self, note: str) -> None:
        """Show a line about the whole run, such as that the model server is busy."""
        self.note = note[: 2 * NOTE_CHARS]
        self._touch()

    def shortened(self, what: str, window: int) -> None:
        """Show that the model's context was too small for something; each thing is told once."""
        if what in self._shortened:
            return
        self._shortened[what] = None
        language = self._run.dest.language
        named = ", ".join(say(language, one) for one in self._shortened)
        self.remark = say(language, SHORTENED, what=named, window=window)
        if self._steps:
            self._touch()

    def hush(self) -> None:
        """Leave the plan out while it has no steps: the person sees something else that grows."""
        if self._soon is not None:
            self._soon.cancel()

    def _set(self, step_id: str, status: Status, note: str = "") -> None:
        over = {Status.COMPLETED, Status.FAILED, Status.CANCELLED}
        self._done += (status in over) - (self._status.get(step_id) in over)
        self._status[step_id] = status
        self._notes[step_id] = note
        self._touch()

    def _touch(self) -> None:
        self._changed.set()
        if self._task is None and not self.quiet:
            self._task = asyncio.create_task(self._post_changes(), name=f"live-plan-{self._run.id}")

    async def _post_changes(self) -> None:
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass  # the clock in the message is the sign of life
            self._changed.clear()
            try:
                await self._bot.post(self.message())
            except Exception as error:
                logger.warning("the live plan of run {} could not be posted: {}", self._run.id, error)
            await asyncio.sleep(PAUSE_SECONDS)

    async def stop(self) -> None:
        """Stop posting; what is shown last is posted by whoever ends the run, in its own transaction."""
        self.hush()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None

    @property
    def key(self) -> str:
        """The name of the message, for good."""
        return f"run:{self._run.id}:plan"

    @property
    def worth_showing(self) -> bool:
        """False for a run without steps, which needs no plan message, and for a quiet one that goes well."""
        return bool(self._steps) and (not self.quiet or self.state in {"failed", "stopped"})

    def message(self) -> OutboundMessage:
        """Return the message as it should look now; at most 20 steps, those that matter most."""
        payload = {
            "title": self.title[:LABEL_CHARS],
            "done": self._done,
            "total": len(self._steps),
            "seconds": round(self.seconds_before + time.monotonic() - self._started),
            "money": self._money(),
            "state": self.state,
            "note": self.note or ("" if self._steps or self.state != "running" else PLANNING),
            "steps": [self._line(step_id) for step_id in self._shown()],
            "hidden": max(0, len(self._steps) - SHOWN_STEPS),
            "run": self._run.ref,
            **({"remark": self.remark} if self.remark else {}),
        }
        if self.detailed:
            payload["details"] = details_of([self._steps[name] for name in self._shown()], self._timing)
        payload |= self._foretold()
        if self.state in {"running", "waiting"}:
            payload["buttons"] = [self._buttons()]
        return OutboundMessage(
            self._run.dest, MessageKind.PLAN, self.key, payload, session_id=self._run.session_id, run_id=self._run.id
        )

    def _foretold(self) -> dict[str, Any]:
        """Return what the plan will do, in words: unfolded always, else while it is to come and sends something.

        Whom it tells what is nobody else's business: a group is not shown it unless somebody unfolds it.
        """
        said = self.foretell(list(self._steps.values())) if self._steps else NOTHING_SAID
        alone = self._run.dest.chat_type == "private"
        beforehand = alone and said.worth_a_line and self.state in {"running", "waiting"}
        if not said.text or not (beforehand or self.detailed):
            return {}
        return {"foretold": said.text, **({"asks_first": True} if beforehand and said.asks else {})}

    def remarked(self) -> list[OutboundMessage]:
        """Return the remark as a message of its own, for a run whose plan is not shown; nothing without one."""
        if not self.remark or self.quiet:
            return []
        key, dest, session = f"run:{self._run.id}:remark", self._run.dest, self._run.session_id
        payload = {"text": self.remark}
        return [OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=session, run_id=self._run.id)]

    def _buttons(self) -> list[dict[str, str]]:
        ref = self._run.ref
        fold = ("▴ Less", "less") if self.detailed else ("▾ Details", "details")
        wanted = [("⏹ Stop", "stop"), ("✏️ Change", "change"), fold]
        return [{"label": label, "action": f"r/{ref}/{verb}"} for label, verb in wanted]

    def _line(self, step_id: str) -> dict[str, Any]:
        step = self._steps[step_id]
        status = self._status[step_id]
        if self.state in {"failed", "stopped"} and status not in FINAL:
            status = Status.CANCELLED
        return {
            "id": step.id,
            "number": self.number_of(step_id),
            "label": step.label[:LABEL_CHARS],
            "status": status.value,
            "note": self._notes.get(step_id) or self._still(step_id, status),
        }

    def _still(self, step_id: str, status: Status) -> str:
        """Say of a step that has been running for long, and tells nothing itself, that it goes on."""
        began = self._timing[step_id].began if step_id in self._timing else None
        passed = time.time() - began if began is not None else 0.0
        if status is not Status.RUNNING or passed < LONG_SECONDS:
            return ""
        minutes, seconds = divmod(int(passed), 60)
        return say(self._run.dest.language, STILL, clock=f"{minutes}:{seconds:02}")

    def _shown(self) -> list[str]:
        """All steps of a short plan; of a long one a window that starts a little before the first unfinished step."""
        names = list(self._steps)
        if len(names) <= SHOWN_STEPS:
            return names
        start = min(max(0, self._done - 3), len(names) - SHOWN_STEPS)
        return names[start : start + SHOWN_STEPS]
