"""One answer of a model, put together from the pieces of its stream."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agent.llm.protocol import ToolRequest
from agent.llm.repetition import RepetitionGuard
from agent.llm.thoughts import ThoughtFilter
from agent.llm.unicode import ends_in_half, without_surrogates

REASONS = {"length": "length", "max_tokens": "length", "content_filter": "filtered"}


class StreamFault(Exception):
    """The server reported an error in the middle of its stream; `payload` is what it said."""

    def __init__(self, payload: Any) -> None:
        super().__init__("error within the stream")
        self.payload = payload


@dataclass(slots=True)
class _Call:
    """A tool call that is being written."""

    id: str
    name: str
    arguments: list[str]


class Reply:
    """Takes the events of a stream one by one and keeps what they add up to.

    `as_arguments` is for a forced tool call: then the arguments of the call are the text, and other text counts only
    when no call comes. `began` turns True with the first token of any kind, `looping` when the model repeats itself,
    `ended` when the server said why it stopped. Hidden thoughts are counted in `thought_size` (bytes) and forgotten.
    """

    def __init__(self, *, as_arguments: bool = False) -> None:
        self.began = False
        self.looping = False
        self.finish = ""
        self.done = False
        self.usage: dict[str, Any] | None = None
        self.thought_size = 0
        self._as_arguments = as_arguments
        self._parts: list[str] = []
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._thoughts = ThoughtFilter()
        self._guard = RepetitionGuard()
        self._half = ""

    @property
    def text(self) -> str:
        """The answer so far, without thoughts."""
        if self._as_arguments and self._calls:
            return without_surrogates("".join(self._calls[0].arguments))
        return "".join(self._parts)

    @property
    def ended(self) -> bool:
        """True when the server said that this is the end."""
        return self.done or bool(self.finish)

    @property
    def called(self) -> bool:
        """True when the model called a tool."""
        return bool(self._calls)

    @property
    def reason(self) -> str:
        """Why it ended, in the words of `Finished.reason`."""
        if self.looping:
            return "repeated"
        if self.finish in REASONS:
            return REASONS[self.finish]
        return "tool_calls" if self._calls and not self._as_arguments else "stop"

    @property
    def requests(self) -> tuple[ToolRequest, ...]:
        """The tools that the model wants called; none when it was cut while it repeated itself."""
        if self.looping or self._as_arguments:
            return ()
        return tuple(
            ToolRequest(call.id, call.name, without_surrogates("".join(call.arguments))) for call in self._calls
        )

    @property
    def size(self) -> int:
        """Bytes that the model wrote, thoughts included."""
        written = self.thought_size + sum(len(part.encode()) for part in self._parts)
        return written + sum(len(call.name) + sum(map(len, call.arguments)) for call in self._calls)

    def take(self, event: Any) -> str:
        """Take one event (or a whole answer); return what of it can be shown. Raises StreamFault."""
        if not isinstance(event, dict):
            raise StreamFault(event)
        if event.get("error"):
            raise StreamFault(event["error"])
        usage = event.get("usage")
        if isinstance(usage, dict) and usage:
            self.usage = usage
        choices = event.get("choices")
        if not choices:
            return ""
        choice = choices[0]
        if choice.get("finish_reason"):
            self.finish = choice["finish_reason"]
        delta = choice.get("delta") or choice.get("message")
        return self._delta(delta) if delta else ""

    def close(self) -> str:
        """Return what was held back and can be shown now that the stream has ended."""
        rest = self._thoughts.feed(without_surrogates(self._half)) + self._thoughts.finish()
        self._half = ""
        if rest:
            self._parts.append(rest)
        if self._as_arguments:
            return "" if self._calls else "".join(self._parts)
        return rest

    def _delta(self, delta: dict[str, Any]) -> str:
        shown = ""
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            self._think(thought)
        content = delta.get("content") or delta.get("refusal")
        if content:
            shown = self._write(content if isinstance(content, str) else _plain(content))
        for position, call in enumerate(delta.get("tool_calls") or ()):
            shown += self._call(call, position)
        return shown

    def _think(self, thought: str) -> None:
        self.began = True
        self.thought_size += len(thought.encode(errors="surrogatepass"))
        self.looping = self.looping or self._guard.feed(thought)

    def _write(self, content: str) -> str:
        self.began = True
        self.looping = self.looping or self._guard.feed(content)
        content, self._half = self._half + content, ""
        if ends_in_half(content):  # the other half of the character comes with the next event
            content, self._half = content[:-1], content[-1]
        content = without_surrogates(content)
        text = self._thoughts.feed(content)
        if not text:
            self.thought_size += len(content.encode()) if self._thoughts.thinking else 0
            return ""
        self._parts.append(text)
        return "" if self._as_arguments else text

    def _call(self, piece: dict[str, Any], position: int) -> str:
        """Add to the call that a piece belongs to.

        Servers differ: some leave the index out, some give every call the index 0 and tell them apart by their ids.
        """
        self.began = True
        index = piece.get("index")
        index = position if index is None else index
        call = self._by_index.get(index)
        given = piece.get("id") or ""
        if call is None or (given and call.id != given):
            call = self._open(given)
            self._by_index[index] = call
        function = piece.get("function") or {}
        call.name = call.name or function.get("name") or ""
        arguments = function.get("arguments")
        if not arguments:
            return ""
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        call.arguments.append(text)
        self.looping = self.looping or self._guard.feed(text)
        return without_surrogates(text) if self._as_arguments and call is self._calls[0] else ""

    def _open(self, given: str) -> _Call:
        taken = {call.id for call in self._calls}
        call = _Call(given if given and given not in taken else f"call_{len(self._calls)}", "", [])
        self._calls.append(call)
        return call


def _plain(parts: Any) -> str:
    """Return the text of a content that comes as a list of parts, without its thoughts."""
    if not isinstance(parts, list):
        return ""
    return "".join(
        str(part.get("text") or "") for part in parts if isinstance(part, dict) and part.get("type") == "text"
    )
