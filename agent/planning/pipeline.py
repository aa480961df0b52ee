"""Pipelines: plans that a person wrote, as YAML. This module says what may be in one.

The JSON Schema for editors (`pipeline.schema.json`, `dirigent run --schema`) is made from these records.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from agent.domain.inputs import InputSpec, InputType
from agent.domain.plan import OUTPUTS, OnFailure
from agent.planning.pipeline_consent import Alternatives
from agent.planning.pipeline_services import PipelineService
from agent.planning.pipeline_triggers import PipelineTrigger

NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
STEP_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,29}\Z")
ENV_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,99}\Z")
OUTPUT_KEYS = {"type", "value", "description", "choices", "required"}
OWN_ENV = ("DIRIGENT_", "OPENAI_")
NESTED = "pipeline:"
ASK, LLM, TASK, VALUE, PUBLISH = "ask", "llm", "task", "value", "publish"
BUILT_IN = (ASK, LLM, TASK, VALUE, PUBLISH)


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _described(value: Any) -> Any:
    """`limit: number` is short for `limit: {type: number}`."""
    if not isinstance(value, dict):
        return value
    return {name: {"type": spec} if isinstance(spec, str) else spec for name, spec in value.items()}


def _entries(value: Any) -> Any:
    return {"in": value} if isinstance(value, (str, list)) else value


def _condition(value: Any) -> Any:
    if value is not None and not isinstance(value, (str, bool)):
        raise ValueError("must be a condition, such as `steps.check.output > 3`")
    return value


def _texted(value: Any) -> Any:
    """`approval: text` is short for `approval: {text: text}`."""
    if isinstance(value, str):
        return {"text": value} if value else None
    if value is not None and not isinstance(value, (dict, StepApproval)):
        raise ValueError("must be a text or a record with `text`")
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=True)


class Foreach(_Record):
    """A list, and how many of its entries are worked on at once."""

    entries: str | list[Any] = Field(alias="in")
    """A list, or a template of one: the step runs once for each entry, seen as `item`, its place as `index`."""
    parallel: Annotated[int, Field(ge=1, le=32)] = 4
    """Entries worked on at the same time."""


class StepApproval(_Record):
    """A checkpoint: what a person must agree to before a step runs, may reject, or have revised."""

    text: Annotated[str, Field(min_length=1)]
    """What the person is asked; it may hold templates."""
    name: str = ""
    """What the checkpoint is called, such as `SCENE_WRITTEN`."""
    show: Names = ()
    """Steps whose results, and files (or patterns of them) that are shown; by default the steps that are needed."""
    timeout: Annotated[float, Field(gt=0, le=31_622_400)] | None = None
    """Seconds after which nobody has approved, which is a rejection; by default `limits.approval_seconds`."""
    revise: Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])] | None = None
    """Steps that are carried out anew, with the person's comment, when something should be different.

    By default the needed steps that are `llm` or `task`, or whose templates mention `revision`; an empty list for none.
    """


class PipelineStep(_Record):
    """One step."""

    id: str
    """A name: letters, digits and `_`. Templates see the result as `steps.ID.output`, `.text`, `.files`, `.status`.

    Of a step with `foreach`, `.failed` lists {index, item, error} of the entries that failed.
    """
    use: str
    """A tool or a plugin's command, `pipeline:NAME`, `ask`, `llm`, `task`, `value` or `publish`."""
    title: str = ""
    """What the live plan shows."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments; texts may hold templates. `ask`: question, options. `llm`: prompt, material. `task`: prompt, tools.

    `llm` may also have `choices` (the answer is one of them), `schema` (the answer is a value of this JSON Schema),
    `model` (another one of the same server) and `otherwise` (the value where there is no model). `publish` publishes an
    event, once: type, payload (by name), project (by default the run's), key (by default one of this run's step).
    """
    when: Annotated[str | bool | None, BeforeValidator(_condition)] = None
    """A condition, such as `steps.check.output > 3`; when it is false the step is skipped."""
    depends_on: Names = ()
    """Steps that must be done first, beside those that templates mention."""
    foreach: Annotated[Foreach, BeforeValidator(_entries, json_schema_input_type=str | list[Any] | Foreach)] | None = (
        None
    )
    """A list (or a template of one): the step runs once for each entry; its output is the list of results, in order."""
    on_failure: OnFailure = OnFailure.STOP
    """stop, continue, or replan (the model plans anew from what is there)."""
    timeout: Annotated[float, Field(gt=0, le=86_400)] | None = None
    """Seconds that one attempt may take."""
    retry: Annotated[int, Field(ge=0, le=10)] = 0
    """Further attempts; a tool whose effect may not happen twice is never repeated."""
    approval: Annotated[StepApproval | None, BeforeValidator(_texted, json_schema_input_type=str | StepApproval)] = None
    """A text that a person must agree to before the step runs, or a record that says more."""
    outputs: Names = ()
    """Files (or patterns) that the step must make."""
    consent: dict[str, Alternatives] | None = None
    """Argument → what it may be, for the owner to agree to once: values, `{listed: STEP}` or `{pattern: TEXT}`."""

    @field_validator("id")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not STEP_NAME.match(value) or "__" in value or value == OUTPUTS:
            raise ValueError(f"step id {value!r} must be letters, digits and single '_' (at most 30), not 'outputs'")
        return value


