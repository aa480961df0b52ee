"""Pipelines as files: what is wrong in one is found with its place before anything runs, and what it would do is shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from agent.catalogue import Catalogue
from agent.domain.plan import PlanStep, StepType
from agent.errors import DirigentError, NotFound, PlanError
from agent.pipelines import Pipelines, Ready, parse_request
from agent.planning import pipeline as pipeline_module
from agent.planning.pipeline import schema
from agent.planning.pipeline_preview import AT_YOUR_WORD, draw, lines, look_at
from agent.planning.pipeline_reading import read_pipeline
from plugins.api import tool
from plugins.loader import from_functions


@tool
def echo(text: str, times: int = 1) -> str:
    """Return the text."""
    return text * times


@tool(effect="once")
def send(to: str) -> str:
    """Send a message."""
    return to


@pytest.fixture
def pipelines(tmp_path: Path) -> Pipelines:
    return Pipelines(tmp_path, Catalogue([from_functions("test", [echo, send])]))


def load(pipelines: Pipelines, tmp_path: Path, text: str, name: str = "p") -> Ready:
    (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n{dedent(text)}")
    return pipelines.load(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stpes: []\nsteps: [{id: a, use: echo, args: {text: x}}]", "p.yaml:2:1: unknown key `stpes`; did you mean `steps`?"),
        ("steps:\n  - id: a\n    use: echo\n    whne: x", "p.yaml:5:5: unknown key `whne`; did you mean `when`?"),
        ("steps:\n  - {use: echo}", "p.yaml:3:5: the key `id` is missing"),
        ("steps: []", "p.yaml:2:1: `steps`"),
        ("steps: [a\nb: 1", "p.yaml:3:2: this is no YAML"),
        ("steps:\n  - {id: a, use: ehco}", "p.yaml:3:13: There is no tool 'ehco'. Did you mean 'echo'?"),
        ("steps:\n  - {id: a, use: echo, args: {txt: x}}", "p.yaml:3:24: echo: there is no parameter 'txt' (did you mean 'text'?)"),
        ("steps:\n  - {id: a, use: echo, args: {text: x, times: many}}", "'times' must be a whole number"),
        ("steps:\n  - {id: a, use: echo, args: {text: '{{ steps.b.text }}'}}", "p.yaml:3:31: there is no step 'b'"),
        ("steps:\n  - {id: a, use: echo, args: {text: '{{ inputs.b }}'}}", "there is no input 'b'"),
        ("steps:\n  - {id: a, use: echo, args: {text: '{{ env.B }}'}}", "the environment value B is not listed under `env`"),
        ("steps:\n  - {id: a, use: echo, args: {text: '{{ item }}'}}", "exist only in a step with `foreach`"),
        ("steps:\n  - {id: a, use: echo, args: {text: '{{ 1 | uper }}'}}", "Did you mean `upper`?"),
        ("steps:\n  - {id: a, use: echo, args: {text: x}, depends_on: [b]}", "p.yaml:3:54: there is no step 'b'"),
        ("steps:\n  - {id: a, use: value, args: {value: '{{ steps.b.text }}'}}\n  - {id: b, use: value, args: {value: '{{ steps.a.text }}'}}", "p.yaml:3:5: steps need each other in a circle: a → b → a"),
        ("steps:\n  - {id: a, use: value, args: {value: 1}}\n  - {id: a, use: value, args: {value: 1}}", "p.yaml:4:6: the step id 'a' is used twice"),
        ("steps:\n  - {id: a, id: b, use: echo}", "p.yaml:3:13: the key 'id' is there twice"),
        ("steps:\n  - {id: a, use: 'pipeline:p', args: {}}", "pipelines use each other in a circle: p → p"),
        ("steps:\n  - {id: a, use: 'pipeline:zz', args: {}}", "There is no pipeline 'zz'."),
        ("steps:\n  - {id: a, use: echo, args: {text: x}, on_failure: stopp}", "`on_failure` must be 'continue', 'stop' or 'replan', not 'stopp'; did you mean 'stop'?"),
        ("steps:\n  - {id: a, use: ask, args: {question: Q, options: [one]}}", "2 to 4 choices"),
        ("steps:\n  - {id: a, use: llm, args: {}}", "`use: llm` needs the argument `prompt`"),
        ("env: [OPENAI_API_KEY]\nsteps: [{id: a, use: value, args: {value: 1}}]", "belongs to Dirigent itself"),
        ("inputs: {n: {type: number, default: many}}\nsteps: [{id: a, use: value, args: {value: 1}}]", "the default of 'n' must be a number"),
        ("outputs: {r: '{{ steps.z.output }}'}\nsteps: [{id: a, use: value, args: {value: 1}}]", "p.yaml:2:1: there is no step 'z'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_place(pipelines, tmp_path, text, said):
    with pytest.raises(DirigentError) as raised:
        load(pipelines, tmp_path, text)
    assert said in str(raised.value)


def test_every_mistake_is_told_at_once(pipelines, tmp_path):
    with pytest.raises(PlanError) as raised:
        load(
            pipelines,
            tmp_path,
            "steps:\n  - {id: a, use: ehco}\n  - {id: b, use: echo, depends_on: zz, args: {text: x}}",
        )
    assert len(raised.value.problems) == 2


def test_aliases_that_multiply_are_refused():
    rows = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    rows += [f"{b}: &{b} [{','.join(['*' + a] * 9)}]" for a, b in ["ab", "bc", "cd", "de", "ef"]]
    with pytest.raises(PlanError, match="more than 20,000 values"):
        read_pipeline("\n".join(rows), "bomb.yaml")


STEP = "steps: [{id: a, use: echo, args: {text: x}}]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps:\n\t- id: a", "p.yaml:3:1: this is no YAML: a tab; lines are set in with spaces"),
        ("description: a\x07\n" + STEP, "p.yaml:2:15: this is no YAML: unacceptable character #x0007"),
        (STEP + "\n---\nname: q", "p.yaml:3:1: this is no YAML: a second document (`---`); one file is one pipeline"),
        ("steps:\n  - id: a\n    use: echo\n    args:\n      text: {{ inputs.x }}", 'p.yaml:6:14: a template needs quotes around it: "{{ … }}"'),
        ("? [a]\n: b\n" + STEP, "p.yaml:2:3: a key must be a word"),
        ("description: !!python/object/apply:os.system [ls]\n" + STEP, "p.yaml:2:14: the tag `!!python/object/apply:os.system` means nothing here"),
        ("description: !secret x\n" + STEP, "p.yaml:2:14: the tag `!secret` means nothing here; leave it out"),
        ("steps: &s [{id: a, use: echo, args: {text: *s}}]", "p.yaml:2:8: what an alias stands for contains the alias"),
        ("steps: [{id: a, use: echo, args: {<<: x}}]", "`<<` takes over the keys of a mapping"),
        ("steps: " + "[" * 100 + "]" * 100, "40 levels"),
        ("steps: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("description: " + "x" * 300_000 + "\n" + STEP, "256,000 are allowed"),
        ("steps: [" + "{id: a, use: echo}," * 501 + "]", "p.yaml:2:1: `steps`: must have at most 500 entries, not a list of 501"),
        ("steps: [{id: a, use: value, args: {value: .nan}}]", "p.yaml:2:43: .nan is no number that can be worked with"),
        ('description: "\\ud800"\n' + STEP, "p.yaml:2:14: this text holds half a character"),
        ("steps: {a: {use: echo}}", "p.yaml:2:1: `steps`: must be a list, not a mapping of 1"),
        ("steps: [echo]", "p.yaml:2:9: `steps`: must be a mapping of names to values, not 'echo'"),
        ("steps: [{id: a, use: echo, args: x}]", "p.yaml:2:28: `args`: must be a mapping of names to values, not 'x'"),
        ("steps: [{id: a, use: echo, when: 3}]", "`when`: must be a condition, such as"),
        ("steps: [{id: a, use: echo, retry: many}]", "`retry`: must be a whole number, not 'many'"),
        ("steps: [{id: a, use: echo, foreach: {in: [1], parallel: 99}}]", "`parallel`: must be at most 32, not '99'"),
        ("steps: [{id: a, use: value, timeout: 3, args: {value: 1}}]", "`use: value` has no `timeout`"),
        ("outputs: {c: {type: integr, value: 1}}\n" + STEP, "the type of the output 'c' must be one of text, number, integer"),
    ],
)  # fmt: skip
def test_what_is_badly_written_is_told_with_its_place_and_by_itself(pipelines, tmp_path, text, said):
    with pytest.raises(PlanError) as raised:
        load(pipelines, tmp_path, text)
    assert said in str(raised.value)
    assert len(raised.value.problems) == 1


def test_merge_keys_take_over_what_a_mapping_does_not_say_itself(pipelines, tmp_path):
    text = """
    steps:
      - {id: a, use: echo, args: &a {text: x, times: 2}}
      - {id: b, use: echo, args: {<<: *a, times: 3}}
      - {id: c, use: echo, args: {<<: [{times: 4}, *a]}}
    """
    found = {step.id: step.args for step in load(pipelines, tmp_path, text).steps}
    assert (found["b"], found["c"]) == ({"text": "x", "times": 3}, {"text": "x", "times": 4})


@pytest.mark.parametrize("before", ["\ufeff", "\r\n", "---\n", "# words\n"])
def test_what_editors_add_changes_nothing(before):
    pipeline, _ = read_pipeline(f"{before}name: p\r\nsteps:\r\n  - {{id: a, use: echo}}\r\n", "p")
    assert pipeline.steps[0].id == "a"


def test_words_stay_words_and_dates_stay_text():
    pipeline, _ = read_pipeline(
        "name: p\nsteps: [{id: a, use: value, args: {value: [no, on, 2026-12-24, 0x10, 1.5]}}]", "p"
    )
    assert pipeline.steps[0].args["value"] == ["no", "on", "2026-12-24", 16, 1.5]


def test_the_published_schema_is_the_one_of_the_code():
    file = Path(pipeline_module.__file__).with_name("pipeline.schema.json")
    assert json.loads(file.read_text()) == json.loads(json.dumps(schema()))


def test_a_good_pipeline_fits_the_published_schema():
    import jsonschema

    good = {
        "name": "p",
        "inputs": {"n": "number"},
        "steps": [{"id": "a", "use": "echo", "depends_on": "b", "foreach": [1]}],
    }
    jsonschema.validate(good, schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**good, "stpes": []}, schema())


def test_inputs_get_their_types_and_wrong_ones_are_told_at_once(pipelines, tmp_path):
    ready = load(
        pipelines,
        tmp_path,
        """
        inputs:
          day: date
          n: {type: integer, default: 3}
          kind: {type: choice, choices: [new, old]}
          tags: {type: list, required: false}
        steps: [{id: a, use: value, args: {value: 1}}]
        """,
    )

    assert ready.given({"day": "2026-12-24", "kind": "NEW", "n": "7"})["inputs"] == {
        "day": "2026-12-24",
        "n": 7,
        "kind": "new",
        "tags": None,
    }
    with pytest.raises(PlanError) as raised:
        ready.given({"day": "Monday", "n": "1.5", "knd": "new"})
    assert [problem.split(" (")[0] for problem in raised.value.problems] == [
        "there is no input 'knd'",
        "input 'day' must be a date such as 2026-12-24, not \"Monday\"",
        "input 'n' must be a whole number, not \"1.5\"",
        "input 'kind' is missing",
    ]


def test_a_file_that_is_not_there_is_told_before_anything_runs(pipelines, tmp_path):
    ready = load(pipelines, tmp_path, "inputs: {f: file}\nsteps: [{id: a, use: value, args: {value: 1}}]")
    work = tmp_path / "work"
    work.mkdir()
    (work / "sales.csv").write_text("x")

    assert ready.given({"f": "sales.csv"}, work)["inputs"] == {"f": "sales.csv"}
    with pytest.raises(PlanError, match=r"no file 'sale\.csv' here \(did you mean 'sales\.csv'"):
        ready.given({"f": "sale.csv"}, work)


def test_an_environment_value_must_be_set(pipelines, tmp_path, monkeypatch):
    ready = load(
        pipelines, tmp_path, "env: REGION_X\nsteps: [{id: a, use: value, args: {value: '{{ env.REGION_X }}'}}]"
    )
    with pytest.raises(PlanError, match="REGION_X is not set"):
        ready.given({})
    monkeypatch.setenv("REGION_X", "north")
    assert ready.given({})["env"] == ["REGION_X"]
    assert "north" not in json.dumps(ready.given({}))


def test_the_nearest_pipeline_is_named(pipelines, tmp_path):
    load(pipelines, tmp_path, "steps: [{id: a, use: value, args: {value: 1}}]", "weekly")
    with pytest.raises(NotFound, match="Did you mean 'weekly'"):
        pipelines.load("wekly")


def test_a_request_is_read_like_a_command_line():
    assert parse_request('report "who=Ada Lovelace" n=3') == ("report", {"who": "Ada Lovelace", "n": "3"})
    with pytest.raises(PlanError, match="name is missing"):
        parse_request("n=3")


def test_a_preview_says_what_changes_outside_and_what_it_costs(pipelines, tmp_path):
    ready = load(
        pipelines,
        tmp_path,
        """
        steps:
          - {id: a, use: echo, args: {text: x}}
          - {id: b, use: llm, args: {prompt: Write, about: "{{ steps.a.output }}"}}
          - {id: c, use: send, when: steps.b.text, args: {to: "{{ steps.b.output }}"}}
        """,
    )
    catalogue = Catalogue([from_functions("test", [echo, send])])

    preview = look_at(ready.steps, catalogue.find, lambda read, wrote: (read + wrote) / 1_000_000)
    picture = tmp_path / "plan.png"
    draw(preview, "p", picture)

    assert [(step.id, step.level, step.asks) for step in preview.steps] == [
        ("a", 1, False),
        ("b", 2, False),
        ("c", 3, False),  # you have written it, and what it is given is yours
    ]
    each_time = look_at(ready.steps, catalogue.find, lambda *_: None, situation=replace(AT_YOUR_WORD, mode="always"))
    assert [step.id for step in each_time.steps if step.asks] == ["c"]
    assert preview.sends == ("c",)
    assert preview.model_calls == 1
    assert preview.cost == preview.tokens / 1_000_000
    text = "\n".join(lines(each_time, "p"))
    assert "c: send, changes something outside · when steps.b.text · asks you first · after b" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_tools_cost_is_shown_beforehand_by_the_estimate_of_the_budget(pipelines, tmp_path):
    @tool(cost=0.04)
    def draw_it(text: str) -> str:
        """Draw."""
        return text

    @tool(cost=lambda settings, args: float(settings["each"]) * args["count"])
    def film_it(count: int) -> str:
        """Film."""
        return str(count)

    tools = from_functions("test", [echo, draw_it, film_it])
    catalogue = Catalogue([tools])
    steps = [
        PlanStep(id="a", tool="draw_it", args={"text": "x"}),
        PlanStep(id="b", tool="film_it", args={"count": 3}),
        PlanStep(id="c", tool="film_it", args={"count": "{{ steps.a.output }}"}),
        PlanStep(id="d", tool="echo", args={"text": "x"}),
    ]
    preview = look_at(steps, catalogue.find, lambda *_: None, {"test": {"each": "0.5"}})
    assert (preview.cost, preview.tools_cost, preview.unpriced) == (1.54, 1.54, ("c",))
    assert "Expected cost: about $1.5400 (tools $1.5400; and what c will take" in "\n".join(lines(preview, "p"))
    assert preview.to_json()["tools_cost"] == 1.54


def test_only_pipelines_have_value_steps():
    with pytest.raises(ValueError, match="only pipelines have"):
        PlanStep(id="a", step_type=StepType.VALUE, args={"value": 1})


DRAFT = """
    steps:
      - {id: facts, use: echo, args: {text: x}}
      - {id: write, use: llm, args: {prompt: Write., facts: "{{ steps.facts.output }}"}}
      - {id: look, use: echo, args: {text: "{{ steps.write.output }}"}}
      - id: done
        use: echo
        args: {text: "{{ steps.look.output }}{{ steps.write.output }}"}
        approval: APPROVAL
