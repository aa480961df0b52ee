"""A request made to fit a model's context: what can be spared goes first, and what is cut says so in its place.

In this order: results that tools gave long ago become digests, long arguments of old calls are shortened, the oldest
rounds of a task go, the descriptions of tools lose their details, and then the longest texts are cut in the middle. The
system's words and the newest messages stay. No label is touched: labels are kept beside the words, not in them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from agent.llm.protocol import ChatMessage, LLMRequest
from agent.texts import mark

if TYPE_CHECKING:
    from agent.llm.protocol import ToolRequest

Count = Callable[[str], int]

OLD_RESULTS = mark("older results of tools")
OLD_ROUNDS = mark("earlier calls of tools")
LONG_TEXTS = mark("parts of long texts")
MESSAGE_TOKENS = 8  # what a chat template adds to each message, and more
DIGEST_CHARS = 200
ARGUMENT_CHARS = 120
NEWEST_ROUNDS = 1
AT_ONCE = 4  # digests are made in fours: between two of these moments the server finds the same beginning again
SHARE_OF_TOOLS = 3
LEAST_CHARS = 120
TRIES = 6
MARK_CHARS = 80  # what says that something is left out takes room itself
_DATA = re.compile(r"(<data[^>]*>\n)(.*?)(\n</data>)", re.DOTALL)
_SENTENCE = re.compile(r"^(.{20,200}?[.!?])\s.*$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Fit:
    """A request that fits, or comes as near as it can, and what of it was shortened, in English sentences' parts."""

    request: LLMRequest
    shortened: tuple[str, ...] = ()


def tokens_of(request: LLMRequest, count: Count) -> int:
    """Return about how many tokens a request takes, pictures and tools with it."""
    words = sum(_message_tokens(message, count) for message in request.messages)
    extra = str(request.tools or "") + str(request.schema or "")
    return words + (count(extra) if extra else 0) + request.picture_tokens


def fit(request: LLMRequest, budget: int, count: Count) -> Fit:
    """Return the request within `budget` tokens."""
    if tokens_of(request, count) <= budget:
        return Fit(request)
    shortened: list[str] = []
    for way, told in (
        (_fewer_words_of_tools, ""),
        (_digested, OLD_RESULTS),
        (_arguments_cut, OLD_RESULTS),
        (_rounds_left_out, OLD_ROUNDS),
        (_described_briefly, ""),
        (_texts_cut, LONG_TEXTS),
    ):
        shorter = way(request, budget, count)
        if shorter is not request:
            request = shorter
            shortened += [told] if told else []
        if tokens_of(request, count) <= budget:
            break
    return Fit(request, tuple(dict.fromkeys(shortened)))


def _message_tokens(message: ChatMessage, count: Count) -> int:
    return count(message.content) + sum(count(one.arguments) for one in message.tool_requests) + MESSAGE_TOKENS


# --- the loop of a task -----------------------------------------------------------------------------------------------
def _rounds(messages: tuple[ChatMessage, ...]) -> list[int]:
    """Return where each round of a task begins: the message in which the model asks for calls."""
    return [place for place, message in enumerate(messages) if message.tool_requests]


def _old_results(messages: tuple[ChatMessage, ...]) -> list[int]:
    """Return the places of results that are not of the newest round and worth a digest, the oldest first."""
    rounds = _rounds(messages)
    if len(rounds) <= NEWEST_ROUNDS:
        return []
    newest = rounds[-NEWEST_ROUNDS]
    long = 2 * DIGEST_CHARS
    return [at for at, one in enumerate(messages[:newest]) if one.role == "tool" and len(one.content) > long]


def _digested(request: LLMRequest, budget: int, count: Count) -> LLMRequest:
    """Put digests in the place of old results, the oldest first, four at a time."""
    places = _old_results(request.messages)
    for first in range(0, len(places), AT_ONCE):
        messages = list(request.messages)
        for place in places[first : first + AT_ONCE]:
            messages[place] = replace(messages[place], content=digest_of(messages[place].content))
        request = replace(request, messages=tuple(messages))
        if tokens_of(request, count) <= budget:
            break
    return request


def digest_of(text: str) -> str:
    """Return the beginning of a result and how much of it is left out."""
    head = " ".join(text[:DIGEST_CHARS].split())
    return f"{head}… [{len(text) - DIGEST_CHARS} more characters were left out to save room; call again if needed]"


def _arguments_cut(request: LLMRequest, budget: int, count: Count) -> LLMRequest:
    """Shorten the long arguments of all calls but the newest ones."""
    del budget, count
    rounds = _rounds(request.messages)[:-NEWEST_ROUNDS]
    messages = list(request.messages)
    for place in rounds:
        calls = tuple(_brief_call(one) for one in messages[place].tool_requests)
        if calls != messages[place].tool_requests:
            messages[place] = replace(messages[place], tool_requests=calls)
    return replace(request, messages=tuple(messages)) if messages != list(request.messages) else request


def _brief_call(call: ToolRequest) -> ToolRequest:
    if len(call.arguments) <= 2 * ARGUMENT_CHARS:
        return call
    try:
        values = json.loads(call.arguments)
    except ValueError:
        return call
    if not isinstance(values, dict):
        return call
    brief = {name: _brief_value(value) for name, value in values.items()}
    return replace(call, arguments=json.dumps(brief, ensure_ascii=False))


