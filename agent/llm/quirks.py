"""What a server does not take, learnt from its refusals and kept for the next call; and the body of a call."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from agent.errors import ModelRefused
from agent.llm.failures import TOO_LONG
from agent.llm.structured import Rung, ask_for_shape
from agent.llm.unicode import without_surrogates

if TYPE_CHECKING:
    from agent.llm.failures import Failure
    from agent.llm.protocol import ChatMessage, LLMRequest, Picture

DROPPABLE = ("stream_options", "temperature", "stop")
NO_SYSTEM_ROLE = re.compile(
    r"system role|role .?system.? .{0,40}not supported|unexpected role.{0,20}system", re.IGNORECASE
)
SHAPE = re.compile(
    r"response_?format|json_?schema|json_?object|grammar|structured|tool_?choice|tools?\b|schema", re.IGNORECASE
)
INVALID_SCHEMA = re.compile(r"invalid schema|strict", re.IGNORECASE)
NO_PICTURES = re.compile(
    r"image|picture|vision|multi.?modal|mmproj|content.?(type|part)|content.{0,40}(string|str\b)|valid string",
    re.IGNORECASE,
)
UNSEEN = "[{n} pictures that you can't look at came along.]"
REFUSALS = frozenset({400, 404, 415, 422, 500, 501})


@dataclass(slots=True)
class Quirks:
    """What is known of one model on one server. Everything is learnt once and for good.

    `loose` means that it minds schemas which it would have to enforce strictly. `blind` means that it can't look at
    pictures; `can_go_blind` is False when the owner has said that it can.
    """

    new_max_tokens: bool = False
    no_system_role: bool = False
    blind: bool = False
    can_go_blind: bool = True
    loose: bool = False
    dropped: set[str] = field(default_factory=set)
    rung: Rung = Rung.JSON_SCHEMA

    def learn(self, body: dict[str, Any], failure: Failure) -> bool:
        """Learn from a refusal of `body`; return True when another form of the same call is worth sending."""
        if failure.status not in REFUSALS or failure.unknown_model or TOO_LONG.search(failure.message):
            return False
        said = failure.message
        if self._sees_badly(body, failure, sure=True):
            return True
        if "max_tokens" in body and "max_completion_tokens" in said:
            self.new_max_tokens = True
            return True
        for name in DROPPABLE:
            if name in body and re.search(rf"\b{name}\b", said):
                self.dropped.add(name)
                return True
        if not self.no_system_role and NO_SYSTEM_ROLE.search(said):
            self.no_system_role = True
            return True
        return self._step_down(body, failure) or self._sees_badly(body, failure, sure=False)

    def _sees_badly(self, body: dict[str, Any], failure: Failure, *, sure: bool) -> bool:
        """Take a refusal as one of the pictures: `sure` when the server says so, else when nothing else explains it."""
        if self.blind or not self.can_go_blind or not has_pictures(body):
            return False
        self.blind = bool(NO_PICTURES.search(failure.message)) if sure else failure.status < 500
        return self.blind

    def _step_down(self, body: dict[str, Any], failure: Failure) -> bool:
        """Take the next rung when the shape was, or may have been, what the server refused.

        A server that fails (500) must have said that it was the shape; any other refusal of a call with a shape is
        blamed on the shape even when the server does not say what it minded.
        """
        used = rung_in(body)
        if used is None or (failure.status == 500 and not SHAPE.search(failure.message)):
            return False
        if used is Rung.JSON_SCHEMA and not self.loose and INVALID_SCHEMA.search(failure.message):
            self.loose = True
            return body["response_format"]["json_schema"]["strict"] or self._down_from(used)
        return self._down_from(used)

    def _down_from(self, used: Rung) -> bool:
        # not below what another call has learnt meanwhile
        self.rung = max(self.rung, used.lower)
        return True


def build_body(request: LLMRequest, model: str, quirks: Quirks) -> dict[str, Any]:
    """Return the JSON body of a streamed call, in the form that this server takes."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [message_body(message, blind=quirks.blind) for message in request.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = list(request.tools)
    if request.max_tokens is not None:
        body["max_completion_tokens" if quirks.new_max_tokens else "max_tokens"] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.stop:
        body["stop"] = list(request.stop)
    if request.schema is not None:
        ask_for_shape(body, request, rung_of(request, quirks), strict=not quirks.loose)
    if quirks.no_system_role:
        body["messages"] = _without_system(body["messages"])
    return {name: value for name, value in body.items() if name not in quirks.dropped}


