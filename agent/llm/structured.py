"""Answers of a given shape: by `json_schema`, a forced tool call, or the prompt; whatever the way, all are checked."""

from __future__ import annotations

import json
from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from agent.errors import ModelRefused
from agent.llm.protocol import ChatMessage

if TYPE_CHECKING:
    from agent.llm.protocol import LLMRequest

SHOWN_ANSWER = 4_000


class Rung(IntEnum):
    """How the shape of an answer is asked for, best first."""

    JSON_SCHEMA = 0
    TOOL = 1
    PROMPT = 2

    @property
    def lower(self) -> Rung:
        """The next rung down; the last stays."""
        return Rung(min(self + 1, Rung.PROMPT))


def ask_for_shape(body: dict[str, Any], request: LLMRequest, rung: Rung, *, strict: bool) -> None:
    """Add to a request's body what asks for its schema on this rung; `strict` where the schema allows it."""
    schema = request.schema or {}
    name = (
        "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in request.schema_name)[:64] or "result"
    )
    if rung is Rung.JSON_SCHEMA:
        described = {"name": name, "schema": schema, "strict": strict and is_closed(schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": described}
    elif rung is Rung.TOOL:
        described = {"name": name, "description": "Give the result.", "parameters": schema}
        body["tools"] = [{"type": "function", "function": described}]
        body["tool_choice"] = {"type": "function", "function": {"name": name}}
    else:
        body["messages"] = _with_instruction(body["messages"], in_words(schema))


def in_words(schema: dict[str, Any]) -> str:
    """Return the instruction that asks for a schema in the prompt."""
    return (
        "Answer with one JSON value and nothing else: no explanation, no code fence. It must fit this JSON Schema:\n"
        + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    )


def _with_instruction(messages: list[dict[str, Any]], words: str) -> list[dict[str, Any]]:
    for index, message in enumerate(messages):
        if message["role"] == "system":
            told = {**message, "content": f"{message['content']}\n\n{words}"}
            return [*messages[:index], told, *messages[index + 1 :]]
    return [{"role": "system", "content": words}, *messages]


def is_closed(schema: Any) -> bool:
    """Return True when every object of a schema requires all its properties and allows no others.

    Only such schemas may be asked for with `strict`.
    """
    if isinstance(schema, list):
        return all(map(is_closed, schema))
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        properties = set(schema.get("properties", {}))
        if schema.get("additionalProperties") is not False or properties != set(schema.get("required", ())):
            return False
    return all(map(is_closed, schema.values()))


def read_shape(text: str, schema: dict[str, Any]) -> str:
    """Return the JSON in an answer as compact text.

    Raises ValueError with a sentence that says what is wrong, for the model to read, and ModelRefused for a schema that
    cannot be used.
    """
    value = _find_json(text)
    problem = _problem(value, schema)
    if problem:
        raise ValueError(problem)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _find_json(text: str) -> Any:
    """Read the JSON value that an answer is, or holds between a fence or an explanation."""
    bare = text.rpartition("</think>")[2].strip()
    try:
        return json.loads(bare)
    except ValueError as error:
        first = error
    starts = sorted(place for place in (bare.find("{"), bare.find("[")) if place >= 0)
    for start in starts:
        try:
            return json.JSONDecoder().raw_decode(bare, start)[0]
        except ValueError:
            continue
    what = "The answer is empty." if not bare else f"It is no valid JSON: {first}."
    raise ValueError(what)


def _problem(value: Any, schema: dict[str, Any]) -> str:
    """Return what is wrong with a value, or "". References never reach the network."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import UnknownType, best_match
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    registry: Registry[Any] = Registry()
    try:
        error = best_match(Draft202012Validator(schema, registry=registry).iter_errors(value))
    except Unresolvable as outside:
        raise ModelRefused(f"The schema refers to {outside.ref!r}, which is not part of it.") from None
    except UnknownType as unknown:
        raise ModelRefused(f"The schema names the type {unknown.type!r}, which JSON does not have.") from None
    if error is None:
        return ""
    return f"At {error.json_path}: {error.message[:500]}"


def schema_problem(schema: Any) -> str:
    """Return what is wrong with a JSON Schema itself, in a sentence without its full stop, or ""."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"at {error.json_path}: {error.message[:300]}"
    return ""


def repair_request(request: LLMRequest, answer: str, problem: str) -> LLMRequest:
    """Return the request for the one turn in which the model may mend its answer."""
    complaint = f"That cannot be used. {problem}\n\n{in_words(request.schema or {})}"
    turn = (ChatMessage("assistant", answer[:SHOWN_ANSWER] or "(nothing)"), ChatMessage("user", complaint))
    return replace(request, messages=(*request.messages, *turn))