def _brief_value(value: Any) -> Any:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return value if len(text) <= ARGUMENT_CHARS else f"{text[:ARGUMENT_CHARS]}… [{len(text) - ARGUMENT_CHARS} more]"


def _rounds_left_out(request: LLMRequest, budget: int, count: Count) -> LLMRequest:
    """Leave out the oldest rounds of a task, each whole: a result without its call is refused by every server."""
    gone: list[str] = []
    while (
        len(rounds := _rounds(request.messages)) > NEWEST_ROUNDS
        and tokens_of(request, count) > budget - MARK_CHARS // 2
    ):
        first, after = rounds[0], rounds[1]
        gone += [call.name for call in request.messages[first].tool_requests]
        request = replace(request, messages=(*request.messages[:first], *request.messages[after:]))
    if not gone:
        return request
    note = f"[{len(gone)} earlier calls were left out to save room: {', '.join(dict.fromkeys(gone))}]"
    messages = list(request.messages)
    start = sum(1 for _ in takewhile(lambda one: one.role == "system", messages))
    if start < len(messages) and messages[start].role == "user":
        messages[start] = replace(messages[start], content=f"{messages[start].content}\n\n{note}")
    return replace(request, messages=tuple(messages))


# --- tools ------------------------------------------------------------------------------------------------------------
def _fewer_words_of_tools(request: LLMRequest, budget: int, count: Count) -> LLMRequest:
    """Shorten the descriptions of tools first where they take more than their share."""
    if count(str(request.tools or "")) * SHARE_OF_TOOLS <= budget:
        return request
    return _described_briefly(request, budget, count)


def _described_briefly(request: LLMRequest, budget: int, count: Count) -> LLMRequest:
    """Leave each tool the first sentence of its description, and its parameters their names and types."""
    del budget, count
    brief = tuple(_brief_tool(tool) for tool in request.tools)
    return replace(request, tools=brief) if brief != request.tools else request


def _brief_tool(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function") or {}
    described = _SENTENCE.sub(r"\1", str(function.get("description", "")))
    parameters = _undescribed(function.get("parameters") or {})
    return {**tool, "function": {**function, "description": described, "parameters": parameters}}


def _undescribed(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of parameters without what only explains it."""
    properties = {
        name: {key: value for key, value in one.items() if key not in {"description", "title", "examples"}}
        if isinstance(one, dict)
        else one
        for name, one in schema.get("properties", {}).items()
    }
    return {**schema, "properties": properties} if properties else schema


# --- long texts -------------------------------------------------------------------------------------------------------
def _texts_cut(request: LLMRequest, budget: int, count: Count) -> LLMRequest:
    """Cut the longest texts in the middle until all fits: material first, then whatever is no word of the system."""
    for pieces in (_material, _everything):
        texts = pieces(request.messages)
        for attempt in range(TRIES):
            over = tokens_of(request, count) - budget
            if over <= 0 or not texts:
                break
            per_char = max(count("".join(texts)) / max(len("".join(texts)), 1), 0.01)
            room = sum(map(len, texts)) - int(over / per_char * 1.1) - MARK_CHARS * (attempt + 1)
            cap = _cap([len(text) for text in texts], max(room, 0))
            cut = {text: cut_in_the_middle(text, max(cap, LEAST_CHARS)) for text in texts}
            request = replace(request, messages=tuple(_with(message, cut) for message in request.messages))
            texts = pieces(request.messages)
    return request


def _material(messages: tuple[ChatMessage, ...]) -> list[str]:
    """Return the blocks of data, the results of tools and what the model itself has written."""
    found = [text for one in messages if one.role == "user" for _, text, _ in _DATA.findall(one.content)]
    return [text for text in (*found, *(one.content for one in messages if one.role in {"tool", "assistant"})) if text]


def _everything(messages: tuple[ChatMessage, ...]) -> list[str]:
    return [message.content for message in messages if message.role != "system" and message.content]


def _with(message: ChatMessage, cut: dict[str, str]) -> ChatMessage:
    if message.role == "system":
        return message
    if message.content in cut:
        return replace(message, content=cut[message.content])
    if message.role != "user":
        return message
    said = _DATA.sub(lambda found: f"{found[1]}{cut.get(found[2], found[2])}{found[3]}", message.content)
    return replace(message, content=said)


def _cap(lengths: list[int], room: int) -> int:
    """Return the length to which the longest are cut so that all together have the room: short ones stay whole."""
    left, cap = room, 0
    waiting = sorted(lengths)
    while waiting:
        cap = left // len(waiting)
        if waiting[0] > cap:
            return cap
        left -= waiting.pop(0)
    return max(lengths, default=0)


def cut_in_the_middle(text: str, chars: int) -> str:
    """Return a text with about `chars` characters, of its beginning and its end, and how many are left out."""
    if len(text) <= chars + 60:
        return text
    head, tail = chars * 2 // 3, chars - chars * 2 // 3
    return f"{text[:head]}\n[… {len(text) - chars} characters left out to save room …]\n{text[len(text) - tail :]}"