def rung_in(body: dict[str, Any]) -> Rung | None:
    """Return the rung on which a body asks for a shape by a feature of the server, or None."""
    if "response_format" in body:
        return Rung.JSON_SCHEMA
    return Rung.TOOL if isinstance(body.get("tool_choice"), dict) else None


def rung_of(request: LLMRequest, quirks: Quirks) -> Rung:
    """Return the rung for a request: one that also offers tools cannot be forced to call another."""
    return Rung.PROMPT if request.tools and quirks.rung is Rung.TOOL else quirks.rung


def has_pictures(body: dict[str, Any]) -> bool:
    """Return whether a body holds pictures."""
    return any(isinstance(message.get("content"), list) for message in body["messages"])


def _picture_part(picture: Picture) -> dict[str, Any]:
    url = f"data:{picture.mime};base64,{base64.b64encode(picture.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


def message_body(message: ChatMessage, *, blind: bool = False) -> dict[str, Any]:
    """Return a message as the API has it; a `blind` model gets the number of its pictures."""
    content = without_surrogates(message.content)
    if message.images and blind:
        content = f"{UNSEEN.format(n=len(message.images))}\n\n{content}"
    elif message.images:
        parts = [_picture_part(picture) for picture in message.images]
        return {"role": message.role, "content": [*parts, {"type": "text", "text": content}]}
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
    if not message.tool_requests:
        return {"role": message.role, "content": content}
    calls = [
        {
            "id": wanted.id,
            "type": "function",
            "function": {"name": wanted.name, "arguments": _object_or_empty(wanted.arguments)},
        }
        for wanted in message.tool_requests
    ]
    return {"role": message.role, "content": content or None, "tool_calls": calls}


def _object_or_empty(arguments: str) -> str:
    """Several servers parse the arguments of earlier calls again and fail on what a model wrote badly."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except ValueError:
        return "{}"


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the system messages at the head of the first user message, for chat templates that know no such role."""
    told = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    rest = [m for m in messages if m["role"] != "system"]
    for index, message in enumerate(rest):
        if message["role"] == "user":
            merged = {**message, "content": _told(told, message["content"])}
            return [*rest[:index], merged, *rest[index + 1 :]]
    return [{"role": "user", "content": told}, *rest]


def _told(told: str, content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, list):
        return [{"type": "text", "text": told}, *content]
    return f"{told}\n\n{content}".strip()


def size_of(body: dict[str, Any]) -> int:
    """Return the bytes of a body that a model reads: messages and tools, without pictures."""
    read = sum(len(_words(message.get("content")).encode()) for message in body["messages"])
    calls = [message["tool_calls"] for message in body["messages"] if message.get("tool_calls")]
    rest = [part for part in (calls, body.get("tools")) if part]
    return read + (len(json.dumps(rest)) if rest else 0)


def _words(content: str | list[dict[str, Any]] | None) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def refuse_unseen(request: LLMRequest, model: str, quirks: Quirks) -> None:
    """Raise ModelRefused for a call that makes no sense without its pictures, to a model that can't look at them."""
    if request.must_see and quirks.blind:
        raise ModelRefused(
            f"The model {model!r} can't look at pictures.",
            hint="Choose one that can with `model`; if this one can, set `llm.vision` to `on` in dirigent.toml.",
        )
