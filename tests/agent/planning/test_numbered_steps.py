"""Models that number their steps are understood in every notation."""

from __future__ import annotations

import pytest

from agent.planning.notation import PlanReader
from agent.planning.reads import ReadStep

SIGNATURES = {"echo": ["text"]}


@pytest.mark.parametrize(
    "answer",
    [
        (
            '{"steps":[{"id":1,"tool":"echo","args":{"text":"a"}},'
            '{"id":"2","tool":"echo","args":{"text":"{{ 1.output }}"},"depends_on":["1"]}]}'
        ),
        '1. echo("a")\n2. echo(text="{{ s1.output }}") after 1\nend',
    ],
)
def test_numbered_steps_get_letters_in_ids_dependencies_and_references(answer: str):
    reader = PlanReader(SIGNATURES)
    reads = [*reader.feed(answer), *reader.close()]
    first, second = [read.step for read in reads if isinstance(read, ReadStep)]
    assert (first.id, second.id) == ("s1", "s2")
    assert second.depends_on == ("s1",)
    assert second.args == {"text": "{{ s1.output }}"}
