"""`triggers:` of a pipeline: what may stand there, and what is said of what may not."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from agent.catalogue import Catalogue
from agent.domain.chain import Chain
from agent.errors import DirigentError, NotFound, PlanError
from agent.pipelines import Pipelines
from agent.planning.pipeline_triggers import seconds_of
from plugins.loader import discover

STEPS = "steps: [{id: a, use: value, args: {value: 1}}]"


@pytest.fixture
def pipelines(tmp_path: Path) -> Pipelines:
    return Pipelines(tmp_path, Catalogue([]))


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.yaml").write_text(textwrap.dedent(text))


def load(pipelines: Pipelines, folder: Path, triggers: str, inputs: str = "{n: {type: number, default: 1}}"):
    write(folder, "p", f"name: p\ninputs: {inputs}\n{STEPS}\ntriggers:\n{textwrap.indent(triggers, '  ')}\n")
    return pipelines.load("p").pipeline.triggers


def test_each_kind_of_trigger_in_its_short_form_and_in_full(pipelines, tmp_path):
    made = load(
        pipelines,
        tmp_path,
        """\
- schedule: every Friday at 9
- schedule: {every: 5 minutes}
- schedule: {interval: 2, unit: hours}
  overlap: queue
  misfire: all
- schedule: {cron: "0 9 * * 5", zone: Europe/Vienna}
- file: /tmp
- file: {folder: in, pattern: "*.csv", afterwards: move}
  inputs: {n: "{{ file.name | length }}"}
- event: order.*
- event: {type: order.created, conditions: {total: {ge: 100}}}
  inputs: {n: "{{ event.payload.total }}"}
  priority: 8
  project: shop
  budget: 0.5
  approval: "Take the order of {{ event.payload.name }}?"
- webhook: orders
- webhook: {}
""",
    )

    assert [one.waits_for for one in made] == [["schedule"]] * 4 + [["file"]] * 2 + [["event"]] * 2 + [["webhook"]] * 2
    assert [one.schedule.seconds for one in made[:4]] == [None, 300, 7200, None]
    assert (made[4].file.folder, made[6].event.type, made[8].webhook.name) == ("/tmp", "order.*", "orders")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {schedul: every hour}", "p.yaml:5:6: unknown key `schedul`; did you mean `schedule`?"),
        ("- {schedule: {evry: 5}}", "p.yaml:5:17: unknown key `evry`; did you mean `every`?"),
        ("- {file: {folder: in, patern: x}}", "p.yaml:5:25: unknown key `patern`; did you mean `pattern`?"),
        ("- {event: {typ: x}}", "unknown key `typ`; did you mean `type`?"),
        ("- {inputs: {}}", "p.yaml:5:5: a trigger waits for one thing: `schedule`, `file`, `event` or `webhook`"),
        ("- {event: a, webhook: b}", "a trigger waits for one thing: `schedule`, `file`, `event` or `webhook`, not event and webhook"),
        ("- {schedule: {every: 5 fortnights}}", "'5 fortnights' is no length of time; write seconds, or one such as `5 minutes`"),
        ("- {schedule: {interval: 5}}", "`interval` and `unit` go together"),
        ("- {schedule: {every: 5, cron: '* * * * *'}}", "a schedule is one of: words, `every`, `interval` with `unit`, or `cron`"),
        ("- {schedule: every hour, overlap: skp}", "`overlap` must be 'skip', 'queue' or 'allow', not 'skp'; did you mean 'skip'?"),
        ("- {schedule: every hour, inputs: {m: 1}}", "p.yaml:5:37: there is no input 'm'; there are n"),
        ("- {schedule: every hour, inputs: {n: many}}", "input 'n' must be a number, not 'many'"),
        ("- {schedule: every hour, inputs: {n: '{{ event.total }}'}}", "`event` is unknown here. There are trigger."),
        ("- {event: x, inputs: {n: '{{ evnt.total }}'}}", "`evnt` is unknown here."),
        ("- {webhook: a b}", "the webhook's name 'a b' must be letters, digits, '-' and '_'"),
        ("- {event: x, budget: 0}", "`budget`: must be more than 0"),
        ("- {event: x, approval: '{{ event. }}'}", "p.yaml:5:16: "),
    ],
)  # fmt: skip
def test_a_mistake_in_a_trigger_is_named_with_its_place(pipelines, tmp_path, text, said):
    with pytest.raises(PlanError) as raised:
        load(pipelines, tmp_path, text)
    assert said in str(raised.value)


def test_an_input_without_a_default_must_be_given_by_each_trigger_but_the_ticket_of_a_schedule(pipelines, tmp_path):
    with pytest.raises(PlanError, match=r"p.yaml:6:5: input 'who' is missing"):
        load(pipelines, tmp_path, "- {event: x, inputs: {who: '{{ event.source }}'}}\n- {event: y}", "{who: text}")
    assert load(pipelines, tmp_path, "- {schedule: every hour}", "{ticket_id: text}")


@pytest.mark.parametrize(("text", "seconds"), [(5, 5), ("90", 90), ("1.5h", 5400), ("2 Days", 172800), ("1w", 604800)])
def test_lengths_of_time_are_read(text, seconds):
    assert seconds_of(text) == seconds


# --- where pipelines lie ------------------------------------------------------------------------------------------
@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A plugin that ships two pipelines."""
    package = tmp_path / "plugins" / "shop"
    (package / "pipelines").mkdir(parents=True)
    (package / "__init__.py").write_text(
        '"""A shop."""\nfrom plugins.api import tool\n\n@tool\ndef buy() -> int:\n    """Buy."""\n    return 1\n'
    )
    for name in ("order", "report"):
        write(package / "pipelines", name, f"name: {name}\ndescription: shipped\n{STEPS}\n")
    return package