class Pipeline(_Record):
    """A plan with a name, typed inputs, and outputs."""

    name: str
    """What it is called: `dirigent run NAME`, `/run NAME`."""
    description: str = ""
    """What it does, in a sentence."""
    inputs: Annotated[
        dict[str, InputSpec],
        BeforeValidator(_described, json_schema_input_type=dict[str, InputType | InputSpec]),
    ] = Field(default_factory=dict)
    """What it is given, by name."""
    env: Names = ()
    """Environment values that its templates may read."""
    steps: Annotated[tuple[PipelineStep, ...], Field(min_length=1, max_length=500)]
    """What is done. Steps that do not need each other run at the same time."""
    services: dict[str, PipelineService] = Field(default_factory=dict)
    """Names for what its tools share: name → `use` (a plugin's service) and its settings."""
    triggers: Annotated[tuple[PipelineTrigger, ...], Field(max_length=50)] = ()
    """What starts it by itself: schedules, files, events, webhooks."""
    quiet: bool = False
    """True: of runs that start by themselves the chat sees only failures, questions and approvals."""
    outputs: dict[str, Any] = Field(default_factory=dict)
    """What comes out, by name; texts may hold templates. Without it the answer is made of the steps' results.

    A record `{type: integer, value: …}` (also `description`, `choices`, `required: false`) says what type it has.
    """

    @property
    def values(self) -> dict[str, Any]:
        """The outputs as they are written, without their types."""
        return {name: out["value"] if is_typed(out) else out for name, out in self.outputs.items()}

    @property
    def types(self) -> dict[str, InputSpec]:
        """What type the outputs must have that say it."""
        return {name: _spec(out) for name, out in self.outputs.items() if is_typed(out)}

    @field_validator("outputs")
    @classmethod
    def _types_are_known(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, out in value.items():
            if is_typed(out):
                known = [kind.value for kind in InputType]
                if out["type"] not in known:
                    raise ValueError(f"the type of the output '{name}' must be one of {', '.join(known)}")
                if (out["type"] == InputType.CHOICE) != bool(out.get("choices")):
                    raise ValueError(f"output '{name}': `choices` belong to the type choice, and it needs them")
                _spec(out)
        return value

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, value: str) -> str:
        if not NAME.match(value):
            raise ValueError(f"the name {value!r} must be letters, digits, '-' and '_' (at most 64)")
        return value

    @field_validator("env")
    @classmethod
    def _is_not_our_own(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not ENV_NAME.match(name):
                raise ValueError(f"{name!r} is no name of an environment value")
            if name.upper().startswith(OWN_ENV):
                raise ValueError(f"{name} belongs to Dirigent itself and is not for pipelines")
        return value


def is_typed(output: Any) -> bool:
    """Say whether an output is a record with its type."""
    return isinstance(output, dict) and {"type", "value"} <= output.keys() <= OUTPUT_KEYS


def _spec(output: dict[str, Any]) -> InputSpec:
    return InputSpec.model_validate({name: part for name, part in output.items() if name != "value"})


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a pipeline."""
    made = Pipeline.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "title": "Dirigent pipeline"}
