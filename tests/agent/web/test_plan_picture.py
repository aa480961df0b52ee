"""The picture of a plan: every step has its place, and what needs another stands below it."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.plan import PlanStep
from agent.domain.run import StepRecord
from agent.web.admin.picture import HIGH, MOST_DRAWN, WIDE, picture_of


def records(needs: list[list[int]]) -> list[StepRecord]:
    return [
        StepRecord(1, PlanStep(id=f"s{n}", tool="say", depends_on=tuple(f"s{need}" for need in wanted)))
        for n, wanted in enumerate(needs)
    ]


plans = st.integers(1, 25).flatmap(
    lambda size: st.tuples(*(st.lists(st.integers(0, max(0, n - 1)), max_size=3 if n else 0) for n in range(size)))
)


@given(plans)
def test_steps_don_t_overlap_and_stand_below_what_they_need(needs):
    made = picture_of(records([list(wanted) for wanted in needs]))
    assert made is not None
    at = {node.id: node for node in made.nodes}
    assert len(at) == len(needs)
    for one, other in combinations(made.nodes, 2):
        assert one.y != other.y or abs(one.x - other.x) >= WIDE
    for number, wanted in enumerate(needs):
        assert all(at[f"s{number}"].y >= at[f"s{need}"].y + HIGH for need in wanted)
    assert len(made.lines) == sum(len(set(wanted)) for wanted in needs)
    assert all(node.x >= 0 and node.x + WIDE <= made.width and node.y + HIGH <= made.height for node in made.nodes)


def test_a_circle_is_drawn_and_a_crowd_is_not():
    assert len(picture_of(records([[1], [0], []])).nodes) == 3
    assert picture_of(records([[]] * (MOST_DRAWN + 1))) is None
    assert picture_of([]) is None
