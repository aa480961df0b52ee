"""What an `llm` step of a pipeline asks for beyond text: a value of a shape, another model, a value without one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import ModelRubbish, ToolArguments
from agent.llm.structured import read_shape, repair_request

if TYPE_CHECKING:
    from agent.domain.execution import ExecutorRequest
    from agent.llm.protocol import LLM, Finished, LLMRequest

OTHERWISE, WRAPPED, CHOICE = "otherwise", "result", "choice"
MAX_CHOICES = 200
SHOWN_CHOICES = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """The JSON Schema that the model is asked for. With `inside` the result is that property of what it answers."""

    schema: dict[str, Any]
    inside: str = ""
    words: str = ""

    def result(self, text: str) -> Any:
        """Return the value in a checked answer."""
        value = json.loads(text)
        return value[self.inside] if self.inside else value


@dataclass(frozen=True, slots=True)
class Wishes:
    """The arguments of an `llm` step, sorted: what the model reads (`material`) and how it is to answer."""

    material: dict[str, Any]
    shape: Shape | None = None
    model: str | None = None
    otherwise: Any = field(default=None)
    has_otherwise: bool = False


def wishes(request: ExecutorRequest) -> Wishes:
    """Read the arguments of an `llm` step. Raises ToolArguments. A model's own plan has material only."""
    args = dict(request.args)
    if request.step.pipe is None:
        return Wishes(args)
    choices, schema, model = args.pop("choices", None), args.pop("schema", None), args.pop("model", None)
    has_otherwise, otherwise = OTHERWISE in args, args.pop(OTHERWISE, None)
    if model is not None and not isinstance(model, str):
        raise ToolArguments(f"Step {request.step.id!r}: `model` is the name of a model, not {model!r}.")
    return Wishes(args, _shape(request.step.id, choices, schema), model or None, otherwise, has_otherwise)


def _shape(step_id: str, choices: Any, schema: Any) -> Shape | None:
    if schema is not None and not isinstance(schema, dict):
        raise ToolArguments(f"Step {step_id!r}: `schema` is a JSON Schema, not {str(schema)[:60]!r}.")
    if choices is not None:
        return _one_of(step_id, choices, schema)
    if schema is None:
        return None
    if schema.get("type") == "object" or "properties" in schema or "$ref" in schema:
        return Shape(schema)
    # Servers enforce objects only: another value is asked for as the one property of an object.
    shared = {name: schema[name] for name in ("$defs", "definitions") if name in schema}
    own = {name: part for name, part in schema.items() if name not in shared}
    return Shape({**_object({WRAPPED: own}), **shared}, WRAPPED)


def _one_of(step_id: str, choices: Any, schema: dict[str, Any] | None) -> Shape:
    """Return the shape of a choice; a schema adds properties to it, such as a confidence."""
    if not isinstance(choices, list) or not 2 <= len(choices) <= MAX_CHOICES:
        raise ToolArguments(f"Step {step_id!r}: `choices` is a list of 2 to {MAX_CHOICES}, not {str(choices)[:60]!r}.")
    if any(isinstance(choice, (dict, list)) or choice is None for choice in choices):
        raise ToolArguments(f"Step {step_id!r}: each of `choices` is a word or a number.")
    words = "Choose exactly one of: " + " | ".join(map(str, choices[:SHOWN_CHOICES]))
    distinct = list(dict.fromkeys(choices))
    more = dict((schema or {}).get("properties", {}))
    if more.get("confidence") is not None:
        more["confidence"] = {"type": "number", "minimum": 0, "maximum": 1, **more["confidence"]}
    made = _object({CHOICE: {"enum": distinct}, **more})
    return Shape(made, "" if more else CHOICE, words)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


async def shaped_answer(model: LLM, request: LLMRequest, shape: Shape, step_id: str) -> tuple[Any, list[Finished]]:
    """Return the value that the model answered and its calls; it may mend its answer once. Raises ModelRubbish."""
    first = await model.complete(request)
    try:
        return shape.result(read_shape(first.text, shape.schema)), [first]
    except ValueError as error:
        problem = str(error)
    second = await model.complete(repair_request(request, first.text, problem))
    try:
        return shape.result(read_shape(second.text, shape.schema)), [first, second]
    except ValueError as error:
        raise ModelRubbish(
            f"Step {step_id!r}: the model did not give what `schema` or `choices` ask for. {error}",
            hint="Ask more simply, or choose another model with `model`.",
        ) from None
