"""A planner that plans anew is told which calls the person has denied, with what they were."""

from __future__ import annotations

import json

import pytest

from agent.catalogue import Catalogue
from agent.domain.run import StepRecord
from agent.domain.states import Status
from agent.planning.progress import progress_context
from agent.planning.prompting import REFUSED, plan_messages
from agent.planning.request import PlanRequest
from agent.testing import step
from agent.testing.scripted import ScriptedLLM


def record(error: str = "", status: Status = Status.FAILED, response: str = "blocked") -> StepRecord:
    return StepRecord(1, step("s1", "send", to="ada", text="hi"), status, response_status=response, error=error)


@pytest.mark.parametrize("error", ["You denied it.", "4711 denied it.", "You denied it. It was denied before, so …"])
def test_a_denied_call_is_told_with_its_arguments(error: str):
    told = json.loads(progress_context([record(error)]))
    assert (told["did"], json.loads(told["denied"])) == ("send", {"to": "ada", "text": "hi"})


@pytest.mark.parametrize("one", [record("Nobody approved it in time."), record("", Status.COMPLETED, "ok")])
def test_other_calls_are_not_denied(one: StepRecord):
    assert "denied" not in json.loads(progress_context([one]))


@pytest.mark.parametrize(
    ("one", "said"), [(record("You denied it."), True), (record("It broke.", response="error"), False)]
)
def test_the_planner_is_told_to_plan_without_it(one: StepRecord, said: bool):
    request = PlanRequest("write to Ada", progress=(one,), reason="It failed.")
    messages = plan_messages(request, Catalogue([]), ScriptedLLM(), "compact")
    assert (REFUSED in messages[-1].content) is said
