"""`services:` and `consent:` of a pipeline: what is wrong is said with its place before anything runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from agent.catalogue import Catalogue
from agent.pipelines import Pipelines
from agent.planning.pipeline_reading import PipelineWrong
from plugins.api import Context, ServiceContext, ServiceName, service, tool
from plugins.loader import from_functions


@service(settings=["url", "system"])
async def desk(ctx: ServiceContext) -> AsyncIterator[str]:
    """A desk."""
    yield "desk"


@service
async def other(ctx: ServiceContext) -> AsyncIterator[str]:
    """Another."""
    yield "other"


@tool(host=True, effect="read", untrusted=True)
async def fetch(ctx: Context, query: str = "", service: Annotated[str, ServiceName("desk")] = "") -> list[Any]:
    """Fetch."""
    return []


@tool(effect="idempotent", standing=True)
def move(id: str, queue: str = "", folder: str = "") -> str:  # noqa: A002
    """Move."""
    return id


@tool(effect="once")
def send(to: str) -> str:
    """Send."""
    return to


@tool(effect="read", untrusted=True)
def page(url: str) -> list[Any]:
    """Read something else."""
    return []


def pipelines(tmp_path: Path, text: str, **more: str) -> Pipelines:
    for name, body in {"p": text, **more}.items():
        (tmp_path / f"{name}.yaml").write_text(f"name: {name}\n{body}")
    mine = from_functions("desks", [desk, other, fetch, move, send])
    return Pipelines(tmp_path, Catalogue([mine, from_functions("web", [page])]))


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(PipelineWrong) as caught:
        pipelines(tmp_path, text).load("p")
    return caught.value.problems


FETCH = "steps: [{id: a, use: fetch, args: {service: helpdesk}}]"


def test_a_named_service_reaches_the_run_with_its_settings_as_texts(tmp_path: Path):
    text = f"services: {{helpdesk: {{use: desk, url: http://x, system: 5}}}}\n{FETCH}"
    given = pipelines(tmp_path, text).load("p").given({})
    assert given["services"] == {"helpdesk": {"use": "desk", "settings": {"url": "http://x", "system": "5"}}}


def test_the_outer_pipelines_service_replaces_the_nested_ones(tmp_path: Path):
    outer = "services: {helpdesk: {use: desk, url: outer}}\nsteps: [{id: a, use: 'pipeline:inner'}]"
    inner = f"services: {{helpdesk: {{use: desk, url: inner}}, two: {{use: other}}}}\n{FETCH}"
    given = pipelines(tmp_path, outer, inner=inner).load("p").given({})
    assert {name: one["settings"] for name, one in given["services"].items()} == {
        "helpdesk": {"url": "outer"},
        "two": {},
    }


@pytest.mark.parametrize(
    ("services", "said"),
    [
        ("{helpdesk: {use: dusk}}", "p.yaml:2:23: There is no service 'dusk'. Did you mean"),
        ("{helpdesk: {use: desk, ulr: x}}", "has no setting 'ulr'; did you mean 'url'?"),
        ("{helpdsk: {use: desk}}", "there is no service 'helpdesk'; did you mean 'helpdsk'?"),
        ("{}", "there is no service 'helpdesk'; this pipeline names none under `services`"),
        ("{helpdesk: {use: other}}", "`helpdesk` is a desks.other, and fetch takes a desks.desk"),
        ("{helpdesk: {url: x}}", "the key `use` is missing"),
        ("{helpdesk: {use: desk, url: '{{ inputs.x }}'}}", "the setting 'url' cannot hold a template"),
        ("{helpdesk: {use: desk, url: [1]}}", "the setting 'url' must be a text"),
        ("{helpdesk: {use: desk}, 'a b': {use: desk}}", "the service's name 'a b' must be letters"),
    ],
)
def test_a_wrong_service_is_named_with_its_place(tmp_path: Path, services: str, said: str):
    found = problems(tmp_path, f"services: {services}\n{FETCH}")
    assert any(said in one for one in found), found


def consent(choice: str, use: str = "move", args: str = "{id: '{{ item.id }}', queue: '{{ item.queue }}'}") -> str:
    return f"""
inputs: {{folder: {{default: f}}}}
steps:
  - {{id: fetch, use: fetch}}
  - {{id: page, use: page, args: {{url: x}}}}
  - id: go
    use: {use}
    foreach: "{{{{ steps.fetch.output }}}}"
    args: {args}
    consent: {choice}
"""


def test_what_may_be_agreed_to_is_written_out_whole(tmp_path: Path):
    args = "{id: '{{ item.id }}', queue: '{{ item.queue }}', folder: '{{ inputs.folder }}'}"
    text = consent("{id: {listed: fetch}, queue: [A, B]}", args=args)
    ready = pipelines(tmp_path, text).load("p")
    given = ready.given({})
    assert given["consent"] == {
        "go": {"id": {"listed": "fetch"}, "queue": {"one_of": ["A", "B"]}, "folder": {"one_of": ["f"]}}
    }
    assert given["seal"] != ready.given({"folder": "g"})["seal"]
    assert given["seal"] == pipelines(tmp_path, f"# a remark\n{text}").load("p").given({})["seal"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (consent("{id: {listed: fetch}}"), "p.yaml:10:33: the argument 'queue' depends on results"),
        (consent("{id: {listed: fetsh}, queue: [A]}"), "there is no step 'fetsh'"),
        (consent("{id: {listed: page}, queue: [A]}"), "does not read from where `move` changes things"),
        (consent("{id: {listed: fetch}, queue: [A], tag: [x]}"), "the step has no argument 'tag'"),
        (consent("{id: {pattern: '('}, queue: [A]}"), "is no regular expression"),
        (consent("{to: [a]}", use="send", args="{to: a}"), "asks before each call"),
        (consent("{value: [a]}", use="value", args="{value: a}"), "belongs to a step that uses a tool"),
        (consent("{queue: [A]}", args="{id: '{{ now() }}', queue: A}"), "the argument 'id' depends on results"),
    ],
)
def test_a_consent_that_leaves_something_open_is_refused(tmp_path: Path, text: str, said: str):
    found = problems(tmp_path, text)
    assert any(said in one for one in found), found
