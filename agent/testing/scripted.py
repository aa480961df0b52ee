"""A model that says what a test tells it to say, through the same protocol as a real one."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import AsyncGenerator
from typing import Any

from agent.domain.ledger import Usage
from agent.domain.plan import OnFailure, PlanStep, StepType
from agent.errors import ModelRefused
from agent.llm.protocol import Finished, LLMRequest, Notice, TextDelta, ToolRequest
from agent.planning.notation import render

CHUNK = 7


def step(  # noqa: PLR0917
    step_id: str,
    tool: str = "",
    /,
    after: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
    on_failure: OnFailure = OnFailure.REPLAN,
    title: str = "",
    **args: Any,
) -> PlanStep:
    """Return a step: of a tool with its arguments, or of the type that `ask=`, `llm=` or `task=` says."""
    common: dict[str, Any] = {"id": step_id, "depends_on": after, "outputs": outputs, "on_failure": on_failure}
    common["title"] = title
    if tool:
        return PlanStep(**common, tool=tool, args=args)
    if "ask" in args:
        options = tuple(args.get("options", ()))
        return PlanStep(**common, step_type=StepType.ASK, question=args["ask"], options=options)
    if "llm" in args:
        material = {name: value for name, value in args.items() if name != "llm"}
        return PlanStep(**common, step_type=StepType.LLM, instruction=args["llm"], args=material)
    tools = tuple(args.get("tools", ()))
    return PlanStep(**common, step_type=StepType.TASK, instruction=args["task"], allowed_tools=tools)


class ScriptedLLM:
    """Implements LLM. Answers are queued per purpose and streamed in pieces; `requests` records what was asked.

    `prices` are US dollars per million prompt and completion tokens.
    """

    def __init__(
        self, name: str = "scripted", window: int = 128_000, prices: tuple[float, float] | None = (0.0, 0.0)
    ) -> None:
        self.name = name
        self.window = window
        self.prices = prices
        self.requests: list[LLMRequest] = []
        self._script: dict[str, deque[Finished | Exception]] = defaultdict(deque)

    # --- writing the script -------------------------------------------------------------------------------------
    def will_plan(self, *steps: PlanStep, title: str = "") -> None:
        """Answer the next call for a plan with these steps."""
        self.will_say("plan", render(title, list(steps)))

    def will_answer(self, text: str) -> None:
        """Answer the next call for a final answer with this text."""
        self.will_say("answer", text)

    def will_say(self, purpose: str, text: str, reason: str = "stop") -> None:
        """Answer the next call of a purpose (`plan`, `answer`, `task`, `step`, `memory`) with this text."""
        self._script[purpose].append(Finished(reason, self._usage(purpose, text), text))

    def will_call(self, tool: str, /, **args: Any) -> None:
        """Have the next round of a task call a tool."""
        number = sum(len(queue) for queue in self._script.values())
        wanted = ToolRequest(f"call-{number}", tool, json.dumps(args))
        self._script["task"].append(Finished("tool_calls", self._usage("task", ""), "", (wanted,)))

    def will_fail(self, purpose: str, error: Exception) -> None:
        """Fail the next call of a purpose."""
        self._script[purpose].append(error)

    def _usage(self, purpose: str, text: str) -> Usage:
        written = max(1, len(text) // 4)
        return Usage(purpose, "scripted", 10, written, self.price(10, written))

    # --- the protocol -------------------------------------------------------------------------------------------
    async def stream(self, request: LLMRequest) -> AsyncGenerator[TextDelta | Notice | Finished]:
        """Stream the next scripted answer; see LLM.stream."""
        finished = self._next(request)
        for start in range(0, len(finished.text), CHUNK):
            yield TextDelta(finished.text[start : start + CHUNK])
        yield finished

    async def complete(self, request: LLMRequest) -> Finished:
        """Return the next scripted answer; see LLM.complete."""
        return self._next(request)

    def count(self, text: str) -> int:
        """Estimate tokens at four characters each."""
        return len(text) // 4

    def price(self, prompt_tokens: int, completion_tokens: int, model: str | None = None) -> float | None:  # noqa: ARG002
        """Return what a call costs by `prices`; see Priced."""
        if self.prices is None:
            return None
        return (prompt_tokens * self.prices[0] + completion_tokens * self.prices[1]) / 1_000_000

    async def close(self) -> None:
        """Nothing to close."""

    def _next(self, request: LLMRequest) -> Finished:
        self.requests.append(request)
        queue = self._script[request.purpose]
        if not queue:
            raise ModelRefused(f"ScriptedLLM has nothing to say for purpose {request.purpose!r}.")
        item = queue.popleft()
        if isinstance(item, Exception):
            raise item
        return item
