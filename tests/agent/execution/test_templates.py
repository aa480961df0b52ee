"""Templates: native values, what was touched, and limits that hold."""

from __future__ import annotations

import itertools
import time

import pytest

from agent.execution.templates import Scope, SkippedValue, TemplateFailed, holds, mentions, render

ROWS = [{"x": 1, "items": 3}, {"x": 2}]
SCOPE = Scope(
    results={"a": {"output": ROWS, "text": "[1,2]", "files": ["f.txt"], "status": "ok"}},
    inputs={"n": 3, "zip": "0123"},
    env={"REGION": "north"},
    skipped=frozenset({"b"}),
    item={"q": 5},
    index=0,
)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ inputs.n }}", 3),
        ("{{ inputs.zip }}", "0123"),  # text stays text, whatever it looks like
        ("{{ steps.a.text }}", "[1,2]"),
        ("{{ steps.a.output }}", ROWS),
        ("{{ steps.a.output[0].items }}", 3),  # a key, not the dictionary's method
        ("{{ steps.a.output | map(attribute='x') | sum }}", 3),
        ("{{ steps.a.files[0] }}", "f.txt"),
        ("{{ get_pipe_result('a')[1].x }}", 2),
        ("{{ get_env('REGION') }}-{{ env.REGION }}", "north-north"),
        ("{{ item.q }}/{{ index }}", "5/0"),
        ("{% if inputs.n > 2 %}many{% else %}few{% endif %}", "many"),
        ("{% for row in steps.a.output %}{{ loop.index }}:{{ row.x }};{% endfor %}", "1:1;2:2;"),
        ("{{ steps.b.output | default('none') }}", "none"),
        ("{{ steps.b.status }}", "skipped"),
        ({"deep": ["{{ inputs.n }}", 7, None]}, {"deep": [3, 7, None]}),
        ("no template", "no template"),
    ],
)
def test_a_template_becomes_a_value_with_its_type(template, value):
    assert render(template, SCOPE).value == value


def test_what_a_template_touched_is_known():
    rendered = render({"p": "{{ steps.a.text }}", "q": "{{ env.REGION }}", "r": "{{ inputs.n }}"}, SCOPE)

    assert rendered.steps == {"a"}
    assert rendered.env == {"REGION"}


@pytest.mark.parametrize(
    ("bomb", "said"),
    [
        ("{{ 'a' * 10**9 }}", "more than 1,000,000 characters"),
        ("{{ 9**(9**(9*9)) }}", "too large a number"),
        ("{{ range(10**9) | list }}", "`range` goes to 10,000"),
        ("{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}", "100,000 turns"),
        ("{% for i in range(9000) %}{{ 'x' * 1000 }}{% endfor %}", "more than 1,000,000 characters"),
        ("{{ '%1000000000d' % 1 }}", "`~`"),
        ("{{ '{:1000000000}'.format(1) }}", "no attribute 'format'"),
        ("{{ 'x'.center(10**9) }}", "no attribute 'center'"),
        ("{{ [[[1] * 1000] * 1000] * 1000 }}", "a list cannot be multiplied"),
        ("{% set a = [1, 1] %}" + "{% set a = [a, a, a, a, a, a, a, a] %}" * 8 + "{{ a }}", "1,000,000 entries"),
        ("{{ inputs.zip | replace('', 'x' * 900000) }}", "more than 1,000,000 characters"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "nested too deeply"),
        ("x" * 30_000 + "{{ 1 }}", "too long"),
    ],
)
def test_a_bomb_is_an_error_at_once(bomb, said):
    started = time.process_time()  # what others on the machine do is no fault
    with pytest.raises(TemplateFailed, match=said):
        render(bomb, SCOPE)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ inputs.__class__.__mro__ }}",
        "{{ steps.a.output | map(attribute='__class__') | list }}",
        "{{ (1).__class__ }}",
        "{{ now.__self__ }}",
        "{{ steps.__init__.__globals__ }}",
        "{{ range.function.__globals__ }}",
        "{{ [1].append(2) }}",
        "{{ inputs.update({}) }}",
        "{{ self }}",
        "{% include 'x' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    ],
)
def test_nothing_inside_can_be_reached(template):
    with pytest.raises(TemplateFailed):
        render(template, SCOPE)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ stps.x }}", "Did you mean `steps`"),
        ("{{ 'a' | uper }}", "Did you mean `upper`"),
        ("{{ a b }}", "expected token"),
        ("{{ steps[item] }}", "needs a name in quotes"),
        ("{% for s in steps %}{% endfor %}", "name the step"),
    ],
)
def test_a_mistake_is_found_without_running(template, said):
    with pytest.raises(TemplateFailed, match=said):
        mentions(template)


def test_what_is_mentioned_is_found_without_running():
    found = mentions({"p": "{{ steps.x.output }}{{ get_pipe_result('y') }}", "q": ["{{ inputs['z'] }}{{ env.A }}"]})

    assert (found.steps, found.inputs, found.env) == ({"x", "y"}, {"z"}, {"A"})
    assert mentions("{{ steps.x.status == 'ok' }}").watched == {"x"}
    assert mentions("{{ steps.x.status ~ steps.x.text }}").watched == frozenset()


def test_only_the_status_of_a_skipped_step_can_be_used():
    with pytest.raises(SkippedValue, match="'b'"):
        render("{{ steps.b.output }}", SCOPE)
    with pytest.raises(SkippedValue, match="'b'"):
        render("{{ steps.b.text | upper }}", SCOPE)


def test_an_environment_value_must_be_declared():
    with pytest.raises(TemplateFailed, match=r"'HOME' is not declared.*REGION"):
        render("{{ env.HOME }}", SCOPE)


def test_a_template_can_refuse():
    with pytest.raises(TemplateFailed, match="no such region"):
        render("{{ fail('no such region') }}", SCOPE)


@pytest.mark.parametrize(
    ("condition", "true"),
    [("inputs.n > 2", True), ("{{ inputs.n > 5 }}", False), (False, False), ("{{ 'no' }}", False), ("'yes'", True)],
)
def test_a_condition_needs_no_braces(condition, true):
    assert holds(condition, SCOPE)[0] is true


LOOP = "{% for n in range(100) %}{{ n }}{% endfor %}"


def test_a_template_that_works_too_long_is_ended(monkeypatch):
    worked = itertools.count(0.0, 0.1)
    monkeypatch.setattr("agent.execution.templates.time.thread_time", lambda: next(worked))
    with pytest.raises(TemplateFailed, match="it takes longer than 2 s"):
        render(LOOP, SCOPE)


def test_a_machine_that_has_no_time_for_a_template_does_not_fail_it(monkeypatch):
    passed = itertools.count(0.0, 60.0)
    monkeypatch.setattr("agent.execution.templates.time.monotonic", lambda: next(passed))
    assert render(LOOP, SCOPE).value.startswith("0123")