"""


def checkpoint(pipelines, tmp_path, approval: str, more: str = ""):
    steps = load(pipelines, tmp_path, dedent(DRAFT).replace("APPROVAL", approval) + more).steps
    return next(step for step in steps if step.id == "done").pipe.checkpoint


def test_a_checkpoint_has_anew_what_a_comment_is_for_and_all_in_between(pipelines, tmp_path):
    found = checkpoint(pipelines, tmp_path, "Fine?")

    assert (found.revise, found.anew, found.show) == (("write",), ("write", "look"), ("write", "look"))


def test_a_checkpoint_says_what_it_shows_and_how_long_it_waits(pipelines, tmp_path):
    said = "{text: Fine?, name: TEXT_READY, show: [facts, poster.png], timeout: 60, revise: []}"
    found = checkpoint(pipelines, tmp_path, said)

    assert (found.name, found.show, found.files, found.timeout) == ("TEXT_READY", ("facts",), ("poster.png",), 60)
    assert (found.revise, found.anew) == ((), ())


def test_what_would_keep_an_old_result_is_not_offered_for_revision(pipelines, tmp_path):
    other = "  - {id: other, use: echo, args: {text: '{{ steps.write.output }}'}}\n"
    assert checkpoint(pipelines, tmp_path, "Fine?", other).revise == ()

    later = "  - {id: other, use: echo, depends_on: done, args: {text: '{{ steps.write.output }}'}}\n"
    assert checkpoint(pipelines, tmp_path, "Fine?", later).revise == ("write",)


@pytest.mark.parametrize(
    ("approval", "more", "said"),
    [
        ("{text: F, revise: write}", "  - {id: o, use: echo, args: {text: '{{ steps.write.text }}'}}\n", "p.yaml:11:5: step 'o' needs 'write', which may be revised at the checkpoint of 'done', and would keep the old result; write `depends_on: done`"),
        ("{text: F, revise: facts}", "  - {id: o, use: echo, args: {text: x}}\n", ""),
        ("{text: F, revise: o}", "  - {id: o, use: echo, args: {text: x}}\n", "p.yaml:10:25: step 'done' does not need 'o', so revising that would change nothing here"),
        ("{text: F, revise: wriet}", "", "there is no step 'wriet'; did you mean 'write'?"),
        ("{text: F, show: wriet}", "", "there is no step 'wriet'; did you mean 'write'?; a file has an ending"),
        ("{text: F, timeuot: 3}", "", "unknown key `timeuot`; did you mean `timeout`?"),
        ("{text: F, timeout: soon}", "", "p.yaml:10:25: `timeout`"),
        ("{show: write}", "", "the key `text` is missing"),
        ("{text: '{{ steps.zz.output }}'}", "", "there is no step 'zz'"),
        ("[F]", "", "p.yaml:10:5: `approval`: must be a text or a record"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_checkpoint_is_named_with_its_place(pipelines, tmp_path, approval, more, said):
    if not said:
        assert checkpoint(pipelines, tmp_path, approval, more).anew == ("facts", "write", "look")
        return
    with pytest.raises(DirigentError) as raised:
        checkpoint(pipelines, tmp_path, approval, more)
    assert said in str(raised.value)
