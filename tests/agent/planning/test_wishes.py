"""A person's wish about a plan under way: what the planner is told, and what it may write."""

from __future__ import annotations

from agent.catalogue import Catalogue
from agent.domain.run import StepRecord
from agent.domain.states import Status
from agent.planning.draft import Draft
from agent.planning.planner import Planner
from agent.planning.request import Dropped, Planned, PlanRequest
from agent.testing import ScriptedLLM, step
from plugins.api import tool
from plugins.loader import from_functions


@tool
def echo(text: str) -> str:
    """Return the text."""
    return text


CATALOGUE = Catalogue([from_functions("test", [echo])])


def request(*records: StepRecord, **more: object) -> PlanRequest:
    return PlanRequest("do it", tools=tuple(CATALOGUE.tools()), progress=records, **more)  # type: ignore[arg-type]


async def test_the_planner_reads_the_wish_and_what_is_under_way_and_may_end_it():
    llm = ScriptedLLM()
    llm.will_say("plan", 'drop s1\ns3 echo("new")\nend')
    running = StepRecord(1, step("s1", "echo", text="old"), Status.RUNNING)
    done = StepRecord(1, step("s0", "echo", text="done"), Status.COMPLETED)
    asked = request(done, running, wishes=("also include 2024",))

    events = [event async for event in Planner(llm, CATALOGUE).stream(asked)]

    said = llm.requests[0].messages[-1].content
    assert "also include 2024" in said
    assert 's1 echo(text="old")' in said
    assert Dropped(("s1",)) in events
    assert [event.step.id for event in events if isinstance(event, Planned)] == ["s3"]


async def test_prose_about_dropping_and_ended_steps_drop_nothing():
    llm = ScriptedLLM()
    llm.will_say("plan", 'drop s0\ndrop the idea\ns3 echo("new")\nend')
    asked = request(StepRecord(1, step("s0", "echo", text="done"), Status.COMPLETED), wishes=("go on",))
    events = [event async for event in Planner(llm, CATALOGUE).stream(asked)]
    assert not [event for event in events if isinstance(event, Dropped)]


def test_a_pending_step_that_comes_back_changed_gets_another_id_and_what_needs_it_follows():
    first, second = step("s1", "echo", text="a"), step("s2", "echo", text="{{ s1.output }}", after=("s1",))
    draft = Draft(CATALOGUE, request(StepRecord(1, first), StepRecord(1, second)))
    changed = first.model_copy(update={"args": {"text": "b"}})
    found = [*draft.add(changed), *draft.add(second)]
    assert [(one.step.id, one.kept) for one in found if isinstance(one, Planned)] == [("s1_2", False), ("s2_2", False)]
    same = Draft(CATALOGUE, request(StepRecord(1, first), StepRecord(1, second)))
    found = [*same.add(first), *same.add(second)]
    assert [(one.step.id, one.kept) for one in found if isinstance(one, Planned)] == [("s1", True), ("s2", True)]
