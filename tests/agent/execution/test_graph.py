"""What is said of a bad plan, and how the critical path is found."""

from __future__ import annotations

from agent.domain.plan import PlanStep
from agent.execution.graph import ReadySet, critical_path, problems


def a(name: str, *needs: str) -> PlanStep:
    return PlanStep(id=name, tool="t", depends_on=needs)


def test_every_fault_of_a_plan_is_named_exactly():
    found = problems([a("x", "x"), a("y", "ghost"), a("z"), a("z"), a("p", "q"), a("q", "p")])
    assert "step id 'z' is used 2 times" in found
    assert "step 'x' depends on itself" in found
    assert "step 'y' depends on unknown step 'ghost'" in found
    assert any("circle" in line and "p" in line and "q" in line for line in found)
    assert len(found) == 4


def test_a_good_plan_has_no_faults():
    assert problems([a("b", "a"), a("a")]) == []


def test_the_critical_path_bounds_the_duration():
    plan = [a("a"), a("b", "a"), a("c"), a("d", "b", "c")]
    assert critical_path(plan, {"a": 1, "b": 2, "c": 10, "d": 1}) == (["c", "d"], 11)
    assert critical_path([], {}) == ([], 0.0)


def test_a_failure_skips_near_and_far_dependents_once_each():
    graph = ReadySet()
    for step in (a("a"), a("b", "a"), a("c", "a", "b"), a("d", "c")):
        graph.add(step)
    assert [response.step_id for response in graph.fail("a")] == ["b", "c", "d"]


def test_a_step_added_after_its_dependency_failed_is_skipped():
    graph = ReadySet()
    graph.add(a("a"))
    graph.fail("a")
    ready, skipped = graph.add(a("b", "a"))
    assert ready == []
    assert [response.step_id for response in skipped] == ["b"]


def test_steps_that_wait_for_what_never_came_are_stuck():
    graph = ReadySet()
    graph.add(a("a", "ghost"))
    graph.add(a("b"))
    graph.succeed("b")
    assert [step.id for step in graph.stuck] == ["a"]