def test_pipelines_of_plugins_are_found_and_the_homes_come_first(shipped, tmp_path):
    home = tmp_path / "pipelines"
    home.mkdir()
    write(home, "order", f"name: order\ndescription: mine\n{STEPS}\n")
    found = Pipelines(home, Catalogue(discover([shipped.parent], builtin=False, entry_points=False)))

    assert {name: place.plugin for name, place in found.places().items()} == {"order": "", "report": "shop"}
    assert found.listed() == [("order", "mine. Takes no inputs."), ("report", "shipped. Takes no inputs.")]
    assert found.load("report").source == "pipeline:report"


# --- chains -------------------------------------------------------------------------------------------------------
def test_a_chain_takes_what_its_pipelines_need_and_hands_on_what_they_give_out_by_name(pipelines, tmp_path):
    write(tmp_path, "1-fetch", f"name: fetch\ninputs: {{day: date}}\n{STEPS}\noutputs: {{rows: 3, items: 4}}\n")
    write(tmp_path, "sum", f"name: sum\ninputs: {{rows: number, items: number, by: text}}\n{STEPS}\n")

    ready = pipelines.load_chain(Chain("c1", "Nightly: all of it", ("1-fetch", "sum", "sum")))

    assert list(ready.pipeline.inputs) == ["day", "by"]
    assert [step.id for step in ready.pipeline.steps] == ["p_1_fetch", "sum", "sum_2"]
    steps = {step.id: step for step in ready.steps}
    assert steps["sum__inputs"].args["value"]["rows"] == "{{ steps.p_1_fetch.output['rows'] }}"
    assert steps["sum__inputs"].depends_on == ("p_1_fetch",)
    assert steps["sum_2__inputs"].depends_on == ("p_1_fetch", "sum")
    assert ready.pipeline.outputs == {"result": "{{ steps.sum_2.output }}"}
    assert (ready.name, ready.source) == ("Nightly: all of it", "chain:c1")
    assert ready.given({"day": "2026-11-21", "by": "x"})["inputs"] == {"day": "2026-11-21", "by": "x"}
    with pytest.raises(DirigentError, match=r"input 'day' is missing.*Chain 'Nightly: all of it' takes day=DATE"):
        ready.given({"by": "x"})


def test_a_chain_whose_pipeline_is_gone_names_both(pipelines, tmp_path):
    write(tmp_path, "fetch", f"name: fetch\n{STEPS}\n")

    with pytest.raises(NotFound) as raised:
        pipelines.load_chain(Chain("c1", "nightly", ("fetch", "fetchh")))

    assert str(raised.value).startswith(
        "The chain 'nightly' cannot run. There is no pipeline 'fetchh'. Did you mean 'fetch'?"
    )
